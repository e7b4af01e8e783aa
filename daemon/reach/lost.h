#pragma once
/* lost: of blocks that nothing reaches, how they hang together.
 *
 * Pure. Strongly connected parts, by Tarjan's algorithm (SIAM J. Comput. 1, 1972) without
 * recursion: a list may be as long as there are blocks.
 */
#include "graph.h"

enum reach_lost {
	REACH_LOST_ALONE, /* no block points to it */
	REACH_LOST_UNDER, /* only lost blocks do */
	REACH_LOST_CYCLE, /* it is one of a cycle of lost blocks, or points to itself */
};

/* lost: numbers of blocks, ascending. *ret: one for each, the caller's to free; *ret_parts (may be
 * NULL) likewise: the strongly connected part it is of, by the place in `lost` of one of that
 * part's blocks. What it takes meanwhile is claimed, and what it returns is the caller's to claim,
 * 5 bytes a block. -ENOMEM, -ENOSPC. */
int reach_lost_kinds(const struct reach_graph *graph, const uint32_t *lost, uint32_t count,
		     uint8_t **ret, uint32_t **ret_parts);
/* The place of a block among the lost ones; count: it is none. */
uint32_t reach_lost_find(const uint32_t *lost, uint32_t count, uint32_t block);
