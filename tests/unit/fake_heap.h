#pragma once
/* fake_heap: the memory of a process that uses glibc's malloc, made up: sound at first, and to be
 * spoiled by who wants to know what a reader makes of it. One thread, two arenas, chunks of all
 * kinds; as glibc 2.41 lays them out, or another version that fake_glibc points at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/inventory/glibc_malloc.h"
#include "daemon/inventory/inventory.h"

#define FAKE_LIBC 0x7f1000000000ull
#define FAKE_HEAP 0x555500000000ull
#define FAKE_TLS 0x7f2000000000ull
#define FAKE_MAPPED 0x7f3000000000ull
#define FAKE_ARENA 0x7f0c00000000ull /* aligned to 64 MiB, as its heaps must be */
#define FAKE_BYTES 0x12000ull	     /* of each of them */
#define FAKE_RANGES 6

#define FAKE_MAIN_ARENA (FAKE_LIBC + 0x100)
#define FAKE_OTHER_ARENA (FAKE_ARENA + 0x30)
#define FAKE_PARAMETERS (FAKE_LIBC + 0xc00) /* mmapped_mem, max_mmapped_mem, sbrk_base, … */
#define FAKE_CONTROL_BLOCK (FAKE_TLS + 0x11000)
#define FAKE_CACHE (FAKE_HEAP + 0x10)
#define FAKE_CHUNK_COUNT 40
#define FAKE_CONSTANTS 0x7f0fff000000ull /* of libc */
#define FAKE_DUMMY (FAKE_CONSTANTS + 0x2000)
#define FAKE_MAPPED_CHUNK (FAKE_MAPPED + 0x2000) /* of 4 pages */

static const uint64_t fake_starts[FAKE_RANGES] = { FAKE_HEAP, FAKE_ARENA, FAKE_CONSTANTS,
						   FAKE_LIBC, FAKE_TLS,	  FAKE_MAPPED };

/* What differs between versions: malloc.c of 2.41, 2.42 and 2.43. */
struct fake_glibc {
	bool has_fastbins;
	uint64_t cache_chunk;	   /* bytes: the heap's first chunk */
	uint64_t entries_at, bins; /* in the cache */
	uint16_t slots;		   /* of an empty bin; 0: the numbers tell what is in there */
	uint64_t limit;		   /* mp_.tcache_max_bytes */
	uint64_t mapped_lacks;	   /* a mapped chunk's size */
};
static const struct fake_glibc fake_2_41 = { true, 0x290, 128, 64, 0, 1032, 0 };
static const struct fake_glibc fake_2_42 = { true, 0x300, 152, 76, 16, 1040, 0 };
static const struct fake_glibc fake_2_43 = { false, 0x300, 152, 76, 16, 1041, 16 };
static const struct fake_glibc *fake_glibc = &fake_2_41;

struct fake_heap {
	uint8_t bytes[FAKE_RANGES][FAKE_BYTES];
	uint64_t reads;
	bool is_unborn_in_maps; /* these were read before [heap] was there */
	/* Called before each reading: the process goes on. May be NULL. */
	void (*go_on)(struct fake_heap *fake, void *context);
	void *context;
};

/* NULL if the bytes are not all there. */
static inline uint8_t *fake_at(struct fake_heap *fake, uint64_t addr, size_t size)
{
	for (int i = 0; i < FAKE_RANGES; i++)
		if (addr >= fake_starts[i] && addr - fake_starts[i] < FAKE_BYTES &&
		    size <= FAKE_BYTES - (addr - fake_starts[i]))
			return fake->bytes[i] + (addr - fake_starts[i]);
	return NULL;
}

static inline void fake_put(struct fake_heap *fake, uint64_t addr, uint64_t word)
{
	uint8_t *at = fake_at(fake, addr, sizeof(word));

	if (at)
		memcpy(at, &word, sizeof(word));
}

/* The link of a free block in a fastbin or a cache. */
static inline void fake_link(struct fake_heap *fake, uint64_t block, uint64_t next)
{
	fake_put(fake, block, block >> 12 ^ next);
}

static inline uint64_t fake_chunk(int i) /* of 48 bytes each */
{
	return FAKE_HEAP + fake_glibc->cache_chunk + 48 * (uint64_t)i;
}

static inline uint64_t fake_state_at(uint64_t arena)
{
	return glibc_state_at(
		&(struct glibc_arena){ .addr = arena, .has_fastbins = fake_glibc->has_fastbins });
}

