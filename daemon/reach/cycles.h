#pragma once
/* cycles: lost blocks that hold one another, by the loops of sites that they are.
 *
 * Pure. Of each strongly connected part of lost blocks (lost.h) the shortest loop through one of
 * its blocks; those that lead through the same sites are one.
 */
#include "lost.h"

#define REACH_MAX_CYCLES 256	 /* different ones; those met later are not told */
#define REACH_MAX_CYCLE_LINKS 12 /* of one: what is longer is cut */

struct reach_cycle {
	/* from a block to one that it points to; the last points to the first. A site's blocks that
	 * follow one another are one link. */
	uint32_t sites[REACH_MAX_CYCLE_LINKS];
	uint32_t holders[REACH_MAX_CYCLE_LINKS]; /* for example: a block of the site ... */
	uint32_t targets[REACH_MAX_CYCLE_LINKS]; /* ... and the one of the next that it points to */
	uint32_t link_count;
	uint32_t length; /* blocks of the shortest such loop; 1: it points to itself */
	bool is_cut;
	uint64_t bytes, blocks; /* of all such parts */
};

/* *ret: the largest first; the caller's to free and to claim, REACH_MAX_CYCLES of them. parts: its
 * list is used. -ENOMEM. */
int reach_cycles(struct reach_lost_parts *parts, struct reach_cycle **ret, uint32_t *ret_count);
