#pragma once
/* table: the live blocks of one moment by their address, and which of them a word may point to.
 *
 * Pure. What is in it may be made up by an enemy, or be from a table that was copied while blocks
 * came and went: blocks may overlap, or have no size.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REACH_MAX_BLOCKS ((1u << 30) - 1) /* an edge has 30 bits for one */

struct reach_block {
	uint64_t addr, size_bytes, birth_ns;
	uint32_t point;
	uint32_t flags; /* REACH_BLOCK_… */
};
#define REACH_BLOCK_SHARED 1u  /* another one begins in it: it is said to end there */
#define REACH_BLOCK_GONE 2u    /* freed since the table was made */
#define REACH_BLOCK_ANEW 4u    /* GONE, and where it was is a younger one */
#define REACH_BLOCK_UNASKED 8u /* holds others, but is in no sum */
#define REACH_BLOCK_UNCOUNTED (REACH_BLOCK_GONE | REACH_BLOCK_UNASKED)

/* Sorts by address, in place. Of several at one address the youngest stays; one that reaches into
 * the next is cut there. -ENOMEM: nothing has changed. *count becomes what is left. */
int reach_sort(struct reach_block *blocks, size_t *count);
/* The block that begins there; count if none does. */
size_t reach_find(const struct reach_block *blocks, size_t count, uint64_t addr);
/* The last that begins at or below; count if none does. */
size_t reach_find_below(const struct reach_block *blocks, size_t count, uint64_t addr);

/* ---- which block does a word point to? ----
 *
 * Blocks lie in runs, each with an index of where its buckets of addresses begin; buckets are as
 * wide as makes them at most two a block. So a search is one bucket's few blocks. */
struct reach_finder {
	const uint64_t *addrs, *sizes; /* borrowed; by address, not overlapping */
	uint32_t count;
	uint64_t lowest, highest; /* no block begins below, or ends above */
	struct reach_run *runs;
	uint32_t run_count, last_run;
	uint32_t *firsts; /* of all buckets: the first block that begins in it or later */
};

/* -EINVAL: not sorted, or overlapping. */
int reach_finder_init(struct reach_finder *finder, const uint64_t *addrs, const uint64_t *sizes,
		      uint32_t count);
void reach_finder_deinit(struct reach_finder *finder);

enum reach_kind {
	REACH_START,  /* to where the block begins */
	REACH_INSIDE, /* further in */
	REACH_PAST,   /* to where it ends, and none begins */
	REACH_TAGGED, /* if the upper 16 bits, or the lower, are no part of the address */
};
#define REACH_KIND_SHIFT 30

/* An edge: block | kind << REACH_KIND_SHIFT; REACH_NONE: the word points to none. */
#define REACH_NONE UINT32_MAX
uint32_t reach_point(struct reach_finder *finder, uint64_t word);

/* The same of a few words, without an index, and without tags. */
uint32_t reach_point_in(const struct reach_block *blocks, uint32_t count, uint64_t word);

static inline uint32_t reach_target(uint32_t edge)
{
	return edge & ((1u << REACH_KIND_SHIFT) - 1);
}

static inline enum reach_kind reach_kind(uint32_t edge)
{
	return edge >> REACH_KIND_SHIFT;
}
