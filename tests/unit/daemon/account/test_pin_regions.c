/* Which mappings are an allocator's, by their lines in /proc/PID/maps and the blocks in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/pin_regions.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct block_list *, block_list_free)

#define BREAK 0x555555600000ull
#define ARENA 0x7f0000000000ull /* a multiple of 64 MiB */
#define LARGE 0x7f1000000000ull
#define OWN 0x7f2000000000ull

static const char text[] = "555555554000-555555560000 r-xp 00000000 08:01 12 /usr/bin/service\n"
			   "555555560000-555555562000 rw-p 0000c000 08:01 12 /usr/bin/service\n"
			   "555555600000-555555700000 rw-p 00000000 00:00 0 [heap]\n"
			   "555555700000-555555800000 rw-p 00000000 00:00 0 [heap]\n"
			   /* an arena whose first heap is full, and has another one behind it */
			   "7f0000000000-7f0004100000 rw-p 00000000 00:00 0 \n"
			   "7f0004100000-7f0008000000 ---p 00000000 00:00 0 \n"
			   /* one without a block; one that has no room to grow into is none */
			   "7f0010000000-7f0010021000 rw-p 00000000 00:00 0 \n"
			   "7f0010021000-7f0014000000 ---p 00000000 00:00 0 \n"
			   "7f0020000000-7f0020021000 rw-p 00000000 00:00 0 \n"
			   /* a block with a mapping of its own, cut in two */
			   "7f1000000000-7f1000100000 rw-p 00000000 00:00 0 \n"
			   "7f1000100000-7f1000200000 rw-p 00000000 00:00 0 \n"
			   "7f2000000000-7f2000100000 rw-p 00000000 00:00 0 \n"
			   "7f3000000000-7f3000100000 rw-s 00000000 00:01 99 /dev/shm/pool\n"
			   "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n";

static struct block_list *list_of(const struct block *blocks, size_t count)
{
	struct block_list *list = NULL;

	assert_int_equal(block_list_new(count, &list), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(block_list_add(list, &blocks[i], 10), 0);
	block_list_sort(list);
	return list;
}

static void assert_region(const struct pin_regions *found, size_t i, uint64_t start, uint64_t bytes,
			  bool shrinks)
{
	assert_true(i < found->region_count);
	assert_int_equal(found->regions[i].start, start);
	assert_int_equal(found->regions[i].end, start + bytes);
	assert_int_equal(found->regions[i].shrinks_from_end, shrinks);
}

static void assert_range(const struct pin_regions *found, size_t i, uint64_t start, uint64_t bytes)
{
	assert_true(i < found->range_count);
	assert_int_equal(found->ranges[i].start, start);
	assert_int_equal(found->ranges[i].end, start + bytes);
}

static const struct block blocks[] = {
	{ .addr = 0x555555560100, .size_bytes = 64 }, /* a pool of the program's, in its data */
	{ .addr = BREAK + 0x10, .size_bytes = 100 },
	{ .addr = ARENA + 0x8d0, .size_bytes = 24 },
	{ .addr = ARENA + (64 << 20) + 0x30, .size_bytes = 24 },
	{ .addr = LARGE + 0x10, .size_bytes = 0x1fff00 },
	{ .addr = OWN, .size_bytes = 0x100000, .domain = DHAT_DOMAIN_ANON },
	{ .addr = 0x7f3000000000, .size_bytes = 100 },
};
#define BLOCKS (sizeof(blocks) / sizeof(*blocks))

static void heaps_of_glibc(void **state)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = list_of(blocks, BLOCKS);
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(pin_regions_deinit) struct pin_regions found = { 0 };

	assert_int_equal(procmaps_parse(text, sizeof(text) - 1, &maps, NULL), 0);
	assert_int_equal(pin_regions_find(&maps, list, true, &found), 0);
	assert_false(found.has_before);
	assert_int_equal(found.region_count, 5);
	assert_region(&found, 0, BREAK, 0x200000, true);
	assert_region(&found, 1, ARENA, 64 << 20, true);
	assert_region(&found, 2, ARENA + (64 << 20), 1 << 20, true);
	assert_region(&found, 3, 0x7f0010000000, 0x21000, true);
	assert_region(&found, 4, LARGE, 0x200000, false);
	assert_int_equal(found.range_count, 7);
	assert_range(&found, 0, 0x555555560000, 0x2000);
	assert_range(&found, 1, BREAK, 0x200000);
	assert_range(&found, 2, ARENA, 65 << 20);
	assert_range(&found, 3, 0x7f0010000000, 0x21000);
	assert_range(&found, 4, LARGE, 0x200000);
	assert_range(&found, 5, OWN, 0x100000);
	assert_range(&found, 6, 0x7f3000000000, 0x100000);
}

/* Nothing shrinks from its end, and what has no block is nobody's. */
static void other_allocators(void **state)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = list_of(blocks, BLOCKS);
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(pin_regions_deinit) struct pin_regions found = { 0 };

	assert_int_equal(procmaps_parse(text, sizeof(text) - 1, &maps, NULL), 0);
	assert_int_equal(pin_regions_find(&maps, list, false, &found), 0);
	assert_int_equal(found.region_count, 3);
	assert_region(&found, 0, BREAK, 0x100000, false);
	assert_region(&found, 1, ARENA, 65 << 20, false);
	assert_region(&found, 2, LARGE, 0x200000, false);
}

/* Large blocks are where an arena might be: at a multiple of 64 MiB, with a guard behind them. */
static void a_large_block_is_no_arena(void **state)
{
	const struct block large = { .addr = ARENA + 0x10,
				     .size_bytes = 0x40fff00,
				     .was_before = true };
	_cleanup_(block_list_free_ptr) struct block_list *list = list_of(&large, 1);
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	_cleanup_(pin_regions_deinit) struct pin_regions found = { 0 };

	assert_int_equal(procmaps_parse(text, sizeof(text) - 1, &maps, NULL), 0);
	assert_int_equal(pin_regions_find(&maps, list, true, &found), 0);
	assert_true(found.has_before);
	assert_int_equal(found.region_count, 3);
	assert_region(&found, 0, BREAK, 0x200000, true);
	assert_region(&found, 1, ARENA, 65 << 20, false);
	assert_region(&found, 2, 0x7f0010000000, 0x21000, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heaps_of_glibc),
		cmocka_unit_test(other_allocators),
		cmocka_unit_test(a_large_block_is_no_arena),
	};

	return cmocka_run_group_tests_name("pin_regions", tests, NULL, NULL);
}
