#include "inside.h"

#include <errno.h>
#include <stdlib.h>

static bool is_held(const struct reach_mark *mark, uint32_t block)
{
	enum reach_level level = reach_level_of(mark, block);

	return level == REACH_HELD || level == REACH_HELD_PAST;
}

static void set(uint8_t *bits, uint32_t block)
{
	bits[block / 8] |= 1u << block % 8;
}

static void clear(uint8_t *bits, uint32_t block)
{
	bits[block / 8] &= ~(1u << block % 8);
}

static void strike(uint8_t *bits, uint32_t edge)
{
	if (reach_kind(edge) == REACH_START || reach_kind(edge) == REACH_PAST)
		clear(bits, reach_target(edge));
}

static void strike_all(uint8_t *bits, const struct reach_found *found, uint32_t block)
{
	const struct reach_span edges = reach_edges_of(found, block);

	for (uint32_t e = edges.first; e < edges.end; e++)
		strike(bits, found->edges[e]);
}

int reach_from_inside(const struct reach_graph *graph, const struct reach_mark *mark, uint8_t **ret)
{
	uint8_t *bits = calloc(graph->count / 8 + 1ul, 1);
	struct reach_root_walk walk = { 0 };
	struct reach_root root;

	if (!bits)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->count; i++)
		if (reach_level_of(mark, i) == REACH_HELD &&
		    !(graph->blocks[i].flags & REACH_BLOCK_GONE))
			set(bits, i);
	for (uint32_t i = 0; i < graph->count; i++)
		if (is_held(mark, i))
			strike_all(bits, &graph->found, i);
	while (reach_next_root(&graph->found, &walk, &root))
		if (reach_class_level(graph->name_classes[root.name]) == REACH_HELD)
			strike(bits, root.edge);
	/* blocks that are roots themselves are held by nothing that was seen */
	for (uint32_t i = 0; i < graph->count; i++)
		if (graph->blocks[i].flags & (REACH_BLOCK_SHARED | REACH_BLOCK_ANEW))
			clear(bits, i);
	*ret = bits;
	return 0;
}
