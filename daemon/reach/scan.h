#pragma once
/* scan: the words of a process's memory become edges from block to block, and roots.
 *
 * Pure but for the reading, which is the caller's. Memory is read in pieces, in the order of
 * addresses, and nothing of it is kept but where words point to: edges come sorted by the block
 * that they stand in (found.h). Of what may be code words at every byte are read: compilers at run
 * time write addresses of what they made into instructions. Runs in the worker, since what is read
 * is the target's.
 */
#include <stdint.h>
#include <sys/types.h>

#include "found.h"
#include "table.h"

#define REACH_PIECE_BYTES (1u << 20) /* the target's memory map is locked for 0.2 ms */

struct reach_source {
	/* as pread(2) */
	ssize_t (*read)(void *context, uint64_t addr, void *buffer, size_t size);
	void *context;
};

/* *found: where its arrays are, with room for block_count blocks and what the limits allow
 * (reach_found_init()); all numbers are set. Edges without those that repeat the one before.
 * -E2BIG: more than that. -EINVAL: ranges are no ranges. */
int reach_scan(const struct reach_places *places, const struct reach_range *ranges,
	       uint32_t range_count, const struct reach_source *source,
	       const struct reach_limits *limits, struct reach_found *found);
