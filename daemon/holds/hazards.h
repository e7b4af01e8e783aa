#pragma once
/* hazards: why nothing of a process may be called lost, however it looks.
 *
 * Pointers may be where nobody can look: in the kernel, on disk, in a shape that is none. A
 * sentence for each, which says what was found.
 */
#include <sys/types.h>

#include "daemon/proc/procmaps.h"
#include "daemon/proc/smaps.h"

/* Of its mappings and open files; *texts as texts_add(). -ESRCH, -EACCES, -ENOMEM. */
int hazards_find(pid_t pid, const struct procmaps *maps, const struct smaps *smaps, char ***texts);
/* The same of mappings alone. Pure. */
int hazards_of_maps(const struct procmaps *maps, const struct smaps *smaps, char ***texts);
