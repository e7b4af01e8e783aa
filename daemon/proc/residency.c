#include "residency.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "remote.h"

struct range { /* of pages */
	uint64_t first, count;
	unsigned what; /* their bits tell of */
	uint64_t *bits;
};

struct residency {
	struct range *ranges; /* by ascending page */
	size_t count;
	uint64_t pages; /* of all */
};

void residency_free(struct residency *residency)
{
	if (!residency)
		return;
	for (size_t i = 0; i < residency->count; i++)
		free(residency->ranges[i].bits);
	free(residency->ranges);
	free(residency);
}
DEFINE_CLEANUP_PTR(struct residency *, residency_free)

static int set_bits(void *context, const struct pagemap_run *run)
{
	struct range *range = context;

	if (!(run->what & range->what))
		return 0;
	for (uint64_t i = run->first - range->first, end = i + run->count; i < end; i++)
		range->bits[i / 64] |= 1ull << i % 64;
	return 0;
}

typedef int (*scan_function)(void *table, uint64_t start, uint64_t end, pagemap_visit visit,
			     void *context);

static int read_ranges(void *table, scan_function scan, const struct smaps *smaps, unsigned what,
		       struct residency **ret)
{
	_cleanup_(residency_free_ptr) struct residency *residency = calloc(1, sizeof(*residency));

	if (!residency)
		return -ENOMEM;
	residency->ranges = calloc(smaps->count + 1, sizeof(*residency->ranges));
	if (!residency->ranges)
		return -ENOMEM;
	for (size_t i = 0; i < smaps->count; i++) {
		const struct smaps_entry *entry = &smaps->entries[i];
		struct range *range = &residency->ranges[residency->count];
		int error;

		if (entry->is_file || entry->is_shared ||
		    !(what == PAGEMAP_SWAPPED ? entry->swap_bytes : entry->rss_bytes))
			continue;
		range->what = what;
		range->first = entry->start / REMOTE_PAGE;
		range->count = (entry->end - entry->start) / REMOTE_PAGE;
		if (range->count > RESIDENCY_MAX_PAGES - residency->pages)
			continue;
		residency->pages += range->count;
		residency->count++;
		range->bits = calloc((range->count + 63) / 64, sizeof(*range->bits));
		error = range->bits ? scan(table, entry->start, entry->end, set_bits, range)
				    : -ENOMEM;
		if (error)
			return error;
	}
	*ret = take_ptr(residency);
	return 0;
}

static int scan_words(void *source, uint64_t start, uint64_t end, pagemap_visit visit,
		      void *context)
{
	return pagemap_scan_words(source, start, end, visit, context);
}

int residency_read_from(struct pagemap_source *source, const struct smaps *smaps, unsigned what,
			struct residency **ret)
{
	return read_ranges(source, scan_words, smaps, what, ret);
}

static int scan_process(void *pagemap, uint64_t start, uint64_t end, pagemap_visit visit,
			void *context)
{
	return pagemap_scan(pagemap, start, end, visit, context);
}

int residency_read(pid_t pid, const struct smaps *smaps, unsigned what, struct residency **ret)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	int error = pagemap_open(pid, &pagemap);

	return error ? error : read_ranges(&pagemap, scan_process, smaps, what, ret);
}

/* ---- asking ------------------------------------------------------------------------------ */

/* The first range that ends behind a page. */
static size_t find_range(const struct residency *residency, uint64_t page)
{
	size_t low = 0, high = residency->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct range *range = &residency->ranges[middle];

		if (range->first + range->count <= page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_page(const struct range *range, uint64_t page)
{
	uint64_t i = page - range->first;

	return range->bits[i / 64] >> i % 64 & 1;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t residency_bytes(const struct residency *residency, uint64_t start, uint64_t bytes)
{
	uint64_t end = start + bytes, found = 0;

	if (end < start)
		return 0;
	for (size_t i = find_range(residency, start / REMOTE_PAGE);
	     start < end && i < residency->count; i++) {
		const struct range *range = &residency->ranges[i];
		uint64_t stop = least(end, (range->first + range->count) * REMOTE_PAGE);

		if (start < range->first * REMOTE_PAGE)
			start = range->first * REMOTE_PAGE;
		while (start < stop) {
			uint64_t page = start / REMOTE_PAGE;
			uint64_t next = least((page + 1) * REMOTE_PAGE, stop);

			if (has_page(range, page))
				found += next - start;
			start = next;
		}
	}
	return found;
}
