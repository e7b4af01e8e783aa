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
	uint64_t sample_ns;		/* of CPU time that each stands for */
	uint64_t cpu_ns, wall_ns;	/* of all threads looked at; of the clock */
	size_t threads, unseen_threads; /* beyond LOAD_MAX_THREADS */
};

#define LOAD_MAX_THREADS 64

struct load_wish {
	uint64_t duration_ns; /* at most */
	uint64_t sample_ns;   /* of each thread's CPU time; the kernel makes it 10 us at least */
	uint64_t enough;      /* so many inside, and it is over; 0: the whole duration */
};
int load_measure(pid_t pid, const struct load_range *ranges, size_t count,
		 const struct load_wish *wish, struct load *ret, struct dhat_error *err);

/* Calls of up to LOAD_PLACES addresses, counted by the processor's breakpoints (perf's: memory is
 * not written, and nothing is stopped), in the threads that there are. Each hit costs the process
 * up to 20 us, in a virtual machine: so it is over after duration_ns, or after LOAD_ENOUGH_HITS.
 * -ERANGE: that was so soon that the hits themselves had a part in it; other errors: there are no
 * such breakpoints, or they are in use, or (-EOPNOTSUPP) are never met here, not even by us. */
#define LOAD_PLACES 4
#define LOAD_ENOUGH_HITS 400
struct load_count {
	uint64_t hits[LOAD_PLACES];
	uint64_t wall_ns;
};
int load_count(pid_t pid, const uint64_t *places, size_t count, uint64_t duration_ns,
	       struct load_count *ret);

/* What a call of an allocator takes by itself, on average: measured as 3 ns (glibc, blocks that
 * its thread cache holds) to some 40 (others, contended). */
#define LOAD_CALL_NS 15
#define LOAD_FASTEST_CALL_NS 3
#define LOAD_FEW 5 /* inside: below that a rate would be made of noise */
/* Calls a second that such a load means. */
double load_calls_per_second(const struct load *load);
/* How many they are at most, of less than LOAD_FEW samples inside: by what so few samples leave
 * possible (Poisson, 95 %), by the process's CPU time, and if each call is as fast as can be. */
double load_calls_at_most(const struct load *load);
