/* Chunks that are free though their neighbours say in use: in fastbins and in threads' caches. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define TLS_BYTES 65536ull /* below a thread's control block: static TLS; libc's is in there */
#define CONTROL_BYTES 4096 /* from a thread's control block to its robust list */
#define MAX_RETRIES 50
#define MAX_CIRCLES 3 /* that often it is no accident of looking while it changes */
#define SMALL_BINS 64 /* of chunks of one size each; any behind them: of a range of sizes */
#define MAX_BINS 76

/* tcache_perthread_struct: a number and the head of a list for each bin. The numbers are blocks in
 * the list from 2.30 to 2.41, since then how many more may come. */
struct cache_layout {
	size_t bins, entries_at, bytes;
	/* of the chunk that it fills: 16 bytes that are left are too few for a chunk of their own,
	 * and 2.43 adds a head twice */
	uint64_t least_chunk_bytes, most_chunk_bytes;
	bool has_slots;
};

static const struct cache_layout layouts[] = {
	{ 64, 128, 640, 0x290, 0x2a0, false },
	{ 76, 152, 760, 0x300, 0x320, true },
};

struct cache {
	const struct cache_layout *layout;
	uint64_t chunk_bytes;
	uint16_t numbers[MAX_BINS];
	uint64_t entries[MAX_BINS];
};

static uint64_t bin_chunk_bytes(size_t bin) /* fastbins and caches alike */
{
	return GLIBC_MIN_CHUNK + 16 * bin;
}

/* The sizes of a bin's chunks: behind the small ones by powers of two. */
static struct glibc_range bin_sizes(size_t bin)
{
	uint64_t least = bin_chunk_bytes(SMALL_BINS);

	if (bin < SMALL_BINS)
		return (struct glibc_range){ bin_chunk_bytes(bin), bin_chunk_bytes(bin) + 1 };
	bin -= SMALL_BINS;
	return (struct glibc_range){ bin ? 1024ull << bin : least, 2048ull << bin };
}

static uint64_t chunk_size_at(struct remote *remote, uint64_t chunk)
{
	uint64_t word;

	return remote_read(remote, chunk + 8, &word, sizeof(word)) < 0 ? 0 : word & ~7ull;
}

/* ---- lists -------------------------------------------------------------------------------- */

enum list { LIST_ENDED, LIST_CHANGING, LIST_CIRCULAR, LIST_FAILED };

static bool is_of_size(uint64_t chunk_bytes, const struct glibc_range *sizes)
{
	return chunk_bytes >= sizes->start && chunk_bytes < sizes->end && chunk_bytes % 16 == 0;
}

/* Follow a list of free chunks. first: of a chunk; each holds the next one's in its first word of
 * data, mangled by the word's own address (PROTECT_PTR since 2.32); links name chunks (bias 0) or
 * blocks (bias GLIBC_CHUNK_HEAD). That it is a circle is found in Brent's way: a chunk that comes
 * again after a power of two. */
static enum list follow_list(struct remote *remote, uint64_t first, uint64_t bias,
			     const struct glibc_range *sizes, uint64_t max_length,
			     struct glibc_chunks *found)
{
	uint64_t chunk = first, seen = 0, power = 1;

	for (uint64_t i = 0; chunk; i++) {
		uint64_t at = chunk + GLIBC_CHUNK_HEAD, mangled, link, bytes;

		if (chunk == seen)
			return LIST_CIRCULAR;
		if (i == power) {
			power *= 2;
			seen = chunk;
		}
		bytes = chunk_size_at(remote, chunk);
		if (i == max_length || chunk % 16 || !is_of_size(bytes, sizes) ||
		    remote_read(remote, at, &mangled, sizeof(mangled)) < 0)
			return LIST_CHANGING;
		if (glibc_chunks_add(found, chunk, bytes) < 0)
			return LIST_FAILED;
		link = mangled ^ at >> 12;
		chunk = link ? link - bias : 0;
	}
	return LIST_ENDED;
}

