#include "mapfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "proto/base/cleanup.h"
#include "regular.h"

int mapfile_open(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t inode)
{
	_cleanup_close_ int dir_fd = -1, fd = -1;
	char name[64 + PATH_MAX];
	struct stat st;

	if (proc_open_dir(pid, &dir_fd))
		return -1;
	snprintf(name, sizeof(name), "map_files/%lx-%lx", (unsigned long)start, (unsigned long)end);
	fd = openat(dir_fd, name, O_PATH | O_CLOEXEC); /* what is mapped may be a device */
	if (fd < 0) {				       /* without CAP_CHECKPOINT_RESTORE */
		snprintf(name, sizeof(name), "root%s", path);
		fd = openat(dir_fd, name, O_PATH | O_CLOEXEC);
		if (fd >= 0 && (fstat(fd, &st) || st.st_ino != inode))
			return -1;
	}
	return fd < 0 ? -1 : regular_open(fd);
}
