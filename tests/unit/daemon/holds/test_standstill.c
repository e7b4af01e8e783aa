/* All threads stand still, and go on, whatever becomes of who held them; signals are not lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/holds/standstill.h"
#include "daemon/proc/status.h"

#define THREADS 3
#define CHILD_ENDS 99

struct shared { /* with the child */
	atomic_ullong turns[THREADS];
	atomic_uint signals;
	atomic_bool is_held; /* by the one in between */
	atomic_int target;
};

static struct shared *shared;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&shared->signals, 1);
}

static void *turn(void *turns)
{
	for (;;) {
		atomic_fetch_add((atomic_ullong *)turns, 1);
		if (turns !=
		    &shared->turns[0]) /* that one runs, the others wait most of the time */
			usleep(500);
	}
	return NULL;
}

static void *be_first(void *unused)
{
	return turn(&shared->turns[0]);
}

/* more: threads that do no more than wait; another: what one does, or NULL. The first thread leaves
 * where another one takes its place. */
static pid_t start_target(int more, void *(*another)(void *))
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid)
		return pid;
	alarm(300); /* nobody is left behind, whatever fails */
	signal(SIGUSR1, count_signal);
	for (int i = 1; i < THREADS; i++)
		pthread_create(&thread, NULL, turn, &shared->turns[i]);
	for (int i = 0; i < more; i++)
		pthread_create(&thread, NULL, turn, &shared->turns[1]);
	if (another)
		pthread_create(&thread, NULL, another, NULL);
	if (another == be_first)
		pthread_exit(NULL);
	be_first(NULL);
	_exit(0);
}

/* Until something is so; at most a minute and more. */
#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		bool is_so = false;                                                                \
                                                                                                   \
		for (int tries = 0; !is_so && tries < 60000; tries++) {                            \
			is_so = (condition);                                                       \
			if (!is_so)                                                                \
				usleep(1000);                                                      \
		}                                                                                  \
		assert_true(is_so);                                                                \
	} while (0)

static bool have_turned(const unsigned long long before[THREADS])
{
	bool all = true;

	for (int i = 0; i < THREADS; i++)
		all &= atomic_load(&shared->turns[i]) != before[i];
	return all;
}

/* In the next 100 ms: that much for what is idle, if others have the processors. */
static bool all_turn(void)
{
	unsigned long long before[THREADS];

	for (int i = 0; i < THREADS; i++)
		before[i] = atomic_load(&shared->turns[i]);
	for (int tries = 0; tries < 100 && !have_turned(before); tries++)
		usleep(1000);
	return have_turned(before);
}

static void forget(void)
{
	for (int i = 0; i < THREADS; i++)
		atomic_store(&shared->turns[i], 0);
	atomic_store(&shared->signals, 0);
	atomic_store(&shared->is_held, false);
}

