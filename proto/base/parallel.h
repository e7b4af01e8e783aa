#pragma once
/* parallel: what takes long, done by several threads, while the caller's goes on giving signs of
 * life. */
#include <stddef.h>

#define PARALLEL_THREADS_MAX 8
#define PARALLEL_STEP_NS 100000000ull

struct parallel {
	void (*one)(void *context, size_t number); /* of 0 … count - 1 each once, by any thread */
	/* by the caller's thread, about each PARALLEL_STEP_NS until all is done; NULL is fine */
	void (*step)(void *context);
	void *context, *step_context;
};

/* Returns when all is done. By PARALLEL_THREADS_MAX threads; where none can be had by the caller's,
 * one after the other. */
void parallel_run(const struct parallel *parallel, size_t count);
