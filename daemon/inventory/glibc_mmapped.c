/* Chunks so large that malloc gave them a mapping of their own. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_LOOSE 16

/* The first word of a chunk with a mapping of its own says how far behind the mapping's start it
 * lies, and from 2.43 on, by its lowest bit, whether that has large pages. Its size goes up to the
 * mapping's end, and from 2.43 on ends two words before. */
#define HAS_LARGE_PAGES 1ull
#define SIZE_LACKS 16
#define COUNT_BEFORE 20 /* from mp_.n_mmaps to mp_.mmapped_mem, since 2.35 */

struct scan {
	struct remote *remote;
	const struct glibc_heap *heap;
	struct glibc_chunks *found;
	bool is_thorough; /* takes a look at each page: only if it is found to be needed */
	uint64_t bytes;	  /* of their mappings */
	/* Of found, those that touch no edge of the memory they lie in: another mapping of malloc's
	 * may have grown together with theirs, or it is a word of somebody else's, as in Java's
	 * metaspace. Counted beyond MAX_LOOSE, too. */
	size_t loose[MAX_LOOSE], loose_count;
	uint64_t loose_bytes[MAX_LOOSE];
};

/* What a chunk's head says, if it is one with a mapping of its own that begins at start: that
 * mapping's end. 0: it is none. *ret_usable: bytes of its block. */
static uint64_t mapping_end(const struct scan *scan, uint64_t start, uint64_t chunk,
			    const uint64_t words[2], uint64_t *ret_usable)
{
	uint64_t end = chunk + (words[1] & ~7ull);

	if ((words[1] & 7) != GLIBC_IS_MMAPPED || end <= chunk)
		return 0;
	if (end % REMOTE_PAGE == 0 && words[0] == chunk - start && glibc_has(scan->heap, true)) {
		*ret_usable = end - chunk - GLIBC_CHUNK_HEAD;
		return end;
	}
	if ((end + SIZE_LACKS) % REMOTE_PAGE == 0 &&
	    (words[0] & ~HAS_LARGE_PAGES) == chunk - start && glibc_has(scan->heap, false)) {
		*ret_usable = end - chunk - 8;
		return end + SIZE_LACKS;
	}
	return 0;
}

struct mapped {
	uint64_t chunk, usable_bytes, end;
};

static bool is_moved_head(const struct scan *scan, uint64_t start, uint64_t chunk, uint64_t limit,
			  struct mapped *ret)
{
	uint64_t words[2], usable, end;

	if (chunk == start || chunk + GLIBC_MIN_CHUNK > limit ||
	    remote_read(scan->remote, chunk, words, sizeof(words)) < 0)
		return false;
	end = mapping_end(scan, start, chunk, words, &usable);
	if (!end || end > limit)
		return false;
	*ret = (struct mapped){ chunk, usable, end };
	return true;
}

/* posix_memalign of a large block moves the chunk's head up in its mapping and leaves the old one
 * where it was, and realloc() changes the newer one alone: look for that first. ret: what the old
 * one says. */
static void find_moved_head(const struct scan *scan, uint64_t start, uint64_t limit,
			    struct mapped *ret)
{
	uint64_t old_end = ret->end < limit ? ret->end : limit;

	for (uint64_t align = 32; align <= (limit - start) / 2; align *= 2)
		if (is_moved_head(scan, start,
				  (start + GLIBC_CHUNK_HEAD + align - 1) / align * align -
					  GLIBC_CHUNK_HEAD,
				  limit, ret))
			return;
	/* realloc() has moved the mapping, too, which then is aligned to pages alone. */
	for (uint64_t page = start; scan->is_thorough && page < old_end; page += REMOTE_PAGE) {
		page = remote_next_page(scan->remote, page, old_end);
		if (page < old_end &&
		    is_moved_head(scan, start, page + REMOTE_PAGE - GLIBC_CHUNK_HEAD, limit, ret))
			return;
	}
}

/* A mapping that malloc made begins with a chunk's head: nothing before it, whole pages, and the
 * flag of a mapped chunk alone (sysmalloc_mmap()). */
static bool find_mapped(const struct scan *scan, uint64_t at, uint64_t limit, struct mapped *ret)
{
	uint64_t words[2];

	if (remote_read(scan->remote, at, words, sizeof(words)) < 0)
		return false;
	ret->chunk = at;
	ret->end = mapping_end(scan, at, at, words, &ret->usable_bytes);
	if (!ret->end)
		return false;
	find_moved_head(scan, at, limit, ret);
	return ret->end <= limit;
}

static void add_loose(struct scan *scan, uint64_t bytes)
{
	if (scan->loose_count < MAX_LOOSE) {
		scan->loose[scan->loose_count] = scan->found->count;
		scan->loose_bytes[scan->loose_count] = bytes;
	}
	scan->loose_count++;
}

/* Only pages that exist are read: a chunk's head was written, so its page is there. */
static int scan_range(struct scan *scan, uint64_t at, uint64_t end)
{
	const uint64_t start = at;
	int err = 0;

	while (!err && (at = remote_next_page(scan->remote, at, end)) < end) {
		struct mapped mapped;

		if (!find_mapped(scan, at, end, &mapped)) {
			at += REMOTE_PAGE;
			continue;
		}
		scan->bytes += mapped.end - at;
		if (mapped.chunk == at && at != start && mapped.end != end)
			add_loose(scan, mapped.end - at);
		err = glibc_chunks_add(scan->found, mapped.chunk,
				       mapped.usable_bytes + GLIBC_CHUNK_HEAD);
		at = mapped.end;
	}
	return err ? err : remote_error(scan->remote);
}

