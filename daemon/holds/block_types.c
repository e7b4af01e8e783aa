#include "block_types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/mapfile.h"
#include "image_names.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define NONE UINT32_MAX

struct asked {
	struct pointee_query query; /* parent: a number among all */
	const struct procmaps_entry *file;
	uint32_t slot;	 /* of the chain */
	uint32_t number; /* among those of its file */
	char *type;	 /* NULL: not known */
};

struct finding {
	const struct scan_once *scan;
	const struct reach_mark *mark;
	const struct pointer_places *places;
	const struct target_identity *identity;
	struct symbolizer *symbolizer;
	struct block_types *types;
	struct asked *asked;
	size_t room;
	uint32_t count;
	uint32_t *first_of; /* of each chain's slot: its first query; NONE */
	bool *is_wrong;	    /* of each site: its chains do not agree */
	int root_fd;
};

void block_types_deinit(struct block_types *types)
{
	for (uint32_t i = 0; types->chains && i < types->chain_count; i++) {
		free(types->chains[i].in_root);
		free(types->chains[i].holder);
		free(types->chains[i].self);
	}
	for (uint32_t i = 0; types->types && i < types->type_count; i++)
		free(types->types[i]);
	free(types->chains);
	free(types->types);
	room_return_all(&types->share);
	*types = (struct block_types){ 0 };
}

/* ---- what is asked -------------------------------------------------------------------------- */

static const struct site_places *site_of(const struct finding *finding, uint32_t chain)
{
	return pointer_places_of_site(finding->places, finding->mark->chains[chain].site);
}

static int ask(struct finding *finding, uint32_t slot, const struct procmaps_entry *file,
	       const struct pointee_query *query)
{
	int r = room_make_room(&finding->types->share, &finding->asked, &finding->room,
			       finding->count);

	if (r)
		return r;
	if (finding->first_of[slot] == NONE)
		finding->first_of[slot] = finding->count;
	finding->asked[finding->count++] =
		(struct asked){ .query = *query, .file = file, .slot = slot };
	return 0;
}

/* A word of a variable; of other roots nobody knows what they are. */
static int ask_of_root(struct finding *finding, uint32_t slot, uint64_t addr,
		       struct pointee_query query)
{
	const struct layout_area *area = layout_find(&finding->scan->layout, addr);
	const struct procmaps_entry *file = area && area->class == REACH_GLOBAL
						    ? image_names_file(&finding->scan->maps, addr)
						    : NULL;

	if (!file)
		return 0;
	query.parent = POINTEES_ROOT;
	query.at = addr - file->start + file->file_offset;
	return ask(finding, slot, file, &query);
}

/* Sizes that nothing has: only the place is asked for. */
static struct pointee_query query_of(const struct finding *finding, uint32_t chain,
				     const struct chain_places *places)
{
	const struct site_places *site = places->is_from_start ? site_of(finding, chain) : NULL;

	return (struct pointee_query){
		.least_bytes = site ? site->least_bytes : 0,
		.most_bytes = site ? site->most_bytes : 0,
		.self_at = places->self.is_known ? places->self.at : POINTEES_NOWHERE,
	};
}

static int ask_of_chain(struct finding *finding, uint32_t chain, uint32_t slot)
{
	const struct chain_places *places = &finding->places->chains[slot];
	uint32_t parent = finding->mark->chains[chain].parent, above;
	struct pointee_query query = query_of(finding, chain, places);
	int r = 0;

	if (finding->mark->chains[parent].is_root) {
		for (uint32_t i = 0; i < places->root_count && r == 0; i++)
			r = ask_of_root(finding, slot, places->roots[i], query);
		if (!places->root_count && places->in_root)
			r = ask_of_root(finding, slot, places->in_root, query);
		return r;
	}
	above = finding->places->chain_slots[parent];
	if (!above || finding->first_of[above - 1] == NONE)
		return 0;
	query.parent = finding->first_of[above - 1];
	query.at = places->holder.is_known ? places->holder.at : POINTEES_NOWHERE;
	return ask(finding, slot, finding->asked[query.parent].file, &query);
}

/* What holds others has a lower number than they have. */
static int ask_all(struct finding *finding)
{
	int r = 0;

	for (uint32_t i = 1; i < finding->mark->chain_count && r == 0; i++)
		if (finding->places->chain_slots[i])
			r = ask_of_chain(finding, i, finding->places->chain_slots[i] - 1);
	return r;
}

/* ---- what is answered ----------------------------------------------------------------------- */

static char *text_of(const struct names *names, uint32_t text)
{
	return names->texts.list[text][0] ? strdup(names->texts.list[text]) : NULL;
}

static void take(struct finding *finding, struct asked *asked, const struct names *names)
{
	const struct name_frame *frame = &names->frames[asked->number];
	const struct name_location *locations = &names->locations[frame->first_location];
	struct block_types_chain *chain = &finding->types->chains[asked->slot];
	char **place = asked->query.parent == POINTEES_ROOT ? &chain->in_root : &chain->holder;

	if (!frame->location_count)
		return;
	asked->type = text_of(names, locations[0].function);
	if (!*place)
		*place = text_of(names, locations[0].file);
	if (frame->location_count > 1 && !chain->self)
		chain->self = text_of(names, locations[1].file);
}

