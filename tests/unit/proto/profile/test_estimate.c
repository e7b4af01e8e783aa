/* Intervals of a sample: what they are for few and for many blocks, and what is made of them by
 * conditions, by a baseline, by what is put together, and by a comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "proto/base/cleanup.h"
#include "proto/profile/baseline.h"
#include "proto/profile/born.h"
#include "proto/profile/difference.h"
#include "proto/profile/growth.h"
#include "proto/profile/judgement.h"
#include "proto/profile/snapshot_merge.h"
#include "tests/unit/built_snapshot.h"

DEFINE_CLEANUP_PTR(struct dhat_digest *, dhat_digest_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define R 1000

static struct dhat_evidence live_evidence(uint64_t seen, double variance)
{
	struct dhat_evidence evidence = { 0 };

	evidence.seen_bytes[DHAT_ESTIMATED_LIVE] = seen;
	evidence.variance[DHAT_ESTIMATED_LIVE] = variance;
	return evidence;
}

static struct dhat_interval live(uint64_t bytes, uint64_t seen, double variance)
{
	struct dhat_evidence evidence = live_evidence(seen, variance);

	return dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, bytes);
}

/* Garwood's exact limits for Poisson counts of small blocks (Biometrika 28, 1936). */
static void test_small_blocks_are_counts(void **state)
{
	static const struct {
		uint64_t count;
		double low, high;
	} exact[] = { { 1, 0.0253, 5.572 },
		      { 2, 0.2422, 7.225 },
		      { 5, 1.6235, 11.668 },
		      { 10, 4.7954, 18.391 },
		      { 100, 81.364, 121.627 } };

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
		uint64_t count = exact[i].count;
		struct dhat_interval interval = live(count * R, count, (double)count * R * R);

		assert_true(fabs((double)interval.high / R / exact[i].high - 1) < 0.01);
		/* below it is on the safe side */
		assert_true((double)interval.low / R <= exact[i].low + 0.01);
		assert_true((double)interval.low / R >= exact[i].low - 0.1);
	}
}

/* E1, E2 */
static void test_what_is_certain(void **state)
{
	struct dhat_evidence evidence = { 0 }, none = { 0 };
	struct dhat_interval interval;

	/* a block that is there is there; mappings are all */
	assert_int_equal(live(1582, 1000, 0.6 * 1582 * R).low, 1000);
	evidence = live_evidence(100 * 50000, 0);
	interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, 100 * 50000);
	assert_int_equal(interval.low, 5000000);
	assert_int_equal(interval.high, 5000000);
	/* of which nothing else is uncertain */
	interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_TOTAL, 0);
	assert_int_equal(interval.high, 0);
	/* but of one that has had others */
	evidence.variance[DHAT_ESTIMATED_TOTAL] = R * R;
	interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, 5000000);
	assert_int_equal(interval.low, 5000000);
	assert_in_range(interval.high, 5000000 + 2 * R, 5000000 + 4 * R);
	/* nothing was recorded: as much as nothing was drawn of */
	interval = dhat_interval_of(R, &none, DHAT_ESTIMATED_LIVE, 0);
	assert_int_equal(interval.low, 0);
	assert_in_range(interval.high, 3 * R, 4 * R);
	assert_int_equal(dhat_estimate_unseen(R), 3 * R);
	/* no sample */
	interval = dhat_interval_of(0, &none, DHAT_ESTIMATED_LIVE, 77);
	assert_int_equal(interval.low, 77);
	assert_int_equal(interval.high, 77);
}

