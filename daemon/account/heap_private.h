#pragma once
/* heap_private: what heap.c, which counts, and heap_told.c, which tells, know of a heap. */
#include "daemon/account/blocks.h"
#include "daemon/account/gone.h"
#include "daemon/account/lifetimes.h"
#include "daemon/account/moments.h"
#include "daemon/account/pendings.h"
#include "daemon/account/points.h"
#include "heap.h"

struct heap {
	struct heap_totals totals;
	struct blocks blocks;
	struct points points;
	struct sample sample;
	struct pendings pendings;
	struct gone gone;
	struct history history;
	uint64_t latest_ns;	    /* no block was born later */
	struct moments moments;	    /* blocks from before the observation are older than any */
	struct lifetimes lifetimes; /* counted from since_ns on; 0: they are not */
	bool keeps_lifetimes;	    /* without a mark, too */
	uint64_t single_blocks;	    /* heap_single_blocks() */
};

static inline bool is_sampled(const struct heap *heap)
{
	return heap->sample.bytes != 0;
}

/* Blocks for others. */
static inline uint64_t whole(const struct heap *heap, uint64_t blocks)
{
	return is_sampled(heap) ? sample_whole(blocks) : blocks;
}

static inline struct history_figures heap_figures(const struct heap *heap)
{
	return (struct history_figures){
		.live_bytes = heap->totals.live_bytes,
		.live_blocks = whole(heap, heap->totals.live_blocks),
		.allocated = whole(heap, heap->totals.total_blocks),
		.freed = whole(heap, heap->totals.closed_blocks),
	};
}
