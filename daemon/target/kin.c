#include "kin.h"

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_ancestor(pid_t pid)
{
	pid_t at = getpid();

	/* a parent that ends meanwhile may leave its number to another: no circle */
	for (int i = 0; at > 0 && i < 1000; i++) {
		if (at == pid)
			return true;
		at = proc_parent(at);
	}
	return false;
}

/* By its file: the same as ours, or one of that name (another version, or removed since). */
static bool is_dhatd(pid_t pid)
{
	static const char name[] = "dhatd";
	char path[PATH_MAX] = "", *slash;
	_cleanup_close_ int dir_fd = -1;
	struct stat own, other;

	if (proc_open_dir(pid, &dir_fd))
		return false;
	if (stat("/proc/self/exe", &own) == 0 && fstatat(dir_fd, "exe", &other, 0) == 0 &&
	    own.st_ino == other.st_ino && own.st_dev == other.st_dev)
		return true;
	proc_read_link(pid, "exe", path, sizeof(path));
	slash = strrchr(path, '/');
	return slash && !strncmp(slash + 1, name, strlen(name)) &&
	       (slash[1 + strlen(name)] == '\0' || slash[1 + strlen(name)] == ' ');
}

enum kin kin_of(pid_t pid)
{
	if (pid == getpid() || is_dhatd(pid))
		return KIN_DHATD;
	return is_ancestor(pid) ? KIN_ANCESTOR : KIN_NONE;
}

static void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int kin_all(pid_t **ret, size_t *ret_count)
{
	_cleanup_(cleanup_closedir) DIR *dir = opendir("/proc");
	_cleanup_free_ pid_t *list = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		if (array_make_room(&list, &capacity, count))
			return -ENOMEM;
		list[count++] = atoi(entry->d_name);
	}
	*ret = take_ptr(list);
	*ret_count = count;
	return 0;
}

int kin_children(pid_t pid, pid_t **ret, size_t *ret_count)
{
	_cleanup_free_ pid_t *list = NULL;
	size_t count = 0, kept = 0;
	int error = kin_all(&list, &count);

	if (error)
		return error;
	for (size_t i = 0; i < count; i++)
		if (proc_parent(list[i]) == pid)
			list[kept++] = list[i];
	*ret = take_ptr(list);
	*ret_count = kept;
	return 0;
}

void kin_to_follow(pid_t pid, pid_t **ret, size_t *ret_count)
{
	size_t kept = 0;

	*ret_count = 0;
	if (kin_children(pid, ret, ret_count))
		return;
	for (size_t i = 0; i < *ret_count; i++)
		if (kin_of((*ret)[i]) == KIN_NONE)
			(*ret)[kept++] = (*ret)[i];
	*ret_count = kept;
}
