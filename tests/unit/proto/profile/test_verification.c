/* Is what an earlier profile kept gone? By names, and by rates where the watches differ in length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/verification.h"
#include "tests/unit/built_snapshot.h"

static const struct dhat_verify_options defaults = { .top = 10, .tolerance_percent = 10 };
static const struct built_watch first = { .seconds = 60 };
/* of another process, a day later */
static const struct built_watch second = { .pid = 4712, .seconds = 60, .since_seconds = 86400 };

struct verified {
	struct dhat_snapshot *before, *after;
	struct dhat_filter filter;
	struct dhat_verification *verification;
};

static struct verified verify(const struct built_watch *before_watch,
			      const struct built_stack *before,
			      const struct built_watch *after_watch,
			      const struct built_stack *after,
			      const struct dhat_verify_options *options)
{
	struct verified verified = { .before = built_snapshot(before_watch, before),
				     .after = built_snapshot(after_watch, after) };

	assert_int_equal(dhat_verification_new(verified.before, verified.after, &verified.filter,
					       options, &verified.verification),
			 0);
	return verified;
}

static void verified_deinit(struct verified *verified)
{
	dhat_verification_free(verified->verification);
	dhat_snapshot_free(verified->before);
	dhat_snapshot_free(verified->after);
	dhat_filter_deinit(&verified->filter);
}

static const struct built_stack before_stacks[] = {
	BUILT(100, 1, 100, 1, 100, 1, "small@/src/a.c:1", "main@/src/main.c:1"),
	BUILT(9000, 9, 9000, 9, 9000, 9, "leak@/src/a.c:2", "main@/src/main.c:1"),
	BUILT(5000, 5, 9000, 9, 9000, 9, "cache@/src/a.c:3", "main@/src/main.c:1"),
	BUILT(7000, 7, 9000, 9, 9000, 9, "removed@/src/a.c:4", "main@/src/main.c:1"),
	BUILT(0, 0, 9000, 9, 9000, 9, "clean@/src/a.c:5", "main@/src/main.c:1"),
	{ .label = DHAT_LABEL_BEFORE, .live_bytes = 77777, .live_blocks = 7 },
	BUILT_END,
};
/* lines have moved, and the C library is in between now */
static const struct built_stack after_stacks[] = {
	BUILT(0, 0, 12000, 12, 3000, 3, "leak@/src/a.c:12", "qsort@/lib/libc.so.6",
	      "main@/src/main.c:11"),
	BUILT(5100, 5, 9000, 9, 9000, 9, "cache@/src/a.c:13", "main@/src/main.c:11"),
	BUILT(200, 2, 200, 2, 200, 2, "small@/src/a.c:11", "main@/src/main.c:11"),
	BUILT(99999, 1, 99999, 1, 99999, 1, "new@/src/a.c:15", "main@/src/main.c:11"),
	BUILT_END,
};

static void test_fates(void **state)
{
	static const struct {
		uint64_t was, is;
		enum dhat_fate fate;
		bool is_exercised;
	} expected[] = {
		{ 9000, 0, DHAT_GONE, true },	 /* leak */
		{ 7000, 0, DHAT_GONE, false },	 /* removed: its code did not run */
		{ 5000, 5100, DHAT_SAME, true }, /* cache */
		{ 100, 200, DHAT_WORSE, true },	 /* small */
	};
	struct verified verified = verify(&first, before_stacks, &second, after_stacks, &defaults);
	const struct dhat_verification *verification = verified.verification;

	assert_false(verification->is_one_watch);
	assert_false(verification->is_by_rate);
	assert_int_equal(verification->count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct dhat_verified *suspect = &verification->suspects[i];
		const struct dhat_rendered_point *after = suspect->change.after;

		assert_int_equal(suspect->change.before->live_bytes, expected[i].was);
		assert_int_equal(after ? after->live_bytes : 0, expected[i].is);
		assert_int_equal(suspect->fate, expected[i].fate);
		assert_int_equal(suspect->is_exercised, expected[i].is_exercised);
	}
	assert_int_equal(verification->fates[DHAT_GONE], 2);
	assert_int_equal(verification->fates[DHAT_SMALLER], 0);
	assert_int_equal(verification->fates[DHAT_SAME], 1);
	assert_int_equal(verification->fates[DHAT_WORSE], 1);
	verified_deinit(&verified);
}

/* One recorded block less is nothing; of a hundred all being gone is something. */
static void test_samples(void **state)
{
	static const struct built_stack before[] = {
		BUILT(1000, 20, 1000, 20, 1000, 20, "few@/src/a.c:1"),
		BUILT(100000, 2000, 100000, 2000, 100000, 2000, "leak@/src/a.c:2"),
		BUILT(90000, 1800, 90000, 1800, 90000, 1800, "cache@/src/a.c:3"),
		BUILT_END,
	};
	static const struct built_stack after[] = {
		BUILT(0, 0, 100000, 2000, 3000, 60, "leak@/src/a.c:2"),
		BUILT(110000, 2200, 110000, 2200, 110000, 2200, "cache@/src/a.c:3"),
		BUILT_END,
	};
	static const enum dhat_fate fates[] = { DHAT_GONE, DHAT_SAME, DHAT_SAME };
	struct built_watch earlier = first, later = second;
	struct verified verified;

	earlier.sample_bytes = later.sample_bytes = 1000;
	verified = verify(&earlier, before, &later, after, &defaults);
	assert_int_equal(verified.verification->count, ARRAY_SIZE(fates));
	for (size_t i = 0; i < ARRAY_SIZE(fates); i++)
		assert_int_equal(verified.verification->suspects[i].fate, fates[i]);
	verified_deinit(&verified);
}

