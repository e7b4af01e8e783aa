#include "standstill.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
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

#define BURY_NS 20000000 /* so often it is looked who has ended */

DEFINE_CLEANUP_PTR(DIR *, closedir)

struct held {
	pid_t tid;
	bool has_stopped;
	int signal; /* that it was just about to get: it gets it when it goes on */
};

struct standstill {
	pid_t pid;
	pthread_mutex_t lock; /* of the list, against bury_ended() */
	struct held *threads;
	size_t count, room;
	uint64_t begin_ns;
};

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

static bool has_ended(pid_t tid)
{
	struct proc_status status = { 0 };
	int error = proc_status_read_main(tid, &status);

	return error == -ESRCH || status.state == 'Z' || status.state == 'X';
}

/* Or until it has ended: then it is nobody's concern. */
static int wait_for_stop(const struct standstill *standstill, struct held *thread)
{
	const struct timespec piece = { .tv_nsec = 50000 };

	while (!has_stopped(thread->tid, &thread->signal)) {
		if (has_ended(thread->tid))
			return 0;
		if (clock_now_ns(CLOCK_MONOTONIC) > standstill->begin_ns + STANDSTILL_WAIT_NS)
			return -ETIMEDOUT;
		nanosleep(&piece, NULL);
	}
	thread->has_stopped = true;
	return 0;
}

/* What it would get is kept back for a moment, and nothing else is changed. */
static int hold(struct standstill *standstill, pid_t tid)
{
	int r;

	pthread_mutex_lock(&standstill->lock);
	r = array_make_room(&standstill->threads, &standstill->room, standstill->count);
	pthread_mutex_unlock(&standstill->lock);
	if (r)
		return -ENOMEM;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		int error = errno; /* -EPERM, too, of one that has ended and is not taken note of */

		return error == ESRCH || has_ended(tid) ? 0 : -error;
	}
	pthread_mutex_lock(&standstill->lock);
	standstill->threads[standstill->count++] = (struct held){ .tid = tid };
	pthread_mutex_unlock(&standstill->lock);
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
	for (size_t i = first; i < standstill->count && r == 0; i++)
		r = wait_for_stop(standstill, &standstill->threads[i]);
	return r;
}

static int explain(int error, pid_t pid, struct dhat_error *err)
{
	if (error == -EPERM)
		return dhat_error_set(err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				      "process %d cannot be stopped: a debugger holds it, or dhatd "
				      "may not use ptrace (a service's filter); without --stop it "
				      "is looked at while it runs",
				      (int)pid);
	if (error == -ETIMEDOUT)
		return dhat_error_set(err, ETIMEDOUT, DHAT_EXIT_FAILED,
				      "process %d does not stop: a thread of it waits in the "
				      "kernel; without --stop it is looked at while it runs",
				      (int)pid);
	return dhat_error_errno(err, -error, "cannot stop process %d", (int)pid);
}

struct run {
	struct standstill standstill;
	int (*look)(void *context);
	void *context;
	int result;
	uint64_t held_ns;
	struct dhat_error *err;
};

static void *run_still(void *run_)
{
	struct run *run = run_;
	struct standstill *standstill = &run->standstill;
	size_t found = 1;
	int r = 0;

	while (r == 0 && found)
		r = hold_new(standstill, &found);
	run->result = r ? explain(r, standstill->pid, run->err) : run->look(run->context);
	for (size_t i = 0; i < standstill->count; i++) {
		const struct held *thread = &standstill->threads[i];

		/* who has not stopped, or ended, is let go as this thread ends */
		if (thread->has_stopped)
			ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(uintptr_t)thread->signal);
	}
	run->held_ns = clock_now_ns(CLOCK_MONOTONIC) - standstill->begin_ns;
	return NULL;
}

/* A thread that calls execve() waits until the others have been taken note of, and who holds those
 * has to do that; meanwhile the kernel lets nobody hold a further one (cred_guard_mutex): so it is
 * not the holder who does it. The process's own end is its parent's to take. */
static void bury_ended(struct standstill *standstill)
{
	pthread_mutex_lock(&standstill->lock);
	for (size_t i = 0; i < standstill->count; i++)
		if (standstill->threads[i].tid != standstill->pid)
			waitpid(standstill->threads[i].tid, NULL, __WALL | WNOHANG);
	pthread_mutex_unlock(&standstill->lock);
}

static void wait_for(pthread_t holder, struct standstill *standstill)
{
	struct timespec until;
	int r;

	do {
		bury_ended(standstill);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += BURY_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		r = pthread_clockjoin_np(holder, NULL, CLOCK_MONOTONIC, &until);
	} while (r == ETIMEDOUT);
}

int standstill_run(pid_t pid, int (*look)(void *context), void *context, uint64_t *ret_ns,
		   struct dhat_error *err)
{
	struct run run = { .look = look, .context = context, .err = err };
	sigset_t all, old;
	pthread_t thread;
	int error;

	run.standstill = (struct standstill){ .pid = pid,
					      .lock = PTHREAD_MUTEX_INITIALIZER,
					      .begin_ns = clock_now_ns(CLOCK_MONOTONIC) };
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, NULL, run_still, &run);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error)
		return dhat_error_errno(err, error, "cannot begin a thread that stops process %d",
					(int)pid);
	wait_for(thread, &run.standstill);
	free(run.standstill.threads);
	*ret_ns = run.held_ns;
	return run.result;
}
