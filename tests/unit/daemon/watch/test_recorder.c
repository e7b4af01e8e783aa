/* recorder: by which settings a target is looked at, before, while and after they change. Targets
 * and the keeper are the test's own: the linker takes the functions here for those of target.c,
 * targets.c and keeper.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/watch/keeper.h"
#include "daemon/watch/recorder.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "tests/unit/until.h"

#define MAX_TARGETS 4
#define WATCHES 4

struct target {
	pid_t pid;
	atomic_uint watch;
	atomic_int references;
	struct target_glance glance;
	bool is_there; /* in the list of targets */
	bool is_kept;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct target all[MAX_TARGETS];
static char told[4096]; /* "PID: REASON\n" of each profile that was to be kept, since turn() */
static bool was_asked;
static unsigned asked_turns;
static struct recorder *recorder;
static atomic_bool is_slow; /* keeping lasts until the end has taken steps */
/* of 1, while 2 is kept, which lasts two seconds, and until 3 is; and 0 appears meanwhile */
static atomic_bool has_spike;
static atomic_bool is_rising;	/* 3, while 2 is kept for the time, which lasts two seconds */
static atomic_bool is_regular;	/* watch 1 has profiles kept as often as can be */
static atomic_bool is_flapping; /* 1 and 2 fire in turn, each while the other is kept */
static atomic_uint steps;

/* ---- what stands in for others --------------------------------------------------------------- */

int targets_list(struct targets *targets, struct target ***ret, size_t *ret_count)
{
	*ret = calloc(MAX_TARGETS, sizeof(**ret));
	*ret_count = 0;
	for (size_t i = 0; i < MAX_TARGETS; i++)
		if (all[i].is_there)
			(*ret)[(*ret_count)++] = target_ref(&all[i]);
	return 0;
}

int targets_detach(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	return 0;
}

struct target *target_ref(struct target *target)
{
	target->references++;
	return target;
}

void target_unref(struct target *target)
{
	target->references--;
}

pid_t target_pid(const struct target *target)
{
	return target->pid;
}

uint32_t target_watch(const struct target *target)
{
	return target->watch;
}

enum target_state target_state_of(struct target *target)
{
	return target->glance.state;
}

void target_glance(struct target *target, struct target_glance *ret)
{
	pthread_mutex_lock(&lock);
	*ret = target->glance;
	pthread_mutex_unlock(&lock);
}

void target_add_note(struct target *target, const char *text)
{
}

int target_sample(struct target *target, uint64_t bytes, const char *reason, struct dhat_error *err)
{
	return 0;
}

void target_look_after_sample(struct target *target)
{
}

void target_note_detached(struct target *target, const char *reason)
{
}

bool target_is_kept(const struct target *target)
{
	return target->is_kept;
}

int keeper_new(const struct keeper_options *options, struct keeper **ret)
{
	*ret = NULL;
	return 0;
}

void keeper_free(struct keeper *keeper)
{
}

void keeper_keep(struct keeper *keeper, const struct watch_settings *settings,
		 struct target *target, uint64_t rss_bytes, const struct keep_reason *reason,
		 struct since **since)
{
	size_t used;

	pthread_mutex_lock(&lock);
	used = strlen(told);
	was_asked |= strstr(reason->text, "SIGUSR2") != NULL;
	snprintf(told + used, sizeof(told) - used, "%d: %s%s\n", (int)target->pid, reason->text,
		 reason->is_push ? settings->push.url : "");
	pthread_mutex_unlock(&lock);
	if (is_slow)
		UNTIL(steps >= 2);
	if (is_rising && target->pid == 2) {
		pthread_mutex_lock(&lock);
		all[3].glance.live_bytes = 2000;
		pthread_mutex_unlock(&lock);
		usleep(2000000);
	}
	if (is_flapping) {
		pthread_mutex_lock(&lock);
		all[target->pid].glance.live_bytes = 100;
		all[3 - target->pid].glance.live_bytes = 2000;
		pthread_mutex_unlock(&lock);
		usleep(1100000);
	}
	if (has_spike && target->pid > 1) {
		pthread_mutex_lock(&lock);
		all[1].glance.live_bytes = target->pid == 2 ? 2000 : 100;
		if (target->pid == 2)
			all[0] = (struct target){ .watch = 1, .is_there = true };
		all[0].glance.live_bytes = 2000;
		pthread_mutex_unlock(&lock);
		usleep(target->pid == 2 ? 2000000 : 0);
	}
}

