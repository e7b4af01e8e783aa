/* suspects: the rules, at histories made by hand. What programs do is in
 * tests/unit/daemon/account/test_courses.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/suspect_text.h"
#include "tests/unit/sample.h"

#define SECOND 1000000000ull
#define MOST DHAT_HISTORY_SLOTS

/* Of slots of a second; blocks of a byte. */
static struct dhat_suspicion judge(const uint64_t *lows, uint32_t count, uint64_t longest_freed_us,
				   double mean_age_us)
{
	struct dhat_suspicion suspicion;

	dhat_suspect_judge(&(struct dhat_suspect_facts){ .lows = lows,
							 .slot_count = count,
							 .slot_ns = SECOND,
							 .end_ns = count * SECOND,
							 .live_bytes = lows[count - 1],
							 .live_blocks = lows[count - 1],
							 .first_ns = 1,
							 .last_ns = count * SECOND - 1,
							 .longest_freed_us = longest_freed_us,
							 .mean_age_us = mean_age_us },
			   &suspicion);
	return suspicion;
}

#define JUDGE(longest_freed_us, mean_age_us, ...)                                                  \
	({                                                                                         \
		static const uint64_t lows_[] = { __VA_ARGS__ };                                   \
                                                                                                   \
		judge(lows_, ARRAY_SIZE(lows_), longest_freed_us, mean_age_us);                    \
	})
#define COURSE(longest_freed_us, mean_age_us, ...)                                                 \
	JUDGE(longest_freed_us, mean_age_us, __VA_ARGS__).course

static void each_third_rises(void **state)
{
	struct dhat_suspicion leak = JUDGE(0, 0, 0, 10, 20, 30, 40, 50, 60, 70);

	assert_int_equal(leak.course, DHAT_LEAKS);
	assert_int_equal(leak.confidence, DHAT_HIGH);
	assert_int_equal(leak.since_ns, 1);
	assert_int_equal(leak.risen_bytes, 60);
	assert_true(leak.growth > 599 && leak.growth < 601);
	assert_true(leak.frees_none);
	/* the last third: 15 % of what has risen, and 14 % */
	assert_int_equal(COURSE(0, 0, 0, 0, 20, 40, 60, 85, 90, 100), DHAT_LEAKS);
	assert_true(COURSE(0, 0, 0, 0, 20, 40, 60, 86, 90, 100) > DHAT_GROWS);
}

static void six_slots_are_enough(void **state)
{
	struct dhat_suspicion leak = JUDGE(0, 0, 0, 1, 2, 3, 4, 5, 6);

	assert_int_equal(leak.course, DHAT_LEAKS);
	assert_int_equal(leak.confidence, DHAT_MEDIUM);
	assert_int_equal(COURSE(0, 0, 0, 1, 2, 3, 4, 5), DHAT_EARLY);
}

static void one_large_step_is_no_leak(void **state)
{
	assert_int_equal(COURSE(0, 0, 0, 1, 2, 3, 4, 5, 6, 40, 41, 42), DHAT_LEVEL);
	/* and what leaks behind one is judged from there on */
	struct dhat_suspicion late = JUDGE(0, 0, 0, 1, 100, 101, 102, 103, 104, 105, 106, 107, 108);

	assert_int_equal(late.course, DHAT_LEAKS);
	assert_int_equal(late.since_ns, 2 * SECOND);
}

static void what_stopped_is_level(void **state)
{
	struct dhat_suspicion level =
		JUDGE(0, 0, 0, 1000, 2000, 3000, 4000, 5000, 6000, 6000, 6000);

	assert_int_equal(level.course, DHAT_LEVEL);
	assert_int_equal(level.since_ns, 6 * SECOND);
}

static void what_is_sure_takes_seconds(void **state)
{
	static const uint64_t lows[] = { 0, 10, 20, 30, 40, 50, 60, 70 };
	struct dhat_suspect_facts facts = { .lows = lows,
					    .slot_count = ARRAY_SIZE(lows),
					    .slot_ns = SECOND * 5 / 7,
					    .live_bytes = 70,
					    .live_blocks = 70,
					    .first_ns = 1,
					    .last_ns = 7 * SECOND };
	struct dhat_suspicion leak;

	dhat_suspect_judge(&facts, &leak);
	assert_int_equal(leak.confidence, DHAT_HIGH);
	facts.slot_ns = SECOND / 10;
	dhat_suspect_judge(&facts, &leak);
	assert_int_equal(leak.course, DHAT_LEAKS);
	assert_int_equal(leak.confidence, DHAT_MEDIUM);
}

