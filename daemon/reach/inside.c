#include "inside.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

static bool is_held(const struct reach_mark *mark, uint32_t block)
{
	enum reach_level level = reach_level_of(mark, block);

	return level == REACH_HELD || level == REACH_HELD_PAST;
}

static void strike(uint8_t *list, uint32_t edge)
{
	if (reach_kind(edge) == REACH_START || reach_kind(edge) == REACH_PAST)
		list[reach_target(edge)] = 0;
}

int reach_from_inside(const struct reach_graph *graph, const struct reach_mark *mark, uint8_t **ret)
{
	const struct reach_found *found = &graph->found;
	uint8_t *list = malloc(graph->count + 1ul);

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->count; i++)
		list[i] = reach_level_of(mark, i) == REACH_HELD &&
			  !(graph->blocks[i].flags & REACH_BLOCK_GONE);
	for (uint32_t i = 0; i < graph->count; i++)
		for (uint32_t e = reach_first_edge(graph, i);
		     is_held(mark, i) && e < found->ends[i]; e++)
			strike(list, found->edges[e]);
	for (uint32_t i = 0; i < found->root_count; i++)
		if (reach_class_level(graph->name_classes[found->roots[i].name]) == REACH_HELD)
			strike(list, found->roots[i].edge);
	/* blocks that are roots themselves are held by nothing that was seen */
	for (uint32_t i = 0; i < graph->count; i++)
		if (graph->blocks[i].flags & (REACH_BLOCK_SHARED | REACH_BLOCK_ANEW))
			list[i] = 0;
	*ret = list;
	return 0;
}
