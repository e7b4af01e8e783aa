#include "candidates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

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

size_t candidates_begin(const struct reach_graph *graph, const struct reach_mark *mark,
			struct reach_block *blocks)
{
	for (size_t i = 0; i < graph->count; i++)
		blocks[i].flags |= REACH_BLOCK_CANDIDATE;
	return candidates_keep(graph, mark, blocks);
}

size_t candidates_keep(const struct reach_graph *graph, const struct reach_mark *mark,
		       struct reach_block *blocks)
{
	size_t count = 0;

	for (size_t i = 0; i < graph->count; i++) {
		if (!is_unreached(graph, mark, i))
			blocks[i].flags &= ~REACH_BLOCK_CANDIDATE;
		count += (blocks[i].flags & REACH_BLOCK_CANDIDATE) != 0;
	}
	return count;
}

/* ---- those that were said to be lost -------------------------------------------------------- */

void candidate_list_deinit(struct candidate_list *list)
{
	free(list->list);
	*list = (struct candidate_list){ 0 };
}

void candidate_list_check(struct candidate_list *list, const struct reach_graph *graph,
			  const struct reach_mark *mark,
			  void (*visit)(void *context, const struct candidate *candidate),
			  void *context)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct candidate *candidate = &list->list[i];
		size_t at = reach_find(graph->blocks, graph->count, candidate->addr);

		if (at < graph->count && graph->blocks[at].birth_ns == candidate->birth_ns &&
		    (is_unreached(graph, mark, at) || is_unknown(graph, mark, at)))
			list->list[kept++] = *candidate;
		else
			visit(context, candidate);
	}
	list->count = kept;
}

/* ---- a few of many -------------------------------------------------------------------------- */

struct sampling {
	const struct reach_graph *graph;
	uint32_t *counts; /* by site */
	uint32_t *seen;	  /* of them */
	uint32_t site_count;
};

static bool is_candidate(const struct reach_block *block)
{
	return block->flags & REACH_BLOCK_CANDIDATE;
}

static size_t sum_of(const struct sampling *sampling, uint32_t most_of_each)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < sampling->site_count; i++)
		sum += sampling->counts[i] < most_of_each ? sampling->counts[i] : most_of_each;
	return sum;
}

/* As many of each site as there is room for; one, if there are more sites than that. */
static uint32_t share_of_each(const struct sampling *sampling, size_t most)
{
	uint32_t low = 1, high = most;

	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;

		if (sum_of(sampling, middle) <= most)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* Of `count` so many, at even distances. */
static bool is_chosen(uint64_t number, uint32_t count, uint32_t of_each)
{
	return count <= of_each || (number + 1) * of_each / count > number * of_each / count;
}

static void take_sample(struct sampling *sampling, size_t most, struct candidate_list *ret)
{
	const struct reach_graph *graph = sampling->graph;
	uint32_t of_each;

	for (size_t i = 0; i < graph->count; i++)
		sampling->counts[graph->blocks[i].point] += is_candidate(&graph->blocks[i]);
	of_each = share_of_each(sampling, most);
	for (size_t i = 0; i < graph->count && ret->count < most; i++) {
		const struct reach_block *block = &graph->blocks[i];

		if (is_candidate(block) && is_chosen(sampling->seen[block->point]++,
						     sampling->counts[block->point], of_each))
			ret->list[ret->count++] =
				(struct candidate){ block->addr, block->birth_ns, block->point };
	}
}

static int sample(const struct reach_graph *graph, size_t most, struct candidate_list *ret)
{
	struct room_share share = { .room = graph->room };
	struct sampling sampling = { .graph = graph };
	int r;

	for (size_t i = 0; i < graph->count; i++)
		if (graph->blocks[i].point >= sampling.site_count)
			sampling.site_count = graph->blocks[i].point + 1;
	r = room_claim(&share, 2ul * sampling.site_count * sizeof(*sampling.counts));
	if (r)
		return r;
	sampling.counts = calloc(sampling.site_count + 1ul, sizeof(*sampling.counts));
	sampling.seen = calloc(sampling.site_count + 1ul, sizeof(*sampling.seen));
	if (sampling.counts && sampling.seen)
		take_sample(&sampling, most, ret);
	else
		r = -ENOMEM;
	free(sampling.counts);
	free(sampling.seen);
	room_return_all(&share);
	return r;
}

int candidate_list_sample(const struct reach_graph *graph, size_t most, struct candidate_list *ret)
{
	_cleanup_(candidate_list_deinit) struct candidate_list made = { 0 };
	size_t length = 0;
	int r;

	for (size_t i = 0; i < graph->count && length < most; i++)
		length += is_candidate(&graph->blocks[i]);
	made.list = malloc((length + 1) * sizeof(*made.list));
	if (!made.list)
		return -ENOMEM;
	r = length ? sample(graph, length, &made) : 0;
	if (r)
		return r;
	*ret = made;
	made = (struct candidate_list){ 0 };
	return 0;
}
