#pragma once
/* anon: ranges of anonymous memory that the target mapped itself, on top of a heap.
 *
 * Pure. A mapping is a block of domain DHAT_DOMAIN_ANON, but may be unmapped in part, or several at
 * once. A range that is cut closes its block; what is left of it lives on as blocks of the same
 * point that add nothing to the totals. Unmapping what is not known (from before the observation,
 * or an allocator's) changes nothing. Bound: ANON_MAX_RANGES; what would need one more is counted
 * in `refused`, and is part of the totals but not of live figures.
 */
#include <stddef.h>
#include <stdint.h>

#include "heap.h"

#define ANON_MAX_RANGES (1u << 20)

struct anon_range {
	uint64_t start, end, since_ns;
	uint32_t point;
};

struct anon {			   /* zeroed: empty */
	struct anon_range *ranges; /* sorted, disjoint */
	size_t count, room;
	uint64_t refused; /* ranges not tracked: a bound, or no memory */
};
void anon_deinit(struct anon *anon);

/* -EBADMSG: no range; else as heap_add_block(). Replaces what it overlaps (MAP_FIXED; or it was
 * given back by a thread that has not told yet). */
int anon_map(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	     uint32_t point, uint64_t time_ns);
/* What was there at time_ns, when the giving back began, and no mapping that came since. */
int anon_unmap(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	       uint64_t time_ns);