/* E2: a sum over what is known is no sum over all. */
static void test_what_was_missed(void **state)
{
	static const struct built_stack large[] = {
		{ .frames = { "keep@/src/app/keep.c:1" },
		  .live_bytes = 90000,
		  .live_blocks = 1,
		  .seen_bytes = 90000 },
		BUILT_END,
	};
	static const struct built_watch watch = { .verdict = "sampled", .sample_bytes = R };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		built_snapshot(&watch, large);
	struct dhat_evidence evidence = { 0 };
	struct dhat_interval interval;

	dhat_evidence_add_point(&evidence, snapshot->head, snapshot->points[0]);
	assert_true(dhat_evidence_is_certain(&evidence));
	dhat_evidence_of_snapshot(snapshot, &evidence);
	interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, 90000);
	assert_int_equal(interval.low, 90000);
	assert_in_range(interval.high, 90000 + 2 * R, 90000 + 4 * R);
	evidence = (struct dhat_evidence){ .seen_bytes = { 1, 1, 1 } };
	dhat_evidence_add_missed(&evidence, 0);
	assert_true(dhat_evidence_is_certain(&evidence)); /* of no sample */
	dhat_evidence_add_missed(&evidence, R);
	assert_false(dhat_evidence_is_certain(&evidence));
}

/* E3 is never narrower than what is told, E4 reaches further down. */
static void test_what_is_not_told(void **state)
{
	struct dhat_evidence evidence = { .seen_bytes = { 9000, 9000, 9000 },
					  .variance = { 40. * R * R, 40. * R * R, 40. * R * R } };
	struct dhat_interval told = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, 60 * R),
			     part = dhat_interval_of_part(R, 60 * R),
			     peak = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_PEAK, 60 * R);

	assert_true(part.low < told.low && part.high > told.high);
	assert_true(peak.low < told.low);
	assert_int_equal(peak.high, told.high);
	assert_false(dhat_interval_is_wide(&(struct dhat_interval){ 3, 3 }));
}

/* A file may hold anything. */
static void test_hostile_evidence(void **state)
{
	static const double values[] = { NAN, INFINITY, -INFINITY, -1, 1e300, 1e-300 };
	static const uint64_t bytes[] = { 0, 1, 1ull << 40, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(bytes); j++) {
			struct dhat_interval interval =
				live(bytes[j], bytes[ARRAY_SIZE(bytes) - 1 - j], values[i]);

			assert_true(interval.low <= interval.high);
		}
	}
}

static void test_intervals_of_metrics(void **state)
{
	struct dhat_evidence evidence = live_evidence(10, 10. * R * R),
			     certain = live_evidence(10, 0);
	struct dhat_interval interval = dhat_metric_interval(R, &evidence, DHAT_LIVE_BLOCKS, 1000);

	assert_int_equal(interval.low, 1); /* some, and nobody knows how many */
	assert_true(interval.high == UINT64_MAX);
	assert_int_equal(dhat_metric_interval(R, &evidence, DHAT_TOTAL_BLOCKS, 0).low, 0);
	assert_int_equal(dhat_metric_interval(R, &certain, DHAT_LIVE_BLOCKS, 7).high, 7);
	assert_int_equal(dhat_metric_interval(0, &evidence, DHAT_LIVE_BLOCKS, 7).low, 7);
	assert_int_equal(dhat_metric_interval(R, &evidence, DHAT_LOST_BYTES, 7).high, 7);
	assert_true(dhat_metric_interval(R, &evidence, DHAT_LIVE_BYTES, 10 * R).high > 10 * R);
}

/* ---- conditions ---------------------------------------------------------------------------- */

