#pragma once
/* identity: who a process is, from /proc. */
#include "daemon/proc/file.h"
#include "target.h"

/* Fill *ret from /proc/PID. DHAT_EXIT_NO_PROCESS when there is no such process. The caller
 * deinits. */
int identity_read(pid_t pid, struct target_identity *ret, struct dhat_error *err);
int identity_copy(const struct target_identity *from, struct target_identity *ret);
/* Is this its executable? By what the file is: it may have been renamed, replaced or removed. */
bool identity_is_executable(const struct target_identity *identity, int fd);
void identity_deinit(struct target_identity *identity);
