#pragma once
/* later: what has become of the blocks of a table, and what has come, since it was made.
 *
 * Pure. All blocks of the table are GONE until they are met again: those that are live later are
 * told one by one, in any order. Needs no second table: a byte a block, where they lie close, and
 * what is young, of which there may be as many as blocks.
 */
#include "room.h"
#include "table.h"

#define LATER_WAITING 32 /* are looked up together: each is a line that is in no cache */

struct reach_later {
	struct reach_block *blocks; /* the table, borrowed */
	struct reach_finder finder;
	/* What is not of the table; by address, once all are told. */
	struct reach_block *young;
	size_t young_count;

	/* private */
	size_t young_room, young_most;
	struct room_share share;
	struct reach_block waiting[LATER_WAITING];
	uint32_t waiting_count;
};

/* room: NULL: there is no bound. -EINVAL: not sorted. -ENOMEM, -ENOSPC. Of all three. */
int reach_later_begin(struct reach_later *later, struct reach_block *blocks, uint32_t count,
		      struct room *room);
/* -EBUSY: more are young than there were: it replaces them faster than anybody can look. */
int reach_later_add(struct reach_later *later, const struct reach_block *block);
int reach_later_end(struct reach_later *later);
void reach_later_deinit(struct reach_later *later);
