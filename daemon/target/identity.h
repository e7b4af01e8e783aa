#pragma once
/* identity: who a process is, from /proc. */
#include "daemon/proc/file.h"
#include "target.h"

/* Fill *ret from /proc/PID. DHAT_EXIT_NO_PROCESS when there is no such process. The caller
 * deinits. */
int identity_read(pid_t pid, struct target_identity *ret, struct dhat_error *err);
int identity_copy(const struct target_identity *from, struct target_identity *ret);
void identity_deinit(struct target_identity *identity);

/* When it began: field 22 of /proc/PID/stat, counted from behind the name, which may hold anything
 * (proc(5)). Tells a number that is used again. 0: no such process. */
uint64_t identity_start_ticks(pid_t pid);
