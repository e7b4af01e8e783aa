#pragma once
/* left_stack: where a thread's own stack ends while the thread runs on its signal stack.
 *
 * Then no stack pointer lies in its own, and what calls have left behind below would look like
 * memory that holds. The kernel has written the stack pointer of what a signal came upon onto the
 * signal stack, near its upper end, with that stack's own place and size beside it (struct
 * ucontext), by which it is known. Of signals within signals the outermost counts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/thread_state.h"

/* From the upper end down: the processor's state (11 KiB and more), the frame, and some. */
#define LEFT_STACK_BYTES 16384u

bool left_stack_has(const struct dhat_thread_state *thread);
/* Pure. words: the last ones of the signal stack. 0: it is not among them. */
uint64_t left_stack_pointer(const struct dhat_thread_state *thread, const uint64_t *words,
			    size_t count);
/* Of each thread that is on its signal stack, others: 0. Nothing is fetched back for it that was
 * swapped out. The caller frees. -ENOMEM. */
int left_stacks_find(pid_t pid, const struct dhat_thread_state *threads, size_t count,
		     uint64_t **ret);
