/* Chunks that are free though their neighbours say in use: in fastbins and in threads' caches. */
#include "glibc_malloc.h"

#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define PAGE 4096ull
#define TLS_BYTES 65536ull /* below a thread's control block: static TLS; libc's is in there */
#define CONTROL_BYTES 4096 /* from a thread's control block to its robust list */
#define CACHE_BINS 64
#define CACHE_CHUNK 0x290 /* tcache_perthread_struct and the chunk's head */
#define MAX_RETRIES 50
#define MAX_FASTBIN_CHUNKS (1u << 24)

/* tcache_perthread_struct of glibc 2.30 to 2.41. */
struct cache {
	uint16_t counts[CACHE_BINS];
	uint64_t entries[CACHE_BINS];
};
_Static_assert(sizeof(struct cache) + GLIBC_CHUNK_HEAD == CACHE_CHUNK, "a cache fills its chunk");

static uint64_t bin_chunk_bytes(size_t bin) /* fastbins and caches alike */
{
	return GLIBC_MIN_CHUNK + 16 * bin;
}

static uint64_t chunk_size_at(const struct remote *remote, uint64_t chunk)
{
	uint64_t word;

	return remote_read(remote, chunk + 8, &word, sizeof(word)) < 0 ? 0 : word & ~7ull;
}

/* ---- lists -------------------------------------------------------------------------------- */

/* Follow a list of free chunks. first: of a chunk; each holds the next one's in its first word of
 * data, mangled by the word's own address (PROTECT_PTR since 2.32); links name chunks (bias 0) or
 * blocks (bias GLIBC_CHUNK_HEAD). A chunk that was seen in a list is free or has had an event
 * since, so chunks of failed attempts may stay. false: the list changed while it was followed. */
static bool follow_list(const struct remote *remote, uint64_t first, uint64_t bias,
			uint64_t chunk_bytes, uint64_t max_length, struct glibc_chunks *found)
{
	uint64_t chunk = first;

	for (uint64_t i = 0; chunk; i++) {
		uint64_t at = chunk + GLIBC_CHUNK_HEAD, mangled, link;

		if (i == max_length || chunk % 16 || chunk_size_at(remote, chunk) != chunk_bytes ||
		    remote_read(remote, at, &mangled, sizeof(mangled)) < 0 ||
		    glibc_chunks_add(found, chunk, chunk_bytes) < 0)
			return false;
		link = mangled ^ at >> 12;
		chunk = link ? link - bias : 0;
	}
	return true;
}

/* The same from a head that is read anew for each attempt. */
static bool follow_head(const struct remote *remote, uint64_t head, uint64_t bias,
			uint64_t chunk_bytes, uint64_t max_length, struct glibc_chunks *found)
{
	for (int i = 0; i < MAX_RETRIES; i++) {
		uint64_t first;

		if (remote_read(remote, head, &first, sizeof(first)) < 0)
			return false;
		if (follow_list(remote, first ? first - bias : 0, bias, chunk_bytes, max_length,
				found))
			return true;
	}
	return false;
}

static void follow_fastbins(const struct remote *remote, uint64_t arena, struct glibc_chunks *found,
			    uint64_t *missed)
{
	struct glibc_arena_state state;

	for (size_t i = 0; i < ARRAY_SIZE(state.fastbins); i++)
		if (!follow_head(remote, arena + offsetof(struct glibc_arena_state, fastbins[i]), 0,
				 bin_chunk_bytes(i), MAX_FASTBIN_CHUNKS, found))
			++*missed;
}

static void follow_cache(const struct remote *remote, uint64_t cache, struct glibc_chunks *found,
			 uint64_t *missed)
{
	for (size_t i = 0; i < CACHE_BINS; i++)
		if (!follow_head(remote, cache + offsetof(struct cache, entries[i]),
				 GLIBC_CHUNK_HEAD, bin_chunk_bytes(i), UINT16_MAX, found))
			++*missed;
}

/* ---- threads ------------------------------------------------------------------------------ */

/* glibc keeps the head of a thread's robust futex list inside its control block, and tells it to
 * the kernel, which tells us. The control block (struct pthread) begins with a pointer to itself
 * and has another at 16 (tcbhead_t: tcb, dtv, self). */
static uint64_t control_block(const struct remote *remote, pid_t tid)
{
	struct robust_list_head *head = NULL;
	uint8_t bytes[CONTROL_BYTES];
	uint64_t from, words[3], found = 0;
	size_t size, length;

	if (syscall(SYS_get_robust_list, tid, &head, &length) < 0 || !head)
		return 0;
	from = ((uint64_t)head - CONTROL_BYTES + 63) / 64 * 64; /* it is aligned to 64 */
	size = (uint64_t)head - from;
	if (remote_read(remote, from, bytes, size) < 0) { /* near the start of its mapping */
		from = (uint64_t)head / 4096 * 4096;
		size = (uint64_t)head - from;
		if (remote_read(remote, from, bytes, size) < 0)
			return 0;
	}
	for (size_t at = 0; at + sizeof(words) <= size; at += 64) {
		memcpy(words, bytes + at, sizeof(words));
		if (words[0] == from + at && words[2] == from + at)
			found = from + at; /* the nearest to the list's head counts */
	}
	return found;
}

struct threads {
	uint64_t *blocks; /* control blocks */
	size_t count, capacity;
};