/* The same from a head that is read anew for each attempt; what the last one found stays. */
static int follow_head(struct remote *remote, uint64_t head, uint64_t bias, size_t bin,
		       uint64_t max_length, struct glibc_chunks *found,
		       struct glibc_lists_missed *missed)
{
	const struct glibc_range sizes = bin_sizes(bin);
	size_t before = found->count;
	int circles = 0;

	for (int i = 0; i < MAX_RETRIES && circles < MAX_CIRCLES; i++) {
		uint64_t first;
		enum list list;

		if (remote_read(remote, head, &first, sizeof(first)) < 0)
			break;
		found->count = before;
		list = follow_list(remote, first ? first - bias : 0, bias, &sizes, max_length,
				   found);
		if (list == LIST_FAILED)
			return found->max && found->count >= found->max ? -E2BIG : -ENOMEM;
		if (list == LIST_ENDED)
			return 0;
		circles += list == LIST_CIRCULAR;
	}
	if (circles == MAX_CIRCLES)
		missed->circular++;
	else
		missed->changing++;
	return remote_error(remote);
}

static int follow_fastbins(struct remote *remote, const struct glibc_arena *arena,
			   struct glibc_chunks *found, struct glibc_lists_missed *missed)
{
	int err = 0;

	for (size_t i = 0; arena->has_fastbins && i < GLIBC_FASTBINS && !err; i++)
		err = follow_head(remote, arena->addr + GLIBC_FASTBINS_AT + 8 * i, 0, i, UINT64_MAX,
				  found, missed);
	return err;
}

static int follow_cache(struct remote *remote, uint64_t addr, const struct cache_layout *layout,
			struct glibc_chunks *found, struct glibc_lists_missed *missed)
{
	int err = 0;

	for (size_t i = 0; i < layout->bins && !err; i++)
		err = follow_head(remote, addr + layout->entries_at + 8 * i, GLIBC_CHUNK_HEAD, i,
				  UINT16_MAX, found, missed);
	return err;
}

/* ---- threads ------------------------------------------------------------------------------ */

/* glibc keeps the head of a thread's robust futex list inside its control block, and tells it to
 * the kernel, which tells us. The control block (struct pthread) begins with a pointer to itself
 * and has another at 16 (tcbhead_t: tcb, dtv, self). 0: there is none. */
static uint64_t control_block(struct remote *remote, uint64_t robust_list)
{
	uint64_t from = (robust_list - CONTROL_BYTES + 63) / 64 * 64; /* it is aligned to 64 */
	uint64_t words[3], found = 0;
	uint8_t bytes[CONTROL_BYTES];

	if (robust_list < CONTROL_BYTES)
		return 0;
	remote_read_sparse(remote, from, bytes, robust_list - from);
	for (uint64_t at = from; at + sizeof(words) <= robust_list; at += 64) {
		memcpy(words, bytes + (at - from), sizeof(words));
		if (words[0] == at && words[2] == at)
			found = at; /* the nearest to the list's head counts */
	}
	return found;
}

struct threads {
	uint64_t *blocks; /* control blocks */
	size_t count, capacity;
};

static int add_thread(struct threads *threads, uint64_t block)
{
	int err = array_make_room(&threads->blocks, &threads->capacity, threads->count);

	if (!err)
		threads->blocks[threads->count++] = block;
	return err;
}

static int list_threads(struct remote *remote, struct threads *ret,
			struct glibc_lists_missed *missed)
{
	_cleanup_free_ uint64_t *lists = NULL;
	size_t count = 0;
	int err = remote_threads(remote, &lists, &count);

	for (size_t i = 0; i < count && !err; i++) {
		uint64_t block = lists[i] ? control_block(remote, lists[i]) : 0;

		if (block)
			err = add_thread(ret, block);
		else if (lists[i]) /* else it is being born, or no thread of glibc */
			missed->changing++;
	}
	return err ? err : remote_error(remote);
}

/* ---- where a thread keeps its cache ------------------------------------------------------- */

