#pragma once
/* candidates: blocks that may be lost: those that no scan has reached so far.
 *
 * Pure. A block is known by its address and its birth.
 */
#include "daemon/reach/mark.h"

struct candidate {
	uint64_t addr, birth_ns;
	uint32_t point;
};

struct candidates {
	struct candidate *list; /* by address */
	size_t count;
	struct room_share share;
};

void candidates_deinit(struct candidates *candidates);

/* After the first scan: all that it did not reach. -ENOMEM, -ENOSPC. */
int candidates_begin(struct candidates *candidates, const struct reach_graph *graph,
		     const struct reach_mark *mark);
/* After a further one: those that are there still, and not reached, stay; with also_unknown those,
 * too, that are reached in a way that proves nothing. visit (may be NULL) is told of the others.
 * Returns how many those are. */
size_t candidates_keep(struct candidates *candidates, const struct reach_graph *graph,
		       const struct reach_mark *mark, bool also_unknown,
		       void (*visit)(void *context, const struct candidate *candidate),
		       void *context);
/* Most at the most of them, as many of each site as there are of those that have more, spread over
 * its addresses. *ret is no part of the room that these have. -ENOMEM, -ENOSPC. */
int candidates_sample(const struct candidates *candidates, size_t most, struct candidates *ret);
/* Is the block of the last scan one? */
bool candidates_have(const struct candidates *candidates, const struct reach_block *block);
