#pragma once
/* standstill: the threads of a process do not run while it is looked at. By wish only.
 *
 * By ptrace(2) and not by signals: the kernel lets all of them go when whoever holds them ends,
 * however that is, and neither the parent nor a shell sees a stop. The price is that of every stop:
 * a call that waits returns early, once, where the kernel cannot begin it again: epoll_wait, semop,
 * recv with a timeout and sigtimedwait give EINTR. A cgroup's freezer does the same.
 *
 * Whoever is held is let go by the kernel, at the latest, when the thread that holds it ends: so
 * that is one of its own, which does nothing else.
 */
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

#define STANDSTILL_WAIT_NS 2000000000ull /* until all have stopped; else they are let go */

/* Calls look(context) while all threads of the process, those that are made meanwhile, too, stand
 * still; they go on when it returns. Returns what it returns. *ret_ns: for how long they were held,
 * after a failure, too. Failures: -EPERM: a debugger holds it, or rights are missing; -ESRCH: it
 * has ended; -ETIMEDOUT: a thread waits in the kernel where nothing stops it; look was not called
 * then, and nobody is held. */
int standstill_run(pid_t pid, int (*look)(void *context), void *context, uint64_t *ret_ns,
		   struct dhat_error *err);
