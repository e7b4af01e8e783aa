/* What holds a block, how surely, and what nothing holds: in a made-up process, word by word. */
#include "world.h"

#include "daemon/reach/closer.h"
#include "daemon/reach/cycles.h"
#include "daemon/reach/renew.h"
#include "proto/base/cleanup.h"

#include <time.h>

/* ---- kinds of pointers ---------------------------------------------------------------------- */

static void a_pointer_to_it_or_into_it_holds(void **state)
{
	struct world *world = world_new(8);
	uint64_t start = world_block(world, 0x100, 64, 1),
		 inside = world_block(world, 0x200, 64, 1);
	uint64_t low_bit = world_block(world, 0x300, 64, 1),
		 lost = world_block(world, 0x400, 64, 1);

	world_set(world, GLOBALS + 8, start);
	world_set(world, STACK + PAGE + 16, inside + 63);
	world_set(world, POOL, low_bit | 1);
	world_look(world);
	assert_int_equal(world_level(world, start), REACH_HELD);
	assert_int_equal(world_level(world, inside), REACH_HELD);
	assert_int_equal(world_level(world, low_bit), REACH_HELD);
	assert_int_equal(world_level(world, lost), REACH_UNREACHED);
	world_free(world);
}

/* Where regions touch, what points to the second would hold the first as well. */
static void the_end_of_one_is_not_the_start_of_the_next(void **state)
{
	struct world *world = world_new(4);
	uint64_t first = world_block(world, 0x100, 64, 1),
		 second = world_block(world, 0x140, 64, 1);
	uint64_t alone = world_block(world, 0x400, 64, 1);

	world_set(world, GLOBALS, second);
	world_set(world, GLOBALS + 8, alone + 64);
	world_look(world);
	assert_int_equal(world_level(world, first), REACH_UNREACHED);
	assert_int_equal(world_level(world, second), REACH_HELD);
	assert_int_equal(world_level(world, alone), REACH_HELD_PAST);
	world_free(world);
}

static void tags_and_leftovers_are_unknown(void **state)
{
	struct world *world = world_new(8);
	uint64_t high_tag = world_block(world, 0x100, 64, 1),
		 shifted = world_block(world, 0x200, 64, 1);
	uint64_t stale = world_block(world, 0x300, 64, 1),
		 free_memory = world_block(world, 0x400, 64, 1);
	uint64_t behind = world_block(world, 0x500, 64, 1);

	world_set(world, GLOBALS, 0x7ff8000000000000ull | high_tag);
	world_set(world, GLOBALS + 8, shifted << 16);
	world_set(world, STACK + 8, stale);
	world_set(world, HEAP + 0x1000, free_memory);
	world_set(world, stale, behind);
	world_look(world);
	assert_int_equal(world_level(world, high_tag), REACH_GUESSED);
	assert_int_equal(world_level(world, shifted), REACH_GUESSED);
	assert_int_equal(world_level(world, stale), REACH_STALE);
	assert_int_equal(world_level(world, behind), REACH_STALE);
	assert_int_equal(world_level(world, free_memory), REACH_STALE);
	world_free(world);
}

/* The head of an allocator's slab says where its first region is. */
static void a_pages_first_block_is_not_held_by_a_mapping(void **state)
{
	struct world *world = world_new(4);
	uint64_t first = world_block(world, 0x1000, 64, 1),
		 second = world_block(world, 0x2040, 64, 1);
	uint64_t named = world_block(world, 0x3000, 64, 1);

	world_set(world, POOL, first);
	world_set(world, POOL + 8, second);
	world_set(world, GLOBALS, named);
	world_look(world);
	assert_int_equal(world_level(world, first), REACH_STALE);
	assert_int_equal(world_level(world, second), REACH_HELD);
	assert_int_equal(world_level(world, named), REACH_HELD);
	world_free(world);
}

/* ---- what an allocator keeps for itself ---- */

#define EDATA (HEAP + 0x10080)
#define SLAB_OF_64 (HEAP + 0x20000) /* one page, 64 regions of 64 bytes: class 4 */
#define CACHE (HEAP + 0x11000)

/* As jemalloc 5.3 has it for a slab in use, with so many regions free. */
static void describe_slab(struct world *world, uint64_t at, uint64_t slab, uint64_t free)
{
	world_set(world, at,
		  1ull << 12 | 1ull << 13 | 4ull << 20 |
			  (uint64_t)__builtin_popcountll(free) << 28);
	world_set(world, at + 8, slab);
	world_set(world, at + 16, PAGE);
	world_set(world, at + 64, free);
}

static enum reach_level level_of_first(void (*change)(struct world *world))
{
	struct world *world = world_new(4);
	uint64_t first = world_block(world, SLAB_OF_64 - HEAP, 60, 1);
	enum reach_level level;

	describe_slab(world, EDATA, SLAB_OF_64, 0xfffffffffffffff0);
	if (change)
		change(world);
	world_look(world);
	level = world_level(world, first);
	world_free(world);
	return level;
}

static void another_count(struct world *world)
{
	world_set(world, EDATA + 64, 0xffffffffffffff00);
}

static void another_size(struct world *world)
{
	world_set(world, EDATA + 16, 2 * PAGE);
}

static void no_slab(struct world *world)
{
	world_set(world, EDATA, *world_at(world, EDATA) & ~(1ull << 12));
}

static void another_place(struct world *world)
{
	world_set(world, EDATA + 8, 0);
	describe_slab(world, EDATA + 64, SLAB_OF_64, 0xfffffffffffffff0);
}

static void also_held(struct world *world)
{
	world_set(world, GLOBALS, SLAB_OF_64);
}

/* That it says so of itself is proven by what it says twice; what does not is memory that is not
 * known. */
static void where_a_slab_begins_holds_no_block(void **state)
{
	assert_int_equal(level_of_first(NULL), REACH_UNREACHED);
	assert_int_equal(level_of_first(also_held), REACH_HELD);
	assert_int_equal(level_of_first(another_count), REACH_STALE);
	assert_int_equal(level_of_first(another_size), REACH_STALE);
	assert_int_equal(level_of_first(no_slab), REACH_STALE);
	assert_int_equal(level_of_first(another_place), REACH_STALE);
}

static enum reach_level level_of_cached(uint64_t cache, uint64_t beside, uint64_t end,
					uint64_t hole)
{
	struct world *world = world_new(4);
	uint64_t cached = world_block(world, 0x440, 64, 1),
		 after = world_block(world, 0x840, 64, 1);
	enum reach_level level;

	world_set(world, cache, 0x7a7a7a7a7a7a7a7a);
	world_set(world, cache + 16, cached);
	world_set(world, cache + 24, beside);
	world_set(world, cache + 4 * PAGE + 8, end);
	world_set(world, cache + 4 * PAGE + 16, after);
	world->hole = hole;
	world_look(world);
	level = world_level(world, cached);
	assert_int_equal(world_level(world, after), REACH_STALE);
	world_free(world);
	return level;
}

