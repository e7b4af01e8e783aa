/* history: lows as they come in a file, slopes, other slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "proto/base/cleanup.h"
#include "proto/profile/history.h"
#include "tests/unit/sample.h"

static void lows_are_sums_of_steps(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	uint64_t lows[DHAT_HISTORY_SLOTS] = { 0 };

	dhat_history_add(snapshot, snapshot->points[0], lows);
	dhat_history_add(snapshot, snapshot->points[2], lows);
	assert_int_equal(dhat_history_slots(snapshot), SAMPLE_SLOTS);
	assert_int_equal(lows[0], 0);
	assert_int_equal(lows[1], 100100);
	assert_int_equal(lows[8], 800100);
	assert_int_equal(dhat_history_slot_at(snapshot, 0), 0);
	assert_int_equal(dhat_history_slot_at(snapshot, 10000000000), 1);
	assert_int_equal(dhat_history_slot_at(snapshot, UINT64_MAX), 8);
	assert_int_equal(dhat_history_slot_begin(snapshot, 8), 80000000000);
	dhat_snapshot_free(snapshot);
}

/* A file may hold anything. */
static void what_cannot_be_is_none(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	uint64_t lows[DHAT_HISTORY_SLOTS] = { 0 };
	Dhat__PointSlots *slots = snapshot->end->history;
	Dhat__ProgramPoint *point = snapshot->points[0];

	point->low_bytes[0] = -1;
	point->low_bytes[1] = INT64_MIN;
	point->n_low_bytes = 2; /* fewer than there are slots: it stays as it was */
	dhat_history_add(snapshot, point, lows);
	for (uint32_t i = 0; i < SAMPLE_SLOTS; i++)
		assert_int_equal(lows[i], 0);
	point->low_bytes[0] = INT64_MAX;
	point->n_low_bytes = 1;
	for (int i = 0; i < 3; i++)
		dhat_history_add(snapshot, point, lows);
	assert_true(lows[8] == UINT64_MAX);
	slots->count = DHAT_HISTORY_SLOTS + 1;
	assert_int_equal(dhat_history_slots(snapshot), 0);
	slots->count = 3;
	slots->slot_ns = 0;
	assert_int_equal(dhat_history_slots(snapshot), 0);
	assert_true(dhat_history_growth(snapshot, lows, 0) == 0);
	snapshot->end->history->count = 0;
	dhat_snapshot_free(snapshot);
}

static bool is_near(double a, double b)
{
	return fabs(a - b) <= fabs(b) * 1e-9 + 1e-9;
}

static void slopes_are_by_least_squares(void **state)
{
	const uint64_t rising[] = { 5, 7, 9, 11 }, falling[] = { 9, 6, 3, 0 };
	const uint64_t absurd[] = { 0, UINT64_MAX / 2, UINT64_MAX };
	const uint64_t bent[] = { 0, 0, 6, 6 }; /* 2.4 by hand: 12 / 5 */
	const uint64_t minute = 60000000000;

	assert_true(is_near(dhat_history_slope(rising, 0, 4, minute), 2));
	assert_true(is_near(dhat_history_slope(rising, 0, 4, minute / 60), 120));
	assert_true(is_near(dhat_history_slope(falling, 0, 4, minute), -3));
	assert_true(is_near(dhat_history_slope(bent, 0, 4, minute), 2.4));
	assert_true(is_near(dhat_history_slope(bent, 1, 4, minute), 3));
	assert_true(dhat_history_slope(absurd, 0, 3, 1) == 1e18);
	assert_true(dhat_history_slope(rising, 2, 4, minute) == 0); /* too few */
	assert_true(dhat_history_slope(rising, 3, 1, minute) == 0);
}

/* What came at once and stays has grown once, and does not grow. */
static void growth_leaves_the_first_slot_out(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	uint64_t lows[DHAT_HISTORY_SLOTS] = { 0, 0, 0, 50, 50, 50, 50, 50, 50 };

	assert_true(dhat_history_growth(snapshot, lows, 25000000000) == 0);
	assert_true(dhat_history_growth(snapshot, lows, 0) > 0);
	lows[8] = 80;
	assert_true(dhat_history_growth(snapshot, lows, 25000000000) > 0);
	dhat_snapshot_free(snapshot);
}

static void other_slots_have_the_least_of_what_they_overlap(void **state)
{
	const struct dhat_history_grid from = { .start_ns = 100, .slot_ns = 10, .count = 4 };
	const struct dhat_history_grid same = from;
	const struct dhat_history_grid wide = { .start_ns = 85, .slot_ns = 20, .count = 5 };
	const uint64_t lows[] = { 7, 3, 5, 9 };
	uint64_t ret[DHAT_HISTORY_SLOTS];

	dhat_history_fit(&from, lows, &same, ret);
	assert_memory_equal(ret, lows, sizeof(lows));
	dhat_history_fit(&from, lows, &wide, ret);
	assert_int_equal(ret[0], 0); /* 85 to 105: it was not there all the time */
	assert_int_equal(ret[1], 3); /* 105 to 125 */
	assert_int_equal(ret[2], 5);
	assert_int_equal(ret[3], 9); /* 145 on: as it was last */
	assert_int_equal(ret[4], 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lows_are_sums_of_steps),
		cmocka_unit_test(what_cannot_be_is_none),
		cmocka_unit_test(slopes_are_by_least_squares),
		cmocka_unit_test(growth_leaves_the_first_slot_out),
		cmocka_unit_test(other_slots_have_the_least_of_what_they_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