static void a_fall_clears(void **state)
{
	assert_int_equal(COURSE(0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8), DHAT_LEAKS);
	assert_true(COURSE(0, 0, 9, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8) > DHAT_GROWS);
}

/* Who frees what is old may free the rest, too. */
static void ages(void **state)
{
	/* 11 slots grow: a quarter of that is 2.75 s */
#define LOWS 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110
	assert_int_equal(COURSE(2700000, 5000000, LOWS), DHAT_LEAKS);
	assert_int_equal(COURSE(2800000, 5000000, LOWS), DHAT_GROWS);
	/* all that live are young: none of them has outlived what is freed */
	assert_int_equal(COURSE(2700000, 2600000, LOWS), DHAT_GROWS);
#undef LOWS
}

/* A population of a thousand is 32 more or less from time to time. */
static void drift_is_no_growth(void **state)
{
	assert_true(COURSE(9000000, 1000000, 0, 900, 920, 940, 960, 980, 1000, 1020) > DHAT_GROWS);
	assert_int_equal(COURSE(9000000, 1000000, 0, 700, 750, 800, 850, 900, 950, 1000),
			 DHAT_GROWS);
	/* with ages that prove it, it is growth */
	assert_int_equal(COURSE(1000, 1000000, 0, 900, 920, 940, 960, 980, 1000, 1020), DHAT_LEAKS);
}

static void slower_and_slower(void **state)
{
	struct dhat_suspicion cache = JUDGE(0, 0, 0, 0, 40, 60, 74, 84, 92, 100, 108);

	assert_int_equal(cache.course, DHAT_GROWS);
	assert_int_equal(cache.confidence, DHAT_LOW);
	assert_true(cache.has_slowed);
}

static void up_and_down(void **state)
{
	assert_int_equal(COURSE(1, 1, 0, 50, 10, 60, 20, 50, 10, 60, 25), DHAT_SWINGS);
	assert_int_equal(COURSE(1, 1, 0, 50, 0, 60, 0, 50, 0, 60, 0), DHAT_PASSES);
}

static void without_a_history_nothing_is_said(void **state)
{
	static const uint64_t lows[1];
	struct dhat_suspicion none;

	dhat_suspect_judge(&(struct dhat_suspect_facts){ .lows = lows, .live_bytes = 7 }, &none);
	assert_int_equal(none.course, DHAT_EARLY);
}

/* A file may hold anything. */
static void nonsense(void **state)
{
	static const uint64_t numbers[] = { 0, 1, SECOND, UINT64_MAX / 2, UINT64_MAX };
	uint64_t random = 88172645463325252, lows[MOST];
	struct dhat_suspicion suspicion;

#define SOME(n) ((random = random * 6364136223846793005ull + 1442695040888963407ull) >> 33) % (n)
#define NUMBER numbers[SOME(ARRAY_SIZE(numbers))]
	for (int i = 0; i < 20000; i++) {
		for (int j = 0; j < MOST; j++)
			lows[j] = NUMBER;
		dhat_suspect_judge(&(struct dhat_suspect_facts){ .lows = lows,
								 .slot_count = SOME(MOST + 1),
								 .slot_ns = NUMBER,
								 .start_ns = NUMBER,
								 .end_ns = NUMBER,
								 .live_bytes = NUMBER,
								 .live_blocks = NUMBER,
								 .first_ns = NUMBER,
								 .last_ns = NUMBER,
								 .longest_freed_us = NUMBER,
								 .mean_age_us = NUMBER },
				   &suspicion);
		assert_in_range(suspicion.course, DHAT_LEAKS, DHAT_PASSES);
	}
}

