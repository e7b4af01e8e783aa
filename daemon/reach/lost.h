#pragma once
/* lost: of blocks that nothing reaches, how they hang together.
 *
 * Pure. Strongly connected parts, by Tarjan's algorithm as Pearce has it (Information Processing
 * Letters 116, 2016), without recursion: a list may be as long as there are blocks. Blocks may be
 * lost by the ten million, so it takes 4 bytes for each of them, and finds room for 4 more where a
 * mark has none of a block that is not reached; what a block is comes into its flags.
 */
#include "mark.h"

enum reach_lost { /* REACH_BLOCK_LOST */
		  REACH_LOST_NOT,
		  REACH_LOST_ALONE, /* no block points to it */
		  REACH_LOST_UNDER, /* only lost blocks do */
		  REACH_LOST_CYCLE, /* it is one of a cycle of lost blocks, or points to itself */
};

static inline enum reach_lost reach_lost_kind(const struct reach_block *block)
{
	return (block->flags & REACH_BLOCK_LOST) >> REACH_BLOCK_LOST_SHIFT;
}

static inline void reach_lost_set(struct reach_block *block, enum reach_lost kind)
{
	block->flags = (block->flags & ~REACH_BLOCK_LOST) | (unsigned)kind
								    << REACH_BLOCK_LOST_SHIFT;
}

/* Parts of lost blocks, while they are looked at: until then nothing else may look at the mark. */
struct reach_lost_parts {
	const struct reach_graph *graph;
	struct reach_block *blocks; /* the graph's */
	/* chains_of of the mark. Of a lost block: REACH_PART_DONE, and the number of one of its
	 * part's blocks. */
	uint32_t *slots;
	uint32_t *list; /* room for as many as are lost */
	uint32_t count; /* lost blocks */
	struct room_share share;
};
#define REACH_PART_DONE (1u << 31)

/* blocks: the graph's; those that are lost are REACH_LOST_ALONE, are not reached, and become what
 * they are. -ENOMEM, -ENOSPC: and the mark is as it was. */
int reach_lost_parts_find(const struct reach_graph *graph, struct reach_block *blocks,
			  struct reach_mark *mark, struct reach_lost_parts *ret);
/* The mark is as it was. */
void reach_lost_parts_deinit(struct reach_lost_parts *parts);
