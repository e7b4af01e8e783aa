#include "budget_room.h"

#include <errno.h>

#include "proto/base/units.h"

static bool claim(void *target, uint64_t bytes, uint64_t *ret_left)
{
	return target_claim_room(target, bytes, ret_left);
}

static void give(void *target, uint64_t bytes)
{
	target_return_room(target, bytes);
}

void budget_room_init(struct room *room, struct target *target)
{
	*room = (struct room){ .claim = claim, .give = give, .context = target };
}

int budget_room_explain(const struct room *room, struct dhat_error *err)
{
	char needs[DHAT_UNIT_CHARS], has[DHAT_UNIT_CHARS];

	if (!room->needed_bytes)
		return -ENOSPC; /* it was something else that had none */
	return dhat_error_set(err, ENOSPC, DHAT_EXIT_FAILED,
			      "looking for who holds these blocks needs %s of memory or more, and "
			      "--max-memory leaves %s: attach with a larger one",
			      dhat_format_size(room->needed_bytes, needs),
			      dhat_format_size(room->most_bytes, has));
}
