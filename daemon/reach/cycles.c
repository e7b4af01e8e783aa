#include "cycles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

struct search {
	const struct reach_graph *graph;
	const uint32_t *lost, *parts;
	uint32_t count;
	uint32_t *from; /* of each node: the node it was come to from, + 1; 0: not yet */
	uint32_t *queue;
	struct reach_cycle *cycles;
	uint32_t cycle_count, last; /* last: the one that the part before was of */
};

/* ---- the shortest way back ------------------------------------------------------------------ */

/* Come to all of the part, nearest first, until back at the start. Returns the node that points to
 * it; count: none does. */
static uint32_t walk(struct search *search, uint32_t start)
{
	uint32_t length = 0;

	search->queue[length++] = start;
	for (uint32_t i = 0; i < length; i++) {
		uint32_t block = search->lost[search->queue[i]];
		const struct reach_span edges = reach_edges_of(&search->graph->found, block);

		for (uint32_t e = edges.first; e < edges.end; e++) {
			uint32_t edge = search->graph->found.edges[e];
			uint32_t to = reach_kind(edge) == REACH_TAGGED
					      ? search->count
					      : reach_lost_find(search->lost, search->count,
								reach_target(edge));

			if (to == search->count || search->parts[to] != search->parts[start])
				continue;
			if (to == start)
				return search->queue[i];
			if (search->from[to])
				continue;
			search->from[to] = search->queue[i] + 1;
			search->queue[length++] = to;
		}
	}
	return search->count;
}

/* ---- what it reads like --------------------------------------------------------------------- */

/* From its end on, since that is how it was found; then turned round. */
static void read_loop(const struct search *search, uint32_t start, uint32_t end,
		      struct reach_cycle *cycle)
{
	uint32_t next = start;

	for (uint32_t at = end;; next = at, at = search->from[at] - 1) {
		uint32_t block = search->lost[at], site = search->graph->blocks[block].point;

		cycle->length++;
		if (cycle->link_count && cycle->sites[cycle->link_count - 1] == site) {
			/* within a site: what points out of it stands in the later one */
		} else if (cycle->link_count == REACH_MAX_CYCLE_LINKS) {
			cycle->is_cut = true;
		} else {
			cycle->sites[cycle->link_count] = site;
			cycle->holders[cycle->link_count] = block;
			cycle->targets[cycle->link_count++] = search->lost[next];
		}
		if (at == start)
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

static int find_cycles(const struct reach_graph *graph, const uint32_t *lost, uint32_t count,
		       const uint8_t *kinds, const uint32_t *parts, struct reach_cycle **ret,
		       uint32_t *ret_count)
{
	_cleanup_free_ uint32_t *from = calloc(count + 1ul, sizeof(*from));
	_cleanup_free_ uint32_t *queue = malloc((count + 1ul) * sizeof(*queue));
	_cleanup_free_ uint32_t *cycle_of = calloc(count + 1ul, sizeof(*cycle_of));
	_cleanup_free_ struct reach_cycle *cycles = calloc(REACH_MAX_CYCLES, sizeof(*cycles));
	struct search search = { graph, lost, parts, count, from, queue, cycles, 0, 0 };

	if (!from || !queue || !cycle_of || !cycles)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct reach_cycle cycle = { 0 }, *known;
		uint32_t end;

		if (kinds[i] != REACH_LOST_CYCLE || parts[i] != i)
			continue;
		end = walk(&search, i);
		if (end == count)
			continue;
		read_loop(&search, i, end, &cycle);
		arrange(&cycle);
		known = get_cycle(&search, &cycle);
		cycle_of[i] = known ? known - cycles + 1 : 0;
		if (known && cycle.length < known->length)
			known->length = cycle.length;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t cycle = kinds[i] == REACH_LOST_CYCLE ? cycle_of[parts[i]] : 0;

		if (!cycle || graph->blocks[lost[i]].flags & REACH_BLOCK_UNCOUNTED)
			continue;
		cycles[cycle - 1].blocks++;
		cycles[cycle - 1].bytes += graph->blocks[lost[i]].size_bytes;
	}
	qsort(cycles, search.cycle_count, sizeof(*cycles), compare);
	*ret_count = search.cycle_count;
	*ret = take_ptr(cycles);
	return 0;
}

int reach_cycles(const struct reach_graph *graph, const uint32_t *lost, uint32_t count,
		 const uint8_t *kinds, const uint32_t *parts, struct reach_cycle **ret,
		 uint32_t *ret_count)
{
	struct room_share share = { .room = graph->room };
	int r = room_claim(&share, count * 3 * sizeof(uint32_t)); /* from, queue, cycle_of */

	if (r == 0)
		r = find_cycles(graph, lost, count, kinds, parts, ret, ret_count);
	room_return_all(&share);
	return r;
}