static void a_threads_cache_holds_no_block(void **state)
{
	const uint64_t end = 0xa7a7a7a7a7a7a7a7;

	assert_int_equal(level_of_cached(CACHE, HEAP + 0x900, end, 0), REACH_UNREACHED);
	/* a page of it that was never touched */
	assert_int_equal(level_of_cached(CACHE, HEAP + 0x900, end, CACHE + PAGE), REACH_UNREACHED);
	assert_int_equal(level_of_cached(CACHE, HEAP + 0x900, 0, 0), REACH_STALE); /* no end */
	assert_int_equal(level_of_cached(CACHE + 8, HEAP + 0x900, end, 0), REACH_STALE);
	assert_int_equal(level_of_cached(CACHE, HEAP + 0x901, end, 0), REACH_STALE);
	assert_int_equal(level_of_cached(CACHE, 1ull << 50, end, 0), REACH_STALE);
}

#define CHUNK (HEAP + 0x9000) /* a free one, in memory of glibc's */

/* word stands `at` words behind the size of CHUNK, and is where the chunk behind the block begins;
 * the block of so many bytes. */
static enum reach_level level_of_end(uint64_t size_bytes, uint64_t size_word, size_t at,
				     uint64_t offset)
{
	struct world *world = world_new(4);
	uint64_t block = world_block(world, 0x440, size_bytes, 1);
	enum reach_level level;

	world_set(world, CHUNK + 8, size_word);
	world_set(world, CHUNK + (size_word & ~7ull), size_word & ~7ull);
	world_set(world, CHUNK + (size_word & ~7ull) + 8, 0x60); /* PREV_INUSE is not set */
	world_set(world, CHUNK + 8 + 8 * at, block + offset);
	world_look(world);
	level = world_level(world, block);
	world_free(world);
	return level;
}

/* Where a free chunk names another one it says where the block before that one ends. Whatever else
 * is there counts. */
static void where_a_free_chunk_begins_holds_no_block(void **state)
{
	for (size_t at = 1; at <= 4; at++) {
		assert_int_equal(level_of_end(40, 0x4b1, at, 32), REACH_UNREACHED);
		assert_int_equal(level_of_end(48, 0x4b5, at, 48), REACH_UNREACHED); /* an arena's */
	}
	assert_int_equal(level_of_end(8, 0x4b1, 1, 4), REACH_STALE); /* it is behind it: 16 */
	assert_int_equal(level_of_end(24, 0x4b1, 1, 16), REACH_UNREACHED);
	assert_int_equal(level_of_end(40, 0x4b1, 5, 32), REACH_STALE);
	/* another allocator's, whose blocks have no heads */
	assert_int_equal(level_of_end(48, 0, 5, 48), REACH_UNREACHED);
	assert_int_equal(level_of_end(48, 0, 5, 40), REACH_STALE);
	assert_int_equal(level_of_end(40, 0x4b0, 1, 32), REACH_STALE); /* no size of a free chunk */
	assert_int_equal(level_of_end(40, 0x4b3, 1, 32), REACH_STALE);
	assert_int_equal(level_of_end(40, 0x11, 1, 32), REACH_STALE);
	assert_int_equal(level_of_end(40, 0x4b1, 1, 24), REACH_STALE); /* another place of it */
	assert_int_equal(level_of_end(40, 0x4b1, 1, 0), REACH_STALE);
}

/* As in malloc_state: the top, and lists of which that after the one asked about is empty. */
static enum reach_level level_of_arenas(uint64_t at, uint64_t empty, uint64_t self)
{
	struct world *world = world_new(4);
	uint64_t block = world_block(world, 0x440, 40, 1);
	enum reach_level level;

	world_set(world, at, block + 32);
	world_set(world, empty, self);
	world_set(world, empty + 8, self);
	world_set(world, empty + 16, self + 16);
	world_set(world, empty + 24, self + 16);
	world_look(world);
	level = world_level(world, block);
	world_free(world);
	return level;
}

static void where_an_arenas_chunk_begins_holds_no_block(void **state)
{
	const uint64_t places[] = { GLOBALS, HEAP + 0x9000 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at = places[i] + 0x20;
		enum reach_level held = i ? REACH_STALE : REACH_HELD;

		assert_int_equal(level_of_arenas(at, at + 0x100, at + 0xf0), REACH_UNREACHED);
		assert_int_equal(level_of_arenas(at + 0x100, at, at - 0x10), REACH_UNREACHED);
		assert_int_equal(level_of_arenas(at, at + 0x100, at + 0x100), held); /* no list */
		assert_int_equal(level_of_arenas(at, at + 0x810, at + 0x800), held); /* too far */
	}
}

/* What a program has of its own that reads like an allocator's words: held all the same. */
static enum reach_level level_beside(uint64_t at, uint64_t number, uint64_t size, uint64_t offset)
{
	struct world *world = world_new(4);
	uint64_t block = world_block(world, 0x440, size, 1);
	enum reach_level level;

	world_set(world, at, number);
	world_set(world, at + 8, block + offset);
	world_look(world);
	level = world_level(world, block);
	world_free(world);
	return level;
}

static void a_programs_own_numbers_and_lists_are_no_allocators(void **state)
{
	struct world *world = world_new(4);
	uint64_t block = world_block(world, 0x440, 24, 1), head = GLOBALS + 0x500;

	/* a number of elements beside a list that is linked by its last word */
	assert_int_equal(level_beside(GLOBALS + 0x100, 37, 24, 16), REACH_HELD);
	assert_int_equal(level_beside(GLOBALS + 0x100, 0x4b1, 40, 32), REACH_HELD);
	assert_int_equal(level_beside(POOL + 0x100, 101, 48, 48), REACH_HELD_PAST);
	/* an empty circular list, with two words in front of its pointers */
	world_set(world, head + 16, head);
	world_set(world, head + 24, head);
	world_set(world, GLOBALS + 0x100, block + 16);
	world_look(world);
	assert_int_equal(world_level(world, block), REACH_HELD);
	world_free(world);
}

/* A word that a block ends in is the block's; one that stands behind is not. */
static void words_of_odd_blocks(void **state)
{
	struct world *world = world_new(8);
	uint64_t odd = world_block(world, 0x100, 20, 1), one = world_block(world, 0x200, 64, 2);
	uint64_t two = world_block(world, 0x300, 64, 2);

	world_set(world, GLOBALS, odd);
	world_set(world, odd + 16, one);
	world_set(world, odd + 24, two);
	world_look(world);
	assert_int_equal(world_level(world, one), REACH_HELD);
	assert_int_equal(world_level(world, two), REACH_STALE);
	world_free(world);
}

static void put_at(struct world *world, uint64_t addr, uint64_t word)
{
	memcpy((uint8_t *)world_at(world, addr / 8 * 8) + addr % 8, &word, sizeof(word));
}

/* An instruction has its operand where it has it. Elsewhere a word is a whole one. */
static void an_address_in_code_may_stand_anywhere(void **state)
{
	struct world *world = world_new(12);
	uint64_t in_pool = world_block(world, 0x1000, 64, 1), in_code[8];

	for (size_t i = 0; i < ARRAY_SIZE(in_code); i++) {
		in_code[i] = world_block(world, 0x100 + i * 0x80, 64, 1);
		put_at(world, CODE + i * 17 + 3, in_code[i]);
	}
	put_at(world, POOL + 3, in_pool);
	world_look(world);
	for (size_t i = 0; i < ARRAY_SIZE(in_code); i++)
		assert_int_equal(world_level(world, in_code[i]), REACH_HELD);
	assert_int_equal(world_level(world, in_pool), REACH_UNREACHED);
	world_free(world);
}

