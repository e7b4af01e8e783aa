#include "debugfiles.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "owned.h"
#include "proto/base/cleanup.h"

#define DEBUG_DIRECTORY "/usr/lib/debug"

/* ---- one file ---- */

static int open_below(int root_fd, const char *path, uid_t uid)
{
	_cleanup_close_ int fd = owned_open(root_fd, path, uid, 0);
	char magic[SELFMAG];

	if (fd < 0 || pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
	    memcmp(magic, ELFMAG, SELFMAG))
		return -1;
	return take_fd(fd);
}

static int open_in_roots(struct debugfiles *files, const char *path)
{
	_cleanup_close_ int host = -1;
	int fd = files->root_fd >= 0 ? open_below(files->root_fd, path, files->uid) : -1;

	if (fd < 0) {
		host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd = host >= 0 ? open_below(host, path, files->uid) : -1;
	}
	if (fd >= 0)
		snprintf(files->found, sizeof(files->found), "%s", path);
	return fd;
}

__attribute__((format(printf, 2, 3))) static int try(struct debugfiles *files, const char *format,
						     ...)
{
	char path[PATH_MAX];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return length > 0 && (size_t)length < sizeof(path) ? open_in_roots(files, path) : -1;
}

/* ---- the places of each kind ---- */

static int find_build_id(struct debugfiles *files, const struct wish *wish)
{
	char hex[129] = "";

	if (wish->build_id_size < 2 || wish->build_id_size > 64)
		return -1;
	for (size_t i = 0; i < wish->build_id_size; i++)
		snprintf(hex + 2 * i, 3, "%02x", wish->build_id[i]);
	return try(files, DEBUG_DIRECTORY "/.build-id/%.2s/%s.debug", hex, hex + 2);
}

/* As gdb and elfutils do: beside the object, in .debug there, below the debug directory. */
static int find_debuglink(struct debugfiles *files, const char *name)
{
	const char *slash = strrchr(files->object_path, '/');
	int length = slash ? slash - files->object_path : 0, fd;

	if (!slash || !*name || strchr(name, '/'))
		return -1;
	fd = try(files, "%.*s/%s", length, files->object_path, name);
	if (fd < 0)
		fd = try(files, "%.*s/.debug/%s", length, files->object_path, name);
	if (fd < 0)
		fd = try(files, DEBUG_DIRECTORY "%.*s/%s", length, files->object_path, name);
	return fd;
}

/* Absolute, or relative to the directory of the file that names it. */
static int find_path(struct debugfiles *files, const char *name)
{
	char base[sizeof(files->found)];
	const char *slash;

	if (!*name)
		return -1;
	if (name[0] == '/')
		return try(files, "%s", name);
	snprintf(base, sizeof(base), "%s", *files->found ? files->found : files->object_path);
	slash = strrchr(base, '/');
	return slash ? try(files, "%.*s/%s", (int)(slash - base), base, name) : -1;
}

/* Where the compiler wrote it, or beside the object. */
static int find_split(struct debugfiles *files, const char *name)
{
	const char *slash = strrchr(files->object_path, '/'), *last = strrchr(name, '/');
	int fd = name[0] == '/' ? try(files, "%s", name) : -1;

	if (fd < 0 && slash)
		fd = try(files, "%.*s/%s", (int)(slash - files->object_path), files->object_path,
			 last ? last + 1 : name);
	return fd;
}

/* Beside the object, as dwp and rustc write it, or below the debug directory. */
static int find_package(struct debugfiles *files)
{
	int fd;

	if (*files->object_path != '/')
		return -1;
	fd = try(files, "%s.dwp", files->object_path);
	return fd < 0 ? try(files, DEBUG_DIRECTORY "%s.dwp", files->object_path) : fd;
}

int debugfiles_grant(void *context, const struct wish *wish)
{
	struct debugfiles *files = context;
	int fd;

	switch (wish->kind) {
	case WISH_BUILD_ID:
		fd = find_build_id(files, wish);
		if (fd < 0 && files->debuginfod)
			fd = debuginfod_fetch(files->debuginfod, wish->build_id,
					      wish->build_id_size);
		return fd;
	case WISH_DEBUGLINK:
		return find_debuglink(files, wish->name);
	case WISH_ALTLINK:
		fd = find_path(files, wish->name);
		return fd < 0 ? find_build_id(files, wish) : fd;
	case WISH_SPLIT:
		return find_split(files, wish->name);
	case WISH_PACKAGE:
		return find_package(files);
	default:
		return -1;
	}
}
