#include "open_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "file.h"
#include "proto/base/cleanup.h"

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int open_files_visit(pid_t pid, open_file_visit visit, void *context)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	_cleanup_close_ int process_fd = -1, fd = -1;
	int r = proc_open_dir(pid, &process_fd);
	struct dirent *entry;

	if (r)
		return r;
	fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	fd = -1; /* the directory's */
	while (r == 0 && (entry = readdir(dir))) {
		char link[PATH_MAX];
		ssize_t size = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (size <= 0)
			continue;
		link[size] = '\0';
		r = visit(context, entry->d_name, link);
	}
	return r;
}
