/* Finding glibc's main arena and those after it, in memory without symbols. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

#define STATE_BYTES sizeof(struct glibc_arena_state)
#define BINS 127		   /* pairs of pointers in bins[] */
#define MAX_DATA_BYTES (64u << 20) /* of one mapping that is searched */
#define HEAP_BYTES (64ull << 20)   /* HEAP_MAX_SIZE: heaps are aligned to it */
#define MIN_EMPTY_BINS 16
#define MAX_RETRIES 10
#define PARAMETERS_BYTES 16384ull /* mp_ lies so near to main_arena: both are malloc.o's data */

_Static_assert(sizeof(struct glibc_arena_state) == 2200, "malloc_state of glibc 2.27 to 2.41");

/* ---- lists of chunks ---------------------------------------------------------------------- */

int glibc_chunks_add(struct glibc_chunks *chunks, uint64_t addr, uint64_t size_bytes)
{
	if (chunks->max && chunks->count >= chunks->max)
		return -E2BIG;
	if (chunks->count == chunks->capacity) {
		size_t capacity = chunks->capacity ? 2 * chunks->capacity : 1024;
		struct glibc_chunk *list = realloc(chunks->list, capacity * sizeof(*list));

		if (!list)
			return -ENOMEM;
		chunks->list = list;
		chunks->capacity = capacity;
	}
	chunks->list[chunks->count++] = (struct glibc_chunk){ addr, size_bytes };
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct glibc_chunk *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

void glibc_chunks_sort(struct glibc_chunks *chunks)
{
	size_t kept = 0, ascending = 1;

	if (!chunks->count)
		return;
	/* One arena is walked in ascending order: millions of chunks need no sorting. */
	while (ascending < chunks->count &&
	       chunks->list[ascending - 1].addr < chunks->list[ascending].addr)
		ascending++;
	if (ascending == chunks->count)
		return;
	qsort(chunks->list, chunks->count, sizeof(*chunks->list), by_addr);
	for (size_t i = 1; i < chunks->count; i++)
		if (chunks->list[i].addr != chunks->list[kept].addr)
			chunks->list[++kept] = chunks->list[i];
	chunks->count = kept + 1;
}

bool glibc_chunks_have(const struct glibc_chunks *sorted, uint64_t addr)
{
	const struct glibc_chunk key = { .addr = addr };

	return sorted->count &&
	       bsearch(&key, sorted->list, sorted->count, sizeof(key), by_addr) != NULL;
}

void glibc_chunks_deinit(struct glibc_chunks *chunks)
{
	free(chunks->list);
	*chunks = (struct glibc_chunks){ 0 };
}

/* ---- the main arena ----------------------------------------------------------------------- */

/* Bin i of the arena at addr, as if it were a chunk: its fd and bk are bins[2i] and bins[2i + 1].
 */
static uint64_t bin_at(uint64_t addr, size_t i)
{
	return addr + offsetof(struct glibc_arena_state, bins) + 16 * i - GLIBC_CHUNK_HEAD;
}

/* A circular list of free chunks in each bin: an empty one points at itself, twice. Two at most may
 * be in motion while we look. */
static bool has_bins(const struct glibc_arena_state *state, uint64_t addr)
{
	size_t empty = 0, odd = 0;

	for (size_t i = 0; i < BINS; i++) {
		uint64_t self = bin_at(addr, i), fd = state->bins[2 * i],
			 bk = state->bins[2 * i + 1];

		if (fd == self && bk == self)
			empty++;
		else if (fd == self || bk == self || !fd || !bk || fd % 16 || bk % 16)
			odd++;
	}
	return empty >= MIN_EMPTY_BINS && odd <= 2;
}

static bool is_arena(const struct glibc_arena_state *state, uint64_t addr)
{
	return has_bins(state, addr) && state->next && state->next % 8 == 0 &&
	       state->top % 16 == 0 && state->top &&
	       state->system_bytes <= state->max_system_bytes && state->attached_threads < 1u << 22;
}

/* Search size bytes of memory that lie at addr in the process. */
static uint64_t search_bytes(const uint8_t *bytes, size_t size, uint64_t addr)
{
	struct glibc_arena_state state;

	for (size_t at = 0; at + STATE_BYTES <= size; at += 8) {
		uint64_t words[2];

		/* The unsorted bin or the last of all is empty more often than not; the rest is
		 * looked at only then. */
		memcpy(words, bytes + at + offsetof(struct glibc_arena_state, bins[252]), 16);
		if (words[0] != bin_at(addr + at, BINS - 1) || words[1] != words[0])
			memcpy(words, bytes + at + offsetof(struct glibc_arena_state, bins[246]),
			       16);
		if (words[0] != words[1] || words[0] < addr + at ||
		    words[0] > addr + at + STATE_BYTES)
			continue;
		memcpy(&state, bytes + at, sizeof(state));
		if (is_arena(&state, addr + at))
			return addr + at;
	}
	return 0;
}

/* Data of a file, or what follows it without a name: .bss. */
static bool may_hold_main_arena(const struct procmaps *maps, size_t i)
{
	const struct procmaps_entry *entry = &maps->entries[i];

	if (!entry->is_writable || !entry->is_readable || entry->is_shared || entry->path[0] == '[')
		return false;
	return entry->inode ||
	       (i && maps->entries[i - 1].end == entry->start && maps->entries[i - 1].inode);
}

static int find_main_arena(const struct remote *remote, const struct procmaps *maps, uint64_t *ret)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		size_t size = entry->end - entry->start;
		_cleanup_free_ uint8_t *bytes = NULL;

		if (!may_hold_main_arena(maps, i))
			continue;
		if (size > MAX_DATA_BYTES)
			size = MAX_DATA_BYTES;
		bytes = malloc(size);
		if (!bytes)
			return -ENOMEM;
		size = remote_read_some(remote, entry->start, bytes, size);
		*ret = search_bytes(bytes, size, entry->start);
		if (*ret)
			return 0;
	}
	return -ENOENT;
}

