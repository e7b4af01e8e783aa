#include "keeping.h"

#include <stdio.h>

#include "proto/base/units.h"

#define LEAST_BYTES (1u << 20)

static const char *const names[] = {
	[DHAT_KEEPS_LITTLE] = "little",	  [DHAT_KEEPS_LEAK] = "leak",
	[DHAT_KEEPS_GROWING] = "growing", [DHAT_KEEPS_EARLY] = "early",
	[DHAT_KEEPS_CACHE] = "cache",	  [DHAT_KEEPS_FRAGMENTS] = "fragmentation",
	[DHAT_KEEPS_FREE] = "allocator",  [DHAT_KEEPS_UNKNOWN] = "unknown",
};

const char *dhat_keeping_name(enum dhat_keeping keeping)
{
	return names[keeping];
}

/* What the rows of a course, or of a worse one, have of the live bytes. */
static uint64_t live_bytes_of(const struct dhat_suspects *suspects, enum dhat_course worst,
			      double *ret_growth)
{
	uint64_t bytes = 0;

	*ret_growth = 0;
	for (size_t i = 0; i < suspects->count; i++) {
		const struct dhat_suspect *suspect = &suspects->list[i];

		if (suspect->suspicion.course > worst)
			continue;
		bytes += suspect->point->live_bytes;
		*ret_growth += suspect->suspicion.growth;
	}
	return bytes;
}

/* K1 */
static enum dhat_keeping judge_live(const struct dhat_rendering *by_line,
				    const struct dhat_suspects *suspects, double *ret_growth)
{
	uint64_t quarter = by_line->snapshot->end->totals->live_bytes / 4;
	double growth;

	if (live_bytes_of(suspects, DHAT_LEAKS, ret_growth) > quarter)
		return DHAT_KEEPS_LEAK;
	if (live_bytes_of(suspects, DHAT_GROWS, &growth) > quarter) {
		*ret_growth = growth;
		return DHAT_KEEPS_GROWING;
	}
	if (live_bytes_of(suspects, DHAT_EARLY, &growth) > quarter)
		return DHAT_KEEPS_EARLY;
	return DHAT_KEEPS_CACHE;
}

enum dhat_keeping dhat_keeping_judge(const struct dhat_rendering *by_line,
				     const struct dhat_suspects *suspects, double *ret_growth)
{
	const Dhat__Pages *pages = by_line->snapshot->end->pages;

	live_bytes_of(suspects, DHAT_LEAKS, ret_growth);
	if (pages->resident_bytes < LEAST_BYTES)
		return DHAT_KEEPS_LITTLE;
	if (pages->live_bytes >= pages->resident_bytes / 2)
		return judge_live(by_line, suspects, ret_growth);
	if (!pages->knows_all_blocks)
		return DHAT_KEEPS_UNKNOWN; /* K3 */
	/* K2 */
	return pages->beside_bytes > pages->below_bytes + pages->above_bytes ? DHAT_KEEPS_FRAGMENTS
									     : DHAT_KEEPS_FREE;
}

/* ---- in words ---------------------------------------------------------------------------- */

static const char *beginning_of(enum dhat_keeping keeping)
{
	switch (keeping) {
	case DHAT_KEEPS_LITTLE:
		return "Too little to judge";
	case DHAT_KEEPS_LEAK:
		return "A leak";
	case DHAT_KEEPS_GROWING:
		return "A leak, or a cache that fills";
	case DHAT_KEEPS_EARLY:
		return "Live blocks, too new to tell a leak from a cache";
	case DHAT_KEEPS_CACHE:
		return "A cache, or what the program needs";
	case DHAT_KEEPS_FRAGMENTS:
		return "Fragmentation";
	case DHAT_KEEPS_FREE:
		return "The allocator keeps it";
	default:
		return "Not known";
	}
}

static void add_rest(enum dhat_keeping keeping, const Dhat__Pages *pages, double growth, char *text,
		     size_t size)
{
	char bytes[DHAT_UNIT_CHARS];

	switch (keeping) {
	case DHAT_KEEPS_LEAK:
	case DHAT_KEEPS_GROWING:
		snprintf(text, size, ", which grow by %s a minute",
			 dhat_format_size(growth > 0 ? (uint64_t)growth : 0, bytes));
		break;
	case DHAT_KEEPS_CACHE:
		snprintf(text, size, ", most of which do not grow");
		break;
	case DHAT_KEEPS_FRAGMENTS:
		snprintf(text, size, "; %s are free, but on the same pages as these",
			 dhat_format_size(pages->beside_bytes, bytes));
		break;
	case DHAT_KEEPS_FREE:
		snprintf(text, size, "; %s are whole pages that are free",
			 dhat_format_size(pages->below_bytes + pages->above_bytes, bytes));
		break;
	case DHAT_KEEPS_UNKNOWN:
		snprintf(text, size,
			 "; the rest is free, or blocks from before the attach, which cannot be "
			 "listed of this allocator: `dhatd run' knows all");
		break;
	default:
		*text = 0;
	}
}

void dhat_keeping_say(enum dhat_keeping keeping, const Dhat__Pages *pages, double growth,
		      char ret[DHAT_KEEPING_CHARS])
{
	char live[DHAT_UNIT_CHARS], resident[DHAT_UNIT_CHARS], rest[256];
	uint64_t whole = pages->resident_bytes ? pages->resident_bytes : 1;

	add_rest(keeping, pages, growth, rest, sizeof(rest));
	snprintf(ret, DHAT_KEEPING_CHARS,
		 "%s: of the %s that the allocator has in memory %s (%.1f%%) are live blocks%s",
		 beginning_of(keeping), dhat_format_size(pages->resident_bytes, resident),
		 dhat_format_size(pages->live_bytes, live), 100.0 * pages->live_bytes / whole,
		 rest);
}
