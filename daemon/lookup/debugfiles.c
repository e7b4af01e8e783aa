#include "debugfiles.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/proc/regular.h"
#include "proto/base/cleanup.h"

#define DEBUG_DIRECTORY "/usr/lib/debug"

/* ---- one file ---- */

/* A file system that only stores files: on a block device, or one of these. Not the kernel's own,
 * of which a read may do something, and not FUSE, where a user's program may keep the reader
 * waiting. */
static bool is_storage(int fd)
{
	static const long without_device[] = {
		TMPFS_MAGIC,
		RAMFS_MAGIC,
		OVERLAYFS_SUPER_MAGIC,
		BTRFS_SUPER_MAGIC,
		NFS_SUPER_MAGIC,
		V9FS_MAGIC,
		CIFS_SUPER_MAGIC,
		SMB2_SUPER_MAGIC,
		CEPH_SUPER_MAGIC,
		AFS_FS_MAGIC,
		ECRYPTFS_SUPER_MAGIC,
		0x2fc12fc1 /* ZFS */,
		0xca451a4e /* bcachefs */,
	};
	struct statfs fs;
	struct stat st, root;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return false;
	/* what this system stands on, whatever that is: a guest's virtiofs has FUSE's number */
	if (stat("/", &root) == 0 && st.st_dev == root.st_dev)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(without_device); i++)
		if (fs.f_type == without_device[i])
			return true;
	return major(st.st_dev) != 0;
}

static int open_as_ourselves(int root_fd, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int found = syscall(SYS_openat2, root_fd, path, &how, sizeof(how)), fd = -1;
	char magic[SELFMAG];

	if (found >= 0 && is_storage(found))
		fd = regular_open(found);
	if (fd < 0 || pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
	    memcmp(magic, ELFMAG, SELFMAG))
		return -1;
	return take_fd(fd);
}

/* Whether a user may read a file, all the folders above it may tell, and access control lists: the
 * kernel knows. So this thread looks with the user's eyes (his groups apart, which are not known
 * here), which takes root's rights from it until it is itself again. */
#define NO_GROUP ((gid_t)-2)

static int open_below(int root_fd, const char *path, uid_t uid)
{
	_cleanup_free_ gid_t *groups = NULL;
	int fd = -1, count = getgroups(0, NULL);

	if (uid == 0 || (uid == geteuid() && uid == getuid()))
		return open_as_ourselves(root_fd, path);
	groups = calloc(count + 1, sizeof(*groups));
	count = groups ? getgroups(count, groups) : -1;
	/* glibc's setgroups() would do it to all threads */
	if (count < 0 || syscall(SYS_setgroups, 0, NULL))
		return -1;
	setfsgid(NO_GROUP);
	setfsuid(uid);
	if ((uid_t)setfsuid(-1) == uid && (gid_t)setfsgid(-1) == NO_GROUP)
		fd = open_as_ourselves(root_fd, path);
	setfsuid(geteuid());
	setfsgid(getegid());
	syscall(SYS_setgroups, (size_t)count, groups);
	return fd;
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
