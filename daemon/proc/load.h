#pragma once
/* load: how much of a process's time goes into its allocator.
 *
 * By sampling where its threads are (perf's CPU clock): nothing is attached to the process, and it
 * is not stopped. From the share and what a call takes, the number of calls is an estimate.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/error.h"

struct load_range { /* [start, end) of the process's memory: code of an allocator */
	uint64_t start, end;
};

struct load {
	uint64_t samples;		/* in user code, while it ran */
	uint64_t inside;		/* of them, in one of the ranges */
	uint64_t cpu_ns, wall_ns;	/* of all threads looked at; of the clock */
	size_t threads, unseen_threads; /* beyond LOAD_MAX_THREADS */
};

#define LOAD_MAX_THREADS 64
#define LOAD_SAMPLES_PER_SECOND 4000 /* of each thread's CPU time */

/* Takes duration_ns. */
int load_measure(pid_t pid, const struct load_range *ranges, size_t count, uint64_t duration_ns,
		 struct load *ret, struct dhat_error *err);

/* What a call of an allocator takes by itself, on average: measured as 3 ns (glibc, blocks that
 * its thread cache holds) to some 40 (others, contended). */
#define LOAD_CALL_NS 15
/* Calls a second that such a load means. */
double load_calls_per_second(const struct load *load);
