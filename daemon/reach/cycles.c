#include "cycles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

struct search {
	struct reach_lost_parts *parts;
	const struct reach_graph *graph;
	struct reach_cycle *cycles;
	uint32_t cycle_count, last; /* last: the one that the part before was of */
};

/* ---- the shortest way back ------------------------------------------------------------------ */

/* In a slot, in the place of the part: it was come to from the block of that number. */
#define COME_TO (1u << 30)

static uint32_t come_from(const struct search *search, uint32_t block)
{
	return search->parts->slots[block] & (COME_TO - 1);
}

struct part {
	uint32_t start, end; /* end: the first found that points back to the start */
	uint32_t length;     /* blocks, in the parts' list */
};

static void look_at_edge(struct search *search, struct part *part, uint32_t from, uint32_t edge,
			 bool *has_end)
{
	struct reach_lost_parts *parts = search->parts;
	uint32_t to = reach_target(edge);

	if (reach_kind(edge) == REACH_TAGGED || !(parts->blocks[to].flags & REACH_BLOCK_LOST))
		return;
	if (to == part->start && !*has_end) {
		part->end = from;
		*has_end = true;
	}
	if (parts->slots[to] != (REACH_PART_DONE | part->start))
		return;
	parts->slots[to] = COME_TO | from;
	parts->list[part->length++] = to;
}

/* Come to all of the part that a block stands for, nearest first. */
static struct part walk(struct search *search, uint32_t start)
{
	const struct reach_found *found = &search->graph->found;
	struct reach_lost_parts *parts = search->parts;
	struct part part = { .start = start, .end = start };
	bool has_end = false;

	parts->slots[start] = COME_TO | start;
	parts->list[part.length++] = start;
	for (uint32_t i = 0; i < part.length; i++) {
		const struct reach_span edges = reach_edges_of(found, parts->list[i]);

		for (uint32_t e = edges.first; e < edges.end; e++)
			look_at_edge(search, &part, parts->list[i], found->edges[e], &has_end);
	}
	return part;
}

static void forget_walk(struct search *search, const struct part *part)
{
	for (uint32_t i = 0; i < part->length; i++)
		search->parts->slots[search->parts->list[i]] = REACH_PART_DONE | part->start;
}

/* ---- what it reads like --------------------------------------------------------------------- */

/* From its end on, since that is how it was found; then turned round. */
static void read_loop(const struct search *search, const struct part *part,
		      struct reach_cycle *cycle)
{
	uint32_t next = part->start;

	for (uint32_t block = part->end;; next = block, block = come_from(search, block)) {
		uint32_t site = search->graph->blocks[block].point;

		cycle->length++;
		if (cycle->link_count && cycle->sites[cycle->link_count - 1] == site) {
			/* within a site: what points out of it stands in the later one */
		} else if (cycle->link_count == REACH_MAX_CYCLE_LINKS) {
			cycle->is_cut = true;
		} else {
			cycle->sites[cycle->link_count] = site;
			cycle->holders[cycle->link_count] = block;
			cycle->targets[cycle->link_count++] = next;
		}
		if (block == part->start)
			break;
	}
	/* a loop has no ends: there, too, the later one points out */
	if (cycle->link_count > 1 && !cycle->is_cut &&
	    cycle->sites[cycle->link_count - 1] == cycle->sites[0]) {
		cycle->link_count--;
		cycle->holders[0] = cycle->holders[cycle->link_count];
		cycle->targets[0] = cycle->targets[cycle->link_count];
	}
}

static void swap(uint32_t *list, uint32_t a, uint32_t b)
{
	uint32_t was = list[a];

	list[a] = list[b];
	list[b] = was;
}

static void turn(uint32_t *list, uint32_t first, uint32_t end)
{
	for (; first + 1 < end; first++, end--)
		swap(list, first, end - 1);
}

static void move_to_front(uint32_t *list, uint32_t count, uint32_t first)
{
	turn(list, 0, first);
	turn(list, first, count);
	turn(list, 0, count);
}

/* Forward, and beginning at the site with the lowest number: so that the same loop is the same. */
static void arrange(struct reach_cycle *cycle)
{
	uint32_t *const lists[] = { cycle->sites, cycle->holders, cycle->targets };
	uint32_t lowest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		turn(lists[i], 0, cycle->link_count);
	for (uint32_t i = 1; i < cycle->link_count; i++)
		if (cycle->sites[i] < cycle->sites[lowest])
			lowest = i;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		move_to_front(lists[i], cycle->link_count, lowest);
}

static bool is_same(const struct reach_cycle *a, const struct reach_cycle *b)
{
	return a->link_count == b->link_count && a->is_cut == b->is_cut &&
	       !memcmp(a->sites, b->sites, a->link_count * sizeof(*a->sites));
}

/* NULL: there are too many. */
static struct reach_cycle *get_cycle(struct search *search, const struct reach_cycle *cycle)
{
	if (search->last < search->cycle_count && is_same(&search->cycles[search->last], cycle))
		return &search->cycles[search->last];
	for (search->last = 0; search->last < search->cycle_count; search->last++)
		if (is_same(&search->cycles[search->last], cycle))
			return &search->cycles[search->last];
	if (search->cycle_count == REACH_MAX_CYCLES)
		return NULL;
	search->cycles[search->cycle_count] = *cycle;
	return &search->cycles[search->cycle_count++];
}

static int compare(const void *a_, const void *b_)
{
	const struct reach_cycle *a = a_, *b = b_;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return memcmp(a->sites, b->sites, sizeof(a->sites));
}

static void count_part(const struct search *search, const struct part *part,
		       struct reach_cycle *cycle)
{
	for (uint32_t i = 0; i < part->length; i++) {
		const struct reach_block *block = &search->graph->blocks[search->parts->list[i]];

		if (block->flags & REACH_BLOCK_UNCOUNTED)
			continue;
		cycle->blocks++;
		cycle->bytes += block->size_bytes;
	}
}

static void take_part(struct search *search, uint32_t start)
{
	const struct part part = walk(search, start);
	struct reach_cycle cycle = { 0 }, *known;

	read_loop(search, &part, &cycle);
	arrange(&cycle);
	known = get_cycle(search, &cycle);
	if (known && cycle.length < known->length)
		known->length = cycle.length;
	if (known)
		count_part(search, &part, known);
	forget_walk(search, &part);
}

int reach_cycles(struct reach_lost_parts *parts, struct reach_cycle **ret, uint32_t *ret_count)
{
	const struct reach_graph *graph = parts->graph;
	_cleanup_free_ struct reach_cycle *cycles = calloc(REACH_MAX_CYCLES, sizeof(*cycles));
	struct search search = { parts, graph, cycles, 0, 0 };

	if (!cycles)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->count; i++)
		if (reach_lost_kind(&graph->blocks[i]) == REACH_LOST_CYCLE &&
		    parts->slots[i] == (REACH_PART_DONE | i))
			take_part(&search, i);
	qsort(cycles, search.cycle_count, sizeof(*cycles), compare);
	*ret_count = search.cycle_count;
	*ret = take_ptr(cycles);
	return 0;
}