/* The last of a turn. */
void keeper_look_after(struct keeper *keeper)
{
	pthread_mutex_lock(&lock);
	asked_turns += was_asked;
	was_asked = false;
	pthread_mutex_unlock(&lock);
}

void keeper_finish(struct keeper *keeper)
{
}

/* ---- a recorder at work ---------------------------------------------------------------------- */

static void count_step(void *context)
{
	steps++;
}

static int begin(void **state)
{
	const struct recorder_options options = { .folder = "/nonexistent", .step = count_step };
	struct dhat_error err = { 0 };

	memset(all, 0, sizeof(all));
	*told = '\0';
	was_asked = false;
	return recorder_new(&options, &recorder, &err);
}

static int end(void **state)
{
	recorder_free(take_ptr(recorder));
	for (size_t i = 0; i < MAX_TARGETS; i++)
		assert_int_equal(all[i].references, 0);
	return 0;
}

static struct target *appear(pid_t pid, uint32_t watch, uint64_t live_bytes)
{
	struct target *target = &all[pid];

	pthread_mutex_lock(&lock);
	*target = (struct target){ .pid = pid, .watch = watch, .is_there = true };
	target->glance.live_bytes = live_bytes;
	pthread_mutex_unlock(&lock);
	return target;
}

/* Watch number i has the triggers that texts[i] names, one after the other, separated by "; ". */
static void set_watches(const char *const texts[WATCHES])
{
	struct watch_settings list[WATCHES] = { 0 };

	for (size_t i = 0; i < WATCHES; i++) {
		_cleanup_free_ char *copy = strdup(texts[i] ?: "");
		char *rest = copy, *text, why[TRIGGER_WHY_CHARS];
		struct trigger trigger;

		while ((text = strsep(&rest, ";"))) {
			if (!*text)
				continue;
			assert_int_equal(trigger_parse(text, &trigger, why), 0);
			assert_int_equal(watch_add_trigger(&list[i], &trigger), 0);
		}
	}
	list[1].every_ns = is_regular;
	assert_int_equal(recorder_set(recorder, list, WATCHES), 0);
	for (size_t i = 0; i < WATCHES; i++)
		watch_deinit(&list[i]);
}

/* One whole turn, from now on; what was told since the last. At least one target is attached to. */
static const char *turn(void)
{
	static char seen[sizeof(told)];
	unsigned before = asked_turns;

	recorder_keep_all(recorder);
	UNTIL(asked_turns > before);
	pthread_mutex_lock(&lock);
	strcpy(seen, told);
	*told = '\0';
	pthread_mutex_unlock(&lock);
	return seen;
}

static void test_a_trigger_fires_once(void **state)
{
	set_watches((const char *[WATCHES]){ [1] = "live>10;live>1000" });
	appear(1, 1, 100);
	assert_string_equal(turn(), "1: live>10; SIGUSR2\n");
	assert_string_equal(turn(), "1: SIGUSR2\n");
	/* read anew it does not fire again; what is new does, when it comes true */
	set_watches((const char *[WATCHES]){ [1] = "live>50;live>10" });
	assert_string_equal(turn(), "1: live>50; SIGUSR2\n");
	assert_string_equal(turn(), "1: SIGUSR2\n");
}

/* A reload gives it another number before the settings of that number are there: until then it is
 * looked at as before. (By the others' triggers it was looked at with states that were made for
 * none: behind the end of what was allocated.) */
