#include "residency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "remote.h"

/* Documentation/admin-guide/mm/pagemap.rst: a word a page. Bit 63: in memory; 56: nobody else has
 * it mapped, so that it is not the kernel's page of zeros; 0 … 54: the frame. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_EXCLUSIVE (1ull << 56)
#define PAGEMAP_FRAME ((1ull << 55) - 1)
#define KPF_ZERO_PAGE_BIT 24 /* /proc/kpageflags, which needs the rights of root */
#define WINDOW_PAGES 4096

struct range { /* of pages */
	uint64_t first, count;
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

static bool is_present(const struct residency_source *source, uint64_t word)
{
	if (!(word & PAGEMAP_PRESENT))
		return false;
	return word & PAGEMAP_EXCLUSIVE || !source->is_zero ||
	       !source->is_zero(source->context, word & PAGEMAP_FRAME);
}

static int read_range(const struct residency_source *source, struct range *range)
{
	_cleanup_free_ uint64_t *words = malloc(WINDOW_PAGES * sizeof(*words));

	range->bits = calloc((range->count + 63) / 64, sizeof(*range->bits));
	if (!words || !range->bits)
		return -ENOMEM;
	for (uint64_t done = 0; done < range->count;) {
		uint64_t left = range->count - done;
		ssize_t n = source->read(source->context, words,
					 left < WINDOW_PAGES ? left : WINDOW_PAGES,
					 range->first + done);

		if (n <= 0)
			return n; /* the process ends: what is not there is absent */
		for (ssize_t i = 0; i < n; i++)
			if (is_present(source, words[i]))
				range->bits[(done + i) / 64] |= 1ull << (done + i) % 64;
		done += n;
	}
	return 0;
}

int residency_read_from(const struct residency_source *source, const struct smaps *smaps,
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

		if (entry->is_file || entry->is_shared || !entry->rss_bytes)
			continue;
		range->first = entry->start / REMOTE_PAGE;
		range->count = (entry->end - entry->start) / REMOTE_PAGE;
		if (range->count > RESIDENCY_MAX_PAGES - residency->pages)
			continue;
		residency->pages += range->count;
		residency->count++;
		error = read_range(source, range);
		if (error)
			return error;
	}
	*ret = take_ptr(residency);
	return 0;
}

/* ---- a process --------------------------------------------------------------------------- */

struct files {
	int pagemap_fd, flags_fd; /* the second may be -1: no page is taken for one of zeros then */
};

static ssize_t read_pagemap(void *context, uint64_t *words, size_t count, uint64_t page)
{
	const struct files *files = context;
	ssize_t n = pread(files->pagemap_fd, words, count * sizeof(*words),
			  (off_t)(page * sizeof(*words)));

	return n < 0 ? -errno : n / (ssize_t)sizeof(*words);
}

static bool is_zero_page(void *context, uint64_t frame)
{
	const struct files *files = context;
	uint64_t flags;

	if (files->flags_fd < 0 || pread(files->flags_fd, &flags, sizeof(flags),
					 (off_t)(frame * sizeof(flags))) != sizeof(flags))
		return false;
	return flags >> KPF_ZERO_PAGE_BIT & 1;
}

int residency_read(pid_t pid, const struct smaps *smaps, struct residency **ret)
{
	_cleanup_close_ int pagemap_fd = -1, flags_fd = -1;
	struct files files;
	const struct residency_source source = { read_pagemap, is_zero_page, &files };
	int error = proc_open(pid, "pagemap", &pagemap_fd);

	if (error)
		return error;
	flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	files = (struct files){ pagemap_fd, flags_fd };
	return residency_read_from(&source, smaps, ret);
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
