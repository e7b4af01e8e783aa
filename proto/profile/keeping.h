#pragma once
/* keeping: what keeps an allocator's memory resident: a leak, a cache, or fragmentation. Pure.
 *
 * Of what is in memory of the mappings in which an allocator has blocks (SnapshotEnd.pages):
 * K1: if half of it or more is live blocks, they are what keeps it: a leak if those rows that leak
 *     (suspects.h) have a quarter of the live bytes, else, if the same is so with those that grow,
 * a leak or a cache that fills; else a cache, or simply what the program needs. K2: if less is, the
 * rest does. Where more of that is on pages with live blocks than on pages without: fragmentation.
 * Else whole pages are free, and the allocator keeps them. K3: where blocks from before the attach
 * are not known, they are in that rest; then K2 says nothing. What is less than a megabyte is not
 * judged.
 */
#include "suspects.h"

enum dhat_keeping {
	DHAT_KEEPS_LITTLE,
	DHAT_KEEPS_LEAK,
	DHAT_KEEPS_GROWING, /* a leak, or a cache that fills */
	DHAT_KEEPS_EARLY,   /* live blocks, too young to tell */
	DHAT_KEEPS_CACHE,
	DHAT_KEEPS_FRAGMENTS,
	DHAT_KEEPS_FREE, /* whole free pages */
	DHAT_KEEPS_UNKNOWN,
};
/* "leak", "cache", "fragmentation", "allocator", …: for programs. */
const char *dhat_keeping_name(enum dhat_keeping keeping);

/* Of a snapshot with pages; its table by line, and the suspects of that. *ret_growth: bytes a
 * minute of the rows that leak, or grow; 0 if none does. */
enum dhat_keeping dhat_keeping_judge(const struct dhat_rendering *by_line,
				     const struct dhat_suspects *suspects, double *ret_growth);

#define DHAT_KEEPING_CHARS 512
/* "Fragmentation: of the 15.6 MiB that the allocator has in memory 781 KiB (4.9%) are …". */
void dhat_keeping_say(enum dhat_keeping keeping, const Dhat__Pages *pages, double growth,
		      char ret[DHAT_KEEPING_CHARS]);