static void test_a_target_goes_over(void **state)
{
	struct target *target;

	set_watches((const char *[WATCHES]){ [2] = "live>10;live>20;live>30" });
	target = appear(1, 1, 100);
	assert_string_equal(turn(), "1: SIGUSR2\n");
	target->watch = 2;
	assert_string_equal(turn(), "1: SIGUSR2\n");
	set_watches((const char *[WATCHES]){ [2] = "live>10;live>20;live>30" });
	assert_string_equal(turn(), "1: live>10; live>20; live>30; SIGUSR2\n");
	assert_string_equal(turn(), "1: SIGUSR2\n");
	/* and back, to fewer */
	target->watch = 3;
	set_watches((const char *[WATCHES]){ [3] = "live>40" });
	assert_string_equal(turn(), "1: live>40; SIGUSR2\n");
	target->watch = TARGET_NO_WATCH;
	set_watches((const char *[WATCHES]){ [3] = "live>40" });
	assert_string_equal(turn(), "1: SIGUSR2\n");
}

/* What has fired is known by what a trigger says, not by its place. */
static void test_what_has_fired_is_known_by_its_words(void **state)
{
	struct target *target;

	set_watches((const char *[WATCHES]){ [1] = "live>10;live>20", [2] = "live>30;live>10" });
	target = appear(1, 1, 100);
	assert_string_equal(turn(), "1: live>10; live>20; SIGUSR2\n");
	target->watch = 2;
	set_watches((const char *[WATCHES]){ [2] = "live>30;live>10" });
	assert_string_equal(turn(), "1: live>30; SIGUSR2\n");
	assert_string_equal(turn(), "1: SIGUSR2\n");
}

/* (Looked at once a turn only, each before it was kept itself, 1 would never have been seen.) */
static void test_triggers_are_looked_at_while_others_are_kept(void **state)
{
	set_watches((const char *[WATCHES]){ [1] = "live>1000" });
	for (pid_t pid = 1; pid <= 3; pid++)
		appear(pid, 1, 100);
	has_spike = true;
	assert_string_equal(turn(), "1: SIGUSR2\n2: SIGUSR2\n1: live>1000\n3: SIGUSR2\n"
				    "0: live>1000\n");
	has_spike = false;
}

static bool has_told(const char *text)
{
	bool is_there;

	pthread_mutex_lock(&lock);
	is_there = strstr(told, text) != NULL;
	pthread_mutex_unlock(&lock);
	return is_there;
}

/* Its profile was due for the time when its trigger fired: there would be no word of that. */
static void test_what_happens_goes_before_what_is_due(void **state)
{
	is_regular = is_rising = true;
	set_watches((const char *[WATCHES]){ [1] = "live>1000" });
	for (pid_t pid = 1; pid <= 3; pid++)
		appear(pid, 1, 100);
	UNTIL(has_told("3: live>1000\n"));
	is_regular = is_rising = false;
}

/* What keeps on happening holds up neither who asks nor the end. */
static void test_a_turn_ends(void **state)
{
	is_flapping = true;
	set_watches((const char *[WATCHES]){ [1] = "live>1000" });
	appear(1, 1, 2000);
	appear(2, 1, 100);
	UNTIL(has_told("1: live>1000\n2: live>1000\n"));
	assert_non_null(strstr(turn(), "SIGUSR2"));
	recorder_stop(recorder);
	is_flapping = false;
}

/* It ends with a reload that changes its number: by the watch that it goes over to. */
static void test_an_end_while_it_goes_over(void **state)
{
	struct target *target;

	set_watches((const char *[WATCHES]){ [1] = "exit", [2] = "live>1000" });
	target = appear(1, 1, 100);
	appear(2, 2, 100);
	assert_string_equal(turn(), "1: SIGUSR2\n2: SIGUSR2\n");
	pthread_mutex_lock(&lock);
	target->glance.state = TARGET_EXITED;
	pthread_mutex_unlock(&lock);
	target->watch = 2;
	recorder_ended(recorder, target);
	assert_string_equal(turn(), "1: exit\n2: SIGUSR2\n");
	assert_string_equal(turn(), "2: SIGUSR2\n");
}

