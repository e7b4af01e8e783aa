#pragma once
/* ranking: the program points of a snapshot, largest first. Pure. */
#include <stddef.h>

#include "proto/profile/rendering.h"

enum ranking_key {
	RANK_BY_LIVE = 0, /* bytes now */
	RANK_BY_TOTAL,	  /* bytes ever */
	RANK_BY_PEAK,	  /* bytes at t-gmax */
	RANK_BY_MAX,	  /* bytes at the point's own maximum */
	RANK_BY_GROWTH,	  /* bytes a minute, if it grows; its blocks are the live ones */
	RANK_BY_AGE, /* mean age of the live blocks; of bytes and blocks the live ones, as … */
	RANK_BY_SURVIVAL,  /* … of this: which part of the blocks ever allocated lives */
	RANK_BY_TEMPORARY, /* blocks that were temporary; has no name, nor bytes, as the next has
			      none */
	RANK_BY_BORN,	   /* bytes now, of the births that the table is of */
};

/* "live", "total", "peak", "max", "growth", "age", "survival"; -EINVAL: none of them. */
int ranking_parse_key(const char *text, enum ranking_key *ret);
uint64_t ranking_bytes(const struct dhat_rendered_point *point, enum ranking_key key);
uint64_t ranking_blocks(const struct dhat_rendered_point *point, enum ranking_key key);

/* The share of the blocks that were ever allocated there, reallocations among them, that lives. */
double ranking_survival(const struct dhat_rendered_point *point);

/* Sorts rendering->points in place: most bytes first (or what the key tells before them), then most
 * blocks, then as they were; what was there before the attach last. Returns how many others have
 * bytes, or temporary blocks, under this key. */
size_t ranking_sort(struct dhat_rendering *rendering, enum ranking_key key);
