#pragma once
/* renew: the table of one scan becomes that of the next one.
 *
 * Pure but for the memory, which is the caller's. Blocks that are there still stay, and so does
 * that they are candidates: what is known of them needs no list beside the table. The others go,
 * and what has come is put behind the table, as long as that is not much more than there was: so a
 * table of blocks that have all been replaced is never there twice. What was left out is told once
 * more.
 */
#include "room.h"
#include "table.h"

#define RENEW_WAITING 32   /* are looked up together: each is a line that is in no cache */
#define RENEW_SHARE 8	   /* one block more for so many, at most, at a time ... */
#define RENEW_LEAST 65536u /* ... and so many that are fine in a small heap, too */
#define RENEW_MAX_TURNS 8  /* then it replaces them faster than anybody can look */

struct reach_renewal {
	struct reach_block *blocks;
	size_t count; /* sorted; behind them those that are added */

	/* Room for so many blocks in all: where they are then, all of them. */
	int (*make_room)(void *context, size_t count, struct reach_block **ret);
	void *context;
	struct room *room; /* of what it takes beside; NULL: there is no bound */

	/* private */
	struct reach_finder finder;
	size_t added, most_added, left_out, room_count;
	bool is_refused; /* there is no more memory */
	unsigned turns;
	struct reach_block waiting[RENEW_WAITING];
	uint32_t waiting_count;
	struct room_share share;
};

/* Of a turn: all that are there now are added, in any order. With no table there is one turn, which
 * takes all. -EINVAL: it is not sorted. -ENOMEM, -ENOSPC. */
int reach_renew_begin(struct reach_renewal *renewal);
int reach_renew_add(struct reach_renewal *renewal, const struct reach_block *block);
/* > 0: some were left out, and another turn is wanted. -EBUSY: that has not ended. */
int reach_renew_end(struct reach_renewal *renewal);
/* After an error, too. */
void reach_renew_deinit(struct reach_renewal *renewal);
