#include "lost.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

struct node {
	uint32_t number; /* in the order of coming to it, from 1 on; 0: not yet */
	uint32_t low;	 /* the lowest number that can be come to from here */
	uint32_t next;	 /* edge to look at ... */
	uint32_t end;	 /* ... up to this */
	uint32_t caller; /* node it was come to from; count: none */
	bool is_open;	 /* its part is not complete */
};

struct search {
	const struct reach_graph *graph;
	const uint32_t *lost;
	uint32_t count;
	struct node *nodes;
	uint32_t *open, open_count;
	uint32_t numbers;
	uint8_t *kinds;
	uint32_t *parts;
};

uint32_t reach_lost_find(const uint32_t *lost, uint32_t count, uint32_t block)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (lost[middle] < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && lost[low] == block ? low : count;
}

static void open_node(struct search *search, uint32_t at, uint32_t caller)
{
	const struct reach_span edges = reach_edges_of(&search->graph->found, search->lost[at]);
	struct node *node = &search->nodes[at];

	node->number = node->low = ++search->numbers;
	node->next = edges.first;
	node->end = edges.end;
	node->caller = caller;
	node->is_open = true;
	search->open[search->open_count++] = at;
}

static void raise(uint8_t *kind, enum reach_lost to)
{
	if (*kind < to)
		*kind = to;
}

/* A part is complete: all that was opened since its first node. */
static void close_part(struct search *search, uint32_t first)
{
	bool is_cycle = search->open[search->open_count - 1] != first;
	uint32_t at;

	do {
		at = search->open[--search->open_count];
		search->nodes[at].is_open = false;
		search->parts[at] = first;
		if (is_cycle)
			raise(&search->kinds[at], REACH_LOST_CYCLE);
	} while (at != first);
}

/* One edge. Returns the node to go on at. */
static uint32_t step(struct search *search, uint32_t at)
{
	struct node *node = &search->nodes[at];
	uint32_t edge = search->graph->found.edges[node->next++];
	uint32_t to = reach_kind(edge) == REACH_TAGGED
			      ? search->count
			      : reach_lost_find(search->lost, search->count, reach_target(edge));

	if (to == search->count)
		return at;
	raise(&search->kinds[to], to == at ? REACH_LOST_CYCLE : REACH_LOST_UNDER);
	if (!search->nodes[to].number) {
		open_node(search, to, at);
		return to;
	}
	if (search->nodes[to].is_open && search->nodes[to].number < node->low)
		node->low = search->nodes[to].number;
	return at;
}

/* All edges of a node are looked at. Returns where it was come to from. */
static uint32_t leave(struct search *search, uint32_t at)
{
	const struct node *node = &search->nodes[at];

	if (node->low == node->number)
		close_part(search, at);
	if (node->caller < search->count && node->low < search->nodes[node->caller].low)
		search->nodes[node->caller].low = node->low;
	return node->caller;
}

static void search_from(struct search *search, uint32_t start)
{
	uint32_t at = start;

	open_node(search, start, search->count);
	while (at < search->count)
		at = search->nodes[at].next < search->nodes[at].end ? step(search, at)
								    : leave(search, at);
}

static int find_kinds(const struct reach_graph *graph, const uint32_t *lost, uint32_t count,
		      uint8_t **ret, uint32_t **ret_parts)
{
	_cleanup_free_ struct node *nodes = calloc(count + 1ul, sizeof(*nodes));
	_cleanup_free_ uint32_t *open = calloc(count + 1ul, sizeof(*open));
	_cleanup_free_ uint8_t *kinds = calloc(count + 1ul, sizeof(*kinds));
	_cleanup_free_ uint32_t *parts = calloc(count + 1ul, sizeof(*parts));
	struct search search = { .graph = graph,
				 .lost = lost,
				 .count = count,
				 .nodes = nodes,
				 .open = open,
				 .kinds = kinds,
				 .parts = parts };

	if (!nodes || !open || !kinds || !parts)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		if (!nodes[i].number)
			search_from(&search, i);
	*ret = take_ptr(kinds);
	if (ret_parts)
		*ret_parts = take_ptr(parts);
	return 0;
}

int reach_lost_kinds(const struct reach_graph *graph, const uint32_t *lost, uint32_t count,
		     uint8_t **ret, uint32_t **ret_parts)
{
	struct room_share share = { .room = graph->room };
	int r = room_claim(&share, count * (sizeof(struct node) + sizeof(uint32_t)));

	if (r == 0)
		r = find_kinds(graph, lost, count, ret, ret_parts);
	room_return_all(&share);
	return r;
}
