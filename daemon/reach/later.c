#include "later.h"

#include <errno.h>
#include <stdlib.h>

#define LATER_LEAST 65536 /* young ones that are fine in a small heap, too */

int reach_later_begin(struct reach_later *later, struct reach_block *blocks, uint32_t count,
		      struct room *room)
{
	const struct reach_places places = reach_places_of(blocks, count);

	int r;

	*later = (struct reach_later){ .blocks = blocks,
				       .young_most = count + LATER_LEAST,
				       .share = { .room = room } };
	r = room_claim(&later->share, reach_finder_bytes(&places));
	if (r)
		return r;
	for (uint32_t i = 0; i < count; i++)
		blocks[i].flags |= REACH_BLOCK_GONE;
	return reach_finder_init(&later->finder, &places);
}

void reach_later_deinit(struct reach_later *later)
{
	reach_finder_deinit(&later->finder);
	free(later->young);
	room_return_all(&later->share);
	*later = (struct reach_later){ 0 };
}

/* The same block: the birth says so, which realloc keeps. */
static int meet(struct reach_later *later, const struct reach_block *block)
{
	uint32_t at = reach_finder_find(&later->finder, block->addr);
	int r;

	if (at != REACH_NONE && later->blocks[at].birth_ns == block->birth_ns) {
		later->blocks[at].flags &= ~(unsigned)REACH_BLOCK_GONE;
		return 0;
	}
	if (later->young_count == later->young_most)
		return -EBUSY;
	r = room_make_room(&later->share, &later->young, &later->young_room, later->young_count);
	if (r == 0)
		later->young[later->young_count++] = *block;
	return r;
}

static int settle(struct reach_later *later)
{
	int r = 0;

	for (enum reach_nearness what = REACH_NEAR_BUCKET; what <= REACH_NEAR_BLOCKS; what++)
		for (uint32_t i = 0; i < later->waiting_count; i++)
			reach_finder_prefetch(&later->finder, later->waiting[i].addr, what);
	for (uint32_t i = 0; i < later->waiting_count && r == 0; i++)
		r = meet(later, &later->waiting[i]);
	later->waiting_count = 0;
	return r;
}

int reach_later_add(struct reach_later *later, const struct reach_block *block)
{
	later->waiting[later->waiting_count++] = *block;
	return later->waiting_count < LATER_WAITING ? 0 : settle(later);
}

/* Where two are at one address, a pool's and that of whoever gave it its memory, the table has the
 * younger one: if that is still there the other one is nothing new. */
static bool is_new(struct reach_later *later, const struct reach_block *young)
{
	uint32_t at = reach_finder_find(&later->finder, young->addr);

	return at == REACH_NONE || later->blocks[at].flags & REACH_BLOCK_GONE;
}

int reach_later_end(struct reach_later *later)
{
	size_t kept = 0;
	int r = settle(later);

	for (size_t i = 0; i < later->young_count && r == 0; i++)
		if (is_new(later, &later->young[i]))
			later->young[kept++] = later->young[i];
	later->young_count = kept;
	reach_sort(later->young, &later->young_count);
	return r;
}
