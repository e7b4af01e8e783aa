#pragma once
/* wish: a further file that the naming of an object needs.
 *
 * Only the worker reads ELF, only the daemon opens files. So the worker says what it would like,
 * and the daemon decides: it looks in the places where debug information lies, below the target's
 * own root first, and hands over nothing but regular ELF files that the target's owner may read
 * too. Whether the file is the right one (build id, checksum) is the worker's to check.
 */
#include <stddef.h>
#include <stdint.h>

enum wish_kind {
	WISH_BUILD_ID = 1, /* the debug file of a build id */
	WISH_DEBUGLINK, /* .gnu_debuglink: a file name, beside the object or below /usr/lib/debug */
	WISH_ALTLINK,	/* .gnu_debugaltlink: what dwz moved to a common file */
	WISH_SPLIT,	/* a .dwo file: path as the compiler wrote it, directory first */
	WISH_PACKAGE,	/* a .dwp file: the object's name and ".dwp" */
	/* no files, but memory of the daemon's, for a scan: the table of blocks; room for what is
	   found */
	WISH_BLOCKS,
	WISH_ROOM,
	WISH_COUNT
};

struct wish {
	enum wish_kind kind;
	const char *name; /* path or file name; "" for a build id and a package */
	const uint8_t *build_id;
	size_t build_id_size; /* 0: none */
};

struct wish_granter {
	/* A readable fd, owned by the caller from then on; -1 when there is no such file. */
	int (*grant)(void *context, const struct wish *wish);
	void *context;
};
