#include "ptracer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"

/* By the file that runs: a name can be chosen freely. */
static bool is_strace(pid_t tracer)
{
	char path[PATH_MAX];

	if (proc_read_link(tracer, "exe", path, sizeof(path)))
		return false;
	return strcmp(dhat_text_base_name(path), "strace") == 0;
}

int ptracer_find(pid_t pid, struct ptracer *ret)
{
	_cleanup_free_ char *name = NULL;
	struct proc_status status;
	int error = proc_status_read(pid, &status);

	if (error)
		return error;
	*ret = (struct ptracer){ .pid = status.tracer_pid };
	if (!ret->pid)
		return 0;
	ret->is_dhatd = proc_status_read(ret->pid, &status) == 0 && status.tgid == getpid();
	ret->sets_breakpoints = !is_strace(ret->pid);
	if (proc_read(ret->pid, "comm", &name, NULL) == 0)
		name[strcspn(name, "\n")] = '\0';
	snprintf(ret->name, sizeof(ret->name), "%s", name ?: "unknown");
	return 0;
}
