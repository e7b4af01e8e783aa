#include "losses.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

void losses_deinit(struct losses *losses)
{
	free(losses->blocks);
	free(losses->kinds);
	free(losses->cycles);
	room_return_all(&losses->share);
	*losses = (struct losses){ 0 };
}

static int list_blocks(const struct reach_graph *graph, const struct reach_mark *mark,
		       const struct candidates *candidates, const struct book_watch *watch,
		       struct losses *losses)
{
	size_t most = candidates ? candidates->count : 0;
	int r = room_claim(&losses->share, (most + 1) * sizeof(*losses->blocks));

	if (r)
		return r;
	losses->blocks = malloc((most + 1) * sizeof(*losses->blocks));
	if (!losses->blocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < graph->count && most; i++) {
		const struct reach_block *block = &graph->blocks[i];

		if (!(block->flags & REACH_BLOCK_GONE) &&
		    reach_level_of(mark, i) == REACH_UNREACHED &&
		    candidates_have(candidates, block) &&
		    !(watch && book_withdrawn(watch, block->point)))
			losses->blocks[losses->count++] = i;
	}
	return 0;
}

int losses_find(const struct reach_graph *graph, const struct reach_mark *mark,
		const struct candidates *candidates, const struct book_watch *watch,
		struct losses *ret)
{
	_cleanup_(losses_deinit) struct losses losses = { .share = { .room = graph->room } };
	_cleanup_free_ uint32_t *parts = NULL;
	int r = list_blocks(graph, mark, candidates, watch, &losses);
	uint64_t part_bytes = losses.count * sizeof(*parts);

	if (r == 0)
		r = room_claim(&losses.share, losses.count * sizeof(*losses.kinds) + part_bytes +
						      REACH_MAX_CYCLES * sizeof(*losses.cycles));
	if (r == 0)
		r = reach_lost_kinds(graph, losses.blocks, losses.count, &losses.kinds, &parts);
	if (r == 0)
		r = reach_cycles(graph, losses.blocks, losses.count, losses.kinds, parts,
				 &losses.cycles, &losses.cycle_count);
	if (r)
		return r;
	room_return(&losses.share, part_bytes);
	*ret = losses;
	losses = (struct losses){ 0 };
	return 0;
}
