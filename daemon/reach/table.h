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
#define REACH_ADDRESS_BITS 48
#define REACH_MAX_ADDRESS                                                                          \
	((1ull << REACH_ADDRESS_BITS) - 1) /* what ends further up is in no table */
#define REACH_MAX_POINT ((1u << 24) - 1)

/* Where a block is, for whoever needs no more of it. (gcc calculates with such numbers in so many
 * bits, in which the sum of both has room.) */
struct reach_place {
	uint64_t addr : REACH_ADDRESS_BITS, size_bytes : REACH_ADDRESS_BITS;
} __attribute__((packed, aligned(4), may_alias));
_Static_assert(sizeof(struct reach_place) == 12, "what a block costs in the worker");

struct reach_block { /* begins as a place does */
	uint64_t addr : REACH_ADDRESS_BITS, size_bytes : REACH_ADDRESS_BITS;
	uint64_t birth_ns;
	uint32_t point : 24, flags : 8; /* REACH_BLOCK_… */
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct reach_block) == 24, "what a block costs in the table");
#define REACH_BLOCK_SHARED 1u  /* another one begins in it: it is said to end there */
#define REACH_BLOCK_GONE 2u    /* freed since the table was made */
#define REACH_BLOCK_ANEW 4u    /* GONE, and where it was is a younger one */
#define REACH_BLOCK_UNASKED 8u /* holds others, but is in no sum */
#define REACH_BLOCK_UNCOUNTED (REACH_BLOCK_GONE | REACH_BLOCK_UNASKED)
#define REACH_BLOCK_CANDIDATE 16u /* no scan has reached it so far */
#define REACH_BLOCK_LOST_SHIFT 5  /* two bits: enum reach_lost (lost.h) */
#define REACH_BLOCK_LOST (3u << REACH_BLOCK_LOST_SHIFT)

/* Blocks, or places alone, one behind the other. */
struct reach_places {
	const void *first;
	size_t stride;
	uint32_t count;
};

static inline struct reach_places reach_places_of(const struct reach_block *blocks, uint32_t count)
{
	return (struct reach_places){ blocks, sizeof(*blocks), count };
}

static inline const struct reach_place *reach_place_at(const struct reach_places *places,
						       uint32_t i)
{
	return (const struct reach_place *)((const char *)places->first + i * places->stride);
}

/* Can it be in a table? */
bool reach_has_room_for(uint64_t addr, uint64_t size_bytes, uint32_t point);

/* Sorts by address, in place. Of several at one address the youngest stays; one that reaches into
 * the next is cut there. *count becomes what is left. */
void reach_sort(struct reach_block *blocks, size_t *count);
/* The block that begins there; count if none does. */
size_t reach_find(const struct reach_block *blocks, size_t count, uint64_t addr);
/* The last that begins at or below; count if none does. */
size_t reach_find_below(const struct reach_block *blocks, size_t count, uint64_t addr);

/* ---- which block does a word point to? ----
 *
 * Blocks lie in runs, each with an index of where its buckets of addresses begin; buckets are as
 * wide as makes one of some four blocks, or more. So a search is one bucket's few blocks. */
struct reach_finder {
	struct reach_places places; /* borrowed; by address, not overlapping */
	uint64_t lowest, highest;   /* no block begins below, or ends above */
	struct reach_run *runs;
	uint32_t run_count, last_run;
	uint32_t *firsts; /* of all buckets: the first block that begins in it or later */
};

/* -EINVAL: not sorted, or overlapping. */
int reach_finder_init(struct reach_finder *finder, const struct reach_places *places);
void reach_finder_deinit(struct reach_finder *finder);
/* At most: what it takes for these. */
uint64_t reach_finder_bytes(const struct reach_places *places);
/* The block that begins there; REACH_NONE if none does. */
uint32_t reach_finder_find(struct reach_finder *finder, uint64_t addr);
/* It will be asked for soon: bring near its bucket, and when that has come, its blocks. */
enum reach_nearness { REACH_NEAR_BUCKET, REACH_NEAR_BLOCKS };
void reach_finder_prefetch(struct reach_finder *finder, uint64_t addr, enum reach_nearness what);

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