/* Of each, met or not, in whichever state, but of one of whose end there is a file. */
static void test_what_is_kept_at_the_end(void **state)
{
	struct target *unmet, *kept;

	set_watches((const char *[WATCHES]){ 0 });
	appear(1, 1, 100);
	assert_string_equal(turn(), "1: SIGUSR2\n");
	recorder_stop(recorder);
	unmet = appear(2, 1, 100);
	kept = appear(3, 1, 100);
	unmet->glance.state = TARGET_EXITED;
	kept->glance.state = TARGET_EXITED;
	kept->is_kept = true;
	for (int i = 1; i <= 3; i++)
		recorder_keep_last(recorder, &all[i]);
	assert_string_equal(told, "1: stop\n2: stop\n");
}

/* A service manager is told that it goes on, however long that is. */
static void test_signs_of_life_while_it_stops(void **state)
{
	set_watches((const char *[WATCHES]){ [1] = "exit" });
	appear(1, 1, 100);
	assert_string_equal(turn(), "1: SIGUSR2\n");
	is_slow = true;
	pthread_mutex_lock(&lock);
	all[1].glance.state = TARGET_EXITED;
	pthread_mutex_unlock(&lock);
	recorder_ended(recorder, &all[1]);
	recorder_stop(recorder);
	is_slow = false;
	assert_string_equal(told, "1: exit\n");
	assert_true(steps >= 2);
}

/* Watch number i pushes to urls[i] when it ends, and now and then. */
static void set_pushes(const char *const urls[WATCHES])
{
	struct watch_settings list[WATCHES] = { 0 };

	for (size_t i = 0; i < WATCHES; i++)
		if (urls[i])
			list[i].push = (struct push_settings){ .url = without_qualifiers(urls[i]),
							       .form = PUSH_PYROSCOPE,
							       .every_ns = 3600000000000ull };
	assert_int_equal(recorder_set(recorder, list, WATCHES), 0);
}

/* What was allocated since the last push goes to where the others went, once, as long as that is
 * there: be it detached from before, by the same reload, or watched on. */
static void test_the_rest_goes_to_where_it_was_pushed(void **state)
{
	static const char a[] = "http://127.0.0.1:1/ingest", b[] = "http://127.0.0.1:2/ingest";
	struct target *target;

	set_pushes((const char *[WATCHES]){ [1] = a, [2] = a });
	target = appear(1, 1, 100);
	appear(2, 2, 100);
	assert_string_equal(turn(), "1: SIGUSR2\n2: SIGUSR2\n");
	set_pushes((const char *[WATCHES]){ [1] = a, [2] = b }); /* another URL for one */
	assert_string_equal(turn(), "2: http://127.0.0.1:1/ingest\n1: SIGUSR2\n2: SIGUSR2\n");
	pthread_mutex_lock(&lock);
	target->glance.state = TARGET_DETACHED; /* as by watches.c, and before recorder_set() */
	target->watch = TARGET_NO_WATCH;
	pthread_mutex_unlock(&lock);
	set_pushes((const char *[WATCHES]){ [2] = b });
	assert_string_equal(turn(), "1: http://127.0.0.1:1/ingest\n2: SIGUSR2\n");
	assert_string_equal(turn(), "2: SIGUSR2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_trigger_fires_once, begin, end),
		cmocka_unit_test_setup_teardown(test_a_target_goes_over, begin, end),
		cmocka_unit_test_setup_teardown(test_what_has_fired_is_known_by_its_words, begin,
						end),
		cmocka_unit_test_setup_teardown(test_triggers_are_looked_at_while_others_are_kept,
						begin, end),
		cmocka_unit_test_setup_teardown(test_what_happens_goes_before_what_is_due, begin,
						end),
		cmocka_unit_test_setup_teardown(test_a_turn_ends, begin, end),
		cmocka_unit_test_setup_teardown(test_an_end_while_it_goes_over, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_kept_at_the_end, begin, end),
		cmocka_unit_test_setup_teardown(test_signs_of_life_while_it_stops, begin, end),
		cmocka_unit_test_setup_teardown(test_the_rest_goes_to_where_it_was_pushed, begin,
						end),
	};

	return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
