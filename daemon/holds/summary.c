#include "summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/reach/retained.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define NONE UINT32_MAX

struct summary {
	const struct reach_graph *graph;
	const struct reach_mark *mark;
	const struct losses *losses;
	const struct book_watch *watch;
	const struct details *details;
	struct holds *holds;
	uint32_t *site_of_point; /* NONE */
	uint32_t *root_of_name;	 /* NONE */
	uint32_t point_count, name_count;
	size_t site_room, root_room;
	struct room_share share; /* of what is no part of the answer */
};

static void summary_deinit(struct summary *summary)
{
	free(summary->site_of_point);
	free(summary->root_of_name);
	room_return_all(&summary->share);
}

static void count(struct holds_sum *sum, uint64_t bytes)
{
	sum->bytes += bytes;
	sum->blocks++;
}

static uint32_t *none_list(size_t length)
{
	uint32_t *list = malloc((length + 1) * sizeof(*list));

	if (list)
		memset(list, 0xff, (length + 1) * sizeof(*list));
	return list;
}

static int prepare(struct summary *summary)
{
	const struct reach_graph *graph = summary->graph;
	int r;

	for (uint32_t i = 0; i < graph->count; i++)
		if (graph->blocks[i].point >= summary->point_count)
			summary->point_count = graph->blocks[i].point + 1;
	summary->name_count = REACH_NAME_OTHER(graph) + 1;
	r = room_claim(&summary->share, (summary->point_count + summary->name_count + 2ul) *
						sizeof(*summary->site_of_point));
	if (r)
		return r;
	summary->site_of_point = none_list(summary->point_count);
	summary->root_of_name = none_list(summary->name_count);
	return summary->site_of_point && summary->root_of_name ? 0 : -ENOMEM;
}

/* ---- sites ---------------------------------------------------------------------------------- */

static void describe_site(const struct summary *summary, struct holds_site *site)
{
	const struct details *details = summary->details;
	const struct site_places *places =
		details ? pointer_places_of_site(&details->places, site->point) : NULL;
	const char *type = details ? details_type(details, site->point) : NULL;

	site->type = type ? strdup(type) : NULL; /* without memory: not known */
	if (places)
		site->into = places->inside;
}

static int site_of(struct summary *summary, uint32_t point, struct holds_site **ret)
{
	struct holds *holds = summary->holds;
	uint32_t *site = &summary->site_of_point[point];

	if (*site == NONE) {
		int r = room_make_room(&holds->share, &holds->sites, &summary->site_room,
				       holds->site_count);

		if (r)
			return r;
		*site = holds->site_count++;
		holds->sites[*site] = (struct holds_site){
			.point = point,
			.withdrawn = summary->watch ? book_withdrawn(summary->watch, point) : 0,
		};
		describe_site(summary, &holds->sites[*site]);
	}
	*ret = &holds->sites[*site];
	return 0;
}

/* Of which there is one. */
static struct holds_site *known_site(const struct summary *summary, uint32_t point)
{
	return &summary->holds->sites[summary->site_of_point[point]];
}

static void count_lost(struct summary *summary, struct holds_site *site,
		       const struct reach_block *block)
{
	count(&site->lost, block->size_bytes);
	count(&summary->holds->lost, block->size_bytes);
	if (reach_lost_kind(block) == REACH_LOST_CYCLE)
		count(&site->in_cycles, block->size_bytes);
	else if (reach_lost_kind(block) == REACH_LOST_UNDER)
		count(&site->under, block->size_bytes);
}