static const struct cache_layout *layout_of(const struct glibc_heap *heap, uint64_t chunk_bytes)
{
	for (size_t i = glibc_has(heap, true) ? 0 : 1; i < ARRAY_SIZE(layouts); i++)
		if (chunk_bytes >= layouts[i].least_chunk_bytes &&
		    chunk_bytes <= layouts[i].most_chunk_bytes)
			return &layouts[i];
	return NULL;
}

static int read_cache(struct remote *remote, const struct glibc_heap *heap, uint64_t addr,
		      struct cache *ret)
{
	uint8_t bytes[sizeof(ret->numbers) + sizeof(ret->entries)];

	ret->chunk_bytes = chunk_size_at(remote, addr - GLIBC_CHUNK_HEAD);
	ret->layout = layout_of(heap, ret->chunk_bytes);
	if (!ret->layout || remote_read(remote, addr, bytes, ret->layout->bytes) < 0)
		return -EFAULT;
	memcpy(ret->numbers, bytes, 2 * ret->layout->bins);
	memcpy(ret->entries, bytes + ret->layout->entries_at, 8 * ret->layout->bins);
	return 0;
}

/* What an empty bin's number is: 0, or as many slots as any bin has. */
static uint16_t number_of_empty(const struct cache *cache)
{
	uint16_t most = 0;

	for (size_t i = 0; cache->layout->has_slots && i < cache->layout->bins; i++)
		if (cache->numbers[i] > most)
			most = cache->numbers[i];
	return most;
}

/* How much what lies there looks like a cache: 0 not at all, else 2 and its filled bins. A bin is
 * empty or points at a block of its size; two at most may be in motion while we look. */
static unsigned looks_like_cache(struct remote *remote, const struct glibc_heap *heap,
				 uint64_t addr, struct cache *ret)
{
	unsigned odd = 0, filled = 0;
	uint16_t empty;

	if (!addr || addr % 16 || read_cache(remote, heap, addr, ret) < 0)
		return 0;
	empty = number_of_empty(ret);
	if (ret->layout->has_slots && !empty)
		return 0;
	for (size_t i = 0; i < ret->layout->bins; i++) {
		const struct glibc_range sizes = bin_sizes(i);
		uint64_t block = ret->entries[i];
		bool is_empty = ret->numbers[i] == empty;

		if (!block && is_empty)
			continue;
		if (!block || is_empty || block % 16 ||
		    !is_of_size(chunk_size_at(remote, block - GLIBC_CHUNK_HEAD), &sizes))
			odd++;
		else
			filled++;
	}
	return odd <= 2 ? 2 + filled : 0;
}

/* From 2.43 on a thread without a cache has a constant of zeros in its place, or the one behind it:
 * the program wants no caches. */
static bool is_among_constants(const struct glibc_heap *heap, uint64_t addr)
{
	for (size_t i = 0; i < heap->constants.count; i++)
		if (addr >= heap->constants.list[i].start && addr < heap->constants.list[i].end)
			return addr % 8 == 0;
	return false;
}

static bool looks_like_dummy(struct remote *remote, const struct glibc_heap *heap, uint64_t addr)
{
	uint64_t words[95];

	_Static_assert(sizeof(words) == 760, "a cache of 2.43");
	if (!is_among_constants(heap, addr) || remote_read(remote, addr, words, sizeof(words)) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i])
			return false;
	return true;
}

static unsigned score_of(struct remote *remote, const struct glibc_heap *heap, uint64_t addr)
{
	struct cache cache;

	return looks_like_dummy(remote, heap, addr) ? 1
						    : looks_like_cache(remote, heap, addr, &cache);
}

/* The distance from a control block down to libc's variable `tcache` is the same in all threads
 * (static TLS), and another for each libc. It is one whose words are caches or, in a thread that
 * has none, 0 or a dummy; of several such variables those with most in their caches. Fills offsets
 * with as many of wanted as there are. */
