#pragma once
/* debugfiles: the places where a target's debug information may lie.
 *
 * Grants the worker's wishes (wish.h). The names in them come from the target's files, so a file is
 * handed over only when it is a regular ELF file on a file system that stores files (not FUSE, nor
 * the kernel's own), that the target's owner could reach and read himself without his groups' help,
 * and when its path, taken below the root, does not lead out of it. Nothing else is ever opened.
 * Looked into in this order: the target's own root (a container's files), dhatd's root, a
 * debuginfod server if one was named.
 */
#include <sys/types.h>

#include "daemon/object/dwarf/wish.h"
#include "debuginfod.h"

struct debugfiles {
	int root_fd;		       /* directory, O_PATH: the target's root; -1: it is gone */
	uid_t uid;		       /* the target's owner */
	const char *object_path;       /* as the target sees it; "" if it is not known */
	struct debuginfod *debuginfod; /* NULL: not asked */
	char found[4096]; /* path of the debug file granted last: relative names start there */
};

/* struct wish_granter's grant; context: a struct debugfiles. */
int debugfiles_grant(void *context, const struct wish *wish);