/* Leaks first; what was there before the attach, and what is not live, is none of them. */
static void rows_of_a_table(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_rendering *table = NULL;
	struct dhat_suspects suspects;

	assert_int_equal(dhat_table_new(snapshot, &(struct dhat_table_options){ 0 }, &table), 0);
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.count, 4);
	assert_int_equal(suspects.suspect_count, 1);
	assert_int_equal(suspects.list[0].suspicion.course, DHAT_LEAKS);
	assert_int_equal(suspects.list[0].point->live_bytes, 1000000);
	/* frees may have been lost */
	assert_int_equal(suspects.list[0].suspicion.confidence, DHAT_MEDIUM);
	for (size_t i = 2; i < suspects.count; i++)
		assert_true(suspects.list[i].suspicion.course >=
			    suspects.list[i - 1].suspicion.course);
	dhat_suspects_deinit(&suspects);
	snapshot->end->verdict->exact = true;
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.list[0].suspicion.confidence, DHAT_HIGH);
	dhat_suspects_deinit(&suspects);
	/* it may be loading: what frees something has done with that */
	snapshot->head->target->from_start = true;
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.list[0].suspicion.confidence, DHAT_MEDIUM);
	dhat_suspects_deinit(&suspects);
	table->points[0]->longest_freed_us = 5;
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.list[0].suspicion.confidence, DHAT_HIGH);
	dhat_suspects_deinit(&suspects);
	dhat_rendering_free(table);
	dhat_snapshot_free(snapshot);
}

/* The sample's leak has risen by 700,000 bytes; what was there before is given up meanwhile. */
static struct dhat_suspicion beside_before(int64_t given_up_a_slot, uint64_t freed_unknown)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__ProgramPoint *before = snapshot->points[5];
	struct dhat_rendering *table = NULL;
	struct dhat_suspicion suspicion;
	struct dhat_suspects suspects;

	before->low_bytes = calloc(SAMPLE_SLOTS, sizeof(*before->low_bytes));
	before->n_low_bytes = SAMPLE_SLOTS;
	before->low_bytes[0] = 1000000;
	for (int i = 1; i < SAMPLE_SLOTS; i++)
		before->low_bytes[i] = -given_up_a_slot;
	snapshot->end->totals->freed_before_bytes = freed_unknown;
	snapshot->end->verdict->exact = true;
	assert_int_equal(dhat_table_new(snapshot, &(struct dhat_table_options){ 0 }, &table), 0);
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.suspect_count, 1);
	suspicion = suspects.list[0].suspicion;
	dhat_suspects_deinit(&suspects);
	dhat_rendering_free(table);
	dhat_snapshot_free(snapshot);
	return suspicion;
}

/* Rules 8 and 9. */
static void a_cache_that_was_full_is_renewed(void **state)
{
	struct dhat_suspicion renewed = beside_before(100000, 0);

	assert_int_equal(renewed.course, DHAT_GROWS);
	assert_int_equal(renewed.confidence, DHAT_LOW);
	assert_true(renewed.renews);
	assert_true(beside_before(60000, 0).renews);
	assert_true(beside_before(0, 500000).renews); /* without an inventory */
	/* small beside what is freed: nothing is known of it but that it may leak */
	assert_int_equal(beside_before(0, 4000000).course, DHAT_LEAKS);
	assert_int_equal(beside_before(0, 4000000).confidence, DHAT_MEDIUM);
	/* a little is freed of any heap; and the leak is all that grows then */
	assert_int_equal(beside_before(0, 0).confidence, DHAT_HIGH);
	assert_int_equal(beside_before(15000, 0).confidence, DHAT_HIGH);
	assert_int_equal(beside_before(15000, 0).course, DHAT_LEAKS);
	assert_int_equal(beside_before(0, 100000).course, DHAT_LEAKS);
}

/* The sample's leak, of which none was freed, through a file of that name. */
static struct dhat_suspect through(struct dhat_snapshot *snapshot, const char *object)
{
	const Dhat__ProgramPoint *leak = snapshot->points[0];
	Dhat__Frame *frame = snapshot->frames[leak->frames[leak->n_frames - 1] - 1];
	struct dhat_rendering *table = NULL;
	struct dhat_suspects suspects;
	struct dhat_suspect first;

