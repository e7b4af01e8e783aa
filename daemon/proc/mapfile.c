#include "mapfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

int mapfile_open(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t inode)
{
	char name[64 + PATH_MAX];
	_cleanup_close_ int fd = -1;
	struct stat st;

	snprintf(name, sizeof(name), "/proc/%d/map_files/%lx-%lx", (int)pid, (unsigned long)start,
		 (unsigned long)end);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) { /* without CAP_CHECKPOINT_RESTORE */
		snprintf(name, sizeof(name), "/proc/%d/root%s", (int)pid, path);
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd >= 0 && (fstat(fd, &st) || st.st_ino != inode))
			return -1;
	}
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -1;
	return take_fd(fd);
}
