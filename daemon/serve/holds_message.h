#pragma once
/* holds_message: who holds the blocks of a target's copy, as dhatctl is told of it.
 *
 * Pure. Points are numbered as the copy has them.
 */
#include "daemon/holds/holds.h"
#include "proto/wire/dhat.pb-c.h"

struct holds_message;

/* Borrows from holds. -ENOMEM. */
int holds_message_new(const struct target_copy *copy, const struct holds *holds,
		      struct holds_message **ret);
void holds_message_free(struct holds_message *message);

/* The message's own; NULL: nothing of the point was live at the last scan. */
Dhat__PointHolds *holds_message_point(struct holds_message *message, uint32_t point);
Dhat__Holds *holds_message_whole(struct holds_message *message);
/* Of a view, whose points have numbers of their own: those of the heap, from 1 on. */
Dhat__LastHolds *holds_message_last(struct holds_message *message);
