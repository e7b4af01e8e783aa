#pragma once
/* stack_walk: which words of a thread's stack belong to which function's frame.
 *
 * Pure but for the reading, which is the caller's: the kernel side's own walk (bpf/unwind.h), by
 * the same tables. A frame is told only where a rule proves it: its words reach from the stack
 * pointer in it (of the innermost, from what it may keep below) up to its CFA, where its caller's
 * begin. Where rules end and frame pointers would have to be trusted, the walk ends; where it turns
 * out to have gone astray, nothing is told.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/thread_state.h"
#include "daemon/target/unwinding.h"

#define STACK_WALK_MAX_FRAMES 256 /* of one thread, the innermost; further out: not told */

struct walked_frame {
	uint64_t start, end; /* its words */
	uint64_t pc;	     /* an address in the function whose frame it is */
	uint32_t thread;     /* the caller's number for it */
	bool is_outermost;   /* the thread began in its caller */
};

struct stack_walk_source {
	/* All of it: 0. Another number: it is not there. */
	int (*read)(void *context, uint64_t addr, void *buffer, size_t size);
	bool (*is_code)(void *context, uint64_t addr); /* is it executable memory? */
	void *context;
};

struct stack_walker;

/* Both stay the caller's, and must outlive it. NULL: no memory. */
struct stack_walker *stack_walker_new(const struct unwinding *unwinding,
				      const struct stack_walk_source *source);
void stack_walker_free(struct stack_walker *walker);

/* From the registers on; ret: room for STACK_WALK_MAX_FRAMES. Returns how many frames are told, the
 * innermost first; `thread` of them is 0. */
size_t stack_walk(struct stack_walker *walker, const struct dhat_thread_state *thread,
		  struct walked_frame *ret);
