#include "mapfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "procmaps.h"
#include "proto/base/cleanup.h"
#include "regular.h"

/* Does [start, end) map a file of this number now? The number that a file system gives in stat may
 * be another than the one in maps (overlayfs, btrfs). */
static bool maps_inode(pid_t pid, uint64_t start, uint64_t end, uint64_t inode)
{
	struct procmaps maps;
	bool does = false;

	if (procmaps_read(pid, &maps))
		return false;
	for (size_t i = 0; i < maps.count && !does; i++)
		does = maps.entries[i].start == start && maps.entries[i].end == end &&
		       maps.entries[i].inode == inode;
	procmaps_deinit(&maps);
	return does;
}

/* Since the caller read maps, another file may have been mapped at the very same place. */
static int open_mapped(int dir_fd, pid_t pid, uint64_t start, uint64_t end, uint64_t inode)
{
	_cleanup_close_ int fd = -1;
	char name[64];
	struct stat st;

	snprintf(name, sizeof(name), "map_files/%lx-%lx", (unsigned long)start, (unsigned long)end);
	fd = openat(dir_fd, name, O_PATH | O_CLOEXEC); /* what is mapped may be a device */
	if (fd < 0 || fstat(fd, &st))		       /* without CAP_CHECKPOINT_RESTORE */
		return -1;
	if (st.st_ino != inode && !maps_inode(pid, start, end, inode))
		return -1;
	return take_fd(fd);
}

static int open_named(int dir_fd, const char *path, uint64_t inode)
{
	_cleanup_close_ int fd = -1;
	char name[PATH_MAX + 8];
	struct stat st;

	snprintf(name, sizeof(name), "root%s", path);
	fd = openat(dir_fd, name, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_ino != inode)
		return -1;
	return take_fd(fd);
}

int mapfile_open(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t inode)
{
	_cleanup_close_ int dir_fd = -1, fd = -1;

	if (proc_open_dir(pid, &dir_fd))
		return -1;
	fd = open_mapped(dir_fd, pid, start, end, inode);
	if (fd < 0)
		fd = open_named(dir_fd, path, inode);
	return fd < 0 ? -1 : regular_open(fd);
}
