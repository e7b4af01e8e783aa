#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/machine.h"
#include "file.h"
#include "proto/base/cleanup.h"

#define PF_KTHREAD 0x00200000u /* include/linux/sched.h */

static const char *line_value(const char *text, const char *name)
{
	size_t size = strlen(name);
	const char *at = text;

	while (at) {
		if (!strncmp(at, name, size) && at[size] == ':')
			return at + size + 1;
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	return "";
}

void proc_status_parse(const char *text, struct proc_status *ret)
{
	struct proc_status status = { 0 };
	const char *at;
	int used;

	sscanf(line_value(text, "State"), " %c", &status.state);
	status.tgid = atoi(line_value(text, "Tgid"));
	status.pid = atoi(line_value(text, "Pid"));
	status.tracer_pid = atoi(line_value(text, "TracerPid"));
	status.uid = strtoul(line_value(text, "Uid"), NULL, 10);
	status.seccomp_mode = atoi(line_value(text, "Seccomp"));
	status.seccomp_filters = atoi(line_value(text, "Seccomp_filters"));
	status.thread_count = strtoul(line_value(text, "Threads"), NULL, 10);
	status.effective_caps = strtoull(line_value(text, "CapEff"), NULL, 16);
	status.caught_signals = strtoull(line_value(text, "SigCgt"), NULL, 16);
	status.rss_bytes = strtoull(line_value(text, "VmRSS"), NULL, 10) << 10;
	status.swap_bytes = strtoull(line_value(text, "VmSwap"), NULL, 10) << 10;
	status.anonymous_bytes = strtoull(line_value(text, "RssAnon"), NULL, 10) << 10;
	status.shared_bytes = (strtoull(line_value(text, "RssShmem"), NULL, 10) +
			       strtoull(line_value(text, "HugetlbPages"), NULL, 10))
			      << 10;
	status.executable_bytes = (strtoull(line_value(text, "VmExe"), NULL, 10) +
				   strtoull(line_value(text, "VmLib"), NULL, 10))
				  << 10;
	at = line_value(text, "NSpid");
	while (status.ns_depth < PROC_NS_PIDS_MAX &&
	       sscanf(at, "%*[\t ]%d%n", &status.ns_pids[status.ns_depth], &used) == 1) {
		status.ns_depth++;
		at += used;
	}
	*ret = status;
}

int proc_status_read(pid_t pid, struct proc_status *ret)
{
	_cleanup_free_ char *text = NULL;
	int error = proc_read(pid, "status", &text, NULL);

	if (error == 0)
		proc_status_parse(text, ret);
	return error;
}

int proc_status_read_main(pid_t pid, struct proc_status *ret)
{
	_cleanup_free_ char *text = NULL;
	int error = proc_read_main(pid, "status", &text, NULL);

	if (error == 0)
		proc_status_parse(text, ret);
	return error;
}

int proc_statm_parse(const char *text, uint64_t *ret_pages)
{
	unsigned long long pages;

	if (sscanf(text, "%*u %llu", &pages) != 1)
		return -EBADMSG;
	*ret_pages = pages;
	return 0;
}

int proc_resident_bytes(pid_t pid, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t pages = 0;
	int error = proc_read(pid, "statm", &text, NULL);

	if (error == 0)
		error = proc_statm_parse(text, &pages);
	*ret = pages * DHAT_PAGE_BYTES;
	return error;
}

int proc_stat_parse(const char *text, struct proc_stat *ret)
{
	const char *at = strrchr(text, ')');
	unsigned long long ticks = 0;
	struct proc_stat stat = { 0 };

	/* fields 3, 4, 9 and 22 */
	if (!at || sscanf(at + 1,
			  " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			  "%*d %llu",
			  &stat.state, &stat.parent, &stat.flags, &ticks) < 3)
		return -EBADMSG;
	stat.start_ticks = ticks;
	*ret = stat;
	return 0;
}

static int read_stat(pid_t pid, struct proc_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	int error = proc_read_main(pid, "stat", &text, NULL);

	return error ? error : proc_stat_parse(text, ret);
}

uint64_t proc_start_ticks(pid_t pid)
{
	struct proc_stat stat;

	return read_stat(pid, &stat) ? 0 : stat.start_ticks;
}

pid_t proc_parent(pid_t pid)
{
	struct proc_stat stat;

	return read_stat(pid, &stat) ? 0 : stat.parent;
}

bool proc_is_kernel_thread(pid_t pid)
{
	struct proc_stat stat;

	return read_stat(pid, &stat) == 0 && stat.flags & PF_KTHREAD;
}

int proc_cpu_ns(pid_t pid, uint64_t *ret)
{
	struct timespec used;
	clockid_t clock;
	int error = clock_getcpuclockid(pid, &clock);

	if (error == 0 && clock_gettime(clock, &used))
		error = errno;
	if (error)
		return -error;
	*ret = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
	return 0;
}