/* ---- what changes meanwhile ----------------------------------------------------------------- */

static void young_blocks_hold_and_freed_ones_do_not_surely(void **state)
{
	const struct reach_limits limits = { 1000, 1000 };
	struct world *world = world_new(8);
	uint64_t by_young = world_block(world, 0x100, 64, 1),
		 freed = world_block(world, 0x200, 64, 1);
	uint64_t by_freed = world_block(world, 0x300, 64, 1),
		 again = world_block(world, 0x400, 64, 1);
	uint64_t by_again = world_block(world, 0x500, 64, 1);

	world_set(world, HEAP + 0x1008, by_young);
	world_set(world, freed, by_freed);
	world_set(world, again, by_again);
	assert_int_equal(world_scan_within(world, &limits), 0);
	world->after[0] = world->blocks[0];
	world->after[1] = world->blocks[2];
	world->after[2] = (struct reach_block){ again, 32, 2, 1, 0 }; /* another one is there now */
	world->after[3] = world->blocks[4];
	world->after[4] = (struct reach_block){ HEAP + 0x1000, 64, 2, 1, 0 };
	world->after_count = 5;
	world_mark(world);
	assert_int_equal(world_level(world, by_young), REACH_HELD);
	assert_int_equal(world_level(world, by_freed), REACH_STALE);
	assert_int_equal(world_level(world, by_again), REACH_HELD);
	assert_int_equal(world_chain(world, freed)->blocks,
			 1); /* by_freed: it is not counted itself */
	world_free(world);
}

/* A block that is in use has a head like one that is free, and glibc's lists lead to what others
 * end in: what stands in a young one is its own. */
static enum reach_level level_by_young(uint64_t head, uint64_t size, uint64_t offset)
{
	const struct reach_limits limits = { 1000, 1000 };
	struct world *world = world_new(4);
	uint64_t old = world_block(world, 0x400, size, 1), young = HEAP + 0x9000;
	enum reach_level level;

	world_set(world, young - 8, head);
	world_set(world, young + 16, old + offset);
	assert_int_equal(world_scan_within(world, &limits), 0);
	world->after[0] = world->blocks[0];
	world->after[1] = (struct reach_block){ young, 24, 2, 1, 0 };
	world->after_count = 2;
	world_mark(world);
	level = world_level(world, old);
	world_free(world);
	return level;
}

static void a_young_block_holds_what_it_names_the_end_of(void **state)
{
	assert_int_equal(level_by_young(0x21, 24, 16), REACH_HELD);
	assert_int_equal(level_by_young(0x21, 48, 48), REACH_HELD_PAST);
	assert_int_equal(level_by_young(0, 48, 48), REACH_HELD_PAST);
}

/* Of two at one address the table has the younger one: what a pool gives lies at the beginning of
 * the block that it has from malloc. */
static void what_is_there_twice_is_not_young(void **state)
{
	struct reach_block blocks[] = { { HEAP, 64, 5, 1, 0 }, { HEAP + 128, 64, 6, 1, 0 } };
	const struct reach_block now[] = {
		{ HEAP, 4096, 4, 2, 0 },     /* the one that has the pool */
		{ HEAP + 128, 64, 3, 2, 0 }, /* moved to where another one was */
		{ HEAP, 64, 5, 1, 0 },	     /* as it was */
		{ HEAP + 256, 64, 9, 1, 0 }, /* young */
	};
	struct reach_later later;

	assert_int_equal(reach_later_begin(&later, blocks, 2, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(now); i++)
		assert_int_equal(reach_later_add(&later, &now[i]), 0);
	assert_int_equal(reach_later_end(&later), 0);
	assert_int_equal(later.young_count, 2);
	assert_int_equal(later.young[0].addr, HEAP + 128);
	assert_int_equal(later.young[1].addr, HEAP + 256);
	assert_int_equal(blocks[0].flags, 0);
	assert_int_equal(blocks[1].flags, REACH_BLOCK_GONE);
	reach_later_deinit(&later);
}

/* More than are looked up together; those that stay are all met. */
static void many_are_met_in_any_order(void **state)
{
	enum { BLOCKS = 1000 };
	struct reach_block blocks[BLOCKS];
	struct reach_later later;

	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = (struct reach_block){ HEAP + i * 96, 80, i, 1, 0 };
	assert_int_equal(reach_later_begin(&later, blocks, BLOCKS, NULL), 0);
	for (size_t i = 0; i < BLOCKS; i++) {
		struct reach_block block = blocks[i * 7 % BLOCKS];

		if (block.birth_ns % 10) /* each tenth has gone */
			assert_int_equal(reach_later_add(&later, &block), 0);
	}
	assert_int_equal(reach_later_end(&later), 0);
	assert_int_equal(later.young_count, 0);
	for (size_t i = 0; i < BLOCKS; i++)
		assert_int_equal(blocks[i].flags, i % 10 ? 0 : REACH_BLOCK_GONE);
	reach_later_deinit(&later);
}

/* P4: memory for those that come meanwhile has a bound. */
static void too_many_are_young(void **state)
{
	struct reach_block blocks[] = { { HEAP, 64, 5, 1, 0 } };
	struct reach_later later;
	int r = 0;
	size_t told = 0;

	assert_int_equal(reach_later_begin(&later, blocks, 1, NULL), 0);
	while (r == 0 && told < 1u << 20) {
		struct reach_block block = { HEAP + 4096 + 64 * told++, 64, 9, 1, 0 };

		r = reach_later_add(&later, &block);
	}
	assert_int_equal(r, -EBUSY);
	assert_in_range(told, 65536, 70000);
	reach_later_deinit(&later);
}

/* A key that was put in front of a bucket's list points to those that were there. */
static void what_held_all_the_while_is_named_before_what_is_young(void **state)
{
	const struct reach_limits limits = { 1000, 1000 };
	struct world *world = world_new(4);
	uint64_t table = world_block(world, 0x100, 64, 1), entry = world_block(world, 0x200, 64, 2);
	uint64_t value = world_block(world, 0x300, 64, 3);

	world_set(world, GLOBALS, table);
	world_set(world, table, entry);
	world_set(world, entry, value);
	world_set(world, HEAP + 0x1008, value);
	assert_int_equal(world_scan_within(world, &limits), 0);
	memcpy(world->after, world->blocks, 3 * sizeof(*world->blocks));
	world->after[3] = (struct reach_block){ HEAP + 0x1000, 64, 2, 2, 0 };
	world->after_count = 4;
	world_mark(world);
	assert_int_equal(world_level(world, value), REACH_HELD);
	assert_false(world->mark.chains[world_chain(world, value)->parent].is_root);
	world_free(world);
}

static void what_cannot_be_read_is_counted(void **state)
{
	struct world *world = world_new(4);
	uint64_t before = world_block(world, 0x100, 64, 1),
		 held = world_block(world, 0x3000, 64, 1);
	uint64_t in_hole = world_block(world, 0x1000, 64, 1),
		 far = world_block(world, 0x5000, 64, 1);

	world->hole = HEAP + PAGE;
	world_set(world, GLOBALS, before);
	world_set(world, GLOBALS + 8, in_hole);
	world_set(world, before, held);
	world_set(world, in_hole, far);
	world_look(world);
	assert_int_equal(world->graph.found.short_bytes, PAGE);
	assert_int_equal(world_level(world, held), REACH_HELD);
	assert_int_equal(world_level(world, far), REACH_UNREACHED);
	world_free(world);
}

/* ---- chains ---------------------------------------------------------------------------------- */

static void a_list_is_one_link_and_so_is_one_with_values(void **state)
{
	enum { NODES = 3000 };
	struct world *world = world_new(2 * NODES);
	const struct reach_chain *node, *value;

	for (uint64_t i = 0; i < NODES; i++) {
		world_block(world, 0x100 + 128 * i, 48, 1);
		world_block(world, 0x140 + 128 * i, 48, 2);
		world_set(world, HEAP + 0x100 + 128 * i, HEAP + 0x140 + 128 * i);
		if (i + 1 < NODES) /* the value holds the next node */
			world_set(world, HEAP + 0x140 + 128 * i, HEAP + 0x180 + 128 * i);
	}
	world_set(world, GLOBALS, HEAP + 0x100);
	world_look(world);
	value = world_chain(world, HEAP + 0x140 + 128 * (NODES - 1));
	node = world_chain(world, HEAP + 0x100 + 128 * (NODES - 1));
	assert_int_equal(value->blocks, NODES);
	assert_int_equal(value->bytes, 48 * NODES);
	assert_int_equal(value->site, 2);
	assert_ptr_equal(&world->mark.chains[value->parent], node);
	assert_int_equal(node->blocks, NODES);
	assert_true(world->mark.chains[node->parent].is_root);
	assert_string_equal(reach_name_text(&world->graph, world->mark.chains[node->parent].site),
			    "global");
	assert_int_equal(world->mark.chain_count, 4);
	world_free(world);
}

static void long_chains_are_cut_and_nothing_is_forgotten(void **state)
{
	enum { SITES = 500 };
	struct world *world = world_new(SITES);
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < SITES; i++) {
		world_block(world, 0x100 + 64ull * i, 32, i);
		world_set(world, HEAP + 0x100 + 64ull * i, HEAP + 0x140 + 64ull * i);
	}
	world_set(world, GLOBALS, HEAP + 0x100);
	world_look(world);
	for (uint32_t i = 1; i < world->mark.chain_count; i++) {
		assert_true(world->mark.chains[i].depth <= REACH_MAX_LINKS);
		blocks += world->mark.chains[i].blocks;
	}
	assert_int_equal(blocks, SITES);
	world_free(world);
}

