#pragma once
/* retained: what would be free if the blocks of a site, or a root, were.
 *
 * Pure. By site and not by block: each node of a list with two directions, each value with two
 * owners has two holders, and so retains itself only. A graph of sites and named roots, in which an
 * edge counts if it leads to at least 1 % of what it leads to: words that were never written look
 * like pointers now and then. A site retains what it dominates.
 */
#include "mark.h"

#define RETAINED_MIN_PERCENT 1
#define RETAINED_MAX_NODES 65536
#define RETAINED_MAX_PASSES 100

struct reach_retained {
	uint32_t id; /* of a site, or of a root's name */
	bool is_root;
	uint64_t own_bytes, own_blocks, bytes, blocks; /* with what it retains */
	uint32_t under; /* what dominates it, by its place in the list; its own: nothing does */
};

/* *ret: those that retain something, the caller's to free; no more than RETAINED_MAX_NODES. -E2BIG:
 * too many, or too entangled. -ENOMEM, -ENOSPC. */
int reach_retained(const struct reach_graph *graph, const struct reach_mark *mark,
		   struct reach_retained **ret, uint32_t *ret_count);
