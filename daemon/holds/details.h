#pragma once
/* details: what is said of chains and sites beyond who holds whom: where the pointers stand, what
 * the blocks are, which are held from inside only.
 *
 * By a second look at a few of them, a moment after the scan; what has changed meanwhile is left
 * out.
 */
#include "block_types.h"
#include "daemon/lookup/symbolizer.h"
#include "losses.h"
#include "pointer_places.h"
#include "scan_once.h"
#include "types.h"

struct look_closer_at;
struct details {
	struct pointer_places places;
	struct types types;
	uint8_t *inside; /* reach_from_inside() */
	struct block_types block_types;
	struct room_share share;
};

/* Of the last scan, marked, with names. -ENOMEM, -ENOSPC, -ESRCH. */
int details_find(const struct scan_once *scan, const struct reach_mark *mark,
		 const struct losses *losses, const struct target_identity *identity,
		 const struct look_closer_at *at, struct symbolizer *symbolizer,
		 struct details *ret);
void details_deinit(struct details *details);

/* NULL: not known. */
const char *details_type(const struct details *details, uint32_t point);
/* Of a chain; places may be NULL. NULL: nothing is known. */
const struct block_types_chain *details_members(const struct details *details,
						const struct chain_places *places);