/* ---- lost ------------------------------------------------------------------------------------ */

/* All that is not reached. */
static void find_parts(struct world *world, struct reach_lost_parts *ret)
{
	for (uint32_t i = 0; i < world->count; i++)
		if (reach_level_of(&world->mark, i) == REACH_UNREACHED)
			reach_lost_set(&world->blocks[i], REACH_LOST_ALONE);
	assert_int_equal(reach_lost_parts_find(&world->graph, world->blocks, &world->mark, ret), 0);
}

static void cycles_and_what_hangs_on_them(void **state)
{
	struct world *world = world_new(16);
	uint64_t a = world_block(world, 0x100, 32, 1), b = world_block(world, 0x200, 32, 2);
	uint64_t under = world_block(world, 0x300, 32, 3), self = world_block(world, 0x400, 32, 4);
	uint64_t alone = world_block(world, 0x500, 32, 5), held = world_block(world, 0x600, 32, 6);
	const enum reach_lost expected[] = { REACH_LOST_CYCLE, REACH_LOST_CYCLE, REACH_LOST_UNDER,
					     REACH_LOST_CYCLE, REACH_LOST_ALONE, REACH_LOST_NOT };
	struct reach_lost_parts parts = { 0 };

	world_set(world, a, b);
	world_set(world, b, a);
	world_set(world, b + 8, under);
	world_set(world, self, self);
	world_set(world, alone, held);
	world_set(world, GLOBALS, held);
	world_look(world);
	find_parts(world, &parts);
	assert_int_equal(parts.count, 5);
	for (uint32_t i = 0; i < world->count; i++)
		assert_int_equal(reach_lost_kind(&world->blocks[i]), expected[i]);
	reach_lost_parts_deinit(&parts);
	assert_int_equal(world_level(world, a), REACH_UNREACHED); /* the mark is as it was */
	assert_int_equal(world_level(world, held), REACH_HELD);
	world_free(world);
}

/* Two pairs of the same two sites, a ring of three blocks of one site, one that points to itself.
 */
static void cycles_are_loops_of_sites(void **state)
{
	enum { SESSION = 7, PEER = 3, RING = 5, SELF = 9 };
	struct world *world = world_new(16);
	struct reach_lost_parts parts = { 0 };
	uint32_t cycle_count = 0;
	struct reach_cycle *cycles = NULL;

	for (uint64_t i = 0; i < 2; i++) {
		uint64_t session = world_block(world, 0x100 + 0x1000 * i, 100, SESSION);
		uint64_t peer = world_block(world, 0x200 + 0x1000 * i, 200, PEER);

		world_set(world, session + 16, peer);
		world_set(world, peer + 24, session);
	}
	for (uint64_t i = 0; i < 3; i++)
		world_block(world, 0x3000 + 0x100 * i, 40, RING);
	for (uint64_t i = 0; i < 3; i++)
		world_set(world, HEAP + 0x3000 + 0x100 * i, HEAP + 0x3000 + 0x100 * ((i + 1) % 3));
	world_set(world, world_block(world, 0x4000, 32, SELF), HEAP + 0x4000);
	world_look(world);
	find_parts(world, &parts);
	assert_int_equal(reach_cycles(&parts, &cycles, &cycle_count), 0);
	assert_int_equal(cycle_count, 3);
	assert_int_equal(cycles[0].blocks, 4);
	assert_int_equal(cycles[0].bytes, 600);
	assert_int_equal(cycles[0].link_count, 2);
	assert_int_equal(cycles[0].length, 2);
	assert_int_equal(cycles[0].sites[0], PEER);
	assert_int_equal(cycles[0].sites[1], SESSION);
	for (uint32_t i = 0; i < 2; i++) { /* each says which block of it leads to the next */
		assert_int_equal(world->blocks[cycles[0].holders[i]].point, cycles[0].sites[i]);
		assert_int_equal(world->blocks[cycles[0].targets[i]].point, cycles[0].sites[1 - i]);
	}
	assert_int_equal(cycles[1].sites[0], RING);
	assert_int_equal(cycles[1].link_count, 1);
	assert_int_equal(cycles[1].length, 3);
	assert_int_equal(cycles[1].blocks, 3);
	assert_int_equal(cycles[2].sites[0], SELF);
	assert_int_equal(cycles[2].length, 1);
	free(cycles);
	reach_lost_parts_deinit(&parts);
	world_free(world);
}

