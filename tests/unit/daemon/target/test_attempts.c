#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/target/attempts.h"

static void add(struct attempts *attempts, pid_t pid, unsigned left, uint64_t not_before_ns)
{
	const struct attempt attempt = { .pid = pid, .left = left, .not_before_ns = not_before_ns };

	assert_int_equal(attempts_add(attempts, &attempt), 0);
}

static void test_each_is_tried_when_its_time_has_come(void **state)
{
	struct attempts attempts = { 0 };
	struct attempt attempt;

	add(&attempts, 1, 5, 200);
	add(&attempts, 2, 5, 0);
	add(&attempts, 3, 5, 100);
	assert_true(attempts_take(&attempts, 50, &attempt));
	assert_int_equal(attempt.pid, 2);
	assert_false(attempts_take(&attempts, 50, &attempt));
	assert_true(attempts_take(&attempts, 300, &attempt)); /* both may: who came first */
	assert_int_equal(attempt.pid, 1);
	assert_true(attempts_take(&attempts, 300, &attempt));
	assert_int_equal(attempt.pid, 3);
	assert_int_equal(attempts.count, 0);
	attempts_deinit(&attempts);
}

static void test_one_is_tried_as_often_as_was_said(void **state)
{
	struct attempts attempts = { 0 };
	struct attempt attempt;
	unsigned tries = 0;

	add(&attempts, 7, 10, 0);
	while (attempts_take(&attempts, 1000 * tries, &attempt)) {
		tries++;
		/* not again before its time */
		if (attempts_again(&attempts, &attempt, 1000 * tries))
			assert_false(attempts_take(&attempts, 1000 * tries - 1, &attempt));
	}
	assert_int_equal(tries, 10);
	attempts_deinit(&attempts);
}

static void test_who_comes_twice_is_there_once_for_each_purpose(void **state)
{
	struct attempts attempts = { 0 };
	int first, second;
	struct attempt attempt = { .pid = 7, .left = 3, .owned = &first };

	assert_int_equal(attempts_add(&attempts, &attempt), 0);
	attempt.left = 9;
	assert_int_equal(attempts_add(&attempts, &attempt), 0);
	assert_int_equal(attempts.count, 1);
	attempt.left = 1; /* what is waited for is not given up early */
	assert_int_equal(attempts_add(&attempts, &attempt), 0);
	assert_int_equal(attempts.count, 1);
	attempt.owned = &second;
	assert_int_equal(attempts_add(&attempts, &attempt), 0);
	assert_int_equal(attempts.count, 2);
	assert_true(attempts_take(&attempts, 0, &attempt));
	assert_int_equal(attempt.left, 9);
	assert_ptr_equal(attempt.owned, &first);
	attempts_deinit(&attempts);
}

static void test_many(void **state)
{
	struct attempts attempts = { 0 };
	struct attempt attempt;
	uint64_t sum = 0;

	for (pid_t pid = 1; pid <= 1000; pid++)
		add(&attempts, pid, 1, pid);
	for (pid_t pid = 1; pid <= 1000; pid++) {
		assert_true(attempts_take(&attempts, pid, &attempt));
		sum += attempt.pid;
		assert_false(attempts_again(&attempts, &attempt, 0));
	}
	assert_int_equal(sum, 500500);
	attempts_deinit(&attempts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_tried_when_its_time_has_come),
		cmocka_unit_test(test_one_is_tried_as_often_as_was_said),
		cmocka_unit_test(test_who_comes_twice_is_there_once_for_each_purpose),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
