/* process_set: who is in it, and that it is no larger than what lives. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/proc/status.h"
#include "daemon/target/process_set.h"

#define CHILDREN 70 /* more than the array has at first */

static pid_t begin_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool is_not(void *context, pid_t pid)
{
	return pid != *(const pid_t *)context;
}

static void test_members(void **state)
{
	struct process_set set = { 0 };
	pid_t self = getpid(), other = begin_child();

	assert_false(process_set_has(&set, self));
	assert_int_equal(process_set_add(&set, self, proc_start_ticks(self)), 0);
	assert_int_equal(process_set_add(&set, self, proc_start_ticks(self)), 0);
	assert_int_equal(process_set_add(&set, other, proc_start_ticks(other)), 0);
	assert_int_equal(set.count, 2);
	assert_true(process_set_has(&set, self) && process_set_has(&set, other));
	process_set_keep(&set, is_not, &other);
	assert_true(process_set_has(&set, self) && !process_set_has(&set, other));
	process_set_remove(&set, self);
	process_set_remove(&set, self);
	assert_int_equal(set.count, 0);
	end_child(other);
	process_set_deinit(&set);
}

/* Its number is another's now. */
static void test_a_number_that_is_used_again(void **state)
{
	struct process_set set = { 0 };
	pid_t self = getpid();

	assert_int_equal(process_set_add(&set, self, proc_start_ticks(self) - 1), 0);
	assert_false(process_set_has(&set, self));
	process_set_keep(&set, NULL, NULL);
	assert_int_equal(set.count, 0);
	process_set_deinit(&set);
}

static void test_what_has_ended_goes(void **state)
{
	struct process_set set = { 0 };
	pid_t children[CHILDREN], self = getpid();

	for (int i = 0; i < CHILDREN; i++) {
		children[i] = begin_child();
		assert_int_equal(process_set_add(&set, children[i], proc_start_ticks(children[i])),
				 0);
	}
	assert_int_equal(set.count, CHILDREN);
	for (int i = 0; i < CHILDREN; i++)
		end_child(children[i]);
	assert_false(process_set_has(&set, children[0]));
	assert_int_equal(process_set_add(&set, self, proc_start_ticks(self)), 0);
	assert_int_equal(set.count, 1);
	process_set_deinit(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_a_number_that_is_used_again),
		cmocka_unit_test(test_what_has_ended_goes),
	};

	return cmocka_run_group_tests_name("process_set", tests, NULL, NULL);
}
