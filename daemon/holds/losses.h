#pragma once
/* losses: the blocks of the last scan that are called lost, and how they hang together.
 *
 * Pure.
 */
#include "book.h"
#include "candidates.h"
#include "daemon/reach/cycles.h"

struct losses {
	uint32_t count; /* blocks, and what each is their flags say: reach_lost_kind() */
	struct reach_cycle *cycles;
	uint32_t cycle_count;
	struct room_share share;
};

/* blocks: the graph's. may_be: false if nothing is to be called so; otherwise candidates are. Of
 * sites that were called lost wrongly nothing is. watch may be NULL. mark: is used meanwhile, and
 * is as it was. -ENOMEM, -ENOSPC. */
int losses_find(const struct reach_graph *graph, struct reach_mark *mark,
		struct reach_block *blocks, bool may_be, const struct book_watch *watch,
		struct losses *ret);
void losses_deinit(struct losses *losses);
