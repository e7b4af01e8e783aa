/* The block that each thread was handed last; whose numbers meet, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/account/newest.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"

static void one_thread(void **state)
{
	_cleanup_(newest_deinit) struct newest newest;

	assert_int_equal(newest_init(&newest), 0);
	assert_false(newest_take(&newest, 7, 0x10));
	newest_set(&newest, 7, 0x10);
	assert_false(newest_take(&newest, 8, 0x10));
	assert_false(newest_take(&newest, 7, 0x20));
	assert_true(newest_take(&newest, 7, 0x10));
	assert_false(newest_take(&newest, 7, 0x10));
	newest_set(&newest, 7, 0x10);
	newest_set(&newest, 7, 0x20);
	assert_false(newest_take(&newest, 7, 0x10));
	assert_true(newest_take(&newest, 7, 0x20));
}

static void who_has_ended_is_forgotten(void **state)
{
	_cleanup_(newest_deinit) struct newest newest;

	assert_int_equal(newest_init(&newest), 0);
	/* of each number a hundred threads, one after the other; and all at once */
	for (uint32_t tid = 1; tid <= 100 * NEWEST_PLACES; tid++) {
		newest_set(&newest, tid, tid);
		newest_forget(&newest, tid);
		assert_false(newest_take(&newest, tid, tid));
	}
	assert_int_equal(index_count(newest.by_tid), 0);
	for (uint32_t tid = 1; tid <= 4 * NEWEST_PLACES; tid++)
		newest_set(&newest, tid, tid);
	for (uint32_t tid = 1; tid <= 4 * NEWEST_PLACES; tid++)
		newest_forget(&newest, tid);
	assert_int_equal(index_count(newest.by_tid), 0);
}

/* Also of those that have no place of their own. */
static void what_a_thread_is_called(void **state)
{
	enum { FAR = 7 + NEWEST_PLACES };
	_cleanup_(newest_deinit) struct newest newest;

	assert_int_equal(newest_init(&newest), 0);
	assert_int_equal(newest_set(&newest, 7, 0x10), 0);
	for (uint32_t tid = 7; tid <= FAR; tid += NEWEST_PLACES) {
		newest_name(&newest, tid, 3, true);
		assert_int_equal(newest_set(&newest, tid, 0x10), 3);
		newest_name(&newest, tid, 4, true);
		assert_int_equal(newest_set(&newest, tid, 0x10), 3);
		newest_name(&newest, tid, 5, false);
		assert_int_equal(newest_set(&newest, tid, 0x20), 5);
		assert_true(newest_take(&newest, tid, 0x20));
	}
	/* who begins with a name has no block yet; and one with the number of another has no name
	 */
	newest_name(&newest, 8, 6, false);
	assert_false(newest_take(&newest, 8, 0x20));
	assert_int_equal(newest_set(&newest, 8, 0x20), 6);
	newest_forget(&newest, FAR);
	assert_int_equal(newest_set(&newest, FAR, 0x10), 0);
	newest_forget(&newest, 8);
	assert_int_equal(newest_set(&newest, 8, 0x10), 0);
}

/* Against a list. */
static void any_threads(void **state)
{
	enum { TIDS = 40 };
	_cleanup_(newest_deinit) struct newest newest;
	uint64_t last[TIDS] = { 0 }, seed = 0x20261129;
	uint32_t taken = 0;

#define PICK(n) ((seed = seed * 6364136223846793005ull + 1442695040888963407ull) >> 33) % (n)
	assert_int_equal(newest_init(&newest), 0);
	for (int i = 0; i < 1000000; i++) {
		uint32_t number = PICK(TIDS), kind = PICK(100);
		uint32_t tid = 1 + number % 5 + number / 5 * NEWEST_PLACES;
		uint64_t key = 1 + PICK(4);

		if (kind < 45) {
			newest_set(&newest, tid, key);
			last[number] = key;
		} else if (kind < 98) {
			bool is_newest = newest_take(&newest, tid, key);

			assert_int_equal(is_newest, last[number] == key);
			taken += is_newest;
			if (is_newest)
				last[number] = 0;
		} else {
			newest_forget(&newest, tid);
			last[number] = 0;
		}
	}
	assert_true(taken > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread),
		cmocka_unit_test(who_has_ended_is_forgotten),
		cmocka_unit_test(what_a_thread_is_called),
		cmocka_unit_test(any_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
