#pragma once
/* world: a made-up process for reachability: blocks, memory whose words are set one by one, and
 * what is found in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/reach/later.h"
#include "daemon/reach/lost.h"
#include "daemon/reach/mark.h"
#include "daemon/reach/retained.h"

#define HEAP 0x10000000ull  /* two MiB, all of it the allocator's */
#define GLOBALS 0x600000ull /* one page */
#define STACK 0x20000000ull /* two pages: the lower one below the stack pointer */
#define POOL 0x30000000ull  /* one page that the process mapped */
#define CODE 0x40000000ull  /* one page, of a compiler at run time */
#define HEAP_BYTES 0x200000u
#define PAGE 4096u

struct world {
	struct reach_block *blocks, *after;
	size_t count, after_count, room;
	uint64_t heap[HEAP_BYTES / 8], globals[PAGE / 8], stack[2 * PAGE / 8], pool[PAGE / 8],
		code[PAGE / 8];
	uint64_t hole; /* an address from which on a page of the heap cannot be read; 0: none */
	struct reach_graph graph;
	struct reach_mark mark;
};

static inline struct world *world_new(size_t blocks)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->room = blocks;
	world->blocks = calloc(blocks, sizeof(*world->blocks));
	world->after = calloc(blocks + 1, sizeof(*world->after));
	assert_non_null(world->blocks);
	return world;
}

static inline void world_free(struct world *world)
{
	reach_mark_deinit(&world->mark);
	reach_graph_deinit(&world->graph);
	free(world->blocks);
	free(world->after);
	free(world);
}

/* In the heap, so many bytes behind its beginning. Born at 1. */
static inline uint64_t world_block(struct world *world, uint64_t offset, uint64_t size,
				   uint32_t point)
{
	assert_true(world->count < world->room);
	world->blocks[world->count++] = (struct reach_block){ HEAP + offset, size, 1, point, 0 };
	return HEAP + offset;
}

static inline uint64_t *world_at(struct world *world, uint64_t addr)
{
	if (addr - HEAP < HEAP_BYTES)
		return &world->heap[(addr - HEAP) / 8];
	if (addr - GLOBALS < PAGE)
		return &world->globals[(addr - GLOBALS) / 8];
	if (addr - STACK < 2ull * PAGE)
		return &world->stack[(addr - STACK) / 8];
	if (addr - CODE < PAGE)
		return &world->code[(addr - CODE) / 8];
	assert_true(addr - POOL < PAGE);
	return &world->pool[(addr - POOL) / 8];
}

static inline void world_set(struct world *world, uint64_t addr, uint64_t word)
{
	*world_at(world, addr) = word;
}

static inline ssize_t world_read(void *context, uint64_t addr, void *buffer, size_t size)
{
	struct world *world = context;

	if (world->hole && addr + size > world->hole && addr < world->hole + PAGE) {
		if (addr >= world->hole)
			return -EIO;
		size = world->hole - addr;
	}
	memcpy(buffer, world_at(world, addr), size);
	return size;
}

static const struct reach_range world_ranges[] = {
	{ GLOBALS, GLOBALS + PAGE, REACH_GLOBAL, 0 },
	{ HEAP, HEAP + HEAP_BYTES, REACH_GAP, 0 },
	{ STACK, STACK + PAGE, REACH_BELOW, 0 },
	{ STACK + PAGE, STACK + 2ull * PAGE, REACH_STACK, 0 },
	{ POOL, POOL + PAGE, REACH_MAPPING, 0 },
	{ CODE, CODE + PAGE, REACH_MAPPING, 1 },
};

static inline int world_scan_within(struct world *world, const struct reach_limits *limits)
{
	const struct reach_source source = { world_read, world };
	struct reach_places places;
	int r;

	reach_sort(world->blocks, &world->count);
	places = reach_places_of(world->blocks, world->count);
	world->graph.blocks = world->blocks;
	world->graph.count = world->count;
	assert_int_equal(reach_found_init(&world->graph.found, world->count, limits), 0);
	r = reach_scan(&places, world_ranges, sizeof(world_ranges) / sizeof(*world_ranges), &source,
		       limits, &world->graph.found);
	return r ? r : reach_found_index(&world->graph.found);
}

/* As it is after the scan; nothing has changed unless a test says so. */
static inline void world_stay(struct world *world)
{
	memcpy(world->after, world->blocks, world->count * sizeof(*world->blocks));
	world->after_count = world->count;
}

/* Told from the last one on: their order does not matter. */
static inline void world_meet(struct world *world)
{
	struct reach_later later;

	assert_int_equal(reach_later_begin(&later, world->blocks, world->count, world->graph.room),
			 0);
	for (size_t i = world->after_count; i-- > 0;)
		assert_int_equal(reach_later_add(&later, &world->after[i]), 0);
	assert_int_equal(reach_later_end(&later), 0);
	assert_int_equal(
		reach_graph_compare(&world->graph, world->blocks, later.young, later.young_count),
		0);
	reach_later_deinit(&later);
}

static inline void world_mark(struct world *world)
{
	static const char *const names[REACH_CLASSES] = { "global",  "stack",  "register", "kernel",
							  "mapping", "shared", "young",	   "other",
							  "gap",     "below",  "ended",	   "freed",
							  "own" };
	struct reach_found *found = &world->graph.found;

	world_meet(world);
	for (uint32_t i = 0; i < found->run_count; i++)
		assert_int_equal(reach_graph_name(&world->graph, names[found->runs[i].name],
						  found->runs[i].name, &found->runs[i].name),
				 0);
	assert_int_equal(reach_mark(&world->graph, &world->mark), 0);
}

static inline void world_look(struct world *world)
{
	const struct reach_limits limits = { 1u << 20, 1u << 20 };

	assert_int_equal(world_scan_within(world, &limits), 0);
	assert_true(reach_found_is_sound(&world->graph.found, world->count));
	world_stay(world);
	world_mark(world);
}

static inline enum reach_level world_level(const struct world *world, uint64_t addr)
{
	size_t at = reach_find(world->blocks, world->count, addr);

	assert_true(at < world->count);
	return reach_level_of(&world->mark, at);
}

static inline const struct reach_chain *world_chain(const struct world *world, uint64_t addr)
{
	size_t at = reach_find(world->blocks, world->count, addr);

	return &world->mark.chains[world->mark.chains_of[at]];
}
