#pragma once
/* candidates: blocks that may be lost: those that no scan has reached so far.
 *
 * Pure. In the table of a scan they have a flag, REACH_BLOCK_CANDIDATE, which the next one's keeps
 * (renew.h). Those that were said to be lost (book.h) are listed, since between two questions there
 * is no table: a block is known by its address and its birth.
 */
#include "daemon/reach/mark.h"

/* After the first scan: all that it did not reach. Returns how many they are. */
size_t candidates_begin(const struct reach_graph *graph, const struct reach_mark *mark,
			struct reach_block *blocks);
/* After a further one: those that are there still, and not reached, stay. Returns how many. */
size_t candidates_keep(const struct reach_graph *graph, const struct reach_mark *mark,
		       struct reach_block *blocks);

struct candidate {
	uint64_t addr, birth_ns;
	uint32_t point;
};

struct candidate_list {
	struct candidate *list; /* by address */
	size_t count;
};

void candidate_list_deinit(struct candidate_list *list);
/* Of a table so many at the most, as many of each site as there are of those that have more, spread
 * over its addresses. What it takes meanwhile is of the graph's room. -ENOMEM, -ENOSPC. */
int candidate_list_sample(const struct reach_graph *graph, size_t most, struct candidate_list *ret);
/* Those that a scan finds there still, and not reached, or in a way that proves nothing, stay; the
 * others are visited. */
void candidate_list_check(struct candidate_list *list, const struct reach_graph *graph,
			  const struct reach_mark *mark,
			  void (*visit)(void *context, const struct candidate *candidate),
			  void *context);
