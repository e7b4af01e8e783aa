/* The threads that serve all targets, with targets of the test's own: the linker takes the
 * functions here for those of target.c. So what takes a target long can be
 * made to take for ever, and nothing hangs on how fast this machine is. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/proc/status.h"
#include "daemon/target/follow.h"
#include "daemon/target/kin.h"
#include "daemon/target/mapper_thread.h"
#include "daemon/target/run.h"
#include "daemon/target/targets.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "tests/unit/until.h"

#define MAX_PID 64

struct target {
	pid_t pid;
	uint32_t watch;
	uint64_t start_ticks;
	int ring_fd;
	atomic_int references, drains, begun_ends, finishes, detaches, notes;
	atomic_bool is_busy, has_backlog, has_exited;
	atomic_bool blocks_map;
	atomic_int maps, maps_at_once, most_maps_at_once;
	bool blocks_finish, was_run;
	struct target_hooks hooks;
	struct errand errands[ERRAND_LANES];
};

static struct {
	struct target *target; /* made by target_attach(); the last one of that pid */
	atomic_int attaches;
	atomic_bool fails, blocks_attach, blocks_finish, has_no_ring, has_no_list;
} by_pid[MAX_PID];
static sem_t let_attach, let_finish, let_map;
static atomic_int ends, attached, ended, detached; /* as the listener was told */
static atomic_int sent_on, guards_ended;
static atomic_int detaches; /* of all that there were */
static struct targets *targets;

/* ---- memory that is not to be had ------------------------------------------------------------ */

static atomic_int lists_that_fail;	     /* by whoever asks for an array of pointers */
static _Thread_local bool is_without_memory; /* this thread */

void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

#ifndef __SANITIZE_ADDRESS__
#define CAN_FAIL

