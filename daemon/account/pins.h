#pragma once
/* pins: what blocks keep resident: their own bytes, and free memory beside and below them.
 *
 * Pure. Counted from a list of live blocks (block_list.h) and from runs of pages that are in memory
 * or swapped out (pagemap.h), whatever the allocator:
 * P1: each byte of a block is in memory, swapped out, or neither: never touched, or given back.
 * P2: a page that is in memory and has a live block on it stays while that block does. What of it
 *     is no live block's (free, or a head, or rounding) its blocks keep `beside` them, in equal
 *     shares, for each alone would keep it. If all are of one point, the page is `alone` its: so
 *     much goes back when the point's blocks do, if the allocator gives back whole pages.
 * P3: a page in memory without a live block is the allocator's to give back, or what else is there;
 *     it is `below` if its region has a live block at a higher address, `above` if not.
 * P4: of a region that shrinks from its end only, as glibc's heaps do, the highest blocks keep all
 *     that is below them. Which: those for which the pages below without a live block, less
 *     a page and PINS_WORTH times what it has itself for each of the blocks, is the most.
 * P5: the sum over a region of live bytes, beside, below and above is what is in memory of it.
 * A block inside another one (a pool's in malloc's) keeps nothing: the outer one does. One outside
 * of all regions has P1 only, as has memory that the target mapped itself.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_list.h"
#include "daemon/proc/pagemap.h"
#include "proto/profile/pages.h"

#define PINS_WORTH 8 /* who is named keeps so many times what it is */

struct pins_region { /* of whole pages */
	uint64_t start, end;
	bool shrinks_from_end; /* P4 */
};

struct pins_input {			 /* borrowed */
	const struct block_list *blocks; /* sorted */
	const struct pagemap_run
		*runs; /* by ascending page, none overlaps; of other mappings too */
	size_t run_count;
	const struct pins_region *regions; /* likewise */
	size_t region_count;
	uint32_t points; /* each block's is below */
};

struct pins_point {
	uint64_t resident_bytes, swapped_bytes, untouched_bytes; /* P1 */
	uint64_t beside_bytes[DHAT_PAGE_AGES];			 /* P2, by age of the blocks */
	uint64_t alone_bytes;					 /* P2: live and beside */
	uint64_t highest_blocks, highest_bytes;			 /* P4: of these, so many are its */
};

struct pins { /* sums over all regions */
	uint64_t resident_bytes, swapped_bytes;
	uint64_t live_bytes, beside_bytes, below_bytes, above_bytes; /* of resident_bytes */
	uint64_t highest_blocks, highest_bytes;			     /* P4 */
	/* What would go back if these went: pages between the next lower block and the highest. */
	uint64_t highest_gain_bytes;
	struct pins_point *points;
	uint32_t point_count;
};

/* What one for so many points takes. */
uint64_t pins_bytes(uint32_t points);
/* Some 30 ns a block. The caller frees by pins_free(). -ENOMEM. */
int pins_count(const struct pins_input *input, struct pins **ret);
void pins_free(struct pins *pins);
