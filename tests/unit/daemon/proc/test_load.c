/* What few samples leave possible, and what is counted of a process of our own. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/proc/load.h"

static void test_rates(void **state)
{
	struct load load = {
		.samples = 4000,
		.inside = 40,
		.sample_ns = 250000,
		.cpu_ns = 1000000000,
		.wall_ns = 2000000000,
	};

	/* 10 ms in two seconds */
	assert_float_equal(load_calls_per_second(&load), 5e6 / LOAD_CALL_NS, 1);
	/* nothing was seen: three samples may have been missed */
	load.inside = 0;
	assert_float_equal(load_calls_at_most(&load), 3 * 250000 / 2.0 / LOAD_FASTEST_CALL_NS, 1);
	load.inside = 1;
	assert_float_equal(load_calls_at_most(&load), 4.74 * 250000 / 2 / LOAD_FASTEST_CALL_NS, 1);
	/* and no more than the time it had */
	load.cpu_ns = 1000;
	assert_float_equal(load_calls_at_most(&load), 500 / (double)LOAD_FASTEST_CALL_NS, 1);
}

static void __attribute__((noinline)) place(void)
{
	__asm__ volatile("");
}

/* A child that calls place() so often a second. */
static pid_t start(int per_second)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(300);
	for (;;) {
		place();
		if (per_second)
			usleep(1000000 / per_second);
	}
}

static void test_counting(void **state)
{
	const uint64_t here = (uintptr_t)place;
	struct load_count count;
	pid_t seldom = start(50), often = start(0);
	int r;

	do /* on a busy machine it may have no turn in that time */
		r = load_count(seldom, &here, 1, 500000000, &count);
	while (r == 0 && !count.hits[0]);
	if (r == 0) { /* else the processor, or its machine monitor, has none */
		assert_in_range(count.hits[0], 1, count.wall_ns / 20000000 + 5);
		assert_in_range(count.wall_ns, 500000000, 60000000000);
		assert_int_equal(load_count(often, &here, 1, 60000000000, &count), -ERANGE);
	} else {
		assert_true(r == -ENOENT || r == -EOPNOTSUPP || r == -EACCES || r == -EPERM ||
			    r == -ENOSPC || r == -EINVAL);
	}
	assert_int_equal(load_count(seldom, &here, LOAD_PLACES + 1, 1, &count), -EINVAL);
	kill(seldom, SIGKILL);
	kill(often, SIGKILL);
	waitpid(seldom, NULL, 0);
	waitpid(often, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