/* A ring of more sites than are told is cut, and its blocks are counted. */
static void a_long_cycle_is_cut(void **state)
{
	enum { SITES = 40 };
	struct world *world = world_new(SITES);
	struct reach_lost_parts parts = { 0 };
	uint32_t cycle_count = 0;
	struct reach_cycle *cycles = NULL;

	for (uint32_t i = 0; i < SITES; i++) {
		uint64_t block = world_block(world, 0x100 * (i + 1), 64, i + 1);

		world_set(world, block, HEAP + 0x100 * ((i + 1) % SITES + 1));
	}
	world_look(world);
	find_parts(world, &parts);
	assert_int_equal(reach_cycles(&parts, &cycles, &cycle_count), 0);
	assert_int_equal(cycle_count, 1);
	assert_true(cycles->is_cut);
	assert_int_equal(cycles->link_count, REACH_MAX_CYCLE_LINKS);
	assert_int_equal(cycles->blocks, SITES);
	free(cycles);
	reach_lost_parts_deinit(&parts);
	world_free(world);
}

/* A tree whose width grows while it is followed: each block has its way, all are of the right
 * depth. */
static void a_wide_tree_is_followed_level_by_level(void **state)
{
	enum { BLOCKS = 20000, SIZE = 32, CHILDREN = 3 };
	struct world *world = world_new(BLOCKS);

	for (uint32_t i = 0; i < BLOCKS; i++)
		world_block(world, i * SIZE, SIZE, 1 + i % 2);
	for (uint32_t i = 0; i < BLOCKS; i++)
		for (uint32_t j = 0; j < CHILDREN && i * CHILDREN + j + 1 < BLOCKS; j++)
			world_set(world, HEAP + (uint64_t)i * SIZE + 8ull * j,
				  HEAP + ((uint64_t)i * CHILDREN + j + 1) * SIZE);
	world_set(world, GLOBALS, HEAP);
	world_look(world);
	reach_mark_deinit(&world->mark);
	assert_int_equal(reach_mark_ways(&world->graph, &world->mark), 0);
	assert_int_equal(world->mark.reached, BLOCKS);
	for (uint32_t i = 1; i < BLOCKS; i++)
		assert_int_equal(world->mark.ways[i], (i - 1) / CHILDREN + 1);
	world_free(world);
}

static void ways_lead_to_roots(void **state)
{
	struct world *world = world_new(4);
	uint64_t table = world_block(world, 0x100, 64, 1), entry = world_block(world, 0x200, 64, 2);
	uint64_t value = world_block(world, 0x300, 64, 3), lost = world_block(world, 0x400, 64, 4);

	world_set(world, GLOBALS, table);
	world_set(world, table, entry);
	world_set(world, entry, value);
	world_set(world, lost, value);
	world_look(world);
	reach_mark_deinit(&world->mark);
	assert_int_equal(reach_mark_ways(&world->graph, &world->mark), 0);
	assert_int_equal(world->mark.ways[0], 0);
	assert_int_equal(world->mark.ways[1], 0 + 1);
	assert_int_equal(world->mark.ways[2], 1 + 1);
	assert_int_equal(world->mark.ways[3], 0);
	world_free(world);
}

/* ---- a second look --------------------------------------------------------------------------- */

static void a_second_look_tells_places_and_nothing_else(void **state)
{
	struct world *world = world_new(1);
	const struct reach_source source = { world_read, world };
	const struct closer_span images[] = { { GLOBALS, GLOBALS + 64 },
					      { GLOBALS + 128, GLOBALS + 256 } };
	const struct closer_pair pairs[] = {
		{ HEAP, 64, HEAP + 0x1000, 100 },    /* at its end, and, better, at its middle */
		{ HEAP, 64, HEAP + 0x2000, 100 },    /* with a tag */
		{ HEAP, 64, HEAP + 0x3000, 100 },    /* not any more */
		{ HEAP + 4, 60, HEAP + 0x1000, 50 }, /* a block that begins within a word */
	};
	const struct closer_span heads[] = { { HEAP, HEAP + 24 } };
	const struct closer_question question = { pairs, heads, images, 4, 1, 2 };
	struct closer_answer answer = { 0 };

	world_set(world, HEAP, HEAP + 0x1000 + 100);
	world_set(world, HEAP + 8, HEAP + 0x1000 + 50);
	world_set(world, HEAP + 16, GLOBALS + 130);
	world_set(world, HEAP + 24, GLOBALS + 100);
	world_set(world, HEAP + 32, (HEAP + 0x2000) | 0xffff000000000000);
	assert_int_equal(closer_look(&question, &source, &answer), 0);
	assert_int_equal(answer.places[0].at, 8);
	assert_int_equal(answer.places[0].into, 50);
	assert_int_equal(answer.places[0].beside, GLOBALS + 130);
	assert_int_equal(answer.places[1].at, 32);
	assert_int_equal(answer.places[1].into, 0);
	assert_int_equal(answer.places[1].beside, 0);
	assert_true(answer.places[2].at == CLOSER_NOWHERE);
	assert_int_equal(answer.places[3].at, 4);
	assert_int_equal(answer.heads[0].words[0], 0); /* the heap's business */
	assert_int_equal(answer.heads[0].words[2], GLOBALS + 130);
	assert_int_equal(answer.heads[0].words[3], 0); /* not in the block, nor an image */
	closer_answer_deinit(&answer);
	world_free(world);
}

/* By recursion it would need gigabytes of stack. */
static void a_long_lost_list(void **state)
{
	enum { NODES = 30000 };
	struct world *world = world_new(NODES);
	struct reach_lost_parts parts = { 0 };

	for (uint64_t i = 0; i < NODES; i++) {
		world_block(world, 64 + 64 * i, 48, 1);
		if (i + 1 < NODES)
			world_set(world, HEAP + 64 + 64 * i, HEAP + 128 + 64 * i);
		if (i)
			world_set(world, HEAP + 64 + 64 * i + 8, HEAP + 64 * i);
	}
	world_look(world);
	assert_int_equal(world->mark.reached, 0);
	find_parts(world, &parts);
	for (uint32_t i = 0; i < NODES; i++)
		assert_int_equal(reach_lost_kind(&world->blocks[i]), REACH_LOST_CYCLE);
	reach_lost_parts_deinit(&parts);
	world_free(world);
}

/* ---- parts, beside a judge that is slow and plain -------------------------------------------- */

#define SOME 60u /* blocks of 4,096 bytes: one has more edges than a byte counts */
#define SOME_BYTES 4096u

/* Which can be come to from which, by one block after the other (Warshall). */
static void follow_all(bool ways[SOME][SOME])
{
	for (uint32_t k = 0; k < SOME; k++)
		for (uint32_t i = 0; i < SOME; i++)
			for (uint32_t j = 0; j < SOME; j++)
				ways[i][j] |= ways[i][k] && ways[k][j];
}

static void judge_parts(const struct world *world, const struct reach_lost_parts *parts,
			bool edges[SOME][SOME], bool ways[SOME][SOME])
{
	for (uint32_t i = 0; i < SOME; i++) {
		bool has_holder = false;

		for (uint32_t j = 0; j < SOME; j++) {
			bool is_same = i == j || (ways[i][j] && ways[j][i]);

			has_holder |= edges[j][i];
			assert_int_equal(parts->slots[i] == parts->slots[j], is_same);
		}
		assert_int_equal(reach_lost_kind(&world->blocks[i]), ways[i][i] ? REACH_LOST_CYCLE
								     : has_holder
									     ? REACH_LOST_UNDER
									     : REACH_LOST_ALONE);
	}
}

