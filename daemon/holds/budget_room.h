#pragma once
/* budget_room: the room that a look has in its target's --max-memory.
 */
#include "daemon/reach/room.h"
#include "daemon/target/target.h"

/* Outlived by the target; nothing is claimed. */
void budget_room_init(struct room *room, struct target *target);
/* After a claim that was refused: how much would have been needed, and what there was. -ENOSPC. */
int budget_room_explain(const struct room *room, struct dhat_error *err);
