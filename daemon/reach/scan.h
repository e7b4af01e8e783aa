#pragma once
/* scan: the words of a process's memory become edges from block to block, and roots.
 *
 * Pure but for the reading, which is the caller's. Memory is read in pieces, in the order of
 * addresses, and nothing of it is kept but where words point to: edges come sorted by the block
 * that they stand in, so an edge is 4 bytes. Runs in the worker, since what is read is the
 * target's.
 */
#include <stdint.h>
#include <sys/types.h>

#include "memory.h"
#include "table.h"

#define REACH_PIECE_BYTES (1u << 20) /* the target's memory map is locked for 0.2 ms */

struct reach_source {
	/* as pread(2) */
	ssize_t (*read)(void *context, uint64_t addr, void *buffer, size_t size);
	void *context;
};

struct reach_limits {
	uint64_t max_edges, max_roots; /* below 2^32 */
};

struct reach_found {
	uint32_t *ends;	 /* of each block: behind its last edge; its first is the end of the one
			    before */
	uint32_t *edges; /* see reach_point(); without those that repeat the one before */
	struct reach_root *roots;
	uint32_t block_count, edge_count, root_count;
	uint64_t read_bytes, short_bytes; /* short: was to be read and could not be */
	size_t root_room;		  /* so many more may be added without moving them */
};

/* *found: where its arrays are, with room for block_count blocks and what the limits allow; of
 * numbers all others are set. -E2BIG: more than that. -EINVAL: ranges are no ranges. */
int reach_scan(const struct reach_places *places, const struct reach_range *ranges,
	       uint32_t range_count, const struct reach_source *source,
	       const struct reach_limits *limits, struct reach_found *found);
/* That room, from malloc(). -ENOMEM. */
int reach_found_init(struct reach_found *found, uint32_t block_count,
		     const struct reach_limits *limits);
void reach_found_deinit(struct reach_found *found);
/* Whoever made it: are all its numbers in range? */
bool reach_found_is_sound(const struct reach_found *found, uint32_t block_count);
