#include "renew.h"

#include <errno.h>

void reach_renew_deinit(struct reach_renewal *renewal)
{
	reach_finder_deinit(&renewal->finder);
	room_return_all(&renewal->share);
}

static void begin_turn(struct reach_renewal *renewal)
{
	for (size_t i = 0; i < renewal->count; i++)
		renewal->blocks[i].flags |= REACH_BLOCK_GONE;
	renewal->added = renewal->left_out = renewal->waiting_count = 0;
	renewal->is_refused = false;
	renewal->most_added = renewal->count / RENEW_SHARE + RENEW_LEAST;
	/* what has gone has left its memory */
	if (renewal->room_count > renewal->count &&
	    renewal->most_added < renewal->room_count - renewal->count)
		renewal->most_added = renewal->room_count - renewal->count;
	if (!renewal->count)
		renewal->most_added = REACH_MAX_BLOCKS;
}

int reach_renew_begin(struct reach_renewal *renewal)
{
	const struct reach_places places = reach_places_of(renewal->blocks, renewal->count);
	int r;

	renewal->share.room = renewal->room;
	if (renewal->room_count < renewal->count)
		renewal->room_count = renewal->count;
	r = room_claim(&renewal->share, reach_finder_bytes(&places));
	if (r)
		return r;
	begin_turn(renewal);
	return reach_finder_init(&renewal->finder, &places);
}

static int append(struct reach_renewal *renewal, const struct reach_block *block)
{
	size_t count = renewal->count + renewal->added;
	int r;

	if (renewal->added >= renewal->most_added) {
		renewal->left_out++;
		return 0;
	}
	if (count >= REACH_MAX_BLOCKS)
		return -E2BIG;
	r = renewal->make_room(renewal->context, count + 1, &renewal->blocks);
	if (r == -ENOSPC && renewal->count) {
		/* where blocks have gone there is room, in the next turn */
		renewal->is_refused = true;
		renewal->most_added = 0;
		renewal->left_out++;
		return 0;
	}
	if (r)
		return r;
	renewal->finder.places.first = renewal->blocks;
	renewal->blocks[count] = *block;
	renewal->blocks[count].flags = 0;
	renewal->added++;
	return 0;
}

/* The same block: the birth says so, which realloc keeps. Its size may be another one, and what it
 * was cut to for another that began in it is forgotten. */
static int meet(struct reach_renewal *renewal, const struct reach_block *block)
{
	uint32_t at = reach_finder_find(&renewal->finder, block->addr);
	struct reach_block *known = at != REACH_NONE ? &renewal->blocks[at] : NULL;

	if (!known || known->birth_ns != block->birth_ns)
		return append(renewal, block);
	known->flags &= REACH_BLOCK_CANDIDATE;
	known->size_bytes = block->size_bytes;
	known->point = block->point;
	return 0;
}

static int settle(struct reach_renewal *renewal)
{
	int r = 0;

	for (enum reach_nearness what = REACH_NEAR_BUCKET; what <= REACH_NEAR_BLOCKS; what++)
		for (uint32_t i = 0; i < renewal->waiting_count; i++)
			reach_finder_prefetch(&renewal->finder, renewal->waiting[i].addr, what);
	for (uint32_t i = 0; i < renewal->waiting_count && r == 0; i++)
		r = meet(renewal, &renewal->waiting[i]);
	renewal->waiting_count = 0;
	return r;
}

int reach_renew_add(struct reach_renewal *renewal, const struct reach_block *block)
{
	renewal->waiting[renewal->waiting_count++] = *block;
	return renewal->waiting_count < RENEW_WAITING ? 0 : settle(renewal);
}

int reach_renew_end(struct reach_renewal *renewal)
{
	size_t kept = 0, all;
	int r = settle(renewal);

	reach_renew_deinit(renewal);
	if (r)
		return r;
	all = renewal->count + renewal->added;
	renewal->room_count = renewal->room_count > all ? renewal->room_count : all;
	for (size_t i = 0; i < all; i++)
		if (!(renewal->blocks[i].flags & REACH_BLOCK_GONE))
			renewal->blocks[kept++] = renewal->blocks[i];
	if (kept)
		reach_sort(renewal->blocks, &kept);
	renewal->count = kept;
	if (!renewal->left_out)
		return 0;
	if (renewal->is_refused && kept == all)
		return -ENOSPC;
	return ++renewal->turns < RENEW_MAX_TURNS ? 1 : -EBUSY;
}