static int count_block(struct summary *summary, uint32_t i)
{
	const struct reach_block *block = &summary->graph->blocks[i];
	struct holds *holds = summary->holds;
	struct holds_site *site;
	int r = site_of(summary, block->point, &site);

	if (r)
		return r;
	switch (reach_level_of(summary->mark, i)) {
	case REACH_HELD_PAST:
		count(&site->past, block->size_bytes);
		/* fall through */
	case REACH_HELD:
		count(&site->held, block->size_bytes);
		count(&holds->held, block->size_bytes);
		if (summary->details && reach_is_from_inside(summary->details->inside, i))
			count(&site->inside, block->size_bytes);
		return 0;
	case REACH_UNREACHED:
		if (reach_lost_kind(block)) {
			count_lost(summary, site, block);
			return 0;
		}
		count(&site->unseen, block->size_bytes);
		count(&holds->unseen, block->size_bytes);
		return 0;
	default:
		count(&site->unknown, block->size_bytes);
		count(&holds->unknown, block->size_bytes);
		return 0;
	}
}

static int count_blocks(struct summary *summary)
{
	int r = 0;

	for (uint32_t i = 0; i < summary->graph->count && r == 0; i++)
		if (!(summary->graph->blocks[i].flags & REACH_BLOCK_UNCOUNTED))
			r = count_block(summary, i);
	return r;
}

/* Without memory it is not known. */
static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int add_link(struct summary *summary, uint32_t point, const struct place *place,
		    const char *member)
{
	struct holds *holds = summary->holds;
	int r = room_make_room(&holds->share, &holds->links, &holds->link_room, holds->link_count);

	if (r)
		return r;
	holds->links[holds->link_count++] =
		(struct holds_link){ point, place ? *place : (struct place){ 0 }, copy(member) };
	return 0;
}

/* Those whose blocks are asked for. */
static int add_cycles(struct summary *summary)
{
	const struct losses *losses = summary->losses;
	struct holds *holds = summary->holds;
	int r = 0;

	holds->cycles = calloc(losses->cycle_count + 1ul, sizeof(*holds->cycles));
	if (!holds->cycles)
		return -ENOMEM;
	for (uint32_t i = 0; i < losses->cycle_count && r == 0; i++) {
		const struct reach_cycle *from = &losses->cycles[i];

		if (!from->blocks)
			continue;
		holds->cycles[holds->cycle_count++] = (struct holds_cycle){
			.lost = { from->bytes, from->blocks },
			.first_link = holds->link_count,
			.link_count = from->link_count,
			.length = from->length,
			.is_cut = from->is_cut,
		};
		for (uint32_t j = 0; j < from->link_count && r == 0; j++)
			r = add_link(summary, from->sites[j],
				     summary->details
					     ? &summary->details->places
							.cycles[i * REACH_MAX_CYCLE_LINKS + j]
					     : NULL,
				     NULL);
	}
	return r;
}

/* ---- chains --------------------------------------------------------------------------------- */

static int root_of(struct summary *summary, uint32_t name, uint32_t *ret)
{
	struct holds *holds = summary->holds;
	uint32_t *root = &summary->root_of_name[name];

	if (*root == NONE) {
		struct holds_root made = { strdup(reach_name_text(summary->graph, name)),
					   reach_name_class(summary->graph, name),
					   { 0 } };

		int r = made.name ? room_make_room(&holds->share, &holds->roots,
						   &summary->root_room, holds->root_count)
				  : -ENOMEM;

		if (r) {
			free(made.name);
			return r;
		}
		*root = holds->root_count;
		holds->roots[holds->root_count++] = made;
	}
	*ret = *root;
	return 0;
}

static const struct chain_places *chain_places(const struct summary *summary,
					       const struct reach_chain *chain)
{
	return summary->details ? pointer_places_of_chain(&summary->details->places,
							  chain - summary->mark->chains)
				: NULL;
}

static const struct block_types_chain *chain_members(const struct summary *summary,
						     const struct chain_places *places)
{
	return summary->details ? details_members(summary->details, places) : NULL;
}

