/* pusher: destinations come and go, and what waits for them is lost sight of by nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/push/pusher.h"
#include "proto/base/cleanup.h"
#include "tests/unit/folder.h"
#include "tests/unit/sample.h"

/* Nobody listens at a port below: what is added waits. */
#define NOBODY "http://127.0.0.1:1/ingest"
#define NOBODY_EITHER "http://127.0.0.1:2/ingest"

static struct pusher *begin(void)
{
	struct pusher *pusher = NULL;

	assert_int_equal(pusher_new(folder, &pusher, NULL), 0);
	return pusher;
}

static struct push_settings settings_for(const char *url, const char *tenant)
{
	struct push_settings settings = { .url = strdup(url), .every_ns = 1 };

	settings.tenant = tenant ? strdup(tenant) : NULL;
	assert_int_equal(push_settings_settle(&settings, false, NULL), 0);
	return settings;
}

/* The destinations are these, and no others; NULL: there is none. */
static void set(struct pusher *pusher, const char *url)
{
	struct push_settings none = { 0 }, settings = url ? settings_for(url, NULL) : none;
	const struct push_settings *list[] = { &settings };

	assert_int_equal(pusher_set(pusher, list, 1, NULL), 0);
	push_settings_deinit(&settings);
}

static void add(struct pusher *pusher, const char *url)
{
	struct push_settings settings = settings_for(url, NULL);
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct since *since = NULL;

	assert_int_equal(pusher_add(pusher, &settings, snapshot, &since), 0);
	since_free(since);
	dhat_snapshot_free(snapshot);
	push_settings_deinit(&settings);
}

struct seen {
	char url[64];
	bool is_left;
	uint64_t waiting;
};

static void assert_seen(struct pusher *pusher, const struct seen *wanted, size_t count)
{
	struct pusher_state *list;
	size_t found;

	assert_int_equal(pusher_look(pusher, &list, &found), 0);
	assert_int_equal(found, count);
	assert_int_equal(!list, !count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(list[i].url, wanted[i].url);
		assert_int_equal(!list[i].form, wanted[i].is_left);
		assert_int_equal(list[i].state.waiting, wanted[i].waiting);
		assert_int_equal(strncmp(list[i].folder, folder, strlen(folder)), 0);
	}
	pusher_states_free(list, found);
}

static void test_what_is_left_is_told_and_sent_when_it_is_wanted_again(void **state)
{
	struct pusher *pusher = begin();

	set(pusher, NOBODY);
	for (int i = 0; i < 3; i++)
		add(pusher, NOBODY);
	assert_seen(pusher, (struct seen[]){ { NOBODY, false, 3 } }, 1);
	set(pusher, NOBODY_EITHER);
	assert_seen(pusher, (struct seen[]){ { NOBODY_EITHER, false, 0 }, { NOBODY, true, 3 } }, 2);
	/* and by the next dhatd, whatever it pushes to */
	pusher_free(pusher);
	pusher = begin();
	assert_seen(pusher, (struct seen[]){ { NOBODY, true, 3 } }, 1);
	set(pusher, NOBODY);
	assert_seen(pusher, (struct seen[]){ { NOBODY, false, 3 } }, 1);
	pusher_free(pusher);
}

/* A folder stays only for what is in it. */
static void test_nothing_is_left_of_one_without_profiles(void **state)
{
	struct pusher *pusher = begin();
	char command[sizeof(folder) + 32];

	set(pusher, NOBODY);
	set(pusher, NULL);
	assert_seen(pusher, NULL, 0);
	snprintf(command, sizeof(command), "test -z \"$(ls %s)\"", folder);
	assert_int_equal(system(command), 0);
	pusher_free(pusher);
}

/* Another dhatd that pushes from the same folder has left nothing. */
static void test_another_s_is_not_left(void **state)
{
	struct pusher *pusher = begin(), *another = begin();

	set(another, NOBODY);
	add(another, NOBODY);
	assert_seen(pusher, NULL, 0);
	pusher_free(another);
	assert_seen(pusher, (struct seen[]){ { NOBODY, true, 1 } }, 1);
	pusher_free(pusher);
}

/* Each has a queue of its own. */
static void test_tenants_are_destinations_of_their_own(void **state)
{
	struct pusher *pusher = begin();
	struct push_settings one = settings_for(NOBODY, "one"), two = settings_for(NOBODY, "two");
	const struct push_settings *list[] = { &one, &two };
	struct pusher_state *states;
	size_t count;

	assert_int_equal(pusher_set(pusher, list, 2, NULL), 0);
	assert_int_equal(pusher_look(pusher, &states, &count), 0);
	assert_int_equal(count, 2);
	assert_string_equal(states[0].tenant, "one");
	assert_string_equal(states[1].tenant, "two");
	assert_string_not_equal(states[0].folder, states[1].folder);
	pusher_states_free(states, count);
	push_settings_deinit(&one);
	push_settings_deinit(&two);
	pusher_free(pusher);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_left_is_told_and_sent_when_it_is_wanted_again),
		TEST(test_nothing_is_left_of_one_without_profiles),
		TEST(test_another_s_is_not_left),
		TEST(test_tenants_are_destinations_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
