/* parallel: each once, several at a time, and the caller is told that it goes on. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/parallel.h"

#define COUNT 100

static atomic_int done[COUNT];

static void count_one(void *context, size_t number)
{
	done[number]++;
}

static void test_each_is_done_once(void **state)
{
	const struct parallel parallel = { .one = count_one };

	for (size_t count = 0; count <= COUNT; count += 25) {
		for (size_t i = 0; i < COUNT; i++)
			done[i] = 0;
		parallel_run(&parallel, count);
		for (size_t i = 0; i < COUNT; i++)
			assert_int_equal(done[i], i < count);
	}
}

static sem_t all_are_there, may_end;
static atomic_int there;

/* Ends when as many others have begun, and when there was a step. */
static void wait_for_others(void *context, size_t number)
{
	if (++there == PARALLEL_THREADS_MAX)
		for (int i = 0; i < PARALLEL_THREADS_MAX; i++)
			sem_post(&all_are_there);
	sem_wait(&all_are_there);
	sem_wait(&may_end);
}

static void let_them_end(void *context)
{
	int *steps = context;

	if (++*steps == 3)
		for (int i = 0; i < PARALLEL_THREADS_MAX; i++)
			sem_post(&may_end);
}

static void test_several_at_a_time_with_steps(void **state)
{
	int steps = 0;
	const struct parallel parallel = {
		.one = wait_for_others,
		.step = let_them_end,
		.step_context = &steps,
	};

	sem_init(&all_are_there, 0, 0);
	sem_init(&may_end, 0, 0);
	parallel_run(&parallel, PARALLEL_THREADS_MAX);
	assert_true(steps >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_done_once),
		cmocka_unit_test(test_several_at_a_time_with_steps),
	};

	return cmocka_run_group_tests_name("parallel", tests, NULL, NULL);
}
