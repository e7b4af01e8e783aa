#include "details.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_names.h"
#include "look_closer.h"
#include "proto/base/cleanup.h"

void details_deinit(struct details *details)
{
	pointer_places_deinit(&details->places);
	types_deinit(&details->types);
	free(details->inside);
	image_names_free(details->roots, details->root_count);
	room_return_all(&details->share);
	*details = (struct details){ 0 };
}

struct looking {
	const struct look_closer_at *at;
	struct closer_span *images;
	uint32_t image_count;
};

/* Files that are mapped to be private: programs and libraries, and no data that is shared. */
static int find_images(const struct procmaps *maps, struct looking *looking)
{
	looking->images = calloc(maps->count + 1, sizeof(*looking->images));
	if (!looking->images)
		return -ENOMEM;
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];

		if (entry->inode && !entry->is_shared && entry->path[0] == '/')
			looking->images[looking->image_count++] =
				(struct closer_span){ entry->start, entry->end };
	}
	return 0;
}

/* Nothing to be seen is no error. */
static int look(void *looking_, struct closer_question *question, struct closer_answer *ret)
{
	const struct looking *looking = looking_;

	question->images = looking->images;
	question->image_count = looking->image_count;
	return look_closer(looking->at, question, ret);
}

static int name_roots(const struct scan_once *scan, const struct target_identity *identity,
		      struct symbolizer *symbolizer, struct details *details)
{
	const struct pointer_places *places = &details->places;
	int r = room_claim(&details->share, (places->chain_count + 1ul) * sizeof(*details->roots));

	if (r)
		return r;
	details->roots = calloc(places->chain_count + 1ul, sizeof(*details->roots));
	if (!details->roots)
		return -ENOMEM;
	for (uint32_t i = 0; i < places->chain_count; i++) {
		uint64_t addr = places->chains[i].in_root;
		const struct layout_area *area = addr ? layout_find(&scan->layout, addr) : NULL;

		if (area && area->class == REACH_GLOBAL)
			details->roots[details->root_count++].addr = addr;
	}
	return image_names_find(scan, identity, symbolizer, IMAGE_MEMBERS, details->roots,
				details->root_count);
}

/* Of the question and of the answer, which is smaller: what is left of it, as it travels, in the
 * worker. */
#define CLOSER_COPIES 6

static int find(struct looking *looking, const struct scan_once *scan,
		const struct target_identity *identity, struct symbolizer *symbolizer,
		struct details *details)
{
	struct pointer_places *places = &details->places;
	const struct types_memory memory = { look, looking };
	struct closer_question question = { .pairs = places->pairs,
					    .pair_count = places->pair_count,
					    .heads = places->heads,
					    .head_count = places->head_count };
	struct closer_answer answer = { 0 };
	struct room_share share = { .room = details->share.room };
	int r = room_claim(&share, CLOSER_COPIES * (places->pair_count * sizeof(*places->pairs) +
						    places->head_count * sizeof(*answer.heads)));

	if (r == 0)
		r = look(looking, &question, &answer);
	if (r == 0)
		pointer_places_take(places, &answer);
	closer_answer_deinit(&answer);
	room_return_all(&share);
	if (r == 0)
		r = types_find(scan, identity, places, &memory, symbolizer, &details->types);
	return r ? r : name_roots(scan, identity, symbolizer, details);
}

int details_find(const struct scan_once *scan, const struct reach_mark *mark,
		 const struct losses *losses, const struct target_identity *identity,
		 const struct look_closer_at *at, struct symbolizer *symbolizer,
		 struct details *ret)
{
	_cleanup_(
		details_deinit) struct details details = { .share = { .room = scan->graph.room } };
	struct looking looking = { .at = at };
	int r = room_claim(&details.share, scan->graph.count / 8 + 1ul);

	if (r == 0)
		r = reach_from_inside(&scan->graph, mark, &details.inside);
	if (r == 0)
		r = pointer_places_choose(&scan->graph, mark, details.inside, losses->cycles,
					  losses->cycle_count, &details.places);
	if (r == 0)
		r = find_images(&scan->maps, &looking);
	if (r == 0)
		r = find(&looking, scan, identity, symbolizer, &details);
	free(looking.images);
	if (r)
		return r;
	*ret = details;
	details = (struct details){ 0 };
	return 0;
}

const char *details_type(const struct details *details, uint32_t point)
{
	const struct site_places *site = pointer_places_of_site(&details->places, point);

	return site && details->types.names ? details->types.names[site - details->places.sites]
					    : NULL;
}

const char *details_in_root(const struct details *details, const struct chain_places *places)
{
	const struct image_name *root =
		places ? image_names_get(details->roots, details->root_count, places->in_root)
		       : NULL;

	return root ? root->within : NULL;
}
