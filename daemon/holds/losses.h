#pragma once
/* losses: the blocks of the last scan that are called lost, and how they hang together.
 *
 * Pure.
 */
#include "book.h"
#include "candidates.h"
#include "daemon/reach/cycles.h"

struct losses {
	uint32_t *blocks; /* ascending */
	uint8_t *kinds;	  /* of each, enum reach_lost */
	struct reach_cycle *cycles;
	uint32_t count, cycle_count;
	struct room_share share;
};

/* candidates: NULL if nothing is to be called so. Of sites that were called lost wrongly nothing
 * is. watch may be NULL. -ENOMEM, -ENOSPC. */
int losses_find(const struct reach_graph *graph, const struct reach_mark *mark,
		const struct candidates *candidates, const struct book_watch *watch,
		struct losses *ret);
void losses_deinit(struct losses *losses);