static void end_target(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int still(pid_t pid, int (*look)(void *context), uint64_t *ret_ns)
{
	return standstill_run(pid, look, &pid, ret_ns, NULL);
}

static int see_that_none_turns(void *pid)
{
	unsigned long long before[THREADS];

	for (int i = 0; i < THREADS; i++)
		before[i] = atomic_load(&shared->turns[i]);
	kill(*(pid_t *)pid, SIGUSR1);
	usleep(20000);
	for (int i = 0; i < THREADS; i++)
		if (atomic_load(&shared->turns[i]) != before[i])
			return -EBUSY;
	return atomic_load(&shared->signals) ? -EINTR : 7;
}

static void threads_stand_still_and_go_on(void **state)
{
	uint64_t held_ns = 0;
	pid_t pid;

	forget();
	pid = start_target(0, NULL);
	UNTIL(all_turn());
	assert_int_equal(still(pid, see_that_none_turns, &held_ns), 7);
	assert_true(held_ns >= 20000000);
	UNTIL(all_turn());
	UNTIL(atomic_load(&shared->signals) == 1);
	end_target(pid);
}

static int see_nothing(void *pid)
{
	return 0;
}

/* Signals come all the time: each is handed on. */
static void no_signal_is_lost(void **state)
{
	uint64_t held_ns;
	pid_t pid;

	forget();
	pid = start_target(0, NULL);
	UNTIL(all_turn());
	for (unsigned sent = 1; sent <= 50; sent++) {
		kill(pid, SIGUSR1);
		assert_int_equal(still(pid, see_nothing, &held_ns), 0);
		UNTIL(atomic_load(&shared->signals) == sent);
	}
	end_target(pid);
}

static int kill_it(void *pid)
{
	return kill(*(pid_t *)pid, SIGKILL);
}

static void killed_while_it_stands_still(void **state)
{
	uint64_t held_ns;
	pid_t pid;

	forget();
	pid = start_target(0, NULL);
	UNTIL(all_turn());
	assert_int_equal(still(pid, kill_it, &held_ns), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(still(pid, see_that_none_turns, &held_ns), -ESRCH);
}

/* Its first thread has ended, and is there for those who wait for the process. */
static void a_process_goes_on_without_its_first_thread(void **state)
{
	struct proc_status status = { 0 };
	uint64_t held_ns;
	pid_t pid;

	forget();
	pid = start_target(0, be_first);
	UNTIL(all_turn());
	UNTIL(proc_status_read_main(pid, &status) == 0 && status.state == 'Z');
	assert_int_equal(still(pid, see_that_none_turns, &held_ns), 7);
	UNTIL(all_turn());
	end_target(pid);
}

static void *wait_for_child(void *unused)
{
	pid_t child = vfork(); /* it waits, and nothing but its end stops that */

	if (!child) {
		atomic_store(&shared->is_held, true);
		while (atomic_load(&shared->is_held))
			usleep(1000); /* NOLINT(clang-analyzer-unix.Vfork) */
		atomic_store(&shared->signals, CHILD_ENDS);
		_exit(0);
	}
	return NULL;
}

/* The others do not wait for it for longer than is said. */
static void what_does_not_stop_is_given_up(void **state)
{
	struct dhat_error err = { 0 };
	uint64_t held_ns = 0;
	pid_t pid;

	forget();
	pid = start_target(0, wait_for_child);
	UNTIL(atomic_load(&shared->is_held));
	UNTIL(all_turn());
	assert_int_equal(standstill_run(pid, see_that_none_turns, &pid, &held_ns, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.message, "does not stop"));
	assert_true(held_ns >= STANDSTILL_WAIT_NS);
	UNTIL(all_turn());
	atomic_store(&shared->is_held, false);
	UNTIL(atomic_load(&shared->signals) == CHILD_ENDS); /* it is nobody's to wait for */
	end_target(pid);
}

static void *become_another(void *unused)
{
	while (!atomic_load(&shared->is_held))
		;
	execl("/bin/sleep", "sleep", "300", NULL);
	return NULL;
}

/* In the midst of it, its other threads end, some of which are held already. */
static void a_process_becomes_another(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct proc_status status = { 0 };
		uint64_t held_ns;
		pid_t pid;

		forget();
		pid = start_target(200, become_another);
		UNTIL(atomic_load(&shared->turns[0]) && atomic_load(&shared->turns[1]));
		atomic_store(&shared->is_held, true);
		usleep(i * 50);
		still(pid, see_nothing, &held_ns);
		UNTIL(proc_status_read_main(pid, &status) == 0 && status.state == 'S' &&
		      !status.tracer_pid);
		end_target(pid);
	}
}

/* A debugger holds one of its threads: those that were held before it was met run on. */
static void what_cannot_be_stopped_goes_on(void **state)
{
	uint64_t held_ns;
	pid_t pid;

	forget();
	pid = start_target(0, NULL);
	UNTIL(all_turn());
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	assert_int_equal(still(pid, see_that_none_turns, &held_ns), -EPERM);
	UNTIL(all_turn());
	end_target(pid);
}

static int stay_for_ever(void *unused)
{
	atomic_store(&shared->is_held, true);
	for (;;)
		pause();
	return 0;
}

/* P1: whoever holds it may end at any moment. */
static void its_holder_is_killed(void **state)
{
	struct proc_status status;
	pid_t holder, pid;

	forget();
	holder = fork();
	if (!holder) {
		uint64_t held_ns;

		pid = start_target(0, NULL);
		while (!all_turn())
			;
		atomic_store(&shared->target, pid);
		still(pid, stay_for_ever, &held_ns);
		_exit(1);
	}
	UNTIL(atomic_load(&shared->is_held));
	pid = atomic_load(&shared->target);
	assert_false(all_turn());
	assert_int_equal(proc_status_read(pid, &status), 0);
	assert_int_not_equal(status.tracer_pid, 0);
	kill(holder, SIGKILL);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	UNTIL(all_turn());
	assert_int_equal(proc_status_read(pid, &status), 0);
	assert_int_equal(status.tracer_pid, 0);
	kill(pid, SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_stand_still_and_go_on),
		cmocka_unit_test(no_signal_is_lost),
		cmocka_unit_test(killed_while_it_stands_still),
		cmocka_unit_test(a_process_goes_on_without_its_first_thread),
		cmocka_unit_test(a_process_becomes_another),
		cmocka_unit_test(what_cannot_be_stopped_goes_on),
		cmocka_unit_test(what_does_not_stop_is_given_up),
		cmocka_unit_test(its_holder_is_killed),
	};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
