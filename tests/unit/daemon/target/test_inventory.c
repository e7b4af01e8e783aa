/* The list of the blocks that a target held before: who tells it to end does not wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/account/heap.h"
#include "daemon/target/private.h"

#define BLOCKS 5000

static pid_t child;

/* A child with blocks, and a target of it to which nothing is attached. */
static int begin(void **state)
{
	static const struct target_options options;
	static const struct target_services services;
	struct dhat_error err = { 0 };
	struct target *target = NULL;
	int ready[2];
	char byte;

	*state = NULL;
	if (geteuid() != 0)
		return 0;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < BLOCKS; i++) {
			void *block = malloc(100);

			__asm__ volatile("" : "+r"(block)); /* gcc 16 leaves it out else */
			if (!block)
				_exit(1);
		}
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (target_new(child, &options, &services, &target, &err))
		fail_msg("%s", err.message);
	/* as target_begin_inventory(), which tells the probes, too */
	target->is_taking_inventory = true;
	assert_int_equal(heap_begin_inventory(target->heap), 0);
	*state = target;
	return 0;
}

static int end(void **state)
{
	if (!*state)
		return 0;
	target_unref(*state);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return 0;
}

static uint64_t listed(struct target *target)
{
	struct heap_totals totals;

	if (!target) {
		print_message("SKIP: a target needs root\n");
		skip();
	}
	target_take_inventory(target);
	assert_false(target_is_taking_inventory(target));
	heap_totals(target->heap, &totals);
	return totals.live_blocks;
}

static void test_all_are_listed(void **state)
{
	assert_true(listed(*state) >= BLOCKS);
}

static void test_an_end_is_not_kept_waiting(void **state)
{
	if (*state)
		target_begin_end(*state);
	assert_int_equal(listed(*state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_are_listed, begin, end),
		cmocka_unit_test_setup_teardown(test_an_end_is_not_kept_waiting, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
