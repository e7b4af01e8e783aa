#pragma once
/* point_message: a program point of a target's copy, as dhatctl is told of it.
 *
 * Pure. What the message points to is the copy's or its own, so it stays where it is while it is
 * used.
 */
#include "daemon/target/target.h"
#include "proto/wire/dhat.pb-c.h"

#define POINT_MESSAGE_FRAMES (DHAT_MAX_FRAMES + 1) /* all that it has, and a gap */

struct point_message {
	Dhat__ProgramPoint point;
	Dhat__Sampled sampled;
	uint32_t frames[POINT_MESSAGE_FRAMES]; /* for the caller, who numbers frames */
	int64_t low_bytes[HISTORY_POINT_SLOTS];
	uint64_t since_bytes[MOMENTS_MAX], since_blocks[MOMENTS_MAX];
};

/* All but its frames. false: it is to have none, since its viewer has its stack already. */
bool point_message_fill(const struct target_copy *copy, const struct target_point *from,
			struct point_message *ret);