static int find_cache_offsets(struct remote *remote, const struct glibc_heap *heap,
			      const struct threads *threads, uint64_t *offsets, size_t *ret_found)
{
	_cleanup_free_ uint64_t *words = calloc(TLS_BYTES / 8, sizeof(*words));
	_cleanup_free_ unsigned *scores = calloc(TLS_BYTES / 8, sizeof(*scores));
	size_t looked_at = threads->count < 64 ? threads->count : 64, found;

	if (!words || !scores)
		return -ENOMEM;
	for (size_t t = 0; t < looked_at; t++) {
		remote_read_sparse(remote, threads->blocks[t] - TLS_BYTES, words, TLS_BYTES);
		for (size_t i = 0; i < TLS_BYTES / 8; i++)
			if (words[i])
				scores[i] += score_of(remote, heap, words[i]);
	}
	for (found = 0; found < heap->main_count; found++) {
		unsigned most = 0;
		size_t best = 0;

		for (size_t i = TLS_BYTES / 8; i-- > 0;)
			if (scores[i] > most) {
				most = scores[i];
				best = i;
			}
		if (!most)
			break;
		scores[best] = 0;
		offsets[found] = TLS_BYTES - 8 * best;
	}
	*ret_found = found;
	return remote_error(remote);
}

/* The cache that a thread has of one libc. */
static int add_cache(struct remote *remote, const struct glibc_heap *heap, uint64_t variable,
		     struct glibc_chunks *cached, struct glibc_chunks *internal,
		     struct glibc_lists_missed *missed)
{
	struct cache cache;
	uint64_t addr;
	int err;

	if (remote_read(remote, variable, &addr, sizeof(addr)) < 0)
		addr = 1; /* the thread has just ended */
	if (!addr || is_among_constants(heap, addr))
		return 0; /* it has none */
	if (!looks_like_cache(remote, heap, addr, &cache)) {
		missed->changing++;
		return remote_error(remote);
	}
	err = glibc_chunks_add(internal, addr - GLIBC_CHUNK_HEAD, cache.chunk_bytes);
	return err ? err : follow_cache(remote, addr, cache.layout, cached, missed);
}

static int follow_all(struct remote *remote, const struct glibc_heap *heap,
		      struct glibc_chunks *fastbins, struct glibc_chunks *cached,
		      struct glibc_chunks *internal, struct glibc_lists_missed *ret_missed)
{
	_cleanup_free_ uint64_t *offsets = calloc(heap->main_count, sizeof(*offsets));
	struct glibc_lists_missed missed = { 0 };
	struct threads threads = { 0 };
	size_t offset_count = 0;
	int err = offsets ? list_threads(remote, &threads, &missed) : -ENOMEM;

	if (!err)
		err = find_cache_offsets(remote, heap, &threads, offsets, &offset_count);
	if (!err && !offset_count)
		err = -ENOENT;
	for (size_t i = 0; i < threads.count && !err; i++)
		for (size_t j = 0; j < offset_count && !err; j++)
			err = add_cache(remote, heap, threads.blocks[i] - offsets[j], cached,
					internal, &missed);
	for (size_t i = 0; i < heap->arena_count && !err; i++)
		err = follow_fastbins(remote, &heap->arenas[i], fastbins, &missed);
	free(threads.blocks);
	*ret_missed = missed;
	return err;
}

/* A thread that ends or begins while it is looked at is a matter of the moment: look again. */
#define MAX_ATTEMPTS 5

int glibc_heap_cached(struct remote *remote, const struct glibc_heap *heap,
		      struct glibc_chunks *fastbins, struct glibc_chunks *cached,
		      struct glibc_chunks *internal, struct glibc_lists_missed *ret_missed)
{
	int err = 0;

	for (int i = 0; i < MAX_ATTEMPTS && !err; i++) {
		fastbins->count = cached->count = internal->count = 0;
		err = follow_all(remote, heap, fastbins, cached, internal, ret_missed);
		if (!err && !ret_missed->changing)
			break;
	}
	return err;
}
