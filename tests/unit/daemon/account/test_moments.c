/* moments: the rules one by one; what there is no memory for; the heap's blocks by their births.
 * (The model in test_heap.c compares millions of events.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/heap.h"
#include "daemon/account/moments.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)
DEFINE_CLEANUP_PTR(struct moments *, moments_free)

/* What a copy says of a point since a moment. */
static struct moments_figures since(const struct moments *moments, uint32_t point, uint32_t moment)
{
	_cleanup_(moments_free_ptr) struct moments *copy = NULL;
	struct moments_figures figures[MOMENTS_MAX];

	assert_int_equal(moments_copy(moments, true, &copy), 0);
	assert_true(moment < copy->count);
	moments_of_point(copy, point, figures);
	return figures[moment];
}

#define assert_since(moments, point, moment, in_bytes, in_blocks)                                  \
	do {                                                                                       \
		struct moments_figures since_ = since(moments, point, moment);                     \
		assert_int_equal(since_.bytes, in_bytes);                                          \
		assert_int_equal(since_.blocks, in_blocks);                                        \
	} while (0)
#define assert_all(moments, moment, in_bytes, in_blocks)                                           \
	do {                                                                                       \
		struct moments_figures all_ = moments_since(moments, moment);                      \
		assert_int_equal(all_.bytes, in_bytes);                                            \
		assert_int_equal(all_.blocks, in_blocks);                                          \
	} while (0)

/* ---- of a heap ------------------------------------------------------------------------------ */

static struct heap *fresh(void)
{
	struct heap *heap = NULL;

	assert_int_equal(heap_new(0, &heap), 0);
	return heap;
}

#define add(addr, size, point, time)                                                               \
	assert_int_equal(heap_add_block(heap, 0, addr, size, point, time), 0)
#define drop(addr, time) assert_true(heap_remove_block(heap, 0, addr, 0, time))
#define mark(name, time) assert_int_equal(heap_mark(heap, name, time), 0)

/* Two totals subtracted would say: nothing. */
static void a_freed_block_and_a_new_one_are_told_apart(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	add(0x10, 100, 2, 10);
	mark("a", 20);
	drop(0x10, 21);
	add(0x10, 100, 2, 22);
	assert_since(heap_moments(heap), 2, 0, 100, 1);
	mark("b", 30);
	assert_since(heap_moments(heap), 2, 1, 0, 0);
	add(0x20, 7, 3, 31);
	assert_since(heap_moments(heap), 2, 0, 100, 1);
	assert_since(heap_moments(heap), 3, 0, 7, 1);
	assert_since(heap_moments(heap), 3, 1, 7, 1);
	assert_all(heap_moments(heap), 0, 107, 2);
	drop(0x10, 32);
	drop(0x20, 33);
	assert_all(heap_moments(heap), 0, 0, 0);
}

/* An event of before may be taken after. */
static void the_birth_decides_and_not_the_order(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	add(0x10, 1, 2, 15);
	mark("a", 10); /* the clock of whoever marks is behind: the block was there */
	assert_int_equal(heap_moments(heap)->times_ns[0], 16);
	add(0x20, 2, 2, 15);
	add(0x30, 4, 2, 16);
	assert_since(heap_moments(heap), 2, 0, 4, 1);
	mark("b", 16);
	assert_int_equal(heap_moments(heap)->times_ns[1], 17);
	add(0x40, 8, 2, 16);
	assert_since(heap_moments(heap), 2, 0, 12, 2);
	assert_since(heap_moments(heap), 2, 1, 0, 0);
}

static void a_reallocated_block_counts_as_it_was_born(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	add(0x10, 100, 2, 10);
	mark("a", 20);
	add(0x20, 100, 3, 21);
	for (uint64_t addr = 0x10; addr <= 0x20; addr += 0x10) {
		heap_realloc_begin(heap, 1, 0, addr, 0, 22);
		assert_int_equal(heap_realloc_end(heap, 1, 0, addr, addr + 0x100, 1000, 9,
						  DHAT_REALLOC_MOVED, 23),
				 0);
	}
	assert_since(heap_moments(heap), 2, 0, 0, 0);
	assert_since(heap_moments(heap), 3, 0, 1000, 1);
	assert_since(heap_moments(heap), 9, 0, 0, 0);
}

