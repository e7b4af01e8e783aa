#pragma once
/* standstill: the threads of a process do not run while it is looked at. By wish only.
 *
 * By ptrace(2) and not by signals: the kernel lets all of them go when whoever holds them ends,
 * however that is, and neither the parent nor a shell sees a stop. The price is that of every stop:
 * a call that waits returns early, once, where the kernel cannot begin it again: epoll_wait, semop,
 * recv with a timeout and sigtimedwait give EINTR. A cgroup's freezer does the same.
 *
 * All is done by one thread, the one that began: it is the one who holds them.
 */
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

#define STANDSTILL_WAIT_NS 2000000000ull /* a thread that does not stop by then: it is given up */

struct standstill_thread {
	pid_t tid;
	int signal; /* that it was just about to get: it gets it when it goes on */
};

struct standstill { /* zeroed: nobody is held */
	pid_t pid;
	struct standstill_thread *threads;
	size_t count, room;
	uint64_t begin_ns;
};

/* All threads, those that are made meanwhile, too. -EPERM: a debugger holds it, or rights are
 * missing; -ESRCH: it has ended; -ETIMEDOUT: a thread waits in the kernel where nothing stops it.
 * Nobody is held after a failure. */
int standstill_begin(pid_t pid, struct standstill *ret, struct dhat_error *err);
/* They go on. Returns for how long they were held. */
uint64_t standstill_end(struct standstill *standstill);
