#pragma once
/* verdict: what every count means, and whether a profile is exact.
 *
 * Pure. Counters are numbered: the kernel side's first (enum dhat_counter), then the daemon's own.
 * A profile is exact when totals, live bytes and blocks, peaks, and their shares by stack are those
 * of all calls of the probed allocators since the observation began. So:
 * - a lost event, a block or a stack that could not be kept makes it inexact (a *loss*);
 * - a sample is no loss, and its figures are estimates: sampled, if nothing else is to be said;
 * - a stack that ends early does not: its bytes are right and at one place. It is a note;
 * - an allocator that was noticed and is not probed makes it partial (partial.h), and so does a
 *   list of the blocks from before the attach that is still being made;
 * - blocks from before the attach do not: numbers are from the attach on. But when a program was
 *   watched from its start there are none, and a free of an unknown block shows a missed one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "bpf/dhat_abi.h"
#include "proto/profile/verdict.h"

struct collector;
struct partials;

enum {
	COUNTER_MISSED_RUNS =
		DHAT_CTR_COUNT, /* recursion_misses of the BPF programs, all together */
	COUNTER_LATE_ALLOCATORS,
	COUNTER_UNSEEN_FUNCTIONS,
	COUNTER_TAKEN_PROBES,
	COUNTER_COPIED_PROBES,
	COUNTER_ANCHOR_GAPS,
	COUNTER_MALFORMED,
	COUNTER_OUT_OF_MEMORY,
	COUNTER_SEEN_TWICE,
	COUNTER_EXISTING_REPLACED,
	COUNTER_UNFINISHED_REALLOCS,
	COUNTER_IMPOSSIBLE_SIZES,
	COUNTER_BLOCKS_REFUSED,
	COUNTER_UNKNOWN_FREES,
	COUNTER_THREAD_CACHE_FREES,
	COUNTER_STACKS_REFUSED,
	COUNTER_LOST_STACK_BLOCKS,
	COUNTER_MAPPINGS_REFUSED,
	COUNTER_AFTER_EXEC,
	/* of the beginning, when unwind tables may still be being built */
	COUNTER_FIRST_STACKS, /* in verdict_facts.first_ns */
	COUNTER_FIRST_WHOLE,  /* those of them that are whole */
	COUNTER_COUNT
};

/* How the numbers came about. */
struct verdict_facts {
	bool from_start;       /* watched from before the first instruction */
	uint64_t sample_bytes; /* a block was recorded for each so many; 0: all were */
	/* all were until then, for so long (heap_begin_sample()); 0: it was a sample from the
	 * start on */
	uint64_t sampled_since_unix_ns, exact_ns;
	uint64_t unknown_bytes; /* heap_totals.unknown_free_bytes */
	bool frees_keep_coming; /* of unknown blocks, too many for too long: doubt.h */
	uint64_t first_ns; /* how long the beginning was: a second, or all there is; 0: not known */
	bool is_listing;   /* blocks from before the attach: not all are known yet */
	const struct partials *partials; /* NULL: none */
	const char *probed; /* the allocators that are, for a partial one: "glibc 2.36" */
};

struct counter {
	const char *name, *meaning; /* static */
	bool is_loss;		    /* above 0 it makes a profile inexact */
};

/* i < COUNTER_COUNT. */
struct counter counters_at(unsigned i, const struct verdict_facts *facts);

/* The daemon's own counters that a collector, its heap and its stacks know: all but
 * COUNTER_MISSED_RUNS, COUNTER_LATE_ALLOCATORS, COUNTER_UNSEEN_FUNCTIONS,
 * COUNTER_TAKEN_PROBES, COUNTER_COPIED_PROBES, COUNTER_ANCHOR_GAPS and those of the beginning. */
void counters_fill(uint64_t values[COUNTER_COUNT], const struct collector *collector);

struct verdict {
	enum dhat_verdict word;
	char **reasons; /* NULL-terminated sentences: why it is not exact; losses first */
	char **notes;	/* NULL-terminated sentences: what to know though the figures are right */
};

/* values: all counters. The caller frees *ret with verdict_free(). */
int verdict_new(const uint64_t values[COUNTER_COUNT], const struct verdict_facts *facts,
		struct verdict **ret);
void verdict_free(struct verdict *verdict);
