#pragma once
/* pages: what a profile says of resident pages, block by block and page by page; how that is
 * called. Pure.
 */
#include <stdint.h>

/* How old the blocks are that keep something resident: as a person counts. The last one is of those
 * from before the attach, of which nobody can tell. */
#define DHAT_PAGE_AGES 9
#define DHAT_PAGE_AGE_BEFORE (DHAT_PAGE_AGES - 1)

uint8_t dhat_page_age(uint64_t ns);
/* "under a second", "1 to 10 min", …, "from before the attach". */
const char *dhat_page_age_name(uint8_t age);
