/* A difference as a profile: its sums are the differences of the sums, in each format that holds
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/profile/growth.h"
#include "proto/profile/metric.h"
#include "tests/unit/sample_pages.h"

enum { LEAK, CHURN, GONE = 4, SAMPLE_LEAK_GROWTH = 500000 };

struct pair {
	struct dhat_snapshot *before, *after;
	struct dhat_rendering *tables[2];
	struct dhat_difference *difference;
};

static struct dhat_rendering *table_of(const struct dhat_snapshot *snapshot)
{
	const struct dhat_table_options options = { .style.has_whole_names = true };
	struct dhat_rendering *table = NULL;

	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	return table;
}

/* A leak has grown; churn went on; one stack is gone, and another one is new: the one of the
 * earlier profile with another frame. A minute lies between the two. */
static int make_pair(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	Dhat__ProgramPoint **points;

	pair->before = sample_snapshot();
	pair->after = sample_with_pages();
	points = pair->after->points;
	((Dhat__SnapshotHead *)(uintptr_t)pair->after->head)->taken_unix_ns += 60000000000;
	points[LEAK]->live_bytes += SAMPLE_LEAK_GROWTH;
	points[LEAK]->live_blocks += 500;
	points[LEAK]->total_bytes += SAMPLE_LEAK_GROWTH;
	points[LEAK]->total_blocks += 500;
	points[LEAK]->last_ns += 30000000000;
	points[CHURN]->total_blocks += 7;
	points[CHURN]->peak_bytes -= 50;
	points[GONE]->frames[0] = 2;
	pair->tables[0] = table_of(pair->before);
	pair->tables[1] = table_of(pair->after);
	assert_int_equal(dhat_difference_new(pair->tables[0], pair->tables[1], &pair->difference),
			 0);
	*state = pair;
	return 0;
}

static int free_pair(void **state)
{
	struct pair *pair = *state;

	dhat_difference_free(pair->difference);
	dhat_rendering_free(pair->tables[0]);
	dhat_rendering_free(pair->tables[1]);
	dhat_snapshot_free(pair->before);
	dhat_snapshot_free(pair->after);
	free(pair);
	return 0;
}

static struct dhat_snapshot *growth_of(const struct pair *pair, enum dhat_growth kind)
{
	struct dhat_snapshot *growth = NULL;

	assert_int_equal(dhat_growth_new(pair->difference, kind, &growth), 0);
	assert_int_equal(dhat_snapshot_finish(growth, NULL), 0);
	return growth;
}

static int64_t sum_of(const struct dhat_rendering *table, enum dhat_metric metric)
{
	int64_t sum = 0;

	for (size_t i = 0; i < table->point_count; i++)
		sum += (int64_t)dhat_metric_of(table->points[i], metric);
	return sum;
}

/* G1 */
static void test_sums(void **state)
{
	const struct pair *pair = *state;
	struct dhat_snapshot *growth = growth_of(pair, DHAT_GROWTH_SIGNED);
	struct dhat_rendering *table = table_of(growth);

	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++)
		assert_int_equal(sum_of(table, metric),
				 sum_of(pair->tables[1], metric) - sum_of(pair->tables[0], metric));
	assert_int_equal(sum_of(table, DHAT_LIVE_BYTES), SAMPLE_LEAK_GROWTH);
	assert_int_equal(growth->end->totals->live_bytes, SAMPLE_LEAK_GROWTH);
	assert_int_equal(growth->end->totals->total_blocks, 507);
	/* what has not changed is not there: the leak, churn, the new one and the one that is gone
	 */
	assert_int_equal(growth->point_count, 4);
	dhat_rendering_free(table);
	dhat_snapshot_free(growth);
}

static const Dhat__ProgramPoint *point_of(const struct dhat_snapshot *growth, const char *innermost)
{
	for (size_t i = 0; i < growth->point_count; i++) {
		const Dhat__Frame *frame = growth->frames[growth->points[i]->frames[0] - 1];

		if (frame->n_locations && !strcmp(frame->locations[0]->function, innermost) &&
		    (int64_t)growth->points[i]->live_bytes > 0)
			return growth->points[i];
	}
	fail_msg("no point begins in %s", innermost);
	return NULL;
}

static void test_points(void **state)
{
	const struct pair *pair = *state;
	struct dhat_snapshot *growth = growth_of(pair, DHAT_GROWTH_SIGNED);
	const Dhat__ProgramPoint *leak =
		point_of(growth, "std::vector<int>::push_back(int const&)");
	int64_t gone = 0;

	assert_int_equal(leak->live_bytes, SAMPLE_LEAK_GROWTH);
	assert_int_equal(leak->live_blocks, 500);
	assert_int_equal(leak->n_frames, 2);
	/* since the earlier profile, 90 s after the watch began; the last one 119 s after that */
	assert_int_equal(leak->first_ns, 0);
	assert_int_equal(leak->last_ns, 29000000000);
	/* lifetimes of blocks that were there before would be counted among those of a few */
	assert_int_equal(leak->lifetimes_us, 0);
	assert_int_equal(point_of(growth, "main")->live_bytes, 4096);
	for (size_t i = 0; i < growth->point_count; i++)
		if ((int64_t)growth->points[i]->live_bytes < 0)
			gone += (int64_t)growth->points[i]->live_bytes;
	assert_int_equal(gone, -4096);
	dhat_snapshot_free(growth);
}

static void test_grown_only(void **state)
{
	const struct pair *pair = *state;
	struct dhat_snapshot *growth = growth_of(pair, DHAT_GROWTH_GROWN);

	assert_int_equal(growth->point_count, 3);
	for (size_t i = 0; i < growth->point_count; i++) {
		const Dhat__ProgramPoint *point = growth->points[i];

		assert_true((int64_t)point->live_bytes >= 0 && (int64_t)point->peak_bytes >= 0 &&
			    (int64_t)point->max_bytes >= 0);
	}
	assert_int_equal(growth->end->totals->live_bytes, SAMPLE_LEAK_GROWTH + 4096);
	assert_non_null(
		strstr(growth->end->notes[0], "what has shrunk is left out: 4,096 bytes in 1 "));
	dhat_snapshot_free(growth);
}

static void test_head_and_verdict(void **state)
{
	const struct pair *pair = *state;
	struct dhat_snapshot *growth = growth_of(pair, DHAT_GROWTH_GROWN);
	const Dhat__Target *target = growth->head->target;

	assert_int_equal(target->observed_since_unix_ns, 1700000090000000000ull);
	assert_int_equal(target->observed_ns, 60000000000);
	assert_false(growth->head->has_pages);
	assert_int_equal(growth->end->totals->end_ns, 60000000000);
	assert_non_null(strstr(target->command, " [what has grown from 2023-11-14 22:14:50 to "
						"2023-11-14 22:15:50 UTC]"));
	assert_string_equal(growth->end->verdict->word, "inexact");
	assert_int_equal(growth->end->verdict->n_reasons, 2);
	assert_string_equal(growth->end->verdict->reasons[1],
			    "later profile: 3 allocations were lost because the ring was full");
	dhat_snapshot_free(growth);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sums, make_pair, free_pair),
		cmocka_unit_test_setup_teardown(test_points, make_pair, free_pair),
		cmocka_unit_test_setup_teardown(test_grown_only, make_pair, free_pair),
		cmocka_unit_test_setup_teardown(test_head_and_verdict, make_pair, free_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
