#pragma once
/* mark: what is reached from roots, how surely, and by which way.
 *
 * Pure. Levels (memory.h) are gone through one after the other, each by its shortest ways, those
 * from young blocks last; the first that reaches a block is the block's. Ways are kept as chains of
 * sites: a site is the program point of a block's allocation. Blocks of one site that hold one
 * another are one link, and a site comes in a chain but once, so that a list of a million nodes has
 * one chain, and so has a list whose nodes and values alternate.
 */
#include "graph.h"

#define REACH_MAX_CHAINS (1u << 20)
#define REACH_MAX_LINKS 48 /* of a chain; what is further away is one chain more */

struct reach_chain {
	uint32_t parent; /* what holds it; 0: nothing does, it is a root */
	uint32_t site;	 /* of a block; of a root the number of its name */
	uint8_t level, depth;
	bool is_root, is_cut;	/* is_cut: more links, or more chains, than there is room for */
	uint64_t blocks, bytes; /* of its site that it holds */
	uint64_t entries;	/* words that lead from the parent into it */
};

struct reach_mark {
	uint32_t reached;	    /* blocks */
	uint32_t *chains_of;	    /* of each block; 0: it is not reached */
	struct reach_chain *chains; /* from 1 on */
	uint32_t chain_count;
	uint32_t *ways; /* reach_mark_ways(): of each block the one it was reached from, + 1; 0: a
			   root, or nothing */

	/* private */
	size_t chain_room;
	struct room_share share;
	uint32_t *buckets;
	uint32_t bucket_count;
};

/* Roots are named: the class of each is that of its name. GONE blocks hold, as memory that was
 * freed; they and UNASKED ones are counted in no chain. -ENOMEM, -ENOSPC. */
int reach_mark(const struct reach_graph *graph, struct reach_mark *ret);
/* The same, with ways: 4 bytes more for each block. */
int reach_mark_ways(const struct reach_graph *graph, struct reach_mark *ret);
void reach_mark_deinit(struct reach_mark *mark);

static inline enum reach_level reach_level_of(const struct reach_mark *mark, uint32_t block)
{
	return mark->chains[mark->chains_of[block]].level;
}
