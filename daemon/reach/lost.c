#include "lost.h"

#include <errno.h>
#include <stdlib.h>

/* Of a slot, while blocks are come to: 0: not yet; the number in the order of coming to it, from 1
 * on, or a lower one that can be come to from there, and then INNER: its part has begun before. */
#define INNER (1u << 30)
#define NUMBER (INNER - 1)

struct search {
	const struct reach_graph *graph;
	struct reach_block *blocks;
	uint32_t *slots;
	/* A block is in one of the two at a time: from the list's beginning on the way to where the
	 * search is; from its end on what was left, and whose part is not complete. */
	uint32_t *list;
	uint32_t way_count, left_first, count;
	uint32_t *many_at; /* of those that have so many edges: the one to go on at */
	uint32_t numbers;
};

static bool is_lost(const struct search *search, uint32_t edge)
{
	return reach_kind(edge) != REACH_TAGGED &&
	       search->blocks[reach_target(edge)].flags & REACH_BLOCK_LOST;
}

static void raise(struct reach_block *block, enum reach_lost to)
{
	if (reach_lost_kind(block) < to)
		reach_lost_set(block, to);
}

/* ---- where to go on ------------------------------------------------------------------------- */

static void remember(struct search *search, uint32_t block, uint32_t edge)
{
	const struct reach_found *found = &search->graph->found;

	if (found->degrees[block] == REACH_MANY)
		search->many_at[reach_many_at(found, block)] = edge;
}

/* The edge by which the search has gone on from a block: the first that leads there, since there it
 * had not been. Of blocks with many edges it is remembered. */
static uint32_t recall(const struct search *search, uint32_t block, uint32_t to)
{
	const struct reach_found *found = &search->graph->found;
	uint32_t edge;

	if (found->degrees[block] == REACH_MANY)
		return search->many_at[reach_many_at(found, block)];
	edge = reach_edges_of(found, block).first;
	while (reach_target(found->edges[edge]) != to || !is_lost(search, found->edges[edge]))
		edge++;
	return edge;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void open_block(struct search *search, uint32_t block)
{
	search->slots[block] = ++search->numbers;
	search->list[search->way_count++] = block;
}

/* All that was left since its first block was come to. */
static void close_part(struct search *search, uint32_t first)
{
	uint32_t number = search->slots[first] & NUMBER;

	search->slots[first] = REACH_PART_DONE | first;
	while (search->left_first < search->count) {
		uint32_t block = search->list[search->left_first];

		if ((search->slots[block] & NUMBER) < number)
			return;
		search->left_first++;
		search->slots[block] = REACH_PART_DONE | first;
		raise(&search->blocks[block], REACH_LOST_CYCLE);
		raise(&search->blocks[first], REACH_LOST_CYCLE);
	}
}

/* All edges of the last block of the way were looked at. */
static void leave(struct search *search)
{
	uint32_t block = search->list[--search->way_count];

	if (search->slots[block] & INNER)
		search->list[--search->left_first] = block;
	else
		close_part(search, block);
}

/* It was come to before, or just now and is left again. */
static void see(struct search *search, uint32_t at, uint32_t to)
{
	uint32_t there = search->slots[to];

	if (!(there & REACH_PART_DONE) && (there & NUMBER) < (search->slots[at] & NUMBER))
		search->slots[at] = (there & NUMBER) | INNER;
}

/* From an edge of the last block of the way on. Returns whether there was one to a block that was
 * not come to before: it is the last one now. */
static bool step(struct search *search, uint32_t edge)
{
	uint32_t at = search->list[search->way_count - 1];
	uint32_t end = reach_edges_of(&search->graph->found, at).end;

	for (; edge < end; edge++) {
		uint32_t to = reach_target(search->graph->found.edges[edge]);

		if (!is_lost(search, search->graph->found.edges[edge]))
			continue;
		raise(&search->blocks[to], to == at ? REACH_LOST_CYCLE : REACH_LOST_UNDER);
		if (!search->slots[to]) {
			remember(search, at, edge);
			open_block(search, to);
			return true;
		}
		see(search, at, to);
	}
	return false;
}

static void search_from(struct search *search, uint32_t start)
{
	uint32_t edge = reach_edges_of(&search->graph->found, start).first;

	open_block(search, start);
	while (search->way_count) {
		uint32_t at = search->list[search->way_count - 1];

		if (step(search, edge)) {
			at = search->list[search->way_count - 1];
			edge = reach_edges_of(&search->graph->found, at).first;
			continue;
		}
		leave(search);
		if (search->way_count)
			edge = recall(search, search->list[search->way_count - 1], at);
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

void reach_lost_parts_deinit(struct reach_lost_parts *parts)
{
	for (uint32_t i = 0; parts->count && i < parts->graph->count; i++)
		if (parts->blocks[i].flags & REACH_BLOCK_LOST)
			parts->slots[i] = 0;
	free(parts->list);
	room_return_all(&parts->share);
	*parts = (struct reach_lost_parts){ 0 };
}

static int search_all(struct reach_lost_parts *parts, uint32_t *many_at)
{
	struct search search = { .graph = parts->graph,
				 .blocks = parts->blocks,
				 .slots = parts->slots,
				 .list = parts->list,
				 .left_first = parts->count,
				 .count = parts->count,
				 .many_at = many_at };

	if (!parts->list || !many_at)
		return -ENOMEM;
	for (uint32_t i = 0; i < parts->graph->count; i++)
		if (parts->blocks[i].flags & REACH_BLOCK_LOST && !parts->slots[i])
			search_from(&search, i);
	return 0;
}

int reach_lost_parts_find(const struct reach_graph *graph, struct reach_block *blocks,
			  struct reach_mark *mark, struct reach_lost_parts *ret)
{
	struct reach_lost_parts parts = { .graph = graph,
					  .blocks = blocks,
					  .slots = mark->chains_of,
					  .share = { .room = graph->room } };
	uint64_t many_bytes = (graph->found.many_count + 1ul) * sizeof(uint32_t);
	uint32_t *many_at;
	int r;

	for (uint32_t i = 0; i < graph->count; i++)
		parts.count += (blocks[i].flags & REACH_BLOCK_LOST) != 0;
	r = room_claim(&parts.share, many_bytes + (parts.count + 1ul) * sizeof(*parts.list));
	if (r)
		return r;
	parts.list = malloc((parts.count + 1ul) * sizeof(*parts.list));
	many_at = malloc(many_bytes);
	r = search_all(&parts, many_at);
	free(many_at);
	room_return(&parts.share, many_bytes);
	if (r)
		reach_lost_parts_deinit(&parts);
	else
		*ret = parts;
	return r;
}
