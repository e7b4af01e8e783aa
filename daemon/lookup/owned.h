#pragma once
/* owned: open a file whose name came from a target's owner, or that he could put there.
 *
 * With his eyes: what he may not read is not read for him. Only regular files, on file systems that
 * only store files: nothing happens when they are opened, and a read comes back.
 */
#include <sys/types.h>

/* path: below root_fd, whatever links say. flags: 0 or O_NOFOLLOW, as of open(2). A descriptor to
 * read by, or -1. */
int owned_open(int root_fd, const char *path, uid_t uid, int flags);
