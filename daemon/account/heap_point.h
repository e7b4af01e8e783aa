#pragma once
/* heap_point: what a heap (heap.h) keeps of one program point, and what follows from it. */
#include <stdint.h>

#include "history.h"

struct heap_point { /* one per point id, in order; times in ns of CLOCK_MONOTONIC */
	uint64_t total_bytes, total_blocks;
	/* The point's own maximum; among equals the latest. */
	uint64_t max_bytes, max_blocks;
	/* At t-gmax, if peak_number is the heap's: heap_copy() sees to it. */
	uint64_t peak_bytes, peak_blocks;
	uint64_t live_bytes, live_blocks;
	/* Wide, since 2^64 ns are only half an hour of ten million blocks. */
	unsigned __int128 dead_lifetimes_ns; /* sum over closed blocks */
	unsigned __int128 live_births_ns;    /* sum of the births of live blocks */
	uint64_t first_ns, last_ns;	     /* allocations, reallocations included; 0: none */
	uint64_t peak_number;
	/* H8: the slot of the history that it was last changed in, and the least of live_bytes in
	 * it */
	uint16_t history_slot;
	uint16_t longest_freed; /* lifetime of a block that was freed: history_brief() */
	float low_bytes;
};

/* What estimates of a sample stand on (sample.h): sums over the sampled blocks. */
struct heap_sampled {
	uint64_t total_seen, peak_seen, live_seen;    /* bytes of them, which are there for sure */
	uint64_t total_error, peak_error, live_error; /* for sample_variance() */
	/* of those seen: of blocks that stand for themselves alone */
	uint64_t total_single, peak_single, live_single;
};

/* What a point is charged with, once: two lines of the cache, one for its history, how many of its
 * blocks were temporary, which threads allocate there, and when it changed last. */
#define HEAP_POINT_BYTES                                                                           \
	(sizeof(struct heap_point) + HISTORY_POINT_SLOTS * sizeof(float) + 2 * sizeof(uint64_t) +  \
	 sizeof(uint32_t))
/* How many times it counts for heap_charge(). */
#define HEAP_POINT_WEIGHT 4

/* Sum of lifetimes of a point, live blocks up to now_ns. In µs it is UINT64_MAX if it is more. */
unsigned __int128 heap_point_lifetimes_ns(const struct heap_point *point, uint64_t now_ns);
uint64_t heap_point_lifetimes_us(const struct heap_point *point, uint64_t now_ns);
/* Of live blocks; 0: none is. */
uint64_t heap_point_mean_age_us(const struct heap_point *point, uint64_t now_ns);
