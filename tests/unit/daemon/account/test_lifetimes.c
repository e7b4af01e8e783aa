/* lifetimes: of freed blocks, by point, while there are marks; and what there is no room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/heap.h"
#include "daemon/account/lifetimes.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)

#define SECOND 1000000000ull

static uint64_t count_at(const struct lifetimes *lifetimes, uint32_t point, uint32_t bucket)
{
	const uint32_t *counts = lifetimes_at(lifetimes, point);

	return counts ? counts[bucket] : 0;
}

static uint64_t sum_at(const struct lifetimes *lifetimes, uint32_t point)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < DHAT_AGES; i++)
		sum += count_at(lifetimes, point, i);
	return sum;
}

#define add(addr, point, time) assert_int_equal(heap_add_block(heap, 0, addr, 8, point, time), 0)
#define drop(addr, time) assert_true(heap_remove_block(heap, 0, addr, 0, time))

static void of_what_is_freed_while_there_are_marks(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	const struct lifetimes *lifetimes;
	struct budget budget = { 0 };
	uint64_t used;

	assert_int_equal(heap_new(0, &heap), 0);
	assert_int_equal(heap_charge(heap, &budget), 0);
	lifetimes = heap_lifetimes(heap);
	add(0x10, 2, 1);
	drop(0x10, 2);
	add(0x20, 2, 3);
	used = budget.used_bytes;
	assert_int_equal(sum_at(lifetimes, 2), 0);
	assert_int_equal(heap_mark(heap, "a", 10), 0);
	drop(0x20, 3 + SECOND); /* from before the mark: it lived all the same */
	add(0x30, 2, 20);
	add(0x40, 3, 20);
	heap_realloc_begin(heap, 1, 0, 0x30, 0, 30); /* goes on */
	assert_int_equal(heap_realloc_end(heap, 1, 0, 0x30, 0x50, 16, 9, DHAT_REALLOC_MOVED, 31),
			 0);
	assert_int_equal(sum_at(lifetimes, 2), 1);
	assert_int_equal(count_at(lifetimes, 2, dhat_age_bucket(SECOND)), 1);
	drop(0x50, 20 + 5 * SECOND);
	drop(0x40, 19); /* its thread's record came late: no time at all */
	assert_int_equal(count_at(lifetimes, 2, dhat_age_bucket(5 * SECOND)), 1);
	assert_int_equal(sum_at(lifetimes, 2), 2);
	assert_int_equal(count_at(lifetimes, 3, 0), 1);
	assert_int_equal(lifetimes->since_ns, 10);
	assert_int_equal(heap_mark(heap, "b", 6 * SECOND), 0);
	assert_int_equal(heap_unmark(heap, "a"), 0);
	assert_int_equal(sum_at(lifetimes, 2), 2);
	assert_int_equal(lifetimes->since_ns, 10);
	assert_int_equal(heap_unmark(heap, "b"), 0);
	assert_int_equal(sum_at(lifetimes, 2), 0);
	assert_int_equal(budget.used_bytes, used);
}

static void from_the_start_on_if_that_is_asked(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	const struct lifetimes *lifetimes;

	assert_int_equal(heap_new(0, &heap), 0);
	lifetimes = heap_lifetimes(heap);
	heap_keep_lifetimes(heap, 7);
	add(0x10, 2, 8);
	drop(0x10, 8 + SECOND);
	assert_int_equal(count_at(lifetimes, 2, dhat_age_bucket(SECOND)), 1);
	assert_int_equal(heap_mark(heap, "a", 9 + SECOND), 0);
	assert_int_equal(lifetimes->since_ns, 7);
	assert_int_equal(heap_unmark(heap, "a"), 0); /* and no mark ends it */
	add(0x10, 2, 10 + SECOND);
	drop(0x10, 10 + SECOND);
	assert_int_equal(sum_at(lifetimes, 2), 2);
	assert_int_equal(lifetimes->since_ns, 7);
}

static void what_has_no_room_is_told(void **state)
{
	struct lifetimes lifetimes = { 0 }, copy;
	struct budget budget = { 0 };

	lifetimes_charge(&lifetimes, &budget);
	lifetimes_count(&lifetimes, 5, SECOND, 1);
	budget.limit_bytes = 1;
	lifetimes_count(&lifetimes, 500, SECOND, 1);
	budget.limit_bytes = 0;
	lifetimes_count(&lifetimes, 500, SECOND, 1); /* too late */
	lifetimes_count(&lifetimes, 6, SECOND, 1);   /* its page is there */
	assert_int_equal(lifetimes.uncounted, 2);
	assert_int_equal(lifetimes_copy(&lifetimes, &copy), 0);
	assert_int_equal(sum_at(&copy, 5), 1);
	assert_int_equal(sum_at(&copy, 6), 1);
	assert_int_equal(sum_at(&copy, 500), 0);
	assert_int_equal(copy.uncounted, 2);
	lifetimes_deinit(&copy);
	lifetimes_reset(&lifetimes);
	assert_int_equal(budget.used_bytes, 0);
	lifetimes_count(&lifetimes, 500, SECOND, 1);
	assert_int_equal(sum_at(&lifetimes, 500), 1);
	lifetimes_deinit(&lifetimes);
	assert_int_equal(budget.used_bytes, 0);
}

static void a_full_count_stays_full(void **state)
{
	struct lifetimes lifetimes = { 0 };

	lifetimes_count(&lifetimes, 0, SECOND, 1);
	lifetimes.pages[0]->points[0][dhat_age_bucket(SECOND)] = UINT32_MAX;
	lifetimes_count(&lifetimes, 0, SECOND, 1);
	assert_int_equal(count_at(&lifetimes, 0, dhat_age_bucket(SECOND)), UINT32_MAX);
	lifetimes_deinit(&lifetimes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_what_is_freed_while_there_are_marks),
		cmocka_unit_test(from_the_start_on_if_that_is_asked),
		cmocka_unit_test(what_has_no_room_is_told),
		cmocka_unit_test(a_full_count_stays_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