/* ---- all of them -------------------------------------------------------------------------- */

void glibc_heap_deinit(struct glibc_heap *heap)
{
	free(heap->arenas);
	*heap = (struct glibc_heap){ 0 };
}

/* Other arenas lie in the first heap that they own, behind its heap_info (0x20 bytes up to 2.34,
 * 0x30 since), whose first word points back. */
static bool is_other_arena(const struct remote *remote, uint64_t addr,
			   const struct glibc_arena_state *state)
{
	uint64_t heap = addr & ~(HEAP_BYTES - 1), owner;

	return (addr - heap == 0x20 || addr - heap == 0x30) && is_arena(state, addr) &&
	       remote_read(remote, heap, &owner, sizeof(owner)) == 0 && owner == addr;
}

static int follow_ring(const struct remote *remote, struct glibc_heap *heap)
{
	uint64_t addr = heap->main_arena;

	for (size_t count = 1; count <= GLIBC_MAX_ARENAS; count++) {
		struct glibc_arena_state state;
		uint64_t *arenas = realloc(heap->arenas, count * sizeof(*arenas));

		if (!arenas)
			return -ENOMEM;
		heap->arenas = arenas;
		arenas[heap->arena_count++] = addr;
		if (remote_read(remote, addr, &state, sizeof(state)) < 0)
			return -ENOENT;
		if (addr != heap->main_arena && !is_other_arena(remote, addr, &state))
			return -ENOENT;
		addr = state.next;
		if (addr == heap->main_arena)
			return 0;
	}
	return -ENOENT;
}

/* The mapping in which addr lies; NULL if there is none. */
static const struct procmaps_entry *entry_of(const struct procmaps *maps, uint64_t addr)
{
	for (size_t i = 0; i < maps->count; i++)
		if (maps->entries[i].start <= addr && addr < maps->entries[i].end)
			return &maps->entries[i];
	return NULL;
}

/* mp_ (struct malloc_par) lies in the same data as the main arena. It ends with mmapped_mem,
 * max_mmapped_mem, sbrk_base, tcache_bins, tcache_max_bytes, tcache_count, …: 64 bins for up to
 * 1032 bytes unless tunables say otherwise. */
static bool is_end_of_parameters(const uint64_t words[5], const struct procmaps_entry *brk_heap,
				 uint64_t top)
{
	uint64_t bins = words[3], largest = words[4];

	return words[0] <= words[1] && words[2] >= brk_heap->start && words[2] < top &&
	       words[2] % 16 == 0 && bins && bins <= 64 && largest <= bins * 16 + 8 &&
	       largest + 16 > bins * 16 + 8;
}

/* The main arena grows by brk, from mp_.sbrk_base on. That is where [heap] begins, unless somebody
 * else moved the break before (the start-up code of static programs does). */
static int find_main_start(const struct remote *remote, const struct procmaps *maps, uint64_t top,
			   struct glibc_heap *heap)
{
	const struct procmaps_entry *brk_heap = entry_of(maps, top);
	const struct procmaps_entry *data = entry_of(maps, heap->main_arena);
	uint64_t from, size, words[PARAMETERS_BYTES / 4];

	if (!brk_heap || strcmp(brk_heap->path, "[heap]") != 0 || !data)
		return -ENOENT;
	from = heap->main_arena - data->start > PARAMETERS_BYTES
		       ? heap->main_arena / 8 * 8 - PARAMETERS_BYTES
		       : data->start;
	size = data->end - from < sizeof(words) ? data->end - from : sizeof(words);
	heap->main_start = brk_heap->start;
	size = remote_read_some(remote, from, words, size);
	for (size_t w = 0; w + 5 <= size / 8; w++) {
		if (!is_end_of_parameters(words + w, brk_heap, top))
			continue;
		heap->main_start = words[w + 2];
		heap->mmapped_bytes_at = from + 8 * w;
		break;
	}
	return 0;
}

static int find_once(const struct remote *remote, const struct procmaps *maps,
		     struct glibc_heap *ret)
{
	_cleanup_(glibc_heap_deinit) struct glibc_heap heap = { 0 };
	struct glibc_arena_state state;
	int err = find_main_arena(remote, maps, &heap.main_arena);

	if (!err)
		err = follow_ring(remote, &heap);
	if (!err)
		err = remote_read(remote, heap.main_arena, &state, sizeof(state));
	if (err)
		return err;
	/* Before its first allocation, the main arena's top is a bin. */
	if (state.top != bin_at(heap.main_arena, 0)) {
		err = find_main_start(remote, maps, state.top, &heap);
		if (err)
			return err;
	}
	*ret = heap;
	heap = (struct glibc_heap){ 0 };
	return 0;
}

/* What is in motion at one look is at rest at the next. */
int glibc_heap_find(const struct remote *remote, const struct procmaps *maps,
		    struct glibc_heap *ret)
{
	int err = -ENOENT;

	for (int i = 0; i < MAX_RETRIES && err == -ENOENT; i++)
		err = find_once(remote, maps, ret);
	return err;
}
