/* When watching costs too much, reading by reading. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/watch/overhead.h"
#include "daemon/watch/trigger.h"

#define SECOND 1000000000ull
static const struct overhead_bound three = { 300, 30 * SECOND }; /* 3% */
static uint64_t now_ns;

/* For so many seconds it costs so much, in percent. When, from then on, it was too much; 0: never.
 */
static int cost(struct overhead *overhead, const struct overhead_bound *bound, int seconds,
		double percent, uint64_t *ret_mean)
{
	for (int i = 1; i <= seconds; i++) {
		const struct overhead_figures now = { percent * 100, percent * 40, 1000 };
		struct overhead_figures mean;

		now_ns += SECOND;
		if (!overhead_step(overhead, bound, &now, now_ns, &mean))
			continue;
		*ret_mean = (uint64_t)(mean.hundredths + 0.01);
		assert_true(fabs(mean.walk - 0.4 * mean.hundredths) < 1e-6);
		assert_true(fabs(mean.bytes - 1000) < 1e-6);
		return i;
	}
	return 0;
}

static void test_too_much_for_so_long(void **state)
{
	struct overhead overhead = { 0 };
	uint64_t mean;

	assert_int_equal(cost(&overhead, &three, 100, 3, &mean), 0); /* as much as it may */
	assert_int_equal(cost(&overhead, &three, 100, 4, &mean), 1); /* the mean of the last 30 s */
	assert_int_equal(mean, 303);
	/* and anew: not before there were 30 s of it, the first reading tells of nothing before */
	assert_int_equal(cost(&overhead, &three, 100, 4, &mean), 31);
	assert_int_equal(mean, 400);
}

static void test_a_burst_is_not_enough(void **state)
{
	struct overhead overhead = { 0 };
	uint64_t mean;

	for (int i = 0; i < 10; i++) { /* 10 s of 8% in 30 s: 2.67% */
		assert_int_equal(cost(&overhead, &three, 20, 0, &mean), 0);
		assert_int_equal(cost(&overhead, &three, 10, 8, &mean), 0);
	}
	/* at the beginning nothing is known but of the burst */
	overhead = (struct overhead){ 0 };
	assert_int_equal(cost(&overhead, &three, 8, 10, &mean), 0);
	assert_int_equal(cost(&overhead, &three, 100, 0, &mean), 0);
}

static void test_pauses_do_not_save_it(void **state)
{
	struct overhead overhead = { 0 };
	uint64_t mean;
	int fired = 0;

	for (int i = 0; i < 20 && !fired; i++) { /* 8 s of 5%, 2 s of nothing: 4% */
		fired = cost(&overhead, &three, 8, 5, &mean);
		if (!fired)
			fired = cost(&overhead, &three, 2, 0, &mean);
	}
	assert_true(fired > 0);
	assert_in_range(mean, 301, 430);
}

/* For hours: the ring does not have each second. */
static void test_long_times(void **state)
{
	const struct overhead_bound bound = { 300, 3600 * SECOND };
	struct overhead overhead = { 0 };
	uint64_t mean;

	assert_int_equal(cost(&overhead, &bound, 3500, 10, &mean), 0);
	assert_in_range(cost(&overhead, &bound, 7200, 10, &mean), 100, 102);
	assert_in_range(mean, 999, 1000);
	assert_int_equal(cost(&overhead, &bound, 20000, 2.9, &mean), 0);
	assert_in_range(cost(&overhead, &bound, 7200, 4, &mean), 300, 400);
}

static void test_words(void **state)
{
	char why[TRIGGER_WHY_CHARS];
	struct overhead_bound bound;

	assert_int_equal(overhead_parse("2.5%", &bound, why), 0);
	assert_int_equal(bound.hundredths, 250);
	assert_int_equal(bound.ns, OVERHEAD_NS);
	assert_int_equal(overhead_parse("3% for 2m", &bound, why), 0);
	assert_int_equal(bound.hundredths, 300);
	assert_int_equal(bound.ns, 120 * SECOND);
	assert_true(overhead_parse("3", &bound, why) < 0);
	assert_non_null(strstr(why, "a percentage, such as 3%"));
	assert_true(overhead_parse("3% for", &bound, why) < 0);
	assert_non_null(strstr(why, "a duration"));
	assert_true(overhead_parse(
			    "3% for 2m and so on, as long as nobody says that this will do for it",
			    &bound, why) < 0);
}

/* O3: what a sample spares, and with which rate. */
static void test_a_sample_if_it_is_enough(void **state)
{
	struct overhead_figures mean = { 360, 144, 100 }; /* 3.6%: without walks 2.16% */
	double left;

	assert_int_equal(overhead_choose(&three, &mean, &left), 512 << 10);
	assert_true(left > 216 && left < 216.1);
	mean.bytes = 300000; /* nearly each second one is drawn with 512 KiB */
	assert_int_equal(overhead_choose(&three, &mean, &left), 2 << 20);
	assert_true(left > 216 && left <= 240);
	/* not if it would just do, and not if it would be too much at once */
	mean = (struct overhead_figures){ 410, 164, 100 };
	assert_int_equal(overhead_choose(&three, &mean, &left), 0);
	assert_true(left > 246 && left < 246.1);
	mean = (struct overhead_figures){ 6000, 2400, 100 };
	assert_int_equal(overhead_choose(&three, &mean, &left), 0);
	/* large blocks are all drawn */
	mean = (struct overhead_figures){ 310, 124, 1e9 };
	assert_int_equal(overhead_choose(&three, &mean, &left), 0);
	assert_true(left > 309);
}

/* One step, and no other while it costs what it is taken to: no going to and fro. */
static void test_what_was_chosen_stays(void **state)
{
	struct overhead overhead = { 0 };
	uint64_t mean;
	double left;

	assert_true(cost(&overhead, &three, 100, 3.9, &mean) > 0);
	assert_int_not_equal(
		overhead_choose(&three, &(struct overhead_figures){ 390, 156, 1000 }, &left), 0);
	assert_int_equal(cost(&overhead, &three, 10000, left / 100, &mean), 0);
	/* it may cost a quarter more */
	assert_int_equal(cost(&overhead, &three, 10000, 1.25 * left / 100, &mean), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sample_if_it_is_enough),
		cmocka_unit_test(test_what_was_chosen_stays),
		cmocka_unit_test(test_too_much_for_so_long),
		cmocka_unit_test(test_a_burst_is_not_enough),
		cmocka_unit_test(test_pauses_do_not_save_it),
		cmocka_unit_test(test_long_times),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
