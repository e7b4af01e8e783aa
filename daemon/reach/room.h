#pragma once
/* room: memory that a look takes, claimed before it is taken: one bound for all of its steps.
 *
 * Pure: whose bound it is says whether there is room. What takes memory for each block, or each
 * pointer, has a share, which goes where that memory goes, a copied structure taking it along, and
 * is given back with it. Steps whose memory has a bound of its own, of a MiB or so, have none. Not
 * thread-safe: a look does one thing after the other.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/array.h"

struct room {
	/* As a whole or not at all; *ret_left (may be NULL): how much there was. */
	bool (*claim)(void *context, uint64_t bytes, uint64_t *ret_left);
	void (*give)(void *context, uint64_t bytes);
	void *context;
	uint64_t claimed_bytes; /* of all shares */
	/* Of the claim that was refused last: what the look had with it, and what it could have had
	 * at the most. 0: none was. */
	uint64_t needed_bytes, most_bytes;
};

struct room_share {
	struct room *room; /* outlives it; NULL: there is no bound */
	uint64_t bytes;
};

/* -ENOSPC: there is not so much left. */
int room_claim(struct room_share *share, uint64_t bytes);
void room_return(struct room_share *share, uint64_t bytes);
void room_return_all(struct room_share *share);
/* Of the same room: `from` has nothing any more. */
void room_move(struct room_share *to, struct room_share *from);
/* Nothing is taken yet: would there be so much beside what is claimed? */
int room_foresee(struct room *room, uint64_t bytes);
/* So much more than there is would be needed. -ENOSPC. */
int room_refuse(struct room *room, uint64_t bytes);
/* How much could be claimed; room NULL: as much as there is. */
uint64_t room_left(struct room *room);

/* array_make_room(), by which the array may take as much again. */
#define room_make_room(share, array, capacity, count)                                              \
	({                                                                                         \
		uint64_t more_ = (*(capacity) ? (uint64_t) * (capacity) : 64) * sizeof(**(array)); \
		int claimed_ = 0;                                                                  \
                                                                                                   \
		if ((size_t)(count) >= (size_t) * (capacity)) {                                    \
			claimed_ = room_claim(share, more_);                                       \
			if (claimed_ == 0) {                                                       \
				claimed_ = array_make_room(array, capacity, count);                \
				if (claimed_)                                                      \
					room_return(share, more_);                                 \
			}                                                                          \
		}                                                                                  \
		claimed_;                                                                          \
	})
