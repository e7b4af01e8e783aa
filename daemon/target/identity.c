#include "identity.h"

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *read_command(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (proc_read(pid, "cmdline", &text, &size) || size == 0) {
		free(take_ptr(text));
		if (proc_read(pid, "comm", &text, &size))
			return strdup("");
	}
	while (size > 0 && (text[size - 1] == '\0' || text[size - 1] == '\n'))
		text[--size] = '\0';
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return take_ptr(text);
}

static void read_file(pid_t pid, struct target_identity *identity)
{
	_cleanup_close_ int dir_fd = -1;
	struct stat file;

	if (proc_open_dir(pid, &dir_fd) || fstatat(dir_fd, "exe", &file, 0))
		return;
	identity->device = file.st_dev;
	identity->inode = file.st_ino;
}

int identity_read(pid_t pid, struct target_identity *ret, struct dhat_error *err)
{
	struct target_identity identity = { .pid = pid };
	struct proc_status status;
	char path[PATH_MAX] = "";
	int error = proc_status_read_main(pid, &status);

	if (error == -ESRCH)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "no process %d: look for the right one with pgrep -a NAME",
				      (int)pid);
	if (error)
		return dhat_error_errno(err, -error, "cannot read /proc/%d/status", (int)pid);
	identity.uid = status.uid;
	identity.ns_pid_count = status.ns_depth;
	memcpy(identity.ns_pids, status.ns_pids, sizeof(identity.ns_pids));
	identity.start_ticks = proc_start_ticks(pid);
	container_of(pid, &identity.container);
	unit_of(pid, identity.unit);
	proc_read_link(pid, "exe", path, sizeof(path));
	read_file(pid, &identity);
	identity.executable = strdup(path);
	identity.command = read_command(pid);
	if (!identity.executable || !identity.command) {
		identity_deinit(&identity);
		return -ENOMEM;
	}
	*ret = identity;
	return 0;
}

int identity_copy(const struct target_identity *from, struct target_identity *ret)
{
	struct target_identity identity = *from;

	identity.command = strdup(from->command ? from->command : "");
	identity.executable = strdup(from->executable ? from->executable : "");
	if (!identity.command || !identity.executable) {
		identity_deinit(&identity);
		return -ENOMEM;
	}
	*ret = identity;
	return 0;
}

bool identity_is_executable(const struct target_identity *identity, int fd)
{
	struct stat file;

	return identity->inode && fstat(fd, &file) == 0 && file.st_ino == identity->inode &&
	       file.st_dev == identity->device;
}

void identity_deinit(struct target_identity *identity)
{
	free(identity->command);
	free(identity->executable);
	identity->command = identity->executable = NULL;
}
