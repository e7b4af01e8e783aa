/* Work that can wait is done by a thread that is as nice as can be, and whoever asked stays as he
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/resource.h>

#include "daemon/holds/quiet.h"

struct seen {
	pthread_t thread;
	int niceness, runs;
};

static int look(void *seen_)
{
	struct seen *seen = seen_;

	seen->thread = pthread_self();
	seen->niceness = getpriority(PRIO_PROCESS, 0);
	return --seen->runs;
}

static void test_is_nice(void **state)
{
	int before = getpriority(PRIO_PROCESS, 0);
	struct seen seen = { .runs = 1000 };
	struct quiet *quiet;

	(void)state;
	assert_int_equal(quiet_new(&quiet), 0);
	for (int i = 999; i >= 0; i--)
		assert_int_equal(quiet_run(quiet, look, &seen), i);
	assert_int_equal(seen.niceness, 19);
	assert_false(pthread_equal(seen.thread, pthread_self()));
	assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
	quiet_free(quiet);
}

static void test_haste(void **state)
{
	struct seen seen = { .runs = -6 };

	(void)state;
	assert_int_equal(quiet_run(NULL, look, &seen), -7);
	assert_true(pthread_equal(seen.thread, pthread_self()));
	quiet_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_nice),
		cmocka_unit_test(test_haste),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