/* A2 */
static void test_answers(void **state)
{
	static const struct {
		const char *text;
		struct dhat_interval now, baseline;
		enum dhat_answer answer;
	} cases[] = {
		{ "live.bytes < 100", { 50, 99 }, { 0, 0 }, DHAT_HOLDS },
		{ "live.bytes < 100", { 50, 100 }, { 0, 0 }, DHAT_CANNOT_TELL },
		{ "live.bytes < 100", { 100, 200 }, { 0, 0 }, DHAT_FAILS },
		{ "live.bytes <= 100", { 50, 100 }, { 0, 0 }, DHAT_HOLDS },
		{ "live.bytes > 100", { 101, 200 }, { 0, 0 }, DHAT_HOLDS },
		{ "live.bytes > 100", { 100, 200 }, { 0, 0 }, DHAT_CANNOT_TELL },
		{ "live.bytes >= 100", { 10, 99 }, { 0, 0 }, DHAT_FAILS },
		{ "live.bytes == 0", { 0, 370 }, { 0, 0 }, DHAT_CANNOT_TELL },
		{ "live.bytes == 0", { 1, 370 }, { 0, 0 }, DHAT_FAILS },
		{ "live.bytes == 7", { 7, 7 }, { 0, 0 }, DHAT_HOLDS },
		{ "live.bytes != 0", { 1, 370 }, { 0, 0 }, DHAT_HOLDS },
		{ "live.bytes != 0", { 0, 370 }, { 0, 0 }, DHAT_CANNOT_TELL },
		{ "live.bytes != 7", { 7, 7 }, { 0, 0 }, DHAT_FAILS },
		{ "live.blocks < 100", { 1, UINT64_MAX }, { 0, 0 }, DHAT_CANNOT_TELL },
		{ "live.bytes <= baseline * 1.5", { 90, 150 }, { 100, 120 }, DHAT_HOLDS },
		{ "live.bytes <= baseline * 1.5", { 90, 151 }, { 100, 120 }, DHAT_CANNOT_TELL },
		{ "live.bytes <= baseline * 1.5", { 181, 190 }, { 100, 120 }, DHAT_FAILS },
		{ "growth <= 0", { 90, 100 }, { 100, 120 }, DHAT_HOLDS },
		{ "growth <= 0", { 90, 110 }, { 100, 120 }, DHAT_CANNOT_TELL },
		{ "growth <= 0", { 121, 130 }, { 100, 120 }, DHAT_FAILS },
		{ "growth == 0", { 121, 130 }, { 100, 120 }, DHAT_FAILS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_assertion_fault fault;
		struct dhat_assertion assertion = { 0 };

		assert_int_equal(dhat_assertion_parse(cases[i].text, &assertion, &fault), 0);
		if (dhat_assertion_answer(&assertion, &cases[i].now, &cases[i].baseline) !=
		    cases[i].answer)
			fail_msg("%s", cases[i].text);
		dhat_assertion_deinit(&assertion);
	}
}

#define ONE "load@/src/app/load.c:1", "main@/src/app/main.c:1"
#define OTHER "keep@/src/app/keep.c:1", "main@/src/app/main.c:1"
#define WITH(seen, squares) .seen_bytes = (seen), .variance = (squares)*R * R

static const struct built_stack stacks[] = {
	{ .frames = { ONE },
	  .live_bytes = 100 * R,
	  .live_blocks = 2000,
	  .total_bytes = 100 * R,
	  .total_blocks = 2000,
	  .peak_bytes = 100 * R,
	  .peak_blocks = 2000,
	  WITH(5000, 100.) },
	{ .frames = { OTHER },
	  .live_bytes = 90000,
	  .live_blocks = 1,
	  .total_bytes = 90000,
	  .total_blocks = 1,
	  .peak_bytes = 90000,
	  .peak_blocks = 1,
	  .seen_bytes = 90000 },
	BUILT_END,
};
static const struct built_watch sampled = { .verdict = "sampled", .sample_bytes = R };

static struct dhat_digest *digest_of(const struct dhat_snapshot *snapshot)
{
	struct dhat_filter filter = { 0 };
	struct dhat_digest *digest = NULL;

	assert_int_equal(dhat_digest_of(snapshot, &filter, &digest), 0);
	return digest;
}

static void expect_ruling(const char *text, bool holds, bool is_undecided, const char *why)
{
	struct dhat_assertion_fault fault;
	struct dhat_assertion assertion = { 0 };
	struct dhat_judgement *judgement = NULL;
	struct dhat_filter filter = { 0 };

	assert_int_equal(dhat_assertion_parse(text, &assertion, &fault), 0);
	assert_int_equal(dhat_judgement_new(built_snapshot(&sampled, stacks), &filter, &assertion,
					    1, NULL, DHAT_SAMPLED, &judgement),
			 0);
	assert_true(judgement->is_trusted);
	assert_int_equal(judgement->rulings[0].holds, holds);
	assert_int_equal(judgement->rulings[0].is_undecided, is_undecided);
	assert_int_equal(dhat_judgement_undecided(judgement), is_undecided);
	if (why)
		assert_non_null(strstr(judgement->rulings[0].why, why));
	dhat_judgement_free(judgement);
	dhat_assertion_deinit(&assertion);
}

static void test_judgement(void **state)
{
	expect_ruling("live.bytes < 1MiB", true, false, NULL);
	expect_ruling("live.bytes < 100000", false, false, NULL);
	expect_ruling("live.bytes < 190000", false, true, "cannot tell");
	expect_ruling("live.blocks < 10", false, true, "how many blocks");
	/* what is exact in a sample is so of one stack; of others nobody knows that they are not */
	expect_ruling("stack(/keep/).live.bytes == 90000", false, true, "cannot tell");
	expect_ruling("stack(/keep/).live.bytes >= 90000", true, false, NULL);
	expect_ruling("stack(/keep/).live.bytes < 95000", true, false, NULL);
	expect_ruling("stack(/keep/).live.blocks >= 1", true, false, NULL);
	expect_ruling("stack(/load/).live.bytes == 0", false, false, NULL);
	/* of a stack that is not there nobody knows that it is not */
	expect_ruling("stack(/none/).live.bytes == 0", false, true, "0 B to");
}

static void test_baseline(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		built_snapshot(&sampled, stacks);
	_cleanup_(dhat_digest_free_ptr) struct dhat_digest *digest = digest_of(snapshot),
							   *back = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_int_equal(dhat_baseline_write(digest, file, NULL), 0);
	fclose(file);
	file = fmemopen(text, size, "r");
	assert_int_equal(dhat_baseline_read(file, "base.json", &back, NULL), 0);
	fclose(file);
	assert_int_equal(back->sample_bytes, R);
	assert_int_equal(back->verdict, DHAT_SAMPLED);
	assert_memory_equal(&back->evidence, &digest->evidence, sizeof(back->evidence));
	for (size_t i = 0; i < back->row_count; i++)
		assert_memory_equal(&back->rows[i].evidence, &digest->rows[i].evidence,
				    sizeof(back->rows[i].evidence));
}

/* ---- several profiles ---------------------------------------------------------------------- */

static struct dhat_interval live_of(const struct dhat_snapshot *snapshot)
{
	struct dhat_evidence evidence;

	dhat_evidence_of_snapshot(snapshot, &evidence);
	return dhat_interval_of(snapshot->head->sample_bytes, &evidence, DHAT_ESTIMATED_LIVE,
				snapshot->end->totals->live_bytes);
}

/* An exact part makes a whole no less certain; the coarser sample is what may be unseen. */
static void test_merging(void **state)
{
	static const struct built_stack exact_stacks[] = {
		BUILT(190000, 7, 190000, 7, 190000, 7, ONE),
		BUILT_END,
	};
	const struct built_watch exact = { .pid = 8 }, coarse = { .pid = 9, .sample_bytes = 8 * R };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *into =
		built_snapshot(&sampled, stacks);
	struct dhat_interval alone = live_of(into), both;

	assert_int_equal(dhat_snapshot_merge(into, built_snapshot(&exact, exact_stacks), NULL), 0);
	assert_int_equal(into->head->sample_bytes, R);
	both = live_of(into);
	assert_int_equal(into->end->totals->live_bytes, 2 * (100 * R + 90000));
	/* the variance is the same; a gamma distribution further up has another shape */
	assert_true(both.high - both.low < (alone.high - alone.low) * 11 / 10);
	assert_true(both.high - both.low > (alone.high - alone.low) * 9 / 10);
	assert_int_equal(dhat_snapshot_merge(into, built_snapshot(&coarse, stacks), NULL), 0);
	assert_int_equal(into->head->sample_bytes, 8 * R);
	assert_true(live_of(into).high - live_of(into).low > both.high - both.low);
}

static struct dhat_rendering *table_of(const struct dhat_snapshot *snapshot)
{
	const struct dhat_table_options options = { .style.by = DHAT_BY_FUNCTION };
	struct dhat_rendering *table = NULL;

	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	return table;
}

static void test_differences(void **state)
{
	static const struct built_stack later_stacks[] = {
		{ .frames = { ONE },
		  .live_bytes = 110 * R,
		  .live_blocks = 2200,
		  .total_bytes = 110 * R,
		  .total_blocks = 2200,
		  WITH(5500, 110.) },
		{ .frames = { OTHER },
		  .live_bytes = 180000,
		  .live_blocks = 2,
		  .total_bytes = 180000,
		  .total_blocks = 2,
		  .seen_bytes = 180000 },
		{ .frames = { "fresh@/src/app/fresh.c:1" },
		  .live_bytes = 2 * R,
		  .live_blocks = 40,
		  .total_bytes = 2 * R,
		  .total_blocks = 40,
		  WITH(100, 2.) },
		{ .frames = { "huge@/src/app/huge.c:1" },
		  .live_bytes = 60 * R,
		  .live_blocks = 1200,
		  .total_bytes = 60 * R,
		  .total_blocks = 1200,
		  WITH(3000, 60.) },
		BUILT_END,
	};
	const struct built_watch later = { .verdict = "sampled", .sample_bytes = R, .seconds = 90 };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = built_snapshot(&sampled,
											stacks),
							       *after = built_snapshot(
								       &later, later_stacks),
							       *growth = NULL;
	struct dhat_rendering *tables[] = { table_of(before), table_of(after) };
	struct dhat_difference *difference = NULL;

	assert_int_equal(dhat_difference_new(tables[0], tables[1], &difference), 0);
	assert_int_equal(difference->count, 4);
	for (size_t i = 0; i < difference->count; i++) {
		const struct dhat_change *change = &difference->list[i];
		const char *line = tables[1]->lines[change->after->lines[0]];
		bool is_noise = strstr(line, "load") || strstr(line, "fresh");

		assert_int_equal(dhat_change_is_noise(difference, change), is_noise);
	}
	/* as a profile of its own: the variances add up, and nothing is there for certain */
	assert_int_equal(dhat_growth_new(difference, DHAT_GROWTH_GROWN, &growth), 0);
	assert_int_equal(growth->head->sample_bytes, R);
	for (size_t i = 0; i < growth->point_count; i++)
		if (growth->points[i]->live_bytes == 10 * R)
			assert_true(growth->points[i]->sampled->live_variance == 210. * R * R);
	assert_true(live_of(growth).low < live_of(growth).high);
	dhat_difference_free(difference);
	dhat_rendering_free(tables[0]);
	dhat_rendering_free(tables[1]);
}

/* E3, though the file says otherwise: no word of its makes an estimate exact. */
static void test_variances_that_none_can_be(void **state)
{
	static const double bad[] = { NAN, -1, INFINITY, -INFINITY };
	Dhat__SnapshotHead head = DHAT__SNAPSHOT_HEAD__INIT;
	Dhat__ProgramPoint point = DHAT__PROGRAM_POINT__INIT;
	Dhat__Sampled told = DHAT__SAMPLED__INIT;
	struct dhat_evidence unknown = { 0 };

	head.sample_bytes = R;
	point.total_bytes = point.peak_bytes = point.live_bytes = 50 * R;
	dhat_evidence_add_point(&unknown, &head, &point);
	point.sampled = &told;
	told.live_bytes = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dhat_evidence evidence = { 0 };
		struct dhat_interval interval;

		told.total_variance = told.peak_variance = told.live_variance = bad[i];
		dhat_evidence_add_point(&evidence, &head, &point);
		assert_memory_equal(evidence.variance, unknown.variance, sizeof(unknown.variance));
		interval = dhat_interval_of(R, &evidence, DHAT_ESTIMATED_LIVE, 50 * R);
		assert_true(interval.low < 40 * R && interval.high > 60 * R);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_blocks_are_counts),
		cmocka_unit_test(test_what_is_certain),
		cmocka_unit_test(test_what_was_missed),
		cmocka_unit_test(test_what_is_not_told),
		cmocka_unit_test(test_hostile_evidence),
		cmocka_unit_test(test_intervals_of_metrics),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_judgement),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_variances_that_none_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