void *calloc(size_t count, size_t size)
{
	if (is_without_memory ||
	    (size == sizeof(void *) && lists_that_fail > 0 && lists_that_fail-- > 0))
		return NULL;
	return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
	return is_without_memory ? NULL : __libc_realloc(block, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
	return realloc(block, count * size);
}
#endif

/* ---- what stands in for target.c ------------------------------------------------------------ */

int target_attach(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err)
{
	struct target *target;

	by_pid[pid % MAX_PID].attaches++;
	if (by_pid[pid % MAX_PID].blocks_attach)
		sem_wait(&let_attach);
	if (by_pid[pid % MAX_PID].fails)
		return dhat_error_set(err, EPERM, DHAT_EXIT_UNSUITABLE, "it will not be had");
	target = calloc(1, sizeof(*target));
	target->pid = pid;
	target->watch = options->watch;
	target->start_ticks = proc_start_ticks(pid);
	target->ring_fd = by_pid[pid % MAX_PID].has_no_ring ? -1 : eventfd(0, EFD_CLOEXEC);
	target->references = 1;
	target->blocks_finish = by_pid[pid % MAX_PID].blocks_finish;
	target->hooks = services->hooks;
	by_pid[pid % MAX_PID].target = target;
	is_without_memory = by_pid[pid % MAX_PID].has_no_list;
	*ret = target;
	return 0;
}

int target_run(char *const argv[], const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err)
{
	return -ENOTSUP;
}

void target_send_on(struct target *target)
{
	sent_on++;
}

void target_end_guard(struct target *target)
{
	guards_ended++;
}

int target_run_on(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err)
{
	int error = target_attach(pid, options, services, ret, err);

	if (error == 0)
		(*ret)->was_run = true;
	return error;
}

struct target *target_ref(struct target *target)
{
	target->references++;
	return target;
}

void target_unref(struct target *target)
{
	if (target && --target->references == 0) {
		close(target->ring_fd);
		free(target);
	}
}

bool target_try_drain(struct target *target, size_t max, size_t *ret)
{
	if (target->is_busy)
		return false;
	*ret = target->has_backlog ? max : 0;
	target->drains++;
	return true;
}

void target_finish(struct target *target)
{
	if (target->blocks_finish)
		sem_wait(&let_finish);
	target->finishes++;
}

void target_begin_end(struct target *target)
{
	target->begun_ends++;
}

void target_detach(struct target *target)
{
	target->detaches++;
	detaches++;
}

struct errand *target_errand(struct target *target, enum errand_lane lane)
{
	return &target->errands[lane];
}

void target_note_not_followed(struct target *forerunner, pid_t pid, const struct dhat_error *why)
{
	forerunner->notes++;
}

void target_follow_options(const struct target *target, pid_t pid, struct target_options *ret)
{
	*ret = (struct target_options){ .is_followed = true,
					.follow_fork = true,
					.from_start = target->was_run };
}

static pid_t grandchild; /* of process 2 */

void kin_to_follow(pid_t pid, pid_t **ret, size_t *ret_count)
{
	*ret_count = pid == 2 && grandchild;
	*ret = malloc(sizeof(**ret));
	**ret = grandchild;
}

/* All that a mapper does of one target. */
static void work(struct target *target)
{
	int at_once = ++target->maps_at_once;

	if (at_once > target->most_maps_at_once)
		target->most_maps_at_once = at_once;
	if (target->blocks_map)
		sem_wait(&let_map);
	target->maps++;
	target->maps_at_once--;
}

void target_map_work(struct target *target)
{
	work(target);
}

bool target_is_debugged(struct target *target, struct ptracer *ret)
{
	return false;
}

void target_weigh(struct target *target)
{
	work(target);
}

void target_try_hidden(struct target *target)
{
}

void target_look_at_memory(struct target *target)
{
}

void target_look_after_code(struct target *target)
{
}

void target_take_inventory(struct target *target)
{
}

void target_tick(struct target *target)
{
}

pid_t target_pid(const struct target *target)
{
	return target->pid;
}

uint32_t target_watch(const struct target *target)
{
	return target->watch;
}

uint64_t target_start_ticks(const struct target *target)
{
	return target->start_ticks;
}

void target_name(const struct target *target, char ret[DHAT_PROGRAM_CHARS])
{
	snprintf(ret, DHAT_PROGRAM_CHARS, "program-%d", (int)target->pid);
}

int target_ring_fd(const struct target *target)
{
	return target->ring_fd;
}

int target_pidfd(const struct target *target)
{
	return -1;
}

bool target_has_exited(struct target *target)
{
	return target->has_exited;
}

enum target_state target_state_of(struct target *target)
{
	return target->finishes ? TARGET_EXITED : TARGET_ATTACHED;
}

bool target_follows_exec(const struct target *target)
{
	return target->was_run;
}

/* ---- a set of targets ------------------------------------------------------------------------ */

static void count_change(void *context)
{
	ends++;
}

static void count_attached(void *context, struct target *target)
{
	attached++;
}

static void count_ended(void *context, struct target *target)
{
	ended++;
}

static void count_detached(void *context, struct target *target)
{
	detached++;
}

static int set_up(void **state)
{
	struct dhat_error err = { 0 };

	memset(by_pid, 0, sizeof(by_pid));
	sem_init(&let_attach, 0, 0);
	sem_init(&let_finish, 0, 0);
	sem_init(&let_map, 0, 0);
	ends = attached = ended = detached = sent_on = guards_ended = detaches = 0;
	if (targets_new(NULL, NULL, &targets, &err))
		return -1;
	targets_listen(targets, &(struct targets_listener){ .changed = count_change,
							    .attached = count_attached,
							    .ended = count_ended,
							    .detached = count_detached });
	return 0;
}

static int tear_down(void **state)
{
	targets_free(targets);
	return 0;
}

static struct target *attach(pid_t pid)
{
	struct target_options options = { 0 };
	struct dhat_error err = { 0 };

	assert_int_equal(targets_attach(targets, pid, &options, NULL, &err), 0);
	return by_pid[pid % MAX_PID].target;
}

static uint64_t now(void)
{
	return clock_now_ns(CLOCK_MONOTONIC);
}

/* It is drained again and again, from now on. */
static void assert_is_served(struct target *target)
{
	int before = target->drains;

	UNTIL(target->drains >= before + 5);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_a_backlog_that_never_ends_delays_nobody(void **state)
{
	struct target *fast = attach(1), *other = attach(2);

	fast->has_backlog = true;
	assert_is_served(fast);
	assert_is_served(other);
	other->has_exited = true;
	UNTIL(ends == 1);
	assert_int_equal(other->finishes, 1);
	assert_int_equal(targets_attached_count(targets), 1);
	assert_int_equal(attached, 2);
	assert_int_equal(ended, 1);
	fast->has_backlog = false;
}

static void test_a_target_that_is_worked_on_delays_nobody(void **state)
{
	struct target *copied = attach(1), *other = attach(2);
	int before;

	copied->is_busy = true;
	assert_is_served(other);
	before = copied->drains;
	copied->is_busy = false;
	UNTIL(copied->drains > before);
}

/* Of three whose files do not answer, and of which more is wanted all the while, each keeps one
 * thread of the mapper, and another target is served by the last one. */
static void test_tables_that_take_long_delay_nobody(void **state)
{
	struct target *slow[3], *other = attach(9);
	int before;

	for (int i = 0; i < 3; i++) {
		slow[i] = attach(1 + i);
		UNTIL(slow[i]->maps == 1); /* of the attach */
		slow[i]->blocks_map = true;
		slow[i]->hooks.wants_mapper(slow[i]->hooks.context, slow[i]);
		UNTIL(slow[i]->maps_at_once == 1);
		slow[i]->hooks.wants_mapper(slow[i]->hooks.context, slow[i]);
		slow[i]->hooks.wants_weighing(slow[i]->hooks.context, slow[i]);
	}
	for (int i = 0; i < 5; i++) {
		before = other->maps;
		other->hooks.wants_mapper(other->hooks.context, other);
		UNTIL(other->maps > before);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(slow[i]->maps, 1);
		slow[i]->blocks_map = false;
		sem_post(&let_map);
	}
	for (int i = 0; i < 3; i++) { /* what had to wait is not forgotten */
		UNTIL(slow[i]->maps == 4);
		assert_int_equal(slow[i]->most_maps_at_once, 1);
	}
}

#ifdef CAN_FAIL
/* It may stand still for it: `dhatd run` stops what has mapped code. */
static void test_what_is_wanted_needs_no_memory(void **state)
{
	const struct mapper_hooks hooks = { 0 };
	struct mapper *mapper = NULL;
	struct target *target = attach(1);

	UNTIL(target->maps == 1); /* of the attach */
	assert_int_equal(mapper_new(&hooks, ERRAND_TRIAL, 1, &mapper), 0);
	is_without_memory = true;
	mapper_want(mapper, target, MAPPER_MAP);
	is_without_memory = false;
	UNTIL(target->maps == 2);
	mapper_free(mapper);
}

/* … and its ring is emptied all the same, though nothing else happens that would wake anybody. */
static void test_without_memory_for_a_turn_the_next_comes_soon(void **state)
{
	struct target *target = attach(1);

	lists_that_fail = 3;
	UNTIL(lists_that_fail == 0);
	assert_is_served(target);
}
#endif

/* Its program runs, and may stand still for whoever would have served it. */
static void test_what_cannot_be_served_is_let_go(void **state)
{
	struct target_options options = { 0 };
	struct dhat_error err = { 0 };

	by_pid[1].has_no_ring = true;
	assert_int_equal(targets_attach(targets, 1, &options, NULL, &err), -EBADF);
	assert_int_equal(detaches, 1);
#ifdef CAN_FAIL
	by_pid[2].has_no_list = true;
	assert_int_equal(targets_attach(targets, 2, &options, NULL, &err), -ENOMEM);
	is_without_memory = false;
	assert_int_equal(detaches, 2);
#endif
	assert_int_equal(targets_attached_count(targets), 0);
}

static void test_an_end_that_takes_long_delays_nobody(void **state)
{
	struct target *ending, *other = attach(2);

	by_pid[1].blocks_finish = true;
	ending = target_ref(attach(1));
	ending->has_exited = true;
	UNTIL(ending->begun_ends == 1); /* whoever works on it is told before anybody waits */
	assert_is_served(other);
	assert_int_equal(ending->finishes, 0);
	assert_int_equal(ends, 0);
	assert_int_equal(targets_attached_count(targets), 2);
	/* it ends once, and then it is over */
	sem_post(&let_finish);
	UNTIL(ends == 1);
	assert_is_served(other);
	assert_int_equal(ending->finishes, 1);
	assert_int_equal(ending->begun_ends, 1);
	assert_int_equal(targets_attached_count(targets), 1);
	target_unref(ending);
}

/* `dhatd run` follows what it has started from its beginning on, without being asked to. */
static void test_what_was_run_is_followed_and_so_many_are_kept(void **state)
{
	struct target *target = attach(1), **list = NULL;
	size_t count = 0;

	targets_keep_ended(targets, 64);
	target->was_run = true;
	for (int i = 1; i <= TARGETS_MAX_REPLACED + 5; i++) {
		target->hooks.replaced(target->hooks.context, target);
		assert_true(targets_attached_count(targets) >= 1); /* never is there nothing left */
		UNTIL(attached == i + 1);
		target = by_pid[1].target;
		assert_true(target->was_run);
	}
	assert_int_equal(targets_attached_count(targets), 1);
	assert_int_equal(targets_list(targets, &list, &count), 0);
	assert_int_equal(count, TARGETS_MAX_REPLACED + 1);
	assert_ptr_equal(list[count - 1], target);
	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
}

/* It was stopped for whoever would follow it. */
static void test_what_was_run_goes_on(void **state)
{
	struct target *target = attach(1);
	struct follow follow = { 0 };

	target->was_run = true;
	by_pid[1].fails = true;
	target->hooks.replaced(target->hooks.context, target);
	UNTIL(sent_on == 1 && guards_ended == 1);
	/* nobody came to it before the end */
	follow_add(&follow, 1, target, 0);
	follow_add(&follow, 2, target, 0);
	follow_deinit(&follow);
	assert_int_equal(sent_on, 3);
	target->was_run = false;
	follow_add(&follow, 3, target, 0);
	follow_deinit(&follow);
	assert_int_equal(sent_on, 3);
}

static void test_an_exec_gives_the_probes_back_in_the_closers_time(void **state)
{
	struct target *ending, *replaced = attach(2), *other = attach(3);

	by_pid[1].blocks_finish = true;
	ending = attach(1);
	ending->has_exited = true;
	UNTIL(ending->begun_ends == 1);
	replaced->hooks.replaced(replaced->hooks.context, replaced);
	assert_is_served(other);
	sem_post(&let_finish);
	UNTIL(replaced->detaches == 1);
	assert_int_equal(targets_attached_count(targets), 1);
}

static void *attach_first(void *context)
{
	struct target_options options = { 0 };

	return (void *)(intptr_t)targets_attach(targets, 1, &options, NULL, context);
}

static void test_of_two_attaches_to_a_pid_one_succeeds(void **state)
{
	struct target_options options = { 0 };
	struct dhat_error first = { 0 }, second = { 0 }, third = { 0 };
	pthread_t thread;
	void *result;

	by_pid[1].blocks_attach = true;
	pthread_create(&thread, NULL, attach_first, &first);
	UNTIL(by_pid[1].attaches == 1);
	/* what is under way is no end, for those who wait for the last one */
	assert_int_equal(targets_attached_count(targets), 1);
	assert_int_equal(targets_attach(targets, 1, &options, NULL, &second), -EALREADY);
	assert_int_equal(second.code, DHAT_EXIT_ALREADY);
	assert_non_null(strstr(second.message, "just being attached to"));
	attach(2); /* others are not meant */
	sem_post(&let_attach);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, 0);
	assert_int_equal(targets_attach(targets, 1, &options, NULL, &third), -EALREADY);
	assert_non_null(strstr(third.message, "already attached"));
	assert_int_equal(by_pid[1].attaches, 1);
	assert_int_equal(targets_attached_count(targets), 2);
}

static void test_an_attach_that_failed_takes_nothing(void **state)
{
	struct target_options options = { 0 };
	struct dhat_error err = { 0 };

	by_pid[1].fails = true;
	assert_int_equal(targets_attach(targets, 1, &options, NULL, &err), -EPERM);
	assert_int_equal(targets_attached_count(targets), 0);
	by_pid[1].fails = false;
	attach(1);
	assert_int_equal(targets_attached_count(targets), 1);
}

static void test_a_child_that_cannot_be_followed_is_told(void **state)
{
	struct target *parent = attach(1);

	by_pid[2].fails = true;
	parent->hooks.forked(parent->hooks.context, parent, 2, now());
	UNTIL(parent->notes == 1);
	UNTIL(ends == 1); /* perhaps it was the last that was waited for */
	assert_int_equal(targets_attached_count(targets), 1);
	parent->hooks.forked(parent->hooks.context, parent, 3, now());
	UNTIL(targets_attached_count(targets) == 2 && by_pid[3].target);
	assert_int_equal(parent->notes, 1);
}

/* Between the fork and our look at it the child has ended, and its number is another process's. */
static void test_a_number_of_another_process_is_left_alone(void **state)
{
	struct target *parent;
	int fds[2];
	pid_t other;

	assert_int_equal(pipe(fds), 0);
	other = fork(); /* it begins now */
	if (other == 0) {
		close(fds[1]);
		_exit(read(fds[0], &(char){ 0 }, 1) < 0);
	}
	parent = attach(other + 1);
	parent->hooks.forked(parent->hooks.context, parent, other, now() - 1000000000);
	UNTIL(ends == 1);
	assert_int_equal(by_pid[other % MAX_PID].attaches, 0);
	parent->hooks.forked(parent->hooks.context, parent, other, now());
	UNTIL(by_pid[other % MAX_PID].target);
	close(fds[0]);
	close(fds[1]);
	waitpid(other, NULL, 0);
}

/* What cannot be attached to (static, Go) may have children that can be. */
static void test_below_a_child_that_cannot_be_followed_its_own_are(void **state)
{
	struct target *parent = attach(1);

	grandchild = 3;
	by_pid[2].fails = true;
	parent->hooks.forked(parent->hooks.context, parent, 2, now());
	UNTIL(targets_attached_count(targets) == 2 && by_pid[3].target);
	assert_int_equal(parent->notes, 1);
	grandchild = 0;
}

/* Who asks meanwhile learns that it will be there, not that there is nothing. */
static void test_what_is_being_attached_to_is_no_nothing(void **state)
{
	struct dhat_error first = { 0 }, err = { 0 };
	struct target *target = NULL;
	pthread_t thread;

	assert_int_equal(targets_find(targets, 0, &target, &err), -ESRCH);
	assert_int_equal(err.code, DHAT_EXIT_NO_PROCESS);
	err = (struct dhat_error){ 0 };
	targets_set_starting(targets, true);
	assert_int_equal(targets_find(targets, 0, &target, &err), -EAGAIN);
	assert_int_equal(err.code, DHAT_EXIT_NOT_YET);
	targets_set_starting(targets, false);
	by_pid[1].blocks_attach = true;
	pthread_create(&thread, NULL, attach_first, &first);
	UNTIL(by_pid[1].attaches == 1);
	for (pid_t pid = 0; pid < 2; pid++) {
		err = (struct dhat_error){ 0 };
		assert_int_equal(targets_find(targets, pid, &target, &err), -EAGAIN);
		assert_int_equal(err.code, DHAT_EXIT_NOT_YET);
		assert_non_null(strstr(err.message, "attaching to 1 ..."));
	}
	err = (struct dhat_error){ 0 };
	assert_int_equal(targets_find(targets, 2, &target, &err), -ESRCH); /* not that one */
	sem_post(&let_attach);
	pthread_join(thread, NULL);
	assert_int_equal(targets_find(targets, 0, &target, NULL), 0);
	target_unref(target);
}

/* What was under way when all was closed is a target in the end: its profile is to be written. */
static void test_what_is_under_way_settles(void **state)
{
	struct target_options options = { 0 };
	struct dhat_error first = { 0 };
	struct target **list = NULL;
	pthread_t thread;
	size_t count = 0;

	by_pid[1].blocks_attach = true;
	pthread_create(&thread, NULL, attach_first, &first);
	UNTIL(by_pid[1].attaches == 1);
	targets_close(targets);
	assert_int_equal(targets_attach(targets, 2, &options, NULL, NULL), -ECANCELED);
	sem_post(&let_attach);
	targets_settle(targets);
	assert_int_equal(targets_list(targets, &list, &count), 0);
	assert_int_equal(count, 1);
	target_unref(list[0]);
	free(list);
	pthread_join(thread, NULL);
}

/* A service's processes come and go for months. */
static void test_what_has_ended_does_not_pile_up(void **state)
{
	struct target **list = NULL;
	size_t count = 0;

	targets_keep_ended(targets, 3);
	attach(1);
	for (pid_t pid = 10; pid < 20; pid++) {
		attach(pid);
		assert_int_equal(targets_detach(targets, pid, NULL), 0);
	}
	attach(2);
	assert_int_equal(targets_list(targets, &list, &count), 0);
	assert_int_equal(count, 5);
	/* those that are watched, and the latest */
	assert_int_equal(target_pid(list[0]), 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(target_pid(list[1 + i]), 17 + i);
	assert_int_equal(target_pid(list[4]), 2);
	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
}

static void *attach_third_of_watch(void *context)
{
	struct target_options options = { .watch = 7 };

	targets_attach(targets, 3, &options, NULL, NULL);
	return NULL;
}

/* Of each watch its own count: those of others do not take their room. */
static void test_targets_are_counted_by_watch(void **state)
{
	struct target_options options = { .watch = 7 };
	pthread_t thread;

	assert_int_equal(targets_attach(targets, 1, &options, NULL, NULL), 0);
	assert_int_equal(targets_attach(targets, 2, &options, NULL, NULL), 0);
	attach(4);
	assert_int_equal(targets_count_of_watch(targets, 7), 2);
	assert_int_equal(targets_count_of_watch(targets, 0), 1);
	assert_int_equal(targets_count_of_watch(targets, 8), 0);
	by_pid[3].blocks_attach = true; /* it counts before it is there */
	pthread_create(&thread, NULL, attach_third_of_watch, NULL);
	UNTIL(by_pid[3].attaches == 1);
	assert_int_equal(targets_count_of_watch(targets, 7), 3);
	sem_post(&let_attach);
	pthread_join(thread, NULL);
	assert_int_equal(targets_count_of_watch(targets, 7), 3);
	assert_int_equal(targets_detach(targets, 2, NULL), 0);
	assert_int_equal(targets_count_of_watch(targets, 7), 2);
	by_pid[1].target->has_exited = true;
	UNTIL(targets_count_of_watch(targets, 7) == 1);
}

/* Of a process that lives it is known as long as it lives, though its profile makes room for those
 * of others, and until it is wanted again. */
static void test_what_was_let_go_is_known(void **state)
{
	pid_t self = getpid();

	targets_keep_ended(targets, 1);
	attach(self);
	assert_false(targets_was_let_go(targets, self));
	assert_int_equal(targets_detach(targets, self, NULL), 0);
	for (pid_t pid = MAX_PID * 1000; pid < MAX_PID * 1000 + 5; pid++) {
		attach(pid);
		assert_int_equal(targets_detach(targets, pid, NULL), 0);
	}
	assert_int_equal(
		targets_find(targets, self, &(struct target *){ NULL }, &(struct dhat_error){ 0 }),
		-ESRCH);
	assert_true(targets_was_let_go(targets, self));
	attach(self);
	assert_false(targets_was_let_go(targets, self));
	/* what no section asks for any more was let go by nobody's will */
	by_pid[self % MAX_PID].target->watch = TARGET_NO_WATCH;
	assert_int_equal(targets_detach(targets, self, NULL), 0);
	assert_false(targets_was_let_go(targets, self));
}

/* With --output each profile becomes a file: neither a pid that is attached to again nor one
 * program after the other makes room. */
static void test_where_all_are_wanted_all_stay(void **state)
{
	struct target *target, **list = NULL;
	size_t count = 0;

	attach(1);
	assert_int_equal(targets_detach(targets, 1, NULL), 0);
	target = attach(1);
	target->was_run = true;
	for (int i = 1; i <= TARGETS_MAX_REPLACED + 5; i++) {
		target->hooks.replaced(target->hooks.context, target);
		UNTIL(attached == i + 2);
		target = by_pid[1].target;
	}
	assert_int_equal(targets_list(targets, &list, &count), 0);
	assert_int_equal(count, 2 + TARGETS_MAX_REPLACED + 5);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(target_pid(list[i]), 1);
		target_unref(list[i]);
	}
	free(list);
}

static void test_several_are_listed_by_name(void **state)
{
	struct dhat_error err = { 0 };
	struct target *target = NULL;

	attach(1);
	attach(2);
	assert_int_equal(targets_find(targets, 0, &target, &err), -EINVAL);
	assert_string_equal(err.message, "several processes are attached: choose with --pid: "
					 "1 (program-1), 2 (program-2)");
	err = (struct dhat_error){ 0 };
	assert_int_equal(targets_detach(targets, 2, NULL), 0);
	assert_int_equal(detached, 1);
	assert_int_equal(ended, 0);
	assert_int_equal(targets_find(targets, 7, &target, &err), -ESRCH);
	assert_string_equal(err.message, "process 7 is not attached; attached: 1 (program-1), "
					 "2 (program-2, ended)");
	for (pid_t pid = 3; pid < MAX_PID; pid++)
		attach(pid);
	err = (struct dhat_error){ 0 };
	assert_int_equal(targets_find(targets, 0, &target, &err), -EINVAL);
	assert_non_null(strstr(err.message, " more")); /* no half of a name */
}

static void test_a_program_is_known_by_its_name(void **state)
{
	struct targets_question question = { .program = "program-2", .how = "by a word" };
	struct dhat_error err = { 0 };
	struct target *target = NULL;

	attach(1);
	attach(2);
	assert_int_equal(targets_ask(targets, &question, &target, &err), 0);
	assert_int_equal(target_pid(target), 2);
	target_unref(target);
	assert_int_equal(targets_detach(targets, 2, NULL), 0);
	assert_int_equal(targets_ask(targets, &question, &target, &err), -ESRCH); /* it is over */
	assert_string_equal(err.message, "no process of program-2 is attached; attached: "
					 "1 (program-1), 2 (program-2, ended)");
	attach(3);
	question.program = NULL;
	err = (struct dhat_error){ 0 };
	assert_int_equal(targets_ask(targets, &question, &target, &err), -EINVAL);
	assert_non_null(strstr(err.message, "attached: choose by a word: 1 (program-1), "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(test_a_backlog_that_never_ends_delays_nobody),
		T(test_a_target_that_is_worked_on_delays_nobody),
		T(test_tables_that_take_long_delay_nobody),
#ifdef CAN_FAIL
		T(test_what_is_wanted_needs_no_memory),
		T(test_without_memory_for_a_turn_the_next_comes_soon),
#endif
		T(test_what_cannot_be_served_is_let_go),
		T(test_an_end_that_takes_long_delays_nobody),
		T(test_what_was_run_is_followed_and_so_many_are_kept),
		T(test_what_was_run_goes_on),
		T(test_an_exec_gives_the_probes_back_in_the_closers_time),
		T(test_of_two_attaches_to_a_pid_one_succeeds),
		T(test_an_attach_that_failed_takes_nothing),
		T(test_a_child_that_cannot_be_followed_is_told),
		T(test_a_number_of_another_process_is_left_alone),
		T(test_below_a_child_that_cannot_be_followed_its_own_are),
		T(test_what_is_being_attached_to_is_no_nothing),
		T(test_what_is_under_way_settles),
		T(test_what_has_ended_does_not_pile_up),
		T(test_targets_are_counted_by_watch),
		T(test_what_was_let_go_is_known),
		T(test_where_all_are_wanted_all_stay),
		T(test_several_are_listed_by_name),
		T(test_a_program_is_known_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