static int add_thread(struct threads *threads, uint64_t block)
{
	if (threads->count == threads->capacity) {
		size_t capacity = threads->capacity ? 2 * threads->capacity : 64;
		uint64_t *blocks = realloc(threads->blocks, capacity * sizeof(*blocks));

		if (!blocks)
			return -ENOMEM;
		threads->blocks = blocks;
		threads->capacity = capacity;
	}
	threads->blocks[threads->count++] = block;
	return 0;
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int list_threads(const struct remote *remote, pid_t pid, struct threads *ret,
			uint64_t *missed)
{
	_cleanup_(close_dir) DIR *dir = NULL;
	char path[64];
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while ((entry = readdir(dir))) {
		uint64_t block;

		if (entry->d_name[0] == '.')
			continue;
		block = control_block(remote, atoi(entry->d_name));
		if (!block)
			++*missed; /* being born, ended, or no thread of glibc */
		else if (add_thread(ret, block) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- where a thread keeps its cache ------------------------------------------------------- */

/* The size of the chunk that a cache at addr fills; 0: of none. 16 bytes that would be left are too
 * few for a chunk of their own and stay with it. */
static uint64_t cache_chunk_bytes(const struct remote *remote, uint64_t addr)
{
	uint64_t bytes = chunk_size_at(remote, addr - GLIBC_CHUNK_HEAD);

	return bytes == CACHE_CHUNK || bytes == CACHE_CHUNK + 16 ? bytes : 0;
}

/* How much what lies there looks like a cache: 0 not at all, else 1 and its filled bins. A bin is
 * empty or points at a block of its size; two at most may be in motion while we look. */
static unsigned looks_like_cache(const struct remote *remote, uint64_t addr)
{
	struct cache cache;
	unsigned odd = 0, filled = 0;

	if (!addr || addr % 16 || !cache_chunk_bytes(remote, addr) ||
	    remote_read(remote, addr, &cache, sizeof(cache)) < 0)
		return 0;
	for (size_t i = 0; i < CACHE_BINS; i++) {
		uint64_t block = cache.entries[i];

		if (!block && !cache.counts[i])
			continue;
		if (!block || !cache.counts[i] || block % 16 ||
		    chunk_size_at(remote, block - GLIBC_CHUNK_HEAD) != bin_chunk_bytes(i))
			odd++;
		else
			filled++;
	}
	return odd <= 2 ? 1 + filled : 0;
}

/* The TLS_BYTES below a control block, page by page: not all of them may be mapped. */
static void read_tls(const struct remote *remote, uint64_t block, uint8_t *bytes)
{
	uint64_t end = block, start;

	memset(bytes, 0, TLS_BYTES);
	for (; end > block - TLS_BYTES; end = start) {
		start = (end - 1) / PAGE * PAGE;
		if (start < block - TLS_BYTES)
			start = block - TLS_BYTES;
		if (remote_read(remote, start, bytes + (start - (block - TLS_BYTES)), end - start) <
		    0)
			return;
	}
}

/* The distance from a control block down to libc's variable `tcache` is the same in all threads
 * (static TLS). It is the one whose words are caches or, in a thread that has not allocated yet, 0;
 * of several such variables the one with most in its caches. 0: there is none. */
static uint64_t find_cache_offset(const struct remote *remote, const struct threads *threads)
{
	_cleanup_free_ uint64_t *words = calloc(TLS_BYTES / 8, sizeof(*words));
	_cleanup_free_ unsigned *scores = calloc(TLS_BYTES / 8, sizeof(*scores));
	uint64_t best = 0;
	unsigned most = 0;
	size_t looked_at = threads->count < 64 ? threads->count : 64;

	if (!words || !scores)
		return 0;
	for (size_t t = 0; t < looked_at; t++) {
		read_tls(remote, threads->blocks[t], (uint8_t *)words);
		for (size_t i = 0; i < TLS_BYTES / 8; i++)
			if (words[i])
				scores[i] += looks_like_cache(remote, words[i]);
	}
	for (size_t i = TLS_BYTES / 8; i-- > 0;) {
		if (scores[i] <= most)
			continue;
		most = scores[i];
		best = TLS_BYTES - 8 * i;
	}
	return best;
}

int glibc_heap_cached(const struct remote *remote, pid_t pid, const struct glibc_heap *heap,
		      struct glibc_chunks *fastbins, struct glibc_chunks *cached,
		      struct glibc_chunks *internal, uint64_t *ret_missed)
{
	struct threads threads = { 0 };
	uint64_t offset, missed = 0;
	int err = list_threads(remote, pid, &threads, &missed);

	offset = err ? 0 : find_cache_offset(remote, &threads);
	if (!err && !offset)
		err = -ENOENT;
	for (size_t i = 0; i < threads.count && !err; i++) {
		uint64_t cache;

		if (remote_read(remote, threads.blocks[i] - offset, &cache, sizeof(cache)) < 0)
			cache = 1; /* the thread has just ended */
		if (!cache)
			continue; /* it has not allocated yet */
		if (!looks_like_cache(remote, cache)) {
			missed++;
			continue;
		}
		err = glibc_chunks_add(internal, cache - GLIBC_CHUNK_HEAD,
				       cache_chunk_bytes(remote, cache));
		follow_cache(remote, cache, cached, &missed);
	}
	for (size_t i = 0; i < heap->arena_count && !err; i++)
		follow_fastbins(remote, heap->arenas[i], fastbins, &missed);
	free(threads.blocks);
	*ret_missed = missed;
	return err;
}