static inline void fake_put_arena(struct fake_heap *fake, uint64_t arena, uint64_t top,
				  uint64_t next, uint64_t system_bytes)
{
	uint64_t state = fake_state_at(arena);

	for (uint64_t i = 0; i < 254; i++)
		fake_put(fake, state + offsetof(struct glibc_arena_state, bins) + 8 * i,
			 state + offsetof(struct glibc_arena_state, bins) + i / 2 * 16 - 16);
	fake_put(fake, state + offsetof(struct glibc_arena_state, top), top);
	fake_put(fake, state + offsetof(struct glibc_arena_state, next), next);
	fake_put(fake, state + offsetof(struct glibc_arena_state, system_bytes), system_bytes);
	fake_put(fake, state + offsetof(struct glibc_arena_state, max_system_bytes), system_bytes);
}

static inline void fake_put_number(struct fake_heap *fake, size_t bin, uint16_t number)
{
	memcpy(fake_at(fake, FAKE_CACHE + 2 * bin, 2), &number, 2);
}

/* A block in a bin of the cache that was empty; blocks then are chained by fake_link(). */
static inline void fake_put_in_cache(struct fake_heap *fake, size_t bin, uint16_t count,
				     uint64_t block)
{
	fake_put_number(fake, bin, fake_glibc->slots ? fake_glibc->slots - count : count);
	fake_put(fake, FAKE_CACHE + fake_glibc->entries_at + 8 * bin, block);
}

/* A chunk that begins so many bytes behind its mapping's start. */
static inline void fake_put_mapped(struct fake_heap *fake, uint64_t mapping, uint64_t bytes,
				   uint64_t offset)
{
	fake_put(fake, mapping + offset, offset);
	fake_put(fake, mapping + offset + 8,
		 (bytes - offset - fake_glibc->mapped_lacks) | GLIBC_IS_MMAPPED);
}

/* 40 blocks of 40 bytes: number 0 and 1 are in the cache, 2 and 3 in a fastbin if there are any, 10
 * is in a bin. 3 more in the other arena, and one with a mapping of its own. */
#define FAKE_BLOCKS (FAKE_CHUNK_COUNT - 5 + 3 + 1)

static inline void fake_heap_build(struct fake_heap *fake)
{
	uint64_t top = fake_chunk(FAKE_CHUNK_COUNT);
	uint64_t at = fake_state_at(FAKE_OTHER_ARENA) + sizeof(struct glibc_arena_state);

	memset(fake, 0, sizeof(*fake));
	fake_put_arena(fake, FAKE_MAIN_ARENA, top, FAKE_OTHER_ARENA, FAKE_BYTES);
	fake_put(fake, FAKE_PARAMETERS, 4 * REMOTE_PAGE);
	fake_put(fake, FAKE_PARAMETERS + 8, 4 * REMOTE_PAGE);
	fake_put(fake, FAKE_PARAMETERS + 16, FAKE_HEAP);
	fake_put(fake, FAKE_PARAMETERS + 24, 64);
	fake_put(fake, FAKE_PARAMETERS + 32, fake_glibc->limit);
	/* the cache, then blocks */
	fake_put(fake, FAKE_HEAP + 8, fake_glibc->cache_chunk | GLIBC_PREV_IN_USE);
	for (size_t bin = 0; bin < fake_glibc->bins; bin++)
		fake_put_number(fake, bin, fake_glibc->slots);
	for (int i = 0; i < FAKE_CHUNK_COUNT; i++)
		fake_put(fake, fake_chunk(i) + 8, 48 | GLIBC_PREV_IN_USE);
	fake_put(fake, top + 8, (FAKE_HEAP + FAKE_BYTES - top) | GLIBC_PREV_IN_USE);
	fake_put_in_cache(fake, 1, 2, fake_chunk(0) + 16);
	fake_link(fake, fake_chunk(0) + 16, fake_chunk(1) + 16);
	fake_link(fake, fake_chunk(1) + 16, 0);
	if (fake_glibc->has_fastbins) {
		fake_put(fake, FAKE_MAIN_ARENA + GLIBC_FASTBINS_AT + 8, fake_chunk(2));
		fake_link(fake, fake_chunk(2) + 16, fake_chunk(3));
		fake_link(fake, fake_chunk(3) + 16, 0);
	}
	fake_put(fake, fake_chunk(11), 48);
	fake_put(fake, fake_chunk(11) + 8, 48);
	/* the thread */
	fake_put(fake, FAKE_CONTROL_BLOCK, FAKE_CONTROL_BLOCK);
	fake_put(fake, FAKE_CONTROL_BLOCK + 16, FAKE_CONTROL_BLOCK);
	fake_put(fake, FAKE_CONTROL_BLOCK - 0x48, FAKE_CACHE);
	/* the other arena: the first block is aligned, not the first chunk */
	at = (at + 15) / 16 * 16;
	fake_put(fake, FAKE_ARENA, FAKE_OTHER_ARENA);
	fake_put(fake, FAKE_ARENA + 16, FAKE_BYTES);
	fake_put(fake, FAKE_ARENA + 24, FAKE_BYTES);
	for (int i = 0; i < 3; i++, at += 64)
		fake_put(fake, at + 8, 64 | GLIBC_PREV_IN_USE | GLIBC_NON_MAIN);
	fake_put(fake, at + 8, (FAKE_ARENA + FAKE_BYTES - at) | GLIBC_PREV_IN_USE);
	fake_put_arena(fake, FAKE_OTHER_ARENA, at, FAKE_MAIN_ARENA, FAKE_BYTES);
	fake_put_mapped(fake, FAKE_MAPPED_CHUNK, 4 * REMOTE_PAGE, 0);
}

