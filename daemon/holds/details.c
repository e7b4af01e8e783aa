#include "details.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "look_closer.h"
#include "proto/base/cleanup.h"

void details_deinit(struct details *details)
{
	pointer_places_deinit(&details->places);
	types_deinit(&details->types);
	free(details->inside);
	block_types_deinit(&details->block_types);
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

/* Of the question and of the answer, which is smaller: what is left of it, as it travels, in the
 * worker. */
#define CLOSER_COPIES 6

static int find(struct looking *looking, const struct scan_once *scan,
		const struct reach_mark *mark, const struct target_identity *identity,
		struct symbolizer *symbolizer, struct details *details)
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
	return r ? r
		 : block_types_find(scan, mark, places, identity, symbolizer,
				    &details->block_types);
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
		r = find(&looking, scan, mark, identity, symbolizer, &details);
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
	size_t number = site ? site - details->places.sites : 0;

	if (!site)
		return NULL;
	/* what a block itself says is nearer than what somebody declares */
	if (details->types.names && details->types.names[number])
		return details->types.names[number];
	return details->block_types.types ? details->block_types.types[number] : NULL;
}

const struct block_types_chain *details_members(const struct details *details,
						const struct chain_places *places)
{
	return places && details->block_types.chains
		       ? &details->block_types.chains[places - details->places.chains]
		       : NULL;
}
