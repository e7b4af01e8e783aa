#include "standstill.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/proc/status.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

DEFINE_CLEANUP_PTR(DIR *, closedir)

static bool is_held(const struct standstill *standstill, pid_t tid)
{
	for (size_t i = 0; i < standstill->count; i++)
		if (standstill->threads[i].tid == tid)
			return true;
	return false;
}

/* Its stop is not waited for by waitpid(2): where the process is a child of ours somebody else does
 * that, and would take the news away. *ret_signal: see standstill_thread. */
static bool has_stopped(pid_t tid, int *ret_signal)
{
	siginfo_t info = { 0 };

	*ret_signal = 0;
	if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) < 0)
		return errno == EINVAL; /* of job control: it stood still before */
	if (info.si_code >> 8 != PTRACE_EVENT_STOP)
		*ret_signal = info.si_signo;
	return true;
}

/* 1: it has ended. */
static int wait_for_stop(const struct standstill *standstill, struct standstill_thread *thread)
{
	const struct timespec piece = { .tv_nsec = 50000 };
	struct proc_status status;

	while (!has_stopped(thread->tid, &thread->signal)) {
		if (proc_status_read(thread->tid, &status) < 0 || status.state == 'Z' ||
		    status.state == 'X')
			return 1;
		if (clock_now_ns(CLOCK_MONOTONIC) > standstill->begin_ns + STANDSTILL_WAIT_NS)
			return -ETIMEDOUT;
		nanosleep(&piece, NULL);
	}
	return 0;
}

/* What it would get is kept back for a moment, and nothing else is changed. */
static int hold(struct standstill *standstill, pid_t tid)
{
	struct standstill_thread *thread;

	if (array_make_room(&standstill->threads, &standstill->room, standstill->count))
		return -ENOMEM;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return errno == ESRCH ? 0 : -errno; /* it has just ended */
	thread = &standstill->threads[standstill->count++];
	*thread = (struct standstill_thread){ .tid = tid };
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 0;
}

/* Those that are not held yet; *ret: how many there were. */
static int hold_new(struct standstill *standstill, size_t *ret)
{
	size_t first = standstill->count;
	char path[64];
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)standstill->pid);
	dir = opendir(path);
	if (!dir)
		return -ESRCH;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid > 0 && !is_held(standstill, tid))
			r = hold(standstill, tid);
	}
	*ret = standstill->count - first;
	for (size_t i = first; i < standstill->count && r == 0; i++) {
		r = wait_for_stop(standstill, &standstill->threads[i]);
		if (r > 0)
			r = 0; /* standstill_end() takes its end */
	}
	return r;
}

int standstill_begin(pid_t pid, struct standstill *ret, struct dhat_error *err)
{
	struct standstill standstill = { .pid = pid, .begin_ns = clock_now_ns(CLOCK_MONOTONIC) };
	size_t found = 1;
	int r = 0;

	while (r == 0 && found)
		r = hold_new(&standstill, &found);
	if (r < 0) {
		standstill_end(&standstill);
		if (r == -EPERM)
			return dhat_error_set(
				err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				"process %d cannot be stopped: a debugger holds it, or dhatd "
				"may not use ptrace (a service's filter); without --stop it "
				"is looked at while it runs",
				(int)pid);
		if (r == -ETIMEDOUT)
			return dhat_error_set(
				err, ETIMEDOUT, DHAT_EXIT_FAILED,
				"process %d does not stop: a thread of it waits in the "
				"kernel; without --stop it is looked at while it runs",
				(int)pid);
		return dhat_error_errno(err, -r, "cannot stop process %d", (int)pid);
	}
	*ret = standstill;
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	struct proc_stat stat;

	if (proc_read(pid, "stat", &text, NULL) || proc_stat_parse(text, &stat))
		return 0;
	return stat.parent;
}

/* A thread that was killed meanwhile waits for us to take note of it; but a child of ours is waited
 * for by who started it. */
static bool has_ended(const struct standstill *standstill, pid_t tid)
{
	struct proc_status status;
	siginfo_t info = { 0 };

	if (tid == standstill->pid && parent_of(tid) == getpid())
		return proc_status_read(tid, &status) < 0 || status.state == 'Z';
	if (waitid(P_PID, tid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
		return errno == ECHILD;
	return info.si_pid == tid && waitpid(tid, NULL, WNOHANG | __WALL) == tid;
}

/* Whoever has not stopped yet does so, or ends; else it goes on when the thread that holds it ends.
 */
static void let_go(const struct standstill *standstill, const struct standstill_thread *thread)
{
	const struct timespec piece = { .tv_nsec = 100000 };
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + STANDSTILL_WAIT_NS;

	while (ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(uintptr_t)thread->signal) < 0 &&
	       !has_ended(standstill, thread->tid) && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		nanosleep(&piece, NULL);
}

uint64_t standstill_end(struct standstill *standstill)
{
	uint64_t begin_ns = standstill->begin_ns;

	for (size_t i = 0; i < standstill->count; i++)
		let_go(standstill, &standstill->threads[i]);
	free(standstill->threads);
	*standstill = (struct standstill){ 0 };
	return begin_ns ? clock_now_ns(CLOCK_MONOTONIC) - begin_ns : 0;
}
