#include "identity.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROC_FILE_MAX (64u << 20) /* maps of a process with a million mappings */

int proc_read(pid_t pid, const char *file, char **ret, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	size_t size = 0, capacity = 4096;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	for (;;) {
		char *more;
		ssize_t got;

		if (!text || size + 1 >= capacity) {
			if (capacity >= PROC_FILE_MAX)
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

static void read_ns_pids(const char *status, struct target_identity *identity)
{
	const char *line = strstr(status, "\nNSpid:");
	const char *at = line ? line + strlen("\nNSpid:") : "";
	int pid, used;

	while (identity->ns_pid_count < ARRAY_SIZE(identity->ns_pids) &&
	       sscanf(at, "%*[\t ]%d%n", &pid, &used) == 1) {
		identity->ns_pids[identity->ns_pid_count++] = pid;
		at += used;
	}
}

/* Field 22 of /proc/PID/stat, counted from behind the name, which may hold anything: proc(5) */
static uint64_t start_ticks(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long ticks = 0;
	const char *at;

	if (proc_read(pid, "stat", &text, NULL))
		return 0;
	at = strrchr(text, ')');
	if (!at)
		return 0;
	sscanf(at + 1,
	       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	       &ticks);
	return ticks;
}

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

int identity_read(pid_t pid, struct target_identity *ret, struct dhat_error *err)
{
	_cleanup_free_ char *status = NULL;
	struct target_identity identity = { .pid = pid };
	char link[64], path[PATH_MAX] = "";
	unsigned uid = 0;
	const char *line;
	ssize_t length;
	int error = pid > 0 ? proc_read(pid, "status", &status, NULL) : -ESRCH;

	if (error == -ESRCH)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "no process %d: look for the right one with pgrep -a NAME",
				      (int)pid);
	if (error)
		return dhat_error_errno(err, -error, "cannot read /proc/%d/status", (int)pid);
	line = strstr(status, "\nUid:");
	if (line)
		sscanf(line, "\nUid: %u", &uid);
	identity.uid = uid;
	read_ns_pids(status, &identity);
	identity.start_ticks = start_ticks(pid);
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	length = readlink(link, path, sizeof(path) - 1);
	identity.executable = strndup(path, length > 0 ? length : 0);
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

void identity_deinit(struct target_identity *identity)
{
	free(identity->command);
	free(identity->executable);
	identity->command = identity->executable = NULL;
}