static int add_chain(struct summary *summary, const struct reach_chain *from)
{
	const struct reach_chain *chains = summary->mark->chains, *link = from;
	struct holds *holds = summary->holds;
	struct holds_chain chain = {
		.level = from->level,
		.held = { from->bytes, from->blocks },
		.entries = from->entries,
		.first_link = holds->link_count,
		.root_words = from->entries,
	};
	const struct chain_places *places = chain_places(summary, from);
	const struct block_types_chain *members = chain_members(summary, places);
	const char *self = members ? members->self : NULL;
	int r = 0;

	chain.self = places ? places->self : (struct place){ 0 };
	for (link = &chains[from->parent]; !link->is_root && r == 0; link = &chains[link->parent]) {
		r = add_link(summary, link->site, places ? &places->holder : NULL,
			     members ? members->holder : NULL);
		places = chain_places(summary, link);
		members = chain_members(summary, places);
		chain.link_count++;
		chain.root_words = link->entries;
	}
	chain.is_cut = link->is_cut;
	chain.root = NONE;
	if (r == 0 && !link->is_cut)
		r = root_of(summary, link->site, &chain.root);
	if (r == 0)
		r = room_make_room(&holds->share, &holds->chains, &holds->chain_room,
				   holds->chain_count);
	if (r)
		return r;
	chain.in_root = copy(members ? members->in_root : NULL);
	chain.self_member = copy(self);
	holds->chains[holds->chain_count++] = chain;
	return 0;
}

static int compare_chains(const void *a_, const void *b_, void *mark_)
{
	const struct reach_mark *mark = mark_;
	const struct reach_chain *a = &mark->chains[*(const uint32_t *)a_];
	const struct reach_chain *b = &mark->chains[*(const uint32_t *)b_];

	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int add_chains(struct summary *summary)
{
	const struct reach_mark *mark = summary->mark;
	_cleanup_free_ uint32_t *order = NULL;
	uint32_t length = 0;
	int r = room_claim(&summary->share, (mark->chain_count + 1ul) * sizeof(*order));

	if (r)
		return r;
	order = malloc((mark->chain_count + 1ul) * sizeof(*order));
	if (!order)
		return -ENOMEM;
	for (uint32_t i = 1; i < mark->chain_count; i++)
		if (!mark->chains[i].is_root && mark->chains[i].blocks)
			order[length++] = i;
	qsort_r(order, length, sizeof(*order), compare_chains, without_qualifiers(mark));
	for (uint32_t i = 0; i < length && r == 0; i++) {
		const struct reach_chain *chain = &mark->chains[order[i]];
		struct holds_site *site = known_site(summary, chain->site);

		if (site->chain_count == HOLDS_CHAINS)
			continue;
		if (!site->chain_count)
			site->first_chain = summary->holds->chain_count;
		r = add_chain(summary, chain);
		site->chain_count++;
	}
	return r;
}

/* ---- retained ------------------------------------------------------------------------------- */

/* Where it cannot be told it is left out. */
static int add_retained(struct summary *summary)
{
	_cleanup_free_ struct reach_retained *list = NULL;
	uint32_t length = 0;
	int r = reach_retained(summary->graph, summary->mark, &list, &length);

	if (r)
		return r == -E2BIG ? 0 : r;
	for (uint32_t i = 0; i < length && r == 0; i++) {
		struct holds_sum sum = { list[i].bytes, list[i].blocks };
		struct holds_site *site;

		if (list[i].is_root) {
			if (summary->root_of_name[list[i].id] != NONE)
				summary->holds->roots[summary->root_of_name[list[i].id]].retained =
					sum;
			continue;
		}
		r = site_of(summary, list[i].id, &site);
		if (r == 0)
			site->retained = sum;
	}
	return r;
}

int summary_make(const struct reach_graph *graph, const struct reach_mark *mark,
		 const struct losses *losses, const struct book_watch *watch,
		 const struct details *details, struct holds *ret)
{
	_cleanup_(summary_deinit) struct summary summary = {
		.graph = graph,
		.mark = mark,
		.losses = losses,
		.watch = watch,
		.details = details,
		.holds = ret,
		.share = { .room = graph->room },
	};
	int r;

	ret->share.room = graph->room;
	r = prepare(&summary);

	if (r == 0)
		r = count_blocks(&summary);
	if (r == 0)
		r = add_cycles(&summary);
	if (r == 0)
		r = add_chains(&summary);
	if (r == 0 && !ret->since_ns)
		r = add_retained(&summary);
	return r;
}
