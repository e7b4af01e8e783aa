#pragma once
/* collector_thread: empties the rings of all targets, one batch a turn.
 *
 * It never waits for anything that belongs to one target: the others' rings would fill meanwhile.
 * What takes long is the mapper's or the closer's. */
#include "target.h"

struct collector_thread;

struct collector_hooks { /* called from the thread, with no lock */
	/* References to the targets that are to be served, in an array, which is freed. -ENOMEM: it
	 * is asked again soon. Keeps P1: one of them may stand still until it is served. */
	int (*list)(void *context, struct target ***ret, size_t *ret_count);
	/* The process has ended. Until the list says otherwise this comes again. */
	void (*exited)(void *context, struct target *target);
	void *context;
};

int collector_thread_new(const struct collector_hooks *hooks, struct collector_thread **ret);
void collector_thread_free(struct collector_thread *thread); /* after the turn at hand */

/* From now on what happens at a target's descriptors wakes it, until they are closed. */
int collector_thread_watch(struct collector_thread *thread, struct target *target);
/* The list has grown. */
void collector_thread_wake(struct collector_thread *thread);
/* How often it has looked after all targets so far: what stands still is stuck. */
uint64_t collector_thread_turns(const struct collector_thread *thread);