/* One more chunk in use, where the main arena's top was: its address. */
static inline uint64_t fake_add_chunk(struct fake_heap *fake, uint64_t bytes)
{
	uint64_t top_at = fake_state_at(FAKE_MAIN_ARENA) + offsetof(struct glibc_arena_state, top);
	uint64_t chunk, top;

	memcpy(&chunk, fake_at(fake, top_at, 8), 8);
	top = chunk + bytes;
	fake_put(fake, chunk + 8, bytes | GLIBC_PREV_IN_USE);
	fake_put(fake, top + 8, (FAKE_HEAP + FAKE_BYTES - top) | GLIBC_PREV_IN_USE);
	fake_put(fake, top_at, top);
	return chunk;
}

static inline ssize_t fake_read(void *context, uint64_t addr, void *buffer, size_t size)
{
	struct fake_heap *fake = context;
	const uint8_t *at;

	fake->reads++;
	if (fake->go_on)
		fake->go_on(fake, fake->context);
	at = fake_at(fake, addr, 1);
	if (!at)
		return -EIO;
	while (!fake_at(fake, addr, size))
		size--;
	memcpy(buffer, at, size);
	return size;
}

static inline ssize_t fake_pages(void *context, uint64_t addr, bool *are_there, size_t count)
{
	for (size_t i = 0; i < count; i++)
		are_there[i] = fake_at(context, addr + i * REMOTE_PAGE, 1) != NULL;
	return count;
}

static inline int fake_threads(void *context, uint64_t **ret_lists, size_t *ret_count)
{
	uint64_t *lists = calloc(1, sizeof(*lists));

	if (!lists)
		return -ENOMEM;
	lists[0] = FAKE_CONTROL_BLOCK + 0x2e0;
	*ret_lists = lists;
	*ret_count = 1;
	return 0;
}

/* max_ns: 0 for no deadline. */
static inline int fake_heap_take(struct fake_heap *fake, uint64_t max_blocks,
				 const atomic_bool *stop, struct inventory **ret)
{
	struct procmaps_entry entries[FAKE_RANGES];
	const int from = fake->is_unborn_in_maps ? 1 : 0;
	const struct procmaps maps = { entries + from, FAKE_RANGES - from };
	const struct remote_source source = {
		.read = fake_read,
		.pages = fake_pages,
		.threads = fake_threads,
		.context = fake,
	};
	struct remote *remote = NULL;
	int error = remote_new(&source, &remote);

	if (error)
		return error;
	remote_limit(remote, stop, 0);
	for (int i = 0; i < FAKE_RANGES; i++)
		entries[i] = (struct procmaps_entry){
			.start = fake_starts[i],
			.end = fake_starts[i] + FAKE_BYTES,
			.is_readable = true,
			.is_writable = fake_starts[i] != FAKE_CONSTANTS,
			.inode = fake_starts[i] == FAKE_LIBC || fake_starts[i] == FAKE_CONSTANTS,
			.path = fake_starts[i] == FAKE_HEAP ? (char *)"[heap]"
				: fake_starts[i] == FAKE_LIBC || fake_starts[i] == FAKE_CONSTANTS
					? (char *)"/libc.so.6"
					: (char *)"",
		};
	error = inventory_take_from(remote, &maps, max_blocks, ret);
	remote_free(remote);
	return error;
}
