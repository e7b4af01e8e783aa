/* pages: what becomes of a page when something of one target, or of its readers, is wrong. Targets
 * and the server are the test's own: the linker takes the functions here for theirs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/http/pages.h"
#include "daemon/serve/message.h"
#include "daemon/serve/taken.h"
#include "daemon/target/searches.h"
#include "proto/base/cleanup.h"
#include "tests/unit/built_snapshot.h"

#define COUNT 3

struct target {
	pid_t pid;
	int status_error, stacks_error;
};

static struct target all[COUNT];
static bool has_room;
static unsigned profiles_taken;
static const char *program, *asked_program; /* ?program= */

static const struct built_stack stacks[] = {
	BUILT(600, 6, 1000, 10, 700, 7, "load@src/login.c:10"),
	BUILT_END,
};

/* ---- what stands in for others --------------------------------------------------------------- */

int targets_list(struct targets *targets, struct target ***ret, size_t *ret_count)
{
	*ret = calloc(COUNT, sizeof(**ret));
	for (size_t i = 0; i < COUNT; i++)
		(*ret)[i] = &all[i];
	*ret_count = COUNT;
	return 0;
}

int targets_ask(struct targets *targets, const struct targets_question *question,
		struct target **ret, struct dhat_error *err)
{
	asked_program = question->program;
	*ret = &all[0];
	return 0;
}

int targets_list_searches(struct targets *targets, struct search_state **ret, size_t *ret_count)
{
	*ret = calloc(1, sizeof(**ret));
	*ret_count = 0;
	return 0;
}

bool targets_take_turns(struct targets *targets, uint64_t patience_ns)
{
	return true;
}

void target_unref(struct target *target)
{
}

pid_t target_pid(const struct target *target)
{
	return target->pid;
}

void target_name(const struct target *target, char ret[DHAT_PROGRAM_CHARS])
{
	strcpy(ret, "a<b>");
}

enum target_state target_state_of(struct target *target)
{
	return TARGET_ATTACHED;
}

/* A copy is its target. */
int target_copy(struct target *target, bool with_points, struct target_copy **ret,
		struct dhat_error *err)
{
	*ret = (struct target_copy *)target;
	return target->status_error ? dhat_error_errno(err, -target->status_error, "no status") : 0;
}

void target_copy_free(struct target_copy *copy)
{
}

Dhat__TargetStatus *message_target_status(const struct target_copy *copy)
{
	Dhat__TargetStatus status = DHAT__TARGET_STATUS__INIT, *owned;
	Dhat__Target target = DHAT__TARGET__INIT;
	Dhat__Totals totals = DHAT__TOTALS__INIT;
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	char state[] = "attached", path[] = "/usr/bin/service";
	uint8_t packed[1024];

	target.pid = ((const struct target *)copy)->pid;
	target.state = state;
	target.executable = target.command = path;
	totals.live_bytes = 77;
	status.target = &target;
	status.totals = &totals;
	status.verdict = &verdict;
	owned = dhat__target_status__unpack(NULL, dhat__target_status__pack(&status, packed),
					    packed);
	assert_non_null(owned);
	return owned;
}

int taken_snapshot(struct target *target, struct symbolizer *symbolizer,
		   const struct taken_options *options, struct dhat_snapshot **ret,
		   struct dhat_error *err)
{
	profiles_taken++;
	if (target->stacks_error)
		return target->stacks_error;
	*ret = built_snapshot(&(struct built_watch){ .pid = target->pid }, stacks);
	return 0;
}

const char *http_request_argument(const struct http_request *request, const char *name)
{
	return strcmp(name, "program") == 0 ? program : NULL;
}

bool http_request_has_room(const struct http_request *request)
{
	return has_room;
}

/* ---- pages ------------------------------------------------------------------------------------
 */

static int begin(void **state)
{
	struct pages *pages = NULL;

	for (int i = 0; i < COUNT; i++)
		all[i] = (struct target){ .pid = i + 1 };
	has_room = true;
	profiles_taken = 0;
	program = asked_program = NULL;
	*state = NULL;
	if (pages_new(NULL, NULL, NULL, NULL, &pages))
		return -1;
	*state = pages;
	return 0;
}

static int end(void **state)
{
	pages_free(*state);
	return 0;
}

static struct http_answer ask(void **state, const char *path)
{
	static const atomic_bool gone = false;
	const struct http_request request = { .path = path, .gone = &gone };
	struct http_answer answer = { 0 };

	pages_answer(*state, &request, &answer);
	return answer;
}

static void test_one_that_fails_leaves_the_others_on_the_page(void **state)
{
	struct http_answer answer;

	all[0].status_error = -ENOMEM;
	all[1].stacks_error = -ENOMEM;
	answer = ask(state, "/metrics");
	assert_int_equal(answer.status, 200);
	assert_null(strstr(answer.body, "pid=\"1\""));
	assert_non_null(strstr(answer.body,
			       "\ndhatd_heap_live_bytes{program=\"service\",pid=\"2\"} "
			       "77\n"));
	assert_null(strstr(answer.body, "dhatd_stack_live_bytes{program=\"service\",pid=\"2\""));
	assert_non_null(strstr(answer.body,
			       "\ndhatd_heap_live_bytes{program=\"service\",pid=\"3\"} "
			       "600\n"));
	assert_non_null(strstr(answer.body, "\ndhatd_targets_left_out 1\n"));
	free(answer.body);
}

static void test_one_that_fails_is_on_the_list(void **state)
{
	struct http_answer answer;

	all[1].status_error = -EBUSY;
	answer = ask(state, "/");
	assert_int_equal(answer.status, 200);
	assert_non_null(strstr(answer.body, "/report?pid=1"));
	assert_non_null(strstr(answer.body, "a&#60;b&#62; (pid 2)"));
	assert_non_null(strstr(answer.body, "no status"));
	assert_non_null(strstr(answer.body, "/report?pid=3"));
	free(answer.body);
}

/* Before it is made: many may have come at the same time. */
static void test_nothing_is_made_that_there_is_no_room_for(void **state)
{
	static const char *const paths[] = { "/snapshot", "/report", "/debug/pprof/heap" };

	has_room = false;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct http_answer answer = ask(state, paths[i]);

		assert_int_equal(answer.status, 503);
		assert_non_null(strstr(answer.body, HTTP_NO_ROOM));
		free(answer.body);
	}
	assert_int_equal(profiles_taken, 0);
}

static void test_a_program_is_asked_for(void **state)
{
	struct http_answer answer;

	program = "redis";
	answer = ask(state, "/debug/pprof/allocs");
	assert_int_equal(answer.status, 200);
	assert_string_equal(asked_program, "redis");
	free(answer.body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_that_fails_leaves_the_others_on_the_page),
		TEST(test_one_that_fails_is_on_the_list),
		TEST(test_nothing_is_made_that_there_is_no_room_for),
		TEST(test_a_program_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
