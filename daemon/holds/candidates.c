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

void candidates_deinit(struct candidates *candidates)
{
	free(candidates->list);
	room_return_all(&candidates->share);
	*candidates = (struct candidates){ 0 };
}

int candidates_begin(struct candidates *candidates, const struct reach_graph *graph,
		     const struct reach_mark *mark)
{
	size_t count = 0;
	int r;

	for (size_t i = 0; i < graph->count; i++)
		count += is_unreached(graph, mark, i);
	candidates->share.room = graph->room;
	r = room_claim(&candidates->share, (count + 1) * sizeof(*candidates->list));
	if (r)
		return r;
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

/* ---- a few of many -------------------------------------------------------------------------- */

struct sampling {
	const struct candidates *from;
	uint32_t *counts; /* by site */
	uint32_t *seen;	  /* of them */
	uint32_t site_count;
};

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

static void take_sample(struct sampling *sampling, size_t most, struct candidates *ret)
{
	const struct candidates *from = sampling->from;
	uint32_t of_each;

	for (size_t i = 0; i < from->count; i++)
		sampling->counts[from->list[i].point]++;
	of_each = share_of_each(sampling, most);
	for (size_t i = 0; i < from->count && ret->count < most; i++) {
		uint32_t site = from->list[i].point;

		if (is_chosen(sampling->seen[site]++, sampling->counts[site], of_each))
			ret->list[ret->count++] = from->list[i];
	}
}

static int sample(const struct candidates *candidates, size_t most, struct candidates *ret)
{
	struct room_share share = { .room = candidates->share.room };
	struct sampling sampling = { .from = candidates };
	int r;

	for (size_t i = 0; i < candidates->count; i++)
		if (candidates->list[i].point >= sampling.site_count)
			sampling.site_count = candidates->list[i].point + 1;
	r = room_claim(&share, 2ul * sampling.site_count * sizeof(*sampling.counts));
	if (r)
		return r;
	sampling.counts = calloc(sampling.site_count, sizeof(*sampling.counts));
	sampling.seen = calloc(sampling.site_count, sizeof(*sampling.seen));
	if (sampling.counts && sampling.seen)
		take_sample(&sampling, most, ret);
	else
		r = -ENOMEM;
	free(sampling.counts);
	free(sampling.seen);
	room_return_all(&share);
	return r;
}

int candidates_sample(const struct candidates *candidates, size_t most, struct candidates *ret)
{
	size_t length = candidates->count < most ? candidates->count : most;
	_cleanup_(candidates_deinit) struct candidates made = {
		.list = malloc((length + 1) * sizeof(*made.list))
	};
	int r = 0;

	if (!made.list)
		return -ENOMEM;
	if (length == candidates->count) {
		made.count = length;
		if (length)
			memcpy(made.list, candidates->list, length * sizeof(*made.list));
	} else {
		r = sample(candidates, most, &made);
	}
	if (r)
		return r;
	*ret = made;
	made = (struct candidates){ 0 };
	return 0;
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
