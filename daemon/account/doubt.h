#pragma once
/* doubt: signs on a living process that something allocates which nobody counts.
 *
 * Pure. Two of them, since an allocator without name and without texts leaves no other:
 * - frees of blocks that nobody saw allocated, and that do not cease as those of blocks from before
 *   the attach do;
 * - anonymous memory that grows, and in which none of the probed allocators has a block.
 */
#include <stdbool.h>
#include <stdint.h>

/* ---- frees -------------------------------------------------------------------------------- */

/* Blocks from before are freed a while, and those that live long are replaced one by one: then
 * there are as many allocations as such frees. Many more frees than allocations, for so long, are
 * something else, or a large stock is being given up: calm windows take the suspicion back. */
#define DOUBT_WINDOW_NS 5000000000ull
#define DOUBT_WINDOWS 4 /* one after the other; the first after the attach is never counted */
#define DOUBT_WINDOW_FREES 100

struct doubt_frees {					 /* starts zeroed */
	uint64_t window_start_ns, allocs, unknown_frees; /* as the window began; 0: none began */
	unsigned suspicious, calm;			 /* windows in a row */
	bool is_settled;				 /* the first window is over */
	bool keep_coming;				 /* the answer */
};

/* To be called every second or so, with counts since the attach. */
void doubt_count_frees(struct doubt_frees *frees, uint64_t now_ns, uint64_t allocs,
		       uint64_t unknown_frees);

/* The least that an allocator hands out: jemalloc's. */
#define DOUBT_BLOCK_BYTES 8
/* More blocks than can have been there before, in so much memory, were never seen allocated. */
bool doubt_exceeds(uint64_t unknown_frees, uint64_t bytes_before);

/* ---- memory ------------------------------------------------------------------------------- */

/* Stacks of a thousand threads, the buffers of a program that maps some, are below that. */
#define DOUBT_MEMORY_BYTES (64ull << 20)

struct doubt_memory {
	uint64_t anonymous_bytes; /* in memory: RssAnon of /proc/PID/status */
	uint64_t live_bytes;	  /* of the heap, at its highest until then */
};

/* Has so much come in since `begin` that the heap cannot account for it, with an allocator's usual
 * overhead? The question is cheap; the answer may be fragmentation. */
bool doubt_grows(const struct doubt_memory *begin, const struct doubt_memory *now);

/* A thread's stack, as far as it has been used: mappings of threads are not told from others. */
#define DOUBT_STACK_BYTES (256u << 10)

struct doubt_weights {		/* of the anonymous memory in mappings … */
	uint64_t known_bytes;	/* … with a block of a probed allocator, about where blocks are */
	uint64_t unknown_bytes; /* … without one, and far from all, but for the main stack */
	uint64_t free_bytes;	/* of the probed allocators, wherever that is */
	uint64_t thread_count;
	bool has_generated_code;
};

/* Whether it is then to be called partial. A runtime that generates code keeps a heap of its own:
 * to be told, but nothing that was overlooked. */
enum doubt_finding { DOUBT_NONE, DOUBT_OWN_HEAP, DOUBT_UNKNOWN };
/* *ret_bytes: those that are nobody's, at the least. */
enum doubt_finding doubt_weigh(const struct doubt_weights *weights, uint64_t *ret_bytes);