static void parts_are_those_that_reach_one_another(void **state)
{
	srand(12);
	for (unsigned turn = 0; turn < 300; turn++) {
		struct world *world = world_new(SOME);
		struct reach_lost_parts parts = { 0 };
		bool edges[SOME][SOME] = { 0 }, ways[SOME][SOME];
		unsigned pointers = turn % 120;

		for (uint64_t i = 0; i < SOME; i++)
			world_block(world, i * SOME_BYTES, SOME_BYTES, 1 + i % 7);
		for (unsigned i = 0; i < pointers; i++) {
			uint32_t from = rand() % SOME, to = rand() % SOME;
			uint64_t at = HEAP + from * SOME_BYTES + rand() % (SOME_BYTES / 8) * 8ul;

			if (!*world_at(world, at))
				edges[from][to] = true;
			if (!*world_at(world, at))
				world_set(world, at, HEAP + to * SOME_BYTES);
		}
		for (uint64_t i = 0; i < SOME_BYTES / 8 && turn % 3 == 0; i++) {
			/* of so many two can be followed, and the last one */
			uint32_t to = i == 0 ? 1 : i < SOME_BYTES / 8 - 1 ? 2 + i % 2 : 4;

			world_set(world, HEAP + 8 * i, HEAP + to * SOME_BYTES);
		}
		if (turn % 3 == 0) {
			memset(edges[0], 0, sizeof(edges[0]));
			for (uint32_t to = 1; to <= 4; to++)
				edges[0][to] = true;
		}
		memcpy(ways, edges, sizeof(ways));
		follow_all(ways);
		world_look(world);
		find_parts(world, &parts);
		assert_int_equal(parts.count, SOME);
		judge_parts(world, &parts, edges, ways);
		reach_lost_parts_deinit(&parts);
		world_free(world);
	}
}

/* ---- one table after the other ----------------------------------------------------------------
 */

struct growing {
	struct reach_block *blocks;
	size_t room, most, most_asked; /* most: there is no more memory */
};

static int make_room(void *growing_, size_t count, struct reach_block **ret)
{
	struct growing *growing = growing_;
	struct reach_block *moved;

	count = count > growing->room ? count : growing->room;
	moved = malloc((count + 1) * sizeof(*growing->blocks));
	assert_non_null(moved);
	if (growing->blocks)
		memcpy(moved, growing->blocks, growing->room * sizeof(*moved));
	free(growing->blocks); /* it moves each time */
	growing->blocks = moved;
	growing->room = count;
	*ret = moved;
	return 0;
}

/* Only more, and where it is. */
static int make_room_once(void *growing_, size_t count, struct reach_block **ret)
{
	struct growing *growing = growing_;

	if (count > growing->most)
		return -ENOSPC;
	growing->most_asked = count > growing->most_asked ? count : growing->most_asked;
	if (!growing->blocks)
		growing->blocks = malloc(2000000 * sizeof(*growing->blocks));
	assert_non_null(growing->blocks);
	*ret = growing->blocks;
	return 0;
}

/* Blocks first to last, 32 bytes apart, all born then. Returns what the last turn has. */
static int renew(struct reach_renewal *renewal, uint64_t first, uint64_t last, uint64_t birth_ns)
{
	int r = 1;

	while (r > 0) {
		assert_int_equal(reach_renew_begin(renewal), 0);
		r = 0;
		for (uint64_t i = last; i >= first && r == 0; i--) {
			struct reach_block block = { HEAP + 32 * i, 32, birth_ns, 1, 0 };

			r = reach_renew_add(renewal, &block);
		}
		r = r ? r : reach_renew_end(renewal);
		reach_renew_deinit(renewal);
	}
	return r;
}

static void a_table_becomes_the_next(void **state)
{
	struct growing growing = { 0 };
	struct reach_renewal renewal = { .make_room = make_room, .context = &growing };

	assert_int_equal(renew(&renewal, 100, 199, 1), 0);
	assert_int_equal(renewal.count, 100);
	renewal.blocks[60].flags = REACH_BLOCK_CANDIDATE | REACH_BLOCK_SHARED | REACH_BLOCK_ANEW;
	renewal.blocks[60].size_bytes = 8; /* another one began in it */
	renewal.blocks[10].flags = REACH_BLOCK_CANDIDATE;
	assert_int_equal(renew(&renewal, 150, 249, 1), 0);
	assert_int_equal(renewal.count, 100);
	for (size_t i = 0; i < renewal.count; i++) {
		assert_int_equal(renewal.blocks[i].addr, HEAP + 32 * (150 + i));
		assert_int_equal(renewal.blocks[i].size_bytes, 32);
		assert_int_equal(renewal.blocks[i].flags, i == 10 ? REACH_BLOCK_CANDIDATE : 0);
	}
	/* others at the same places are others */
	assert_int_equal(renew(&renewal, 150, 249, 2), 0);
	assert_int_equal(renewal.count, 100);
	assert_int_equal(renewal.blocks[10].flags, 0);
	assert_int_equal(renewal.blocks[10].birth_ns, 2);
	assert_int_equal(renew(&renewal, 1, 0, 2), 0);
	assert_int_equal(renewal.count, 0);
	free(growing.blocks);
}

static void all_that_is_replaced_is_never_there_twice(void **state)
{
	enum { MANY = 600000 };
	struct growing growing = { .most = SIZE_MAX };
	struct reach_renewal renewal = { .make_room = make_room_once, .context = &growing };

	assert_int_equal(renew(&renewal, 1, MANY, 1), 0);
	assert_int_equal(renew(&renewal, 1, MANY, 2), 0);
	assert_int_equal(renewal.count, MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(renewal.blocks[i].birth_ns, 2);
	assert_in_range(growing.most_asked, MANY, MANY + MANY / RENEW_SHARE + RENEW_LEAST);

	/* with no byte more for it there is that of those that went */
	growing.most = growing.most_asked = MANY;
	renewal.room_count = MANY;
	assert_int_equal(renew(&renewal, 1, MANY, 3), 0);
	assert_int_equal(renewal.count, MANY);
	growing.most = MANY;
	assert_int_equal(renew(&renewal, 1, MANY + 1, 3), -ENOSPC);
	free(growing.blocks);
}

/* ---- retained -------------------------------------------------------------------------------- */

static const struct reach_retained *retained_of(const struct reach_retained *list, uint32_t count,
						uint32_t id, bool is_root)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].id == id && list[i].is_root == is_root)
			return &list[i];
	fail_msg("nothing retained by %u", id);
	return NULL;
}