	snapshot->end->verdict->exact = true;
	snapshot->points[0]->longest_freed_us = 0;
	if (*frame->object)
		free(frame->object);
	frame->object = strdup(object);
	assert_int_equal(dhat_table_new(snapshot, &(struct dhat_table_options){ 0 }, &table), 0);
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	first = suspects.list[0];
	assert_int_equal(first.point->live_bytes, 1000000);
	dhat_suspects_deinit(&suspects);
	dhat_rendering_free(table);
	first.point = NULL;
	return first;
}

/* Rule 10. */
static void garbage_is_no_leak(void **state)
{
	static const struct {
		const char *object, *name; /* NULL: no collector */
	} cases[] = {
		{ "/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1", "ruby" },
		{ "/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so", "java" },
		{ "/usr/bin/node", "node" },
		{ "/usr/bin/lua5.4", "lua" },
		{ "/usr/lib/erlang/erts-13.1.5/bin/beam.smp", "erlang" },
		{ "/usr/bin/node_exporter", NULL },
		{ "/lib/x86_64-linux-gnu/libgcc_s.so.1", NULL },
		{ "/usr/bin/python3.11", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_snapshot *snapshot = sample_snapshot();
		struct dhat_suspicion first = through(snapshot, cases[i].object).suspicion;

		assert_int_equal(first.course, cases[i].name ? DHAT_GROWS : DHAT_LEAKS);
		assert_int_equal(first.confidence, cases[i].name ? DHAT_LOW : DHAT_HIGH);
		if (cases[i].name)
			assert_string_equal(first.collector, cases[i].name);
		/* after a while it would have been there */
		snapshot->end->totals->end_ns += 600 * SECOND;
		first = through(snapshot, cases[i].object).suspicion;
		assert_int_equal(first.course, DHAT_LEAKS);
		assert_int_equal(first.confidence, cases[i].name ? DHAT_MEDIUM : DHAT_HIGH);
		dhat_snapshot_free(snapshot);
	}
}

/* Who frees nothing at all may do so by and by. */
static void who_frees_nothing(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__Totals *totals = snapshot->end->totals;
	Dhat__ProgramPoint before;

	dhat_snapshot_before(snapshot, &before);
	totals->total_blocks = (totals->live_blocks - before.live_blocks) * 100 / 91;
	assert_int_equal(through(snapshot, "/usr/bin/service").suspicion.confidence, DHAT_MEDIUM);
	totals->total_blocks = (totals->live_blocks - before.live_blocks) * 100 / 89;
	assert_int_equal(through(snapshot, "/usr/bin/service").suspicion.confidence, DHAT_HIGH);
	dhat_snapshot_free(snapshot);
}

/* As people read it; the moment is in their time. */
static void words(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_table_options options = { .style.by = DHAT_BY_LINE };
	struct dhat_rendering *table = NULL;
	struct dhat_suspects suspects;
	char text[DHAT_WHY_CHARS];

	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	dhat_suspects_headline(table, &suspects, text);
	assert_string_equal(text, "1 line leaks");
	dhat_suspect_why(snapshot, &suspects.list[0], "noon", text);
	assert_string_equal(text, "grows 586 KiB a minute since noon; "
				  "nothing older than 3 us was freed");
	suspects.list[0].suspicion.collector = "ruby";
	dhat_suspect_why(snapshot, &suspects.list[0], "noon", text);
	assert_string_equal(text, "grows 586 KiB a minute since noon; none was freed: garbage that "
				  "ruby has not collected yet? Ask again later");
	dhat_suspects_deinit(&suspects);
	dhat_rendering_free(table);
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_third_rises),
		cmocka_unit_test(six_slots_are_enough),
		cmocka_unit_test(one_large_step_is_no_leak),
		cmocka_unit_test(what_stopped_is_level),
		cmocka_unit_test(what_is_sure_takes_seconds),
		cmocka_unit_test(a_fall_clears),
		cmocka_unit_test(garbage_is_no_leak),
		cmocka_unit_test(who_frees_nothing),
		cmocka_unit_test(ages),
		cmocka_unit_test(drift_is_no_growth),
		cmocka_unit_test(slower_and_slower),
		cmocka_unit_test(up_and_down),
		cmocka_unit_test(without_a_history_nothing_is_said),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(rows_of_a_table),
		cmocka_unit_test(a_cache_that_was_full_is_renewed),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
