/* Chunks so large that malloc gave them a mapping of their own. */
#include "glibc_malloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define PAGE 4096ull
#define HEAP_BYTES (64ull << 20)
#define BATCH 512
/* /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst): bit 63 present, bit 62 swapped. */
#define PAGEMAP_THERE (3ull << 62)

struct region { /* adjacent anonymous mappings, taken together: a chunk may span several */
	uint64_t start, end;
};

struct scan {
	const struct remote *remote;
	int pagemap_fd;
	uint64_t skip_until; /* end of the last chunk found */
	struct glibc_chunks *found;
	uint64_t bytes; /* of their mappings */
};

/* posix_memalign of a large block moves the chunk's head up in its mapping and leaves the old one
 * where it was: look for a newer head that accounts for the whole mapping. */
static uint64_t find_moved_head(const struct remote *remote, uint64_t start, uint64_t bytes)
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
 * flag of a mapped chunk alone (sysmalloc_mmap()). */
static int look_at_page(struct scan *scan, const struct region *region, uint64_t at,
			const uint64_t words[2])
{
	uint64_t bytes = words[1] & ~7ull, chunk;

	if (at < scan->skip_until || words[0] != 0 || (words[1] & 7) != GLIBC_IS_MMAPPED ||
	    bytes % PAGE || bytes == 0 || bytes > region->end - at)
		return 0;
	chunk = find_moved_head(scan->remote, at, bytes);
	scan->skip_until = at + bytes;
	scan->bytes += bytes;
	return glibc_chunks_add(scan->found, chunk, bytes - (chunk - at));
}

static int look_at_batch(struct scan *scan, const struct region *region, const uint64_t *addrs,
			 size_t count)
{
	uint64_t words[BATCH][2];
	int err = remote_gather(scan->remote, addrs, count, sizeof(words[0]), words);

	for (size_t i = 0; i < count && !err; i++)
		err = look_at_page(scan, region, addrs[i], words[i]);
	return err;
}

/* Only pages that exist are read: a chunk's head was written, so its page is there. */
static int scan_region(struct scan *scan, const struct region *region)
{
	uint64_t entries[BATCH], addrs[BATCH];
	uint64_t at = region->start;

	while (at < region->end) {
		size_t pages = (region->end - at) / PAGE, count = 0;
		ssize_t n;
		int err;

		if (at < scan->skip_until) {
			at = scan->skip_until < region->end ? scan->skip_until : region->end;
			continue;
		}
		if (pages > BATCH)
			pages = BATCH;
		n = pread(scan->pagemap_fd, entries, pages * 8, at / PAGE * 8);
		if (n < 8)
			return n < 0 ? -errno : 0;
		for (ssize_t i = 0; i < n / 8; i++)
			if (entries[i] & PAGEMAP_THERE)
				addrs[count++] = at + i * PAGE;
		err = look_at_batch(scan, region, addrs, count);
		if (err)
			return err;
		at += n / 8 * PAGE;
	}
	return 0;
}

static bool is_candidate(const struct procmaps_entry *entry)
{
	return entry->is_readable && entry->is_writable && !entry->is_shared && !entry->inode &&
	       entry->path[0] == '\0';
}

/* The heaps of other arenas hold chunks of another kind, and users' data at every page. */
static bool is_arena_heap(const struct glibc_heap *heap, const struct remote *remote,
			  uint64_t start)
{
	uint64_t owner;

	if (start % HEAP_BYTES || remote_read(remote, start, &owner, sizeof(owner)) < 0)
		return false;
	for (size_t i = 1; i < heap->arena_count; i++)
		if (heap->arenas[i] == owner)
			return true;
	return false;
}

/* An arena's heap is aligned, so it may begin inside a region: cut there. */
static int scan_around_heaps(struct scan *scan, const struct glibc_heap *heap, struct region region)
{
	uint64_t at = (region.start + HEAP_BYTES - 1) / HEAP_BYTES * HEAP_BYTES;
	int err;

	for (; at < region.end; at += HEAP_BYTES) {
		struct region before = { region.start, at };

		if (!is_arena_heap(heap, scan->remote, at))
			continue;
		err = scan_region(scan, &before);
		if (err)
			return err;
		region.start = at + HEAP_BYTES < region.end ? at + HEAP_BYTES : region.end;
	}
	return region.start < region.end ? scan_region(scan, &region) : 0;
}

int glibc_heap_mmapped(const struct remote *remote, pid_t pid, const struct procmaps *maps,
		       const struct glibc_heap *heap, struct glibc_chunks *ret, uint64_t *ret_bytes,
		       uint64_t *ret_expected_bytes)
{
	_cleanup_close_ int fd = -1;
	struct scan scan = { .remote = remote, .found = ret };
	char path[64];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	scan.pagemap_fd = fd;
	for (size_t i = 0; i < maps->count && !err;) {
		struct region region = { maps->entries[i].start, maps->entries[i].end };

		if (!is_candidate(&maps->entries[i++]))
			continue;
		while (i < maps->count && is_candidate(&maps->entries[i]) &&
		       maps->entries[i].start == region.end)
			region.end = maps->entries[i++].end;
		err = scan_around_heaps(&scan, heap, region);
	}
	*ret_bytes = scan.bytes;
	*ret_expected_bytes = UINT64_MAX;
	if (heap->mmapped_bytes_at)
		remote_read(remote, heap->mmapped_bytes_at, ret_expected_bytes,
			    sizeof(*ret_expected_bytes));
	return err;
}