/* A list with two directions under a head, its values, and one that is held from elsewhere, too. */
static void a_site_retains_what_it_dominates(void **state)
{
	enum { NODES = 2000 };
	struct world *world = world_new(3 * NODES);
	uint64_t head = world_block(world, 0x20, 16, 1);
	struct reach_retained *list = NULL;
	uint32_t count = 0;

	for (uint64_t i = 0; i < NODES; i++) {
		uint64_t node = world_block(world, 0x100 + 256 * i, 48, 2);
		uint64_t value = world_block(world, 0x180 + 256 * i, 32, 3);

		world_set(world, node, i + 1 < NODES ? node + 256 : 0);
		world_set(world, node + 8, i ? node - 256 : head);
		world_set(world, node + 16, value);
	}
	world_block(world, 0x180000, 64, 4);
	world_set(world, HEAP + 0x100, HEAP + 0x100 + 256);
	world_set(world, head, HEAP + 0x100);
	world_set(world, head + 8, HEAP + 0x180000);
	world_set(world, GLOBALS, head);
	world_set(world, STACK + PAGE, HEAP + 0x180000);
	world_set(world, POOL, HEAP + 0x180 + 256 * 7); /* one value of 2,000: less than 1 % */
	world_look(world);
	assert_int_equal(reach_retained(&world->graph, &world->mark, &list, &count), 0);
	assert_int_equal(retained_of(list, count, 1, false)->bytes, 16 + NODES * 80);
	assert_int_equal(retained_of(list, count, 2, false)->blocks, 2 * NODES);
	assert_int_equal(retained_of(list, count, 3, false)->bytes, NODES * 32);
	assert_int_equal(retained_of(list, count, 4, false)->bytes, 64);
	assert_int_equal(list[retained_of(list, count, 3, false)->under].id, 2);
	assert_true(list[retained_of(list, count, 1, false)->under].is_root);
	assert_int_equal(retained_of(list, count, 4, false)->under,
			 retained_of(list, count, 4, false) - list);
	free(list);
	world_free(world);
}

/* Of a list with two directions the textbook's simple dominators take minutes, block by block. */
static void a_long_list_retains_in_time(void **state)
{
	enum { NODES = 30000 };
	struct world *world = world_new(NODES);
	struct reach_retained *list = NULL;
	uint32_t count = 0;
	clock_t begin;

	for (uint64_t i = 0; i < NODES; i++) {
		uint64_t node = world_block(world, 64 + 64 * i, 48, 1 + i % 2);

		world_set(world, node, i + 1 < NODES ? node + 64 : 0);
		world_set(world, node + 8, i ? node - 64 : 0);
	}
	world_set(world, GLOBALS, HEAP + 64);
	world_look(world);
	begin = clock();
	assert_int_equal(reach_retained(&world->graph, &world->mark, &list, &count), 0);
	assert_true(clock() - begin < CLOCKS_PER_SEC); /* of this process's own time: 2 ms */
	assert_int_equal(retained_of(list, count, 1, false)->bytes, NODES * 48);
	free(list);
	world_free(world);
}

/* ---- an enemy's memory ----------------------------------------------------------------------- */

static void all_words_are_pointers(void **state)
{
	const struct reach_limits few = { 100, 100 };
	struct world *world = world_new(4);
	uint64_t a = world_block(world, 0x100, 0x80000, 1), b = world_block(world, 0x100000, 64, 2);

	for (uint64_t at = a; at < a + 0x80000; at += 8)
		world_set(world, at, b);
	world_set(world, GLOBALS, a);
	world_look(world);
	assert_int_equal(world->graph.found.edge_count, 1);
	reach_mark_deinit(&world->mark);
	reach_graph_deinit(&world->graph);
	for (uint64_t at = a; at < a + 0x80000; at += 16)
		world_set(world, at, a);
	assert_int_equal(world_scan_within(world, &few), -E2BIG);
	world_free(world);
}

/* Of a table that was copied while blocks came and went. */
static void blocks_overlap_or_have_no_size(void **state)
{
	struct world *world = world_new(8);
	uint64_t outer = world_block(world, 0x1000, 0x1000, 1),
		 inner = world_block(world, 0x1800, 64, 2);
	uint64_t target = world_block(world, 0x4000, 64, 3),
		 empty = world_block(world, 0x5000, 0, 4);

	world_block(world, 0x1800, 32, 9); /* born at the same time: one of them stays */
	world->blocks[world->count - 1].birth_ns = 0;
	world_set(world, inner, target);
	world_set(world, GLOBALS, empty);
	world_look(world);
	assert_int_equal(world->count, 4);
	/* an allocator above another: nobody need point to what it takes its blocks from */
	assert_int_equal(world_level(world, outer), REACH_HELD);
	assert_int_equal(
		reach_name_class(&world->graph,
				 world->mark.chains[world_chain(world, outer)->parent].site),
		REACH_OTHER);
	assert_int_equal(world_level(world, inner), REACH_UNREACHED);
	assert_int_equal(world_level(world, target), REACH_UNREACHED);
	assert_int_equal(world_level(world, empty), REACH_HELD);
	world_free(world);
}

static void senseless_tables_and_answers_are_refused(void **state)
{
	const struct reach_place turned[] = { { 0x2000, 8 }, { 0x1000, 8 } };
	const struct reach_place overlapping[] = { { 0x1000, 9 }, { 0x1008, 8 } };
	const struct reach_place far[] = { { REACH_MAX_ADDRESS - 7, 64 } };
	const struct reach_places lists[] = { { turned, sizeof(*turned), 2 },
					      { overlapping, sizeof(*turned), 2 },
					      { far, sizeof(*far), 1 } };
	const struct reach_places none = { turned, sizeof(*turned), 0 };
	const struct reach_limits limits = { 10, 10 };
	const struct reach_range bad = { 0x1004, 0x2000, REACH_GLOBAL, 0 };
	const struct reach_source source = { NULL, NULL };
	uint8_t degrees[] = { 1, 1 }, gap = 0;
	uint32_t edges[1 + REACH_MANY] = { 0 }, root_edge = 2;
	struct reach_many many = { 1, REACH_MANY };
	struct reach_root_run runs[] = { { 0, 0, REACH_GLOBAL }, { 0, 0, REACH_GLOBAL } };
	struct reach_found found = { .degrees = degrees,
				     .edges = edges,
				     .many = &many,
				     .root_edges = &root_edge,
				     .root_gaps = &gap,
				     .runs = runs,
				     .block_count = 2,
				     .edge_count = 1 };
	struct reach_found ret = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		assert_int_equal(reach_scan(&lists[i], NULL, 0, &source, &limits, &ret), -EINVAL);
	assert_int_equal(reach_scan(&none, &bad, 1, &source, &limits, &ret), -EINVAL);
	assert_true(reach_has_room_for(1ull << 47, 1ull << 46, REACH_MAX_POINT));
	assert_false(reach_has_room_for(REACH_MAX_ADDRESS - 7, 64, 1));
	assert_false(reach_has_room_for(0x1000, UINT64_MAX, 1));
	assert_false(reach_has_room_for(0x1000, 64, REACH_MAX_POINT + 1));
	assert_false(reach_found_is_sound(&found, 2)); /* an edge too many */
	degrees[1] = 0;
	assert_true(reach_found_is_sound(&found, 2));
	assert_false(reach_found_is_sound(&found, 3));
	edges[0] = 2;
	assert_false(reach_found_is_sound(&found, 2));
	edges[0] = 1;
	found.root_count = 1;
	assert_false(reach_found_is_sound(&found, 2)); /* no run has it */
	found.run_count = 1;
	assert_false(reach_found_is_sound(&found, 2));
	root_edge = 1;
	runs[0].name = REACH_CLASSES;
	assert_false(reach_found_is_sound(&found, 2));
	runs[0].name = REACH_KERNEL; /* its address would be a text of ours */
	assert_false(reach_found_is_sound(&found, 2));
	runs[0].name = REACH_GLOBAL;
	assert_true(reach_found_is_sound(&found, 2));
	found.run_count = 2; /* both begin at the same */
	assert_false(reach_found_is_sound(&found, 2));
	runs[1].first = 1; /* behind the last */
	assert_false(reach_found_is_sound(&found, 2));
	found.run_count = 1;
	degrees[1] = REACH_MANY;
	assert_false(reach_found_is_sound(&found, 2)); /* it is not among those */
	found.many_count = 1;
	assert_false(reach_found_is_sound(&found, 2)); /* as many edges are not there */
	found.edge_count = 1 + REACH_MANY;
	assert_true(reach_found_is_sound(&found, 2));
	many.edges--; /* too few for it */
	found.edge_count--;
	assert_false(reach_found_is_sound(&found, 2));
}

