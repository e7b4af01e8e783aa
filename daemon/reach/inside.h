#pragma once
/* inside: blocks that are held by pointers into them only: a small part of one keeps all of it.
 *
 * Pure.
 */
#include "mark.h"

/* *ret: for each block a bit, whether it is held, by pointers to further in, and by none to its
 * beginning or its end; the caller's to free, and to claim. -ENOMEM. */
int reach_from_inside(const struct reach_graph *graph, const struct reach_mark *mark,
		      uint8_t **ret);

static inline bool reach_is_from_inside(const uint8_t *bits, uint32_t block)
{
	return bits[block / 8] >> block % 8 & 1;
}
