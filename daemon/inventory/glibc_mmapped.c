/* Chunks so large that malloc gave them a mapping of their own. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_LOOSE 16

struct scan {
	struct remote *remote;
	struct glibc_chunks *found;
	uint64_t bytes; /* of their mappings */
	/* Of found, those that touch no edge of the memory they lie in: another mapping of malloc's
	 * may have grown together with theirs, or it is a word of somebody else's, as in Java's
	 * metaspace. Counted beyond MAX_LOOSE, too. */
	size_t loose[MAX_LOOSE], loose_count;
};

/* posix_memalign of a large block moves the chunk's head up in its mapping and leaves the old one
 * where it was: look for a newer head that accounts for the whole mapping. */
static uint64_t find_moved_head(struct remote *remote, uint64_t start, uint64_t bytes)
{
	for (uint64_t align = 32; align <= bytes / 2; align *= 2) {
		uint64_t block = (start + GLIBC_CHUNK_HEAD + align - 1) / align * align;
		uint64_t chunk = block - GLIBC_CHUNK_HEAD, words[2];

		if (chunk == start || chunk + GLIBC_MIN_CHUNK > start + bytes ||
		    remote_read(remote, chunk, words, sizeof(words)) < 0)
			continue;
		if (words[0] == chunk - start &&
		    words[1] == ((bytes - (chunk - start)) | GLIBC_IS_MMAPPED))
			return chunk;
	}
	return start;
}

/* A mapping that malloc made begins with a chunk's head: nothing before it, whole pages, and the
 * flag of a mapped chunk alone (sysmalloc_mmap()). Returns its size; 0: there is none. */
static uint64_t mapped_bytes_at(struct remote *remote, uint64_t at, uint64_t end)
{
	uint64_t words[2], bytes;

	if (remote_read(remote, at, words, sizeof(words)) < 0)
		return 0;
	bytes = words[1] & ~7ull;
	return words[0] == 0 && (words[1] & 7) == GLIBC_IS_MMAPPED && bytes % REMOTE_PAGE == 0 &&
			       bytes <= end - at
		       ? bytes
		       : 0;
}

/* Only pages that exist are read: a chunk's head was written, so its page is there. */
static int scan_range(struct scan *scan, uint64_t at, uint64_t end)
{
	const uint64_t start = at;
	int err = 0;

	while (!err && (at = remote_next_page(scan->remote, at, end)) < end) {
		uint64_t bytes = mapped_bytes_at(scan->remote, at, end), chunk;

		if (bytes) {
			chunk = find_moved_head(scan->remote, at, bytes);
			scan->bytes += bytes;
			if (chunk == at && at != start && at + bytes != end &&
			    scan->loose_count++ < MAX_LOOSE)
				scan->loose[scan->loose_count - 1] = scan->found->count;
			err = glibc_chunks_add(scan->found, chunk, bytes - (chunk - at));
		}
		at += bytes ? bytes : REMOTE_PAGE;
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

/* What malloc says of all that it has mapped. */
static uint64_t expected_bytes(struct remote *remote, const struct glibc_heap *heap)
{
	uint64_t sum = 0, bytes;

	for (size_t i = 0; i < heap->main_count; i++) {
		if (!heap->mmapped_bytes_at[i] ||
		    remote_read(remote, heap->mmapped_bytes_at[i], &bytes, sizeof(bytes)) < 0)
			return UINT64_MAX;
		sum += bytes;
	}
	return sum;
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
				sum += found->list[scan->loose[i]].size_bytes;
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

int glibc_heap_mmapped(struct remote *remote, const struct glibc_heap *heap,
		       struct glibc_chunks *ret, uint64_t *ret_bytes, uint64_t *ret_expected_bytes)
{
	uint64_t before, after = 0;
	struct scan scan;
	int err = 0;

	if (heap->parts.count)
		qsort(heap->parts.list, heap->parts.count, sizeof(*heap->parts.list), by_start);
	for (int attempt = 0; attempt < MAX_ATTEMPTS && !err; attempt++) {
		scan = (struct scan){ .remote = remote, .found = ret };
		ret->count = 0;
		before = expected_bytes(remote, heap);
		for (size_t i = 0; i < heap->mapped.count && !err; i++)
			err = scan_around_parts(&scan, &heap->parts, &heap->mapped.list[i]);
		after = expected_bytes(remote, heap);
		if (before == after)
			break;
		after = UINT64_MAX;
	}
	if (!err && after != UINT64_MAX && scan.bytes > after)
		leave_out(&scan, scan.bytes - after);
	*ret_bytes = scan.bytes;
	*ret_expected_bytes = after;
	return err;
}
