/* watches: what becomes of targets when a configuration is read again. Targets, searches and the
 * recorder are the test's own: the linker takes the functions here for theirs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/target/discover.h"
#include "daemon/target/searches.h"
#include "daemon/watches.h"
#include "proto/base/cleanup.h"
#include "tests/unit/folder.h"

#define MAX_PID 9
#define NUMBERS (1 + 2 * CONFIG_SECTIONS_MAX)

struct target {
	pid_t pid;
	uint32_t watch;
	enum target_state state;
};

/* From 1 on; a section means those whose digits are in its `name`. */
static struct target targets[MAX_PID + 1];
static unsigned searches_begun;
static struct watches *watches;
static struct searches *searches;
static bool search_fails, detach_fails;
static atomic_uint detaches;
static unsigned steps;
/* As the recorder was told last: of each number the bytes of its first trigger, live>N; and the
 * numbers of the targets at that time. */
static uint64_t levels[NUMBERS];
static uint32_t numbers_then[MAX_PID + 1];

/* ---- what stands in for others --------------------------------------------------------------- */

int targets_list(struct targets *all, struct target ***ret, size_t *ret_count)
{
	*ret = calloc(MAX_PID, sizeof(**ret));
	*ret_count = 0;
	for (size_t i = 1; i <= MAX_PID; i++)
		if (targets[i].pid)
			(*ret)[(*ret_count)++] = &targets[i];
	return 0;
}

struct searches *targets_searches(struct targets *all)
{
	return searches;
}

int targets_detach(struct targets *all, pid_t pid, struct dhat_error *err)
{
	detaches++;
	if (detach_fails)
		return dhat_error_set(err, EBUSY, DHAT_EXIT_UNSUITABLE, "a debugger holds it");
	targets[pid].state = TARGET_DETACHED;
	return 0;
}

void target_unref(struct target *target)
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

void target_set_watch(struct target *target, uint32_t watch)
{
	target->watch = watch;
}

enum target_state target_state_of(struct target *target)
{
	return target->state;
}

bool target_has_exited(struct target *target)
{
	return false;
}

int match_init(const struct match_options *options, struct match *ret, struct dhat_error *err)
{
	ret->options = *options;
	return 0;
}

void match_deinit(struct match *match)
{
}

enum match_answer match_process(const struct match *match, pid_t pid)
{
	return strchr(match->options.name_regex, '0' + pid) ? MATCH_YES : MATCH_NO;
}

int discover_new(const struct discover_options *options, struct targets *all, struct discover **ret,
		 struct dhat_error *err)
{
	if (search_fails)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE, "there is no such group");
	for (const char *digit = options->match.name_regex; *digit; digit++) {
		struct target *target = &targets[*digit - '0'];

		if (target->pid && target->state == TARGET_ATTACHED)
			continue;
		*target = (struct target){ .pid = *digit - '0', .watch = options->target->watch };
	}
	searches_begun++;
	*ret = (struct discover *)&searches_begun;
	return 0;
}

void discover_stop(struct discover *discover)
{
}

void discover_free(struct discover *discover)
{
}

int recorder_set(struct recorder *recorder, const struct watch_settings *list, size_t count)
{
	assert_int_equal(count, NUMBERS);
	for (size_t i = 0; i < count; i++)
		levels[i] = list[i].trigger_count ? list[i].triggers[0].level : 0;
	for (size_t i = 1; i <= MAX_PID; i++)
		numbers_then[i] = targets[i].watch;
	return 0;
}

/* ---- a configuration at work ----------------------------------------------------------------- */

static const char *path_of_config(void)
{
	static char path[sizeof(folder) + 8];

	snprintf(path, sizeof(path), "%s/conf", folder);
	return path;
}

static void load(const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path_of_config(), "w");
	struct dhat_error err = { 0 };

	assert_non_null(file);
	fputs(text, file);
	fflush(file);
	if (watches_load(watches, &err))
		fail_msg("%s", err.message);
}

static void count_step(void *context)
{
	steps++;
}

static int begin(void **state)
{
	static const struct watch_settings settings;
	struct watches_options options = { .settings = &settings };
	struct dhat_error err = { 0 };

	if (make_folder(state))
		return -1;
	memset(targets, 0, sizeof(targets));
	memset(levels, 0, sizeof(levels));
	searches_begun = 0;
	search_fails = detach_fails = false;
	detaches = 0;
	if (searches_new(&searches))
		return -1;
	options.path = path_of_config();
	options.step = count_step;
	return watches_new(&options, &watches, &err);
}

static int end(void **state)
{
	watches_free(take_ptr(watches));
	searches_free(take_ptr(searches));
	return remove_folder(state);
}

