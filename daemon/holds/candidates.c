#include "candidates.h"

#include <errno.h>
#include <stdlib.h>

static bool is_unreached(const struct reach_graph *graph, const struct reach_mark *mark, size_t i)
{
	return !(graph->blocks[i].flags & REACH_BLOCK_GONE) &&
	       reach_level_of(mark, i) == REACH_UNREACHED;
}

static bool is_unknown(const struct reach_graph *graph, const struct reach_mark *mark, size_t i)
{
	return !(graph->blocks[i].flags & REACH_BLOCK_GONE) &&
	       reach_level_of(mark, i) >= REACH_STALE;
}

void candidates_deinit(struct candidates *candidates)
{
	free(candidates->list);
	*candidates = (struct candidates){ 0 };
}

int candidates_begin(struct candidates *candidates, const struct reach_graph *graph,
		     const struct reach_mark *mark)
{
	size_t count = 0;

	for (size_t i = 0; i < graph->count; i++)
		count += is_unreached(graph, mark, i);
	candidates->list = malloc((count + 1) * sizeof(*candidates->list));
	if (!candidates->list)
		return -ENOMEM;
	for (size_t i = 0; i < graph->count; i++)
		if (is_unreached(graph, mark, i))
			candidates->list[candidates->count++] =
				(struct candidate){ graph->blocks[i].addr,
						    graph->blocks[i].birth_ns,
						    graph->blocks[i].point };
	return 0;
}

size_t candidates_keep(struct candidates *candidates, const struct reach_graph *graph,
		       const struct reach_mark *mark, bool also_unknown,
		       void (*visit)(void *context, const struct candidate *candidate),
		       void *context)
{
	size_t kept = 0, dropped;

	for (size_t i = 0; i < candidates->count; i++) {
		const struct candidate *candidate = &candidates->list[i];
		size_t at = reach_find(graph->blocks, graph->count, candidate->addr);

		if (at < graph->count && graph->blocks[at].birth_ns == candidate->birth_ns &&
		    (is_unreached(graph, mark, at) ||
		     (also_unknown && is_unknown(graph, mark, at))))
			candidates->list[kept++] = *candidate;
		else if (visit)
			visit(context, candidate);
	}
	dropped = candidates->count - kept;
	candidates->count = kept;
	return dropped;
}

bool candidates_have(const struct candidates *candidates, const struct reach_block *block)
{
	size_t low = 0, high = candidates->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (candidates->list[middle].addr < block->addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < candidates->count && candidates->list[low].addr == block->addr &&
	       candidates->list[low].birth_ns == block->birth_ns;
}
