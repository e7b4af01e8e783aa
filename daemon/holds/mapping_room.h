#pragma once
/* mapping_room: what a process's list of mappings takes, claimed before it is read.
 *
 * A process may have 65,530 mappings, and a host may allow more; each takes some 600 bytes as it is
 * read twice, from maps and from smaps, and becomes an area or two (layout.h).
 */
#include <sys/types.h>

#include "daemon/reach/room.h"

/* For as many as there are now, and some. -ENOSPC, -ESRCH. */
int mapping_room_claim(pid_t pid, struct room_share *share);
