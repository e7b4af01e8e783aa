#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "status.h"

#define FILE_MAX_BYTES (512u << 20) /* maps of a process with millions of mappings */

/* What the system calls below say of a process that is gone. */
static int gone(int error)
{
	return error == ENOENT ? -ESRCH : -error;
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int open_thread(pid_t tid, int *ret_fd)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", (int)tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gone(errno);
	*ret_fd = fd;
	return 0;
}

static int read_all(int fd, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, capacity = 4096;

	for (;;) {
		ssize_t got;

		if (!text || size + 1 >= capacity) {
			char *more;

			if (capacity >= FILE_MAX_BYTES)
				return -EFBIG;
			capacity *= 2;
			more = realloc(text, capacity);
			if (!more)
				return -ENOMEM;
			text = more;
		}
		got = read(fd, text + size, capacity - 1 - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		size += got;
	}
	text[size] = '\0';
	*ret = take_ptr(text);
	if (ret_size)
		*ret_size = size;
	return 0;
}

static int read_at(int dir_fd, const char *file, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? gone(errno) : read_all(fd, ret, ret_size);
}

#define PF_EXITING 4u /* include/linux/sched.h */

/* Has the thread left, or begun to? */
static bool has_left(int dir_fd)
{
	_cleanup_free_ char *text = NULL;
	struct proc_stat stat;

	return read_at(dir_fd, "stat", &text, NULL) || proc_stat_parse(text, &stat) ||
	       stat.state == 'Z' || stat.state == 'X' || stat.flags & PF_EXITING;
}

/* The number might have been given to another process since it was listed. */
static bool is_thread_of(int dir_fd, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	struct proc_status status;

	if (read_at(dir_fd, "status", &text, NULL))
		return false;
	proc_status_parse(text, &status);
	return status.tgid == pid;
}

static int list_threads(pid_t pid, DIR **ret)
{
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return gone(errno);
	*ret = dir;
	return 0;
}

/* *ret_tid: 0 if all have left. */
static int open_living(pid_t pid, int *ret_fd, pid_t *ret_tid)
{
	_cleanup_close_ int main_fd = -1;
	_cleanup_(close_dir) DIR *dir = NULL;
	struct dirent *entry;
	int error = pid > 0 ? open_thread(pid, &main_fd) : -ESRCH;

	if (error)
		return error;
	*ret_tid = pid;
	if (has_left(main_fd)) {
		*ret_tid = 0;
		list_threads(pid, &dir);
	}
	while (dir && (entry = readdir(dir))) {
		_cleanup_close_ int fd = -1;
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0 || tid == pid || open_thread(tid, &fd) || has_left(fd) ||
		    !is_thread_of(fd, pid))
			continue;
		*ret_fd = take_fd(fd);
		*ret_tid = tid;
		return 0;
	}
	*ret_fd = take_fd(main_fd);
	return 0;
}

int proc_open_dir(pid_t pid, int *ret_fd)
{
	pid_t tid;

	return open_living(pid, ret_fd, &tid);
}

int proc_living_thread(pid_t pid, pid_t *ret)
{
	_cleanup_close_ int fd = -1;
	pid_t tid = 0;
	int error = open_living(pid, &fd, &tid);

	if (error || !tid)
		return error ? error : -ESRCH;
	*ret = tid;
	return 0;
}

int proc_open(pid_t pid, const char *file, int *ret_fd)
{
	_cleanup_close_ int dir_fd = -1;
	int fd, error = proc_open_dir(pid, &dir_fd);

	if (error)
		return error;
	fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gone(errno);
	*ret_fd = fd;
	return 0;
}

int proc_read(pid_t pid, const char *file, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	int error = proc_open(pid, file, &fd);

	return error ? error : read_all(fd, ret, ret_size);
}

int proc_setting(pid_t pid, const char *begin, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int error = proc_read(pid, "environ", &text, &size);

	if (error)
		return error;
	for (const char *at = text; at < text + size; at += strlen(at) + 1) {
		if (strncmp(at, begin, strlen(begin)) != 0)
			continue;
		*ret = strdup(at + strlen(begin));
		return *ret ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

int proc_read_link(pid_t pid, const char *file, char *ret, size_t size)
{
	_cleanup_close_ int dir_fd = -1;
	int error = proc_open_dir(pid, &dir_fd);
	ssize_t length;

	if (error)
		return error;
	length = readlinkat(dir_fd, file, ret, size - 1);
	if (length < 0)
		return gone(errno);
	ret[length] = '\0';
	return 0;
}

int proc_read_main(pid_t pid, const char *file, char **ret, size_t *ret_size)
{
	_cleanup_close_ int dir_fd = -1;
	int error = pid > 0 ? open_thread(pid, &dir_fd) : -ESRCH;

	return error ? error : read_at(dir_fd, file, ret, ret_size);
}

int proc_threads(pid_t pid, pid_t **ret, size_t *ret_count)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	_cleanup_free_ pid_t *list = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;
	int error = list_threads(pid, &dir);

	if (error)
		return error;
	while ((entry = readdir(dir))) {
		_cleanup_close_ int fd = -1;
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0 || open_thread(tid, &fd) || has_left(fd))
			continue;
		error = array_make_room(&list, &capacity, count);
		if (error)
			return error;
		list[count++] = tid;
	}
	*ret = take_ptr(list);
	*ret_count = count;
	return 0;
}
