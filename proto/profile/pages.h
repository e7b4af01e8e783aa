#pragma once
/* pages: what a profile says of resident pages, block by block and page by page; how that is
 * called. Pure. Where the figures come from: daemon/account/pins.h.
 */
#include <stdint.h>

#include "proto/wire/dhat.pb-c.h"

/* How old the blocks are that keep something resident: as a person counts. The last one is of those
 * from before the attach, of which nobody can tell. */
#define DHAT_PAGE_AGES 9
#define DHAT_PAGE_AGE_BEFORE (DHAT_PAGE_AGES - 1)

uint8_t dhat_page_age(uint64_t ns);
/* "under a second", "1 to 10 min", …, "from before the attach". */
const char *dhat_page_age_name(uint8_t age);

/* Of one stack, or of several in sum; then alone_bytes is at least so much: what two of them keep
 * together is nobody's alone. */
struct dhat_point_pages {
	uint64_t resident_bytes, swapped_bytes, untouched_bytes; /* of its live bytes */
	uint64_t beside_bytes;					 /* what is free beside them */
	uint64_t beside_ages[DHAT_PAGE_AGES];
	uint64_t alone_bytes; /* would go back with them */
	uint64_t highest_blocks, highest_bytes;
};
void dhat_point_pages_add(struct dhat_point_pages *sum, const Dhat__ProgramPoint *part);