/* Of an inventory that is added when there is a mark already: older all the same. */
static void blocks_from_before_the_watch_never_count(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	mark("a", 20);
	assert_int_equal(heap_add_existing_block(heap, 0, 0x10, 100, 1, 30), 0);
	assert_all(heap_moments(heap), 0, 0, 0);
	heap_realloc_begin(heap, 1, 0, 0x10, 0, 31);
	assert_int_equal(heap_realloc_end(heap, 1, 0, 0x10, 0x10, 200, 2, DHAT_REALLOC_MOVED, 32),
			 1);
	assert_since(heap_moments(heap), 2, 0, 200, 1); /* heap.h: H7 */
	drop(0x10, 33);
	assert_all(heap_moments(heap), 0, 0, 0);
}

static void an_address_that_comes_twice_leaves_its_span(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	mark("a", 10);
	add(0x10, 100, 2, 11);
	mark("b", 20);
	add(0x10, 30, 3, 21);
	assert_since(heap_moments(heap), 2, 0, 0, 0);
	assert_since(heap_moments(heap), 3, 1, 30, 1);
	assert_all(heap_moments(heap), 0, 30, 1);
}

/* ---- moments -------------------------------------------------------------------------------- */

static void names_and_the_bound(void **state)
{
	struct moments moments = { 0 };
	char name[8];

	assert_int_equal(moments_remove(&moments, "0"), -ENOENT);
	for (int i = 0; i < MOMENTS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(moments_add(&moments, name, 10 + i), 0);
		moments_count(&moments, 5, 10 + i, 100, 1);
	}
	assert_int_equal(moments_add(&moments, "7", 1000), -EEXIST);
	assert_int_equal(moments_add(&moments, "more", 1000), -ENOSPC);
	for (int i = 0; i < MOMENTS_MAX; i++)
		assert_since(&moments, 5, i, 100 * (MOMENTS_MAX - i), MOMENTS_MAX - i);
	assert_int_equal(moments_remove(&moments, "7"), 0);
	assert_int_equal(moments.count, MOMENTS_MAX - 1);
	assert_since(&moments, 5, 6, 100 * (MOMENTS_MAX - 6), MOMENTS_MAX - 6); /* "6" */
	assert_since(&moments, 5, 7, 100 * (MOMENTS_MAX - 8), MOMENTS_MAX - 8); /* "8" */
	moments_count(&moments, 5, 17, -100, -1);				/* born after "7" */
	assert_since(&moments, 5, 6, 100 * (MOMENTS_MAX - 7), MOMENTS_MAX - 7);
	assert_int_equal(moments_remove(&moments, "0"), 0);
	moments_count(&moments, 5, 10, -100, -1); /* older than the oldest now */
	assert_since(&moments, 5, 0, 100 * (MOMENTS_MAX - 2), MOMENTS_MAX - 2);
	assert_int_equal(moments_add(&moments, "7", 1000), 0);
	moments_deinit(&moments);
}

/* A page, or a larger directory, for which there is no budget: in all it is right, and the copy has
 * it at point 0. */
static void what_has_no_room_is_at_point_0(void **state)
{
	struct moments moments = { 0 };
	struct budget budget = { 0 };

	moments_charge(&moments, &budget);
	assert_int_equal(moments_add(&moments, "a", 10), 0);
	moments_count(&moments, 3, 10, 1, 1);
	budget.limit_bytes = 1;
	moments_count(&moments, 900, 11, 10, 1);
	moments_count(&moments, 1000000, 11, 100, 1);
	budget.limit_bytes = 0;
	moments_count(&moments, 900, 12, 1000, 1); /* too late: its page has no figures */
	moments_count(&moments, UINT32_MAX, 12, 10000, 1);
	moments_count(&moments, 800, 12, 100000, 1);
	assert_all(&moments, 0, 111111, 6);
	assert_since(&moments, 3, 0, 1, 1);
	assert_since(&moments, 900, 0, 0, 0);
	assert_since(&moments, 800, 0, 100000, 1);
	assert_since(&moments, 0, 0, 11110, 4);
	moments_count(&moments, 900, 11, -10, -1);
	assert_since(&moments, 0, 0, 11100, 3);
	/* a moment that comes later has room for all, and none when it becomes one with the first
	 */
	assert_int_equal(moments_add(&moments, "b", 20), 0);
	moments_count(&moments, 900, 20, 2, 1);
	moments_count(&moments, 1000000, 20, 20, 1);
	assert_since(&moments, 1000000, 1, 20, 1);
	assert_int_equal(moments_remove(&moments, "b"), 0);
	assert_since(&moments, 900, 0, 0, 0);
	assert_since(&moments, 1000000, 0, 0, 0);
	assert_since(&moments, 0, 0, 11122, 5);
	moments_deinit(&moments);
	assert_int_equal(budget.used_bytes, 0);
}

