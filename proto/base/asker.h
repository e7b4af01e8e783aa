#pragma once
/* asker: on whose behalf root works here. */
#include <stdbool.h>
#include <sys/types.h>

/* Who is behind sudo(8), by SUDO_UID and SUDO_GID: files that we make are his, and he may ask the
 * dhatd that he started. Looked at as root only: nobody else's environment can bring us here as
 * root. False: nobody but ourselves; the results are untouched. */
bool dhat_asker(uid_t *ret_uid, gid_t *ret_gid);