/* ---- the search against a list ----------------------------------------------------------------
 */

static uint64_t next_number(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint32_t point_by_list(const struct reach_block *blocks, size_t count, uint64_t word)
{
	uint32_t past = REACH_NONE;

	for (uint32_t i = 0; i < count; i++) {
		if (word == blocks[i].addr)
			return i;
		if (word > blocks[i].addr && word - blocks[i].addr < blocks[i].size_bytes)
			return i | (uint32_t)REACH_INSIDE << REACH_KIND_SHIFT;
		if (word == blocks[i].addr + blocks[i].size_bytes)
			past = i | (uint32_t)REACH_PAST << REACH_KIND_SHIFT;
	}
	return past;
}

static void any_word_in_any_table(void **state)
{
	enum { BLOCKS = 300, WORDS = 4000 };
	uint64_t seed = 88172645463325252ull;

	for (unsigned round = 0; round < 20; round++) {
		struct reach_block blocks[BLOCKS];
		struct reach_finder finder;
		struct reach_places places;
		size_t count = BLOCKS;

		for (size_t i = 0; i < BLOCKS; i++) {
			uint64_t far =
				next_number(&seed) % 4 ? 0 : next_number(&seed) % (1ull << 40);

			blocks[i] = (struct reach_block){
				.addr = HEAP + far + next_number(&seed) % (1u << (8 + round)) * 16,
				.size_bytes = 1 + next_number(&seed) % (1u << (1 + round)),
				.birth_ns = i,
			};
		}
		reach_sort(blocks, &count);
		places = reach_places_of(blocks, count);
		assert_int_equal(reach_finder_init(&finder, &places), 0);
		for (size_t i = 0; i < WORDS; i++) {
			const struct reach_block *near = &blocks[next_number(&seed) % count];
			uint64_t word = near->addr +
					next_number(&seed) % (2 * near->size_bytes + 2) -
					next_number(&seed) % 2 * next_number(&seed) % 64;

			uint32_t expected = point_by_list(blocks, count, word);

			assert_int_equal(reach_point(&finder, word), expected);
			reach_finder_prefetch(&finder, word, REACH_NEAR_BUCKET);
			reach_finder_prefetch(&finder, word, REACH_NEAR_BLOCKS);
			assert_int_equal(reach_finder_find(&finder, word),
					 expected == REACH_NONE || reach_kind(expected) ? REACH_NONE
											: expected);
		}
		assert_int_equal(reach_point(&finder, 0), REACH_NONE);
		assert_int_equal(reach_point(&finder, UINT64_MAX), REACH_NONE);
		reach_finder_deinit(&finder);
	}
}

/* Digits in which all addresses agree are passed over: however many are left, the list is sorted.
 */
static void sorted_whatever_digits_differ(void **state)
{
	static const uint64_t steps[] = { 16, 1ull << 12, 1ull << 23, 1ull << 34 };
	enum { BLOCKS = 256 };

	for (unsigned digits = 0; digits < 1u << ARRAY_SIZE(steps); digits++) {
		struct reach_block blocks[BLOCKS];
		size_t count = BLOCKS, expected = digits ? BLOCKS : 1;

		for (size_t i = 0; i < BLOCKS; i++) {
			blocks[i] = (struct reach_block){ .addr = HEAP,
							  .size_bytes = 8,
							  .birth_ns = i };
			for (size_t j = 0; j < ARRAY_SIZE(steps); j++)
				if (digits & 1u << j)
					blocks[i].addr +=
						(i * 77 % BLOCKS) * steps[j] % (steps[j] << 8);
		}
		reach_sort(blocks, &count);
		assert_int_equal(count, expected);
		for (size_t i = 1; i < count; i++)
			assert_true(blocks[i - 1].addr < blocks[i].addr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_whatever_digits_differ),
		cmocka_unit_test(a_pointer_to_it_or_into_it_holds),
		cmocka_unit_test(the_end_of_one_is_not_the_start_of_the_next),
		cmocka_unit_test(tags_and_leftovers_are_unknown),
		cmocka_unit_test(a_pages_first_block_is_not_held_by_a_mapping),
		cmocka_unit_test(where_a_slab_begins_holds_no_block),
		cmocka_unit_test(where_a_free_chunk_begins_holds_no_block),
		cmocka_unit_test(where_an_arenas_chunk_begins_holds_no_block),
		cmocka_unit_test(a_programs_own_numbers_and_lists_are_no_allocators),
		cmocka_unit_test(a_threads_cache_holds_no_block),
		cmocka_unit_test(words_of_odd_blocks),
		cmocka_unit_test(an_address_in_code_may_stand_anywhere),
		cmocka_unit_test(young_blocks_hold_and_freed_ones_do_not_surely),
		cmocka_unit_test(a_young_block_holds_what_it_names_the_end_of),
		cmocka_unit_test(what_held_all_the_while_is_named_before_what_is_young),
		cmocka_unit_test(what_is_there_twice_is_not_young),
		cmocka_unit_test(many_are_met_in_any_order),
		cmocka_unit_test(too_many_are_young),
		cmocka_unit_test(what_cannot_be_read_is_counted),
		cmocka_unit_test(a_list_is_one_link_and_so_is_one_with_values),
		cmocka_unit_test(long_chains_are_cut_and_nothing_is_forgotten),
		cmocka_unit_test(cycles_and_what_hangs_on_them),
		cmocka_unit_test(cycles_are_loops_of_sites),
		cmocka_unit_test(a_long_cycle_is_cut),
		cmocka_unit_test(a_wide_tree_is_followed_level_by_level),
		cmocka_unit_test(ways_lead_to_roots),
		cmocka_unit_test(a_second_look_tells_places_and_nothing_else),
		cmocka_unit_test(a_long_lost_list),
		cmocka_unit_test(parts_are_those_that_reach_one_another),
		cmocka_unit_test(a_table_becomes_the_next),
		cmocka_unit_test(all_that_is_replaced_is_never_there_twice),
		cmocka_unit_test(a_site_retains_what_it_dominates),
		cmocka_unit_test(a_long_list_retains_in_time),
		cmocka_unit_test(all_words_are_pointers),
		cmocka_unit_test(blocks_overlap_or_have_no_size),
		cmocka_unit_test(senseless_tables_and_answers_are_refused),
		cmocka_unit_test(any_word_in_any_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