/* The first has had no need of so large a directory, and cannot have it now. */
static void directories_that_meet(void **state)
{
	for (int has_room = 0; has_room < 2; has_room++)
		for (int is_full = 0; is_full < 2; is_full++) {
			struct moments moments = { 0 };
			struct budget budget = { 0 };

			moments_charge(&moments, &budget);
			assert_int_equal(moments_add(&moments, "a", 10), 0);
			moments_count(&moments, 1, 10, 1, 1);
			assert_int_equal(moments_add(&moments, "b", 20), 0);
			moments_count(&moments, 100000, 20, 2, 1);
			moments_count(&moments, 1, 20, 4, 1);
			budget.limit_bytes = 1;
			if (is_full)
				moments_count(&moments, 10000000, 20, 8, 1);
			budget.limit_bytes = !has_room;
			assert_int_equal(moments_remove(&moments, "b"), 0);
			budget.limit_bytes = 0;
			assert_all(&moments, 0, 7 + 8 * is_full, 3 + is_full);
			assert_since(&moments, 1, 0, 5, 2);
			assert_since(&moments, 100000, 0, 2 * has_room, has_room);
			moments_count(&moments, 10000000, 21, 16, 1);
			assert_since(&moments, 10000000, 0, has_room && !is_full ? 16 : 0,
				     has_room && !is_full);
			moments_deinit(&moments);
			assert_int_equal(budget.used_bytes, 0);
		}
}

/* All ways in which pages meet when a moment goes: none, kept, refused. */
static void pages_that_meet(void **state)
{
	enum { NONE, KEPT, REFUSED, KINDS };

	for (int kind = 0; kind < KINDS * KINDS; kind++) {
		const int kinds[2] = { kind / KINDS, kind % KINDS };
		bool is_refused = kinds[0] == REFUSED || kinds[1] == REFUSED;
		uint64_t bytes = 0, blocks = 0;
		struct moments moments = { 0 };
		struct budget budget = { 0 };

		moments_charge(&moments, &budget);
		assert_int_equal(moments_add(&moments, "a", 10), 0);
		assert_int_equal(moments_add(&moments, "b", 20), 0);
		for (int i = 0; i < 2; i++) {
			moments_count(&moments, 64, 10 + 10 * i, 0, 0); /* the directory */
			budget.limit_bytes = kinds[i] == REFUSED;
			if (kinds[i] != NONE) {
				moments_count(&moments, 500, 10 + 10 * i, i + 1, 1);
				bytes += i + 1;
				blocks++;
			}
			budget.limit_bytes = 0;
		}
		assert_int_equal(moments_remove(&moments, "b"), 0);
		assert_all(&moments, 0, bytes, blocks);
		assert_since(&moments, is_refused ? 0 : 500, 0, bytes, blocks);
		for (int i = 0; i < 2; i++) /* they leave by the way that is there now */
			if (kinds[i] != NONE)
				moments_count(&moments, 500, 10 + 10 * i, -i - 1, -1);
		assert_since(&moments, 500, 0, 0, 0);
		assert_since(&moments, 0, 0, 0, 0);
		assert_int_equal(moments_remove(&moments, "a"), 0);
		assert_int_equal(budget.used_bytes, 0);
		moments_deinit(&moments);
	}
}

/* While there is none, points cost nothing. */
static void a_heap_without_marks_pays_nothing(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct budget budget = { 0 };
	uint64_t used;

	assert_int_equal(heap_charge(heap, &budget), 0);
	add(0x10, 1, 2, 1);
	used = budget.used_bytes;
	mark("a", 10);
	add(0x20, 1, 2, 11);
	assert_true(budget.used_bytes > used);
	assert_int_equal(heap_unmark(heap, "a"), 0);
	assert_int_equal(budget.used_bytes, used);
	drop(0x20, 12);
	assert_int_equal(heap_unmark(heap, "a"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_freed_block_and_a_new_one_are_told_apart),
		cmocka_unit_test(the_birth_decides_and_not_the_order),
		cmocka_unit_test(a_reallocated_block_counts_as_it_was_born),
		cmocka_unit_test(blocks_from_before_the_watch_never_count),
		cmocka_unit_test(an_address_that_comes_twice_leaves_its_span),
		cmocka_unit_test(names_and_the_bound),
		cmocka_unit_test(what_has_no_room_is_at_point_0),
		cmocka_unit_test(directories_that_meet),
		cmocka_unit_test(pages_that_meet),
		cmocka_unit_test(a_heap_without_marks_pays_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
