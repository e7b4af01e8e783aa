#pragma once
/* threads: what the threads of a process hold in registers.
 *
 * Asked of the kernel by a program that walks over its tasks: nothing is stopped, and no call of
 * the process returns early, as with ptrace(2), of which epoll_wait and others notice. A thread
 * that runs has the registers of when it entered the kernel last, a tick ago at most.
 */
#include <stddef.h>
#include <sys/types.h>

#include "bpf/thread_state.h"
#include "proto/base/error.h"

/* The caller frees. An error: this kernel does not tell; -ESRCH: there is no such process. */
int threads_read(pid_t pid, struct dhat_thread_state **ret, size_t *ret_count,
		 struct dhat_error *err);
