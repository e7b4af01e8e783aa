#include "identity.h"

#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

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

uint64_t identity_start_ticks(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long ticks = 0;
	const char *at;

	if (proc_read_main(pid, "stat", &text, NULL))
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
	char path[PATH_MAX] = "";
	unsigned uid = 0;
	const char *line;
	int error = proc_read_main(pid, "status", &status, NULL);

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
	identity.start_ticks = identity_start_ticks(pid);
	proc_read_link(pid, "exe", path, sizeof(path));
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

void identity_deinit(struct target_identity *identity)
{
	free(identity->command);
	free(identity->executable);
	identity->command = identity->executable = NULL;
}
