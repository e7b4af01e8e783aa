/* Finding glibc's main arena and those after it, in memory without symbols. */
#include "glibc_malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define STATE_BYTES sizeof(struct glibc_arena_state)
#define BINS 127		   /* pairs of pointers in bins[] */
#define MAX_DATA_BYTES (64u << 20) /* of one mapping that is searched */
#define MIN_EMPTY_BINS 16
#define MAX_RETRIES 10
#define MAX_LIBCS 16
#define PARAMETERS_BYTES 16384ull /* mp_ lies so near to main_arena: both are malloc.o's data */

_Static_assert(STATE_BYTES + GLIBC_FASTBINS_AT + 8 * GLIBC_FASTBINS == 2200, "up to glibc 2.42");
_Static_assert(STATE_BYTES + 8 == 2112, "glibc 2.43 and 2.44");

/* ---- lists of chunks ---------------------------------------------------------------------- */

int glibc_chunks_add(struct glibc_chunks *chunks, uint64_t addr, uint64_t size_bytes)
{
	int err = chunks->max && chunks->count >= chunks->max
			  ? -E2BIG
			  : array_make_room(&chunks->list, &chunks->capacity, chunks->count);

	if (!err)
		chunks->list[chunks->count++] = (struct glibc_chunk){ addr, size_bytes };
	return err;
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

int glibc_ranges_add(struct glibc_ranges *ranges, uint64_t start, uint64_t end)
{
	int err = array_make_room(&ranges->list, &ranges->capacity, ranges->count);

	if (!err)
		ranges->list[ranges->count++] = (struct glibc_range){ start, end };
	return err;
}

/* ---- main arenas ----------------------------------------------------------------------- */

int glibc_read_state(struct remote *remote, const struct glibc_arena *arena,
		     struct glibc_arena_state *ret)
{
	return remote_read(remote, glibc_state_at(arena), ret, sizeof(*ret));
}

/* Bin i of the state at addr, as if it were a chunk: its fd and bk are bins[2i] and bins[2i + 1].
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

static bool is_state(const struct glibc_arena_state *state, uint64_t addr)
{
	return has_bins(state, addr) && state->next && state->next % 8 == 0 && state->top &&
	       (state->top % 16 == 0 || state->top == bin_at(addr, 0)) &&
	       state->system_bytes <= state->max_system_bytes && state->attached_threads < 1u << 22;
}

bool glibc_is_in_use(const struct glibc_arena_state *state, const struct glibc_arena *arena)
{
	return state->top != bin_at(glibc_state_at(arena), 0);
}

static int add_arena(struct glibc_heap *heap, const struct glibc_arena *arena)
{
	struct glibc_arena *arenas =
		reallocarray(heap->arenas, heap->arena_count + 1, sizeof(*arenas));

	if (!arenas)
		return -ENOMEM;
	heap->arenas = arenas;
	arenas[heap->arena_count++] = *arena;
	return 0;
}

/* Search size bytes of memory that lie at addr in the process. What is found is a state that looks
 * like an arena's; which kind of arena that is, its ring will tell. */
static int search_bytes(const uint8_t *bytes, size_t size, uint64_t addr, struct glibc_heap *heap)
{
	struct glibc_arena_state state;
	int err = 0;

	for (size_t at = 0; at + STATE_BYTES <= size && !err; at += 8) {
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
		if (is_state(&state, addr + at) && heap->arena_count < MAX_LIBCS)
			err = add_arena(heap, &(struct glibc_arena){ .addr = addr + at });
	}
	return err;
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

/* One for each libc; by their states. */
static int find_main_states(struct remote *remote, const struct procmaps *maps,
			    struct glibc_heap *heap)
{
	int err = 0;

	for (size_t i = 0; i < maps->count && !err; i++) {
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
		remote_read_sparse(remote, entry->start, bytes, size);
		err = search_bytes(bytes, size, entry->start, heap);
	}
	heap->main_count = heap->arena_count;
	return err;
}

/* ---- all of them -------------------------------------------------------------------------- */

void glibc_heap_deinit(struct glibc_heap *heap)
{
	free(heap->arenas);
	free(heap->mmapped_bytes_at);
	free(heap->mapped.list);
	free(heap->parts.list);
	free(heap->constants.list);
	*heap = (struct glibc_heap){ 0 };
}

bool glibc_has(const struct glibc_heap *heap, bool fastbins)
{
	for (size_t i = 0; i < heap->main_count; i++)
		if (heap->arenas[i].has_fastbins == fastbins)
			return true;
	return false;
}

/* Other arenas lie in the first heap that they own, behind its heap_info (0x20 bytes up to 2.34,
 * 0x30 since), whose first word points back. */
static bool is_other_arena(struct remote *remote, const struct glibc_arena *arena,
			   const struct glibc_arena_state *state)
{
	static const uint64_t info_bytes[] = { 0x20, 0x30 };

	for (size_t i = 0; i < ARRAY_SIZE(info_bytes); i++) {
		uint64_t heap = arena->addr - info_bytes[i], owner;

		if (heap % REMOTE_PAGE == 0)
			return is_state(state, glibc_state_at(arena)) &&
			       remote_read(remote, heap, &owner, sizeof(owner)) == 0 &&
			       owner == arena->addr;
	}
	return false;
}

/* The arenas behind a main one, up to itself again. What only looks like a main one has none; nor
 * has one whose state is taken for the other kind, for its own address is wrong then. */
static int follow_ring(struct remote *remote, const struct glibc_arena *main_arena,
		       struct glibc_heap *heap)
{
	size_t before = heap->arena_count, power = 1;
	struct glibc_arena arena = *main_arena;
	uint64_t seen = 0;
	int err = 0;

	while (!err && arena.addr != seen && heap->arena_count - before < GLIBC_MAX_ARENAS) {
		struct glibc_arena_state state;

		if (glibc_read_state(remote, &arena, &state) < 0)
			break;
		if (arena.addr != main_arena->addr && !is_other_arena(remote, &arena, &state))
			break;
		if (heap->arena_count - before == power) { /* Brent's way of finding a circle */
			power *= 2;
			seen = arena.addr;
		}
		arena.addr = state.next;
		if (arena.addr == main_arena->addr)
			return 0;
		err = add_arena(heap, &arena);
	}
	heap->arena_count = before;
	return err ? err : -ENOENT;
}

/* Of both kinds the one that has a ring. */
static int follow_state(struct remote *remote, uint64_t state_at, struct glibc_arena *ret,
			struct glibc_heap *heap)
{
	int err = -ENOENT;

	for (int kind = 0; kind < 2 && err == -ENOENT; kind++) {
		struct glibc_arena arena = { .has_fastbins = kind == 0 };

		arena.addr = state_at - glibc_state_at(&arena);
		err = follow_ring(remote, &arena, heap);
		if (!err)
			*ret = arena;
	}
	return err;
}

/* Keep those of the states that have a ring: they are main arenas. */
static int follow_rings(struct remote *remote, struct glibc_heap *heap)
{
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < heap->main_count && err != -ENOMEM; i++) {
		struct glibc_arena arena;

		err = follow_state(remote, heap->arenas[i].addr, &arena, heap);
		if (!err)
			heap->arenas[kept++] = arena;
	}
	if (err == -ENOMEM || !kept)
		return err ? err : -ENOENT;
	/* close the gap that dropped ones left */
	memmove(heap->arenas + kept, heap->arenas + heap->main_count,
		(heap->arena_count - heap->main_count) * sizeof(*heap->arenas));
	heap->arena_count -= heap->main_count - kept;
	heap->main_count = kept;
	return 0;
}

/* ---- where main arenas have their chunks ---------------------------------------------------- */

/* Nameless private memory: what mmap() gives to malloc. Large pages (a tunable) have a name that is
 * the kernel's, and from 2.38 on malloc may name its own (another). */
static bool is_nameless(const struct procmaps_entry *entry)
{
	if (!entry->is_readable || !entry->is_writable || entry->is_shared)
		return false;
	if (!entry->inode)
		return !entry->path[0] || !strncmp(entry->path, "[anon:", 6);
	return !strcmp(entry->path, "/anon_hugepage");
}

/* Adjacent ones are taken together: a chunk may span several. So are the pieces of [heap], which
 * madvise(2) cuts, and holes that something else has torn into it. */
static int find_ranges(const struct procmaps *maps, struct glibc_heap *heap)
{
	for (size_t i = 0; i < maps->count; i++) {
		const struct procmaps_entry *entry = &maps->entries[i];
		struct glibc_ranges *mapped = &heap->mapped;
		int err;

		if (!strcmp(entry->path, "[heap]")) {
			if (!heap->brk.start)
				heap->brk.start = entry->start;
			heap->brk.end = entry->end;
			heap->brk_room_end =
				i + 1 < maps->count ? maps->entries[i + 1].start : UINT64_MAX;
		}
		if (!is_nameless(entry))
			continue;
		if (mapped->count && mapped->list[mapped->count - 1].end == entry->start) {
			mapped->list[mapped->count - 1].end = entry->end;
			continue;
		}
		err = glibc_ranges_add(mapped, entry->start, entry->end);
		if (err)
			return err;
	}
	return 0;
}

static const struct procmaps_entry *entry_of(const struct procmaps *maps, uint64_t addr)
{
	for (size_t i = 0; i < maps->count; i++)
		if (maps->entries[i].start <= addr && addr < maps->entries[i].end)
			return &maps->entries[i];
	return NULL;
}

static bool is_within(const struct glibc_range *range, uint64_t addr)
{
	return range->start <= addr && addr < range->end;
}

/* The most that a thread's cache takes, with as many bins for small chunks. Up to 2.41 by what can
 * be used of a block; since then by the size of its chunk, or one more, and 12 bins of several
 * sizes behind the 64 reach up to 4 MiB. */
static bool is_limit_of_caches(uint64_t bins, uint64_t limit)
{
	uint64_t chunk = limit - limit % 16;

	if (!bins || bins > 64)
		return false;
	if (limit <= bins * 16 + 8 && (limit + 16 > bins * 16 + 8 || bins == 1))
		return true;
	return limit % 16 <= 1 &&
	       (chunk == bins * 16 + 16 || (bins == 64 && chunk > 1040 && chunk < 4 << 20));
}

/* mp_ (struct malloc_par) lies in the same data as the main arena. It ends with mmapped_mem,
 * max_mmapped_mem, sbrk_base, tcache_bins, tcache_max_bytes, tcache_count, …: 64 bins for up to
 * 1032 bytes unless tunables say otherwise. */
static bool is_end_of_parameters(const uint64_t words[5], const struct glibc_heap *heap,
				 bool is_in_use)
{
	uint64_t base = words[2];

	if (words[0] > words[1] || base % 8 || !is_limit_of_caches(words[3], words[4]))
		return false;
	if (!is_in_use) /* little else tells then */
		return !base && words[3] == 64;
	if (is_within(&heap->brk, base))
		return true;
	for (size_t i = 0; i < heap->mapped.count; i++)
		if (is_within(&heap->mapped.list[i], base))
			return true;
	return false;
}

/* mp_.sbrk_base, and where malloc keeps the sum of what it mapped. 0 and 0 if they are not found;
 * the former is 0, too, as long as the arena is not in use. */
static void find_parameters(struct remote *remote, const struct procmaps *maps,
			    const struct glibc_heap *heap, const struct glibc_arena *arena,
			    uint64_t *ret_base, uint64_t *ret_mmapped_bytes_at)
{
	uint64_t from, size, words[PARAMETERS_BYTES / 4];
	const struct procmaps_entry *data = entry_of(maps, arena->addr);
	struct glibc_arena_state state;
	bool is_in_use;

	*ret_base = *ret_mmapped_bytes_at = 0;
	if (!data || glibc_read_state(remote, arena, &state) < 0)
		return;
	is_in_use = glibc_is_in_use(&state, arena);
	from = arena->addr - data->start > PARAMETERS_BYTES ? arena->addr / 8 * 8 - PARAMETERS_BYTES
							    : data->start;
	size = data->end - from < sizeof(words) ? data->end - from : sizeof(words);
	remote_read_sparse(remote, from, words, size);
	for (size_t w = 0; w + 5 <= size / 8; w++) {
		if (!is_end_of_parameters(words + w, heap, is_in_use))
			continue;
		*ret_base = words[w + 2];
		*ret_mmapped_bytes_at = from + 8 * w;
		return;
	}
}

/* A main arena grows by brk, from mp_.sbrk_base on. That is where [heap] begins, unless somebody
 * else moved the break before (the start-up code of static programs does), or where its first
 * mapping begins if the break could not be moved. */
static int find_first_chunk(struct remote *remote, const struct procmaps *maps,
			    struct glibc_heap *heap)
{
	bool all_known = true;

	heap->mmapped_bytes_at = calloc(heap->main_count, sizeof(*heap->mmapped_bytes_at));
	if (!heap->mmapped_bytes_at)
		return -ENOMEM;
	for (size_t i = 0; i < heap->main_count; i++) {
		uint64_t base;

		find_parameters(remote, maps, heap, &heap->arenas[i], &base,
				&heap->mmapped_bytes_at[i]);
		all_known = all_known && heap->mmapped_bytes_at[i];
		base = (base + 15) / 16 * 16;
		if (is_within(&heap->brk, base) && (!heap->first_chunk || base < heap->first_chunk))
			heap->first_chunk = base;
	}
	if (!heap->first_chunk && !all_known)
		heap->first_chunk = heap->brk.start;
	return 0;
}

/* What is mapped from a libc's file and not written to: the dummy is in there that threads without
 * a cache have. */
static int find_constants(const struct procmaps *maps, struct glibc_heap *heap)
{
	int err = 0;

	for (size_t a = 0; a < heap->main_count; a++) {
		const struct procmaps_entry *data = entry_of(maps, heap->arenas[a].addr);

		if (heap->arenas[a].has_fastbins || !data || !data->inode)
			continue;
		for (size_t i = 0; i < maps->count && !err; i++) {
			const struct procmaps_entry *entry = &maps->entries[i];

			if (procmaps_is_same_file(entry, data) && !entry->is_writable)
				err = glibc_ranges_add(&heap->constants, entry->start, entry->end);
		}
	}
	return err;
}

static int find_once(struct remote *remote, const struct procmaps *maps, struct glibc_heap *ret)
{
	_cleanup_(glibc_heap_deinit) struct glibc_heap heap = { 0 };
	int err = find_main_states(remote, maps, &heap);

	if (!err)
		err = follow_rings(remote, &heap);
	if (!err)
		err = find_ranges(maps, &heap);
	if (!err)
		err = find_first_chunk(remote, maps, &heap);
	if (!err)
		err = find_constants(maps, &heap);
	if (err)
		return err;
	*ret = heap;
	heap = (struct glibc_heap){ 0 };
	return 0;
}

/* What is in motion at one look is at rest at the next. */
int glibc_heap_find(struct remote *remote, const struct procmaps *maps, struct glibc_heap *ret)
{
	int err = -ENOENT;

	for (int i = 0; i < MAX_RETRIES && err == -ENOENT && !remote_error(remote); i++)
		err = find_once(remote, maps, ret);
	return remote_error(remote) ?: err;
}