static void test_top(void **state)
{
	const struct dhat_verify_options two = { .top = 2, .tolerance_percent = 10 };
	struct verified verified = verify(&first, before_stacks, &second, after_stacks, &two);

	assert_int_equal(verified.verification->count, 2);
	assert_int_equal(verified.verification->fates[DHAT_GONE], 2);
	assert_int_equal(verified.verification->fates[DHAT_WORSE], 0);
	verified_deinit(&verified);
}

/* V1, V2: one stack of 1,000 bytes in 60 seconds, and what it is later */
static void test_lengths(void **state)
{
	static const struct {
		uint64_t seconds, is;
		unsigned tolerance_percent;
		bool is_one_watch, is_by_rate;
		enum dhat_fate fate;
	} cases[] = {
		{ 60, 1100, 10, false, false, DHAT_SAME },
		{ 60, 1101, 10, false, false, DHAT_WORSE },
		{ 60, 900, 10, false, false, DHAT_SAME },
		{ 60, 899, 10, false, false, DHAT_SMALLER },
		{ 60, 1001, 0, false, false, DHAT_WORSE },
		{ 60, 1000, 0, false, false, DHAT_SAME },
		{ 66, 899, 10, false, false, DHAT_SMALLER },
		/* ten times as long: a leak as it was, a cache as it was, half a leak, twice one */
		{ 600, 10000, 10, false, true, DHAT_SAME },
		{ 600, 1000, 10, false, true, DHAT_SAME },
		{ 600, 5000, 10, false, true, DHAT_SAME },
		{ 600, 20000, 10, false, true, DHAT_WORSE },
		{ 600, 500, 10, false, true, DHAT_SMALLER },
		/* a tenth as long: the same */
		{ 6, 100, 10, false, true, DHAT_SAME },
		{ 6, 1000, 10, false, true, DHAT_SAME },
		{ 6, 50, 10, false, true, DHAT_SMALLER },
		{ 6, 0, 10, false, true, DHAT_GONE },
		/* nothing was mended meanwhile: it has grown */
		{ 600, 10000, 10, true, false, DHAT_WORSE },
		{ 600, 800, 10, true, false, DHAT_SMALLER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct built_stack before[] = {
			BUILT(1000, 10, 1000, 10, 1000, 10, "leak@/src/a.c:2"), BUILT_END
		};
		const struct built_stack after[] = { BUILT(cases[i].is, cases[i].is != 0, 1, 1, 1,
							   1, "leak@/src/a.c:2"),
						     BUILT_END };
		const struct built_watch watch = { .pid = cases[i].is_one_watch ? first.pid : 4712,
						   .seconds = cases[i].seconds,
						   .since_seconds =
							   cases[i].is_one_watch ? 0 : 900 };
		const struct dhat_verify_options options = { .top = 1,
							     .tolerance_percent =
								     cases[i].tolerance_percent };
		struct verified verified = verify(&first, before, &watch, after, &options);

		assert_int_equal(verified.verification->is_one_watch, cases[i].is_one_watch);
		assert_int_equal(verified.verification->is_by_rate, cases[i].is_by_rate);
		if (verified.verification->suspects[0].fate != cases[i].fate)
			fail_msg("case %zu: %s", i,
				 dhat_fate_word(verified.verification->suspects[0].fate));
		verified_deinit(&verified);
	}
}

/* V1: how long a machine takes for a program's run is no figure of the program. */
static void test_whole_runs(void **state)
{
	static const struct {
		const char *before, *after;
		bool is_by_rate;
	} cases[] = {
		{ "exited", "exited", false },
		{ "exited", "killed", false },
		{ "exited", "attached", true },
		{ "detached", "exited", true },
	};
	const struct built_stack stacks[] = { BUILT(1000, 10, 1000, 10, 1000, 10, "f@/src/a.c:2"),
					      BUILT_END };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct built_watch before = { .state = cases[i].before, .seconds = 2 };
		const struct built_watch after = {
			.state = cases[i].after, .seconds = 9, .pid = 12, .since_seconds = 50
		};
		struct verified verified = verify(&before, stacks, &after, stacks, &defaults);

		assert_int_equal(verified.verification->is_by_rate, cases[i].is_by_rate);
		verified_deinit(&verified);
	}
}

static void test_rate(void **state)
{
	const struct built_stack stacks[] = { BUILT_END };
	struct dhat_snapshot *snapshot =
		built_snapshot(&(struct built_watch){ .seconds = 90 }, stacks);

	assert_int_equal(dhat_live_rate(snapshot, 900), 600);
	assert_int_equal(dhat_live_rate(snapshot, UINT64_C(1) << 62), (UINT64_C(1) << 63) / 3);
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fates),	   cmocka_unit_test(test_samples),
		cmocka_unit_test(test_top),	   cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_whole_runs), cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