static int ask_file(struct finding *finding, const struct procmaps_entry *file)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct pointee_query *queries = calloc(finding->count, sizeof(*queries));
	_cleanup_close_ int fd = mapfile_open(finding->identity->pid, file->start, file->end,
					      file->path, file->inode);
	const struct symbolizer_object object = { .fd = fd,
						  .root_fd = finding->root_fd,
						  .uid = finding->identity->uid,
						  .path = file->path };
	uint32_t count = 0;

	if (!queries)
		return -ENOMEM;
	for (uint32_t i = 0; i < finding->count; i++) {
		struct asked *asked = &finding->asked[i];

		if (asked->file != file)
			continue;
		queries[count] = asked->query;
		if (asked->query.parent != POINTEES_ROOT)
			queries[count].parent = finding->asked[asked->query.parent].number;
		asked->number = count++;
	}
	if (fd < 0 ||
	    symbolizer_name_pointees(finding->symbolizer, &object, queries, count, &names))
		return 0;
	for (uint32_t i = 0; i < finding->count; i++)
		if (finding->asked[i].file == file)
			take(finding, &finding->asked[i], names);
	return 0;
}

static int ask_files(struct finding *finding)
{
	int r = 0;

	for (uint32_t i = 0; i < finding->count && r == 0; i++) {
		bool is_new = true;

		for (uint32_t j = 0; j < i && is_new; j++)
			is_new = finding->asked[j].file != finding->asked[i].file;
		if (is_new)
			r = ask_file(finding, finding->asked[i].file);
	}
	return r;
}

/* ---- what they agree in --------------------------------------------------------------------- */

static bool is_type(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* Each chain is asked about once, or once for each word of its root; NULL: not known. */
static const char *type_of_chain(const struct finding *finding, uint32_t slot)
{
	uint32_t first = finding->first_of[slot];
	const char *type = first == NONE ? NULL : finding->asked[first].type;

	for (uint32_t i = first; type && i < finding->count && finding->asked[i].slot == slot; i++)
		type = is_type(type, finding->asked[i].type) ? type : NULL;
	return type;
}

static void forget(char **text)
{
	free(*text);
	*text = NULL;
}

static int name_sites(struct finding *finding)
{
	const struct pointer_places *places = finding->places;

	for (uint32_t i = 1; i < finding->mark->chain_count; i++) {
		uint32_t slot = places->chain_slots[i];
		const char *type = slot ? type_of_chain(finding, slot - 1) : NULL;
		const struct site_places *site = type ? site_of(finding, i) : NULL;
		uint32_t number = site ? site - places->sites : 0;
		char **known = &finding->types->types[number];

		if (!site)
			continue;
		if (*known && strcmp(*known, type) != 0)
			finding->is_wrong[number] = true;
		if (!*known)
			*known = strdup(type);
		if (!*known)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < places->site_count; i++)
		if (finding->is_wrong[i])
			forget(&finding->types->types[i]);
	return 0;
}

static bool is_known(const struct finding *finding, uint32_t chain)
{
	uint32_t slot = finding->places->chain_slots[chain];
	const struct site_places *site = slot ? site_of(finding, chain) : NULL;

	return site && !finding->is_wrong[site - finding->places->sites] &&
	       type_of_chain(finding, slot - 1);
}

/* Of members only those of blocks whose type is known after all. */
static void drop_members(struct finding *finding)
{
	const struct reach_chain *chains = finding->mark->chains;

	for (uint32_t i = 1; i < finding->mark->chain_count; i++) {
		uint32_t slot = finding->places->chain_slots[i];
		struct block_types_chain *chain = slot ? &finding->types->chains[slot - 1] : NULL;

		if (!chain)
			continue;
		if (!finding->places->chains[slot - 1].in_root)
			forget(&chain->in_root); /* of many words that of one is no place */
		if (!is_known(finding, i))
			forget(&chain->self);
		if (chains[chains[i].parent].is_root || !is_known(finding, chains[i].parent))
			forget(&chain->holder);
	}
}

static int find(struct finding *finding)
{
	struct block_types *types = finding->types;
	uint64_t each = sizeof(*types->chains) + sizeof(*finding->first_of);
	int r = room_claim(&types->share,
			   (types->chain_count + 1ul) * each +
				   (types->type_count + 1ul) * (sizeof(*types->types) + 1));

	if (r)
		return r;
	types->chains = calloc(types->chain_count + 1ul, sizeof(*types->chains));
	types->types = calloc(types->type_count + 1ul, sizeof(*types->types));
	finding->is_wrong = calloc(types->type_count + 1ul, sizeof(*finding->is_wrong));
	finding->first_of = malloc((types->chain_count + 1ul) * sizeof(*finding->first_of));
	if (!types->chains || !types->types || !finding->is_wrong || !finding->first_of)
		return -ENOMEM;
	memset(finding->first_of, 0xff, (types->chain_count + 1ul) * sizeof(*finding->first_of));
	r = ask_all(finding);
	if (r == 0)
		r = ask_files(finding);
	if (r == 0)
		r = name_sites(finding);
	if (r == 0)
		drop_members(finding);
	return r;
}

int block_types_find(const struct scan_once *scan, const struct reach_mark *mark,
		     const struct pointer_places *places, const struct target_identity *identity,
		     struct symbolizer *symbolizer, struct block_types *ret)
{
	_cleanup_(block_types_deinit) struct block_types types = {
		.chain_count = places->chain_count,
		.type_count = places->site_count,
		.share = { .room = scan->graph.room },
	};
	_cleanup_close_ int dir_fd = -1, root_fd = -1;
	struct finding finding = { .scan = scan,
				   .mark = mark,
				   .places = places,
				   .identity = identity,
				   .symbolizer = symbolizer,
				   .types = &types };
	int r;

	if (proc_open_dir(identity->pid, &dir_fd) == 0)
		root_fd = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	finding.root_fd = root_fd;
	r = find(&finding);
	for (uint32_t i = 0; i < finding.count; i++)
		free(finding.asked[i].type);
	free(finding.asked);
	free(finding.first_of);
	free(finding.is_wrong);
	if (r)
		return r;
	*ret = types;
	types = (struct block_types){ 0 };
	return 0;
}
