#pragma once
/* thread_frames: whose frames, of which functions, stacks consist of, while they are looked at.
 *
 * Nothing is stopped, and a stack that is being used changes while it is read. So frames are told
 * of a thread only if it provably did not run from when its registers were read, before the scan's
 * first word, until after the walk: no processor had it at either time, and none has turned from it
 * between (bpf/thread_state.h). Of others only the thread is known. Words of stacks that were
 * swapped out are not fetched back for this.
 */
#include "daemon/proc/procmaps.h"
#include "stack_walk.h"

struct target;

struct thread_frames {
	struct walked_frame *list; /* ascending, not overlapping */
	size_t count;
};

#define THREAD_FRAMES_MAX 65536 /* of all threads; further ones have none */

struct thread_frames_facts {
	struct target *target;
	pid_t pid;
	const struct procmaps *maps;		 /* of the scan */
	const struct dhat_thread_state *threads; /* a frame's `thread` is a number in here */
	size_t thread_count;
};

/* What cannot be had is not known. -ENOMEM. */
int thread_frames_find(const struct thread_frames_facts *facts, struct thread_frames *ret);
void thread_frames_deinit(struct thread_frames *frames);

/* The last frame that begins at or below an address; NULL: none. It may end below. */
const struct walked_frame *thread_frames_below(const struct thread_frames *frames, uint64_t addr);

/* Pure. Did it run between two looks at it, or may it have? */
bool thread_frames_has_run(const struct dhat_thread_state *before,
			   const struct dhat_thread_state *after);