static int by_start(const void *a, const void *b)
{
	const struct glibc_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Parts of arenas hold chunks of another kind, and users' data at every page: what lies between
 * them is searched. */
static int scan_around_parts(struct scan *scan, const struct glibc_ranges *parts,
			     const struct glibc_range *range)
{
	uint64_t at = range->start;
	int err = 0;

	for (size_t i = 0; i < parts->count && !err; i++) {
		const struct glibc_range *part = &parts->list[i];

		if (part->end <= at || part->start >= range->end)
			continue;
		if (part->start > at)
			err = scan_range(scan, at, part->start);
		at = part->end;
	}
	return err || at >= range->end ? err : scan_range(scan, at, range->end);
}

/* What malloc says of all that it has mapped. From 2.43 on each mremap() makes it believe in 16
 * bytes more (mremap_chunk() reckons the old size without SIZE_LACKS): the number of mappings,
 * which is right, decides then. */
struct expected {
	bool is_known, drifts;
	uint64_t bytes, count; /* the latter of libcs that drift */
};

static struct expected read_expected(const struct scan *scan)
{
	const struct glibc_heap *heap = scan->heap;
	struct expected expected = { .is_known = true, .drifts = glibc_has(heap, false) };

	for (size_t i = 0; i < heap->main_count; i++) {
		uint64_t at = heap->mmapped_bytes_at[i], bytes;
		uint32_t count = 0;

		if (!at || remote_read(scan->remote, at, &bytes, sizeof(bytes)) < 0 ||
		    remote_read(scan->remote, at - COUNT_BEFORE, &count, sizeof(count)) < 0)
			return (struct expected){ 0 };
		expected.bytes += bytes;
		expected.count += count;
	}
	return expected;
}

static bool is_as_expected(const struct scan *scan, const struct expected *expected)
{
	if (!expected->is_known || scan->bytes == expected->bytes)
		return expected->is_known;
	return expected->drifts && !glibc_has(scan->heap, true) && scan->bytes < expected->bytes &&
	       (expected->bytes - scan->bytes) % SIZE_LACKS == 0 &&
	       (expected->bytes - scan->bytes < REMOTE_PAGE || scan->is_thorough) &&
	       scan->found->count == expected->count;
}

/* More was found than malloc has: if there is one way to leave out loose ones that makes the sums
 * equal, those are none. */
static void leave_out(struct scan *scan, uint64_t excess)
{
	struct glibc_chunks *found = scan->found;
	unsigned way = 0;
	size_t kept = 0;

	if (scan->loose_count > MAX_LOOSE)
		return;
	for (unsigned subset = 1; subset < 1u << scan->loose_count; subset++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < scan->loose_count; i++)
			if (subset >> i & 1)
				sum += scan->loose_bytes[i];
		if (sum == excess && way)
			return; /* nobody knows which */
		if (sum == excess)
			way = subset;
	}
	if (!way)
		return;
	for (size_t i = 0, loose = 0; i < found->count; i++) {
		bool is_loose = loose < scan->loose_count && scan->loose[loose] == i;

		if (!is_loose || !(way >> loose & 1))
			found->list[kept++] = found->list[i];
		loose += is_loose;
	}
	found->count = kept;
	scan->bytes -= excess;
}

#define MAX_ATTEMPTS 3

static int scan_all(struct scan *scan, struct expected *ret)
{
	const struct glibc_heap *heap = scan->heap;
	struct expected before = read_expected(scan);
	int err = 0;

	scan->found->count = scan->loose_count = scan->bytes = 0;
	for (size_t i = 0; i < heap->mapped.count && !err; i++)
		err = scan_around_parts(scan, &heap->parts, &heap->mapped.list[i]);
	*ret = read_expected(scan);
	ret->is_known = ret->is_known && before.is_known && ret->bytes == before.bytes;
	return err;
}

int glibc_heap_mmapped(struct remote *remote, const struct glibc_heap *heap,
		       struct glibc_chunks *ret, uint64_t *ret_bytes, uint64_t *ret_expected_bytes)
{
	struct scan scan = { .remote = remote, .heap = heap, .found = ret };
	struct expected expected = { 0 };
	int err = 0;

	if (heap->parts.count)
		qsort(heap->parts.list, heap->parts.count, sizeof(*heap->parts.list), by_start);
	for (int i = 0; i < MAX_ATTEMPTS && !err; i++) {
		uint64_t pages;

		err = scan_all(&scan, &expected);
		pages = expected.bytes / REMOTE_PAGE *
			REMOTE_PAGE; /* what has drifted is left out */
		if (!err && expected.is_known && scan.bytes > pages)
			leave_out(&scan, scan.bytes - pages);
		if (is_as_expected(&scan, &expected))
			break;
		scan.is_thorough = expected.is_known;
	}
	*ret_bytes = scan.bytes;
	*ret_expected_bytes = !expected.is_known		 ? UINT64_MAX
			      : is_as_expected(&scan, &expected) ? scan.bytes
								 : expected.bytes;
	return err;
}
