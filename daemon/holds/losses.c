#include "losses.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

void losses_deinit(struct losses *losses)
{
	free(losses->cycles);
	room_return_all(&losses->share);
	*losses = (struct losses){ 0 };
}

static bool is_lost(const struct reach_graph *graph, const struct reach_mark *mark,
		    const struct book_watch *watch, uint32_t i)
{
	const struct reach_block *block = &graph->blocks[i];

	return block->flags & REACH_BLOCK_CANDIDATE && !(block->flags & REACH_BLOCK_GONE) &&
	       reach_level_of(mark, i) == REACH_UNREACHED &&
	       !(watch && book_withdrawn(watch, block->point));
}

int losses_find(const struct reach_graph *graph, struct reach_mark *mark,
		struct reach_block *blocks, bool may_be, const struct book_watch *watch,
		struct losses *ret)
{
	_cleanup_(losses_deinit) struct losses losses = { .share = { .room = graph->room } };
	struct reach_lost_parts parts = { 0 };
	int r;

	for (uint32_t i = 0; i < graph->count; i++)
		reach_lost_set(&blocks[i], may_be && is_lost(graph, mark, watch, i)
						   ? REACH_LOST_ALONE
						   : REACH_LOST_NOT);
	r = room_claim(&losses.share, REACH_MAX_CYCLES * sizeof(*losses.cycles));
	if (r == 0)
		r = reach_lost_parts_find(graph, blocks, mark, &parts);
	losses.count = parts.count;
	if (r == 0)
		r = reach_cycles(&parts, &losses.cycles, &losses.cycle_count);
	reach_lost_parts_deinit(&parts);
	if (r)
		return r;
	*ret = losses;
	losses = (struct losses){ 0 };
	return 0;
}