static void test_what_stays_is_left_alone(void **state)
{
	uint32_t first;

	load("[watch a]\nname = 1\n[watch b]\nname = 2\n");
	first = targets[1].watch;
	assert_true(first && targets[2].watch && targets[2].watch != first);
	assert_int_equal(searches_begun, 2);
	load("[watch a]\nname = 1\n[watch b]\nname = 2\non = live>5\n");
	assert_int_equal(searches_begun, 3);
	assert_int_equal(targets[1].watch, first);
	assert_int_equal(levels[targets[2].watch], 5);
	assert_int_equal(targets[1].state, TARGET_ATTACHED);
	assert_int_equal(targets[2].state, TARGET_ATTACHED);
}

/* A target has its new number before the recorder is told what that means: recorder_set(). */
static void test_one_goes_over(void **state)
{
	load("[watch a]\nname = 1\n[watch b]\nname = 12\non = live>5\n");
	assert_int_equal(levels[targets[1].watch], 0);
	load("[watch b]\nname = 12\non = live>5\n");
	assert_int_equal(targets[1].state, TARGET_ATTACHED);
	assert_int_equal(levels[targets[1].watch], 5);
	assert_int_equal(numbers_then[1], targets[1].watch);
}

/* What comes in the place of a section that went is no continuation of it. */
static void test_a_new_section_has_a_new_number(void **state)
{
	uint32_t before;

	load("[watch a]\nname = 1\non = live>5\n");
	before = targets[1].watch;
	load("[watch c]\nname = 12\non = live>6\n");
	assert_int_equal(levels[before], 0);
	assert_int_not_equal(targets[1].watch, before);
	assert_int_equal(levels[targets[1].watch], 6);
	assert_int_equal(numbers_then[1], targets[1].watch);
	/* as often as one likes, with as many as there may be */
	for (int round = 0; round < 5; round++) {
		char text[CONFIG_SECTIONS_MAX * 64];
		size_t used = 0;

		for (int i = 0; i < CONFIG_SECTIONS_MAX; i++)
			used += snprintf(text + used, sizeof(text) - used,
					 "[watch r%d-%d]\nname = %d\non = live>%d\n", round, i,
					 i ? 9 : 1, 100 * round + i + 1);
		before = targets[1].watch;
		load(text);
		assert_int_not_equal(targets[1].watch, before);
		assert_int_equal(levels[targets[1].watch], 100 * round + 1);
	}
}

static void test_what_nobody_means_is_let_go(void **state)
{
	load("[watch a]\nname = 12\n");
	load("[watch a]\nname = 2\n");
	assert_int_equal(targets[1].state, TARGET_DETACHED);
	assert_int_equal(targets[1].watch, TARGET_NO_WATCH);
	assert_int_equal(targets[2].state, TARGET_ATTACHED);
}

/* One that could not be let go then is with the next load, unless it is meant again. */
static void test_what_could_not_be_let_go(void **state)
{
	load("[watch a]\nname = 12\n[watch b]\nname = 3\n");
	detach_fails = true;
	load("[watch b]\nname = 3\n");
	assert_int_equal(detaches, 2);
	assert_int_equal(targets[1].state, TARGET_ATTACHED);
	detach_fails = false;
	load("[watch b]\nname = 32\non = live>5\n");
	assert_int_equal(targets[1].state, TARGET_DETACHED);
	assert_int_equal(targets[2].state, TARGET_ATTACHED);
	assert_int_equal(levels[targets[2].watch], 5);
}

/* Each of several may take seconds, with a service manager that waits for signs of life. */
static void test_it_tells_that_it_goes_on(void **state)
{
	unsigned before;

	load("[watch a]\nname = 123\n");
	before = steps;
	load("[watch b]\nname = 4\n");
	assert_int_equal(detaches, 3);
	assert_true(steps > before);
}

/* It is known of, not only said once, until it goes. */
static void test_a_section_that_cannot_be_begun_is_known(void **state)
{
	struct search_state *list = NULL;
	size_t count = 0;

	search_fails = true;
	load("[watch a]\nname = 1\n");
	assert_int_equal(searches_list(searches, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].name, "a");
	assert_false(list[0].is_searching);
	free(list);
	load("[watch b]\nname = 1\n");
	assert_int_equal(searches_list(searches, &list, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].name, "b");
	free(list);
	/* tried again with the next load, and begun */
	search_fails = false;
	load("[watch b]\nname = 1\n");
	assert_int_equal(searches_begun, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_stays_is_left_alone, begin, end),
		cmocka_unit_test_setup_teardown(test_one_goes_over, begin, end),
		cmocka_unit_test_setup_teardown(test_a_new_section_has_a_new_number, begin, end),
		cmocka_unit_test_setup_teardown(test_what_nobody_means_is_let_go, begin, end),
		cmocka_unit_test_setup_teardown(test_what_could_not_be_let_go, begin, end),
		cmocka_unit_test_setup_teardown(test_it_tells_that_it_goes_on, begin, end),
		cmocka_unit_test_setup_teardown(test_a_section_that_cannot_be_begun_is_known, begin,
						end),
	};

	return cmocka_run_group_tests_name("watches", tests, NULL, NULL);
}
