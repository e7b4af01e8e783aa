/* The page for Prometheus: what it says, and that no name can break it. */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/http/exposition.h"
#include "daemon/http/metrics.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/text.h"
#include "tests/unit/built_snapshot.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

#define NOW_NS 1800000000000000000ull

static char *page_of(const struct metrics *metrics)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	metrics_write(metrics, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(strlen(text), size);
	return text;
}

static char *page_of_snapshot(const struct built_watch *watch, const struct built_stack *stacks)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		built_snapshot(watch, stacks);
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };

	assert_int_equal(metrics_add_snapshot(&metrics, snapshot, 2.5), 0);
	return page_of(&metrics);
}

static void assert_line(const char *page, const char *line)
{
	_cleanup_free_ char *wanted = NULL;

	assert_true(asprintf(&wanted, "\n%s\n", line) > 0);
	if (!strstr(page, wanted))
		print_error("%s\nhas no line %s\n", page, line);
	assert_non_null(strstr(page, wanted));
}

/* Of a series that is there twice Prometheus takes one, and says so in a line of its log. */
static void assert_once(const char *page, const char *sample)
{
	int length = (int)(strrchr(sample, ' ') - sample);
	_cleanup_free_ char *wanted = NULL;
	const char *first;

	assert_true(asprintf(&wanted, "\n%.*s ", length, sample) > 0);
	first = strstr(page, wanted);
	assert_non_null(first);
	if (strstr(first + 1, wanted))
		print_error("twice: %s\n", sample);
	assert_null(strstr(first + 1, wanted));
}

/* What Prometheus refuses a whole page for, and promtool warns of. */
static void assert_well_formed(const char *page)
{
	const char *const sample = "^[a-z][a-z_]*(\\{[a-z_]+=\"([^\"\\]|\\\\[\\\"n])*\""
				   "(,[a-z_]+=\"([^\"\\]|\\\\[\\\"n])*\")*\\})? "
				   "-?[0-9][0-9.e+-]*$";
	_cleanup_free_ char *copy = strdup(page);
	char family[128] = "", *rest = copy;
	regex_t regex;

	assert_true(*page && page[strlen(page) - 1] == '\n');
	assert_null(strchr(page, '\r'));
	for (const char *c = page; *c; c += dhat_text_character(c))
		assert_int_not_equal(dhat_text_character(c), 0);
	assert_int_equal(regcomp(&regex, sample, REG_EXTENDED | REG_NOSUB), 0);
	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		if (strncmp(line, "# HELP ", 7) == 0) {
			sscanf(line, "# HELP %127s", family);
			continue;
		}
		if (strncmp(line, "# TYPE ", 7) == 0) {
			bool is_counter = strstr(line, " counter");

			assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
			assert_int_equal(is_counter, strstr(family, "_total") != NULL);
			continue;
		}
		if (regexec(&regex, line, 0, NULL, 0) != 0)
			print_error("no sample: %s\n", line);
		assert_int_equal(regexec(&regex, line, 0, NULL, 0), 0);
		assert_once(page, line);
		/* of the family that stands above it */
		assert_int_equal(strncmp(line, family, strlen(family)), 0);
		assert_non_null(strchr("{ ", line[strlen(family)]));
	}
	regfree(&regex);
}

static void test_escaping(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	struct exposition page = { .file = open_memstream(&text, &size) };

	exposition_family(&page, "x", "gauge", "help");
	exposition_begin(&page);
	exposition_label(&page, "a", "q\"b\\s\nr\rt\tz\xff\xc3\xa4");
	exposition_label_number(&page, "n", UINT64_MAX);
	exposition_end(&page, 7);
	exposition_begin(&page);
	exposition_end_real(&page, 1795974347.25);
	fclose(page.file);
	assert_string_equal(text, "# HELP x help\n# TYPE x gauge\n"
				  "x{a=\"q\\\"b\\\\s?r?t?z\xef\xbf\xbd\xc3\xa4\","
				  "n=\"18446744073709551615\"} 7\n"
				  "x 1795974347.25\n");
}

static const struct built_stack two_stacks[] = {
	BUILT(600, 6, 1000, 10, 700, 7, "load@src/login.c:10", "login@src/login.c:20",
	      "handle@src/http.c:5", "main@src/main.c:1"),
	BUILT(50, 1, 80, 2, 60, 1, "keep@src/a.c:10", "main@src/main.c:1"),
	BUILT_END,
};

static void test_figures(void **state)
{
	_cleanup_free_ char *page = page_of_snapshot(&(struct built_watch){ 0 }, two_stacks);
	const char *const load = "load (src/login.c) < login < handle (src/http.c) < main "
				 "(src/main.c)";
	_cleanup_free_ char *live = NULL, *total = NULL;

	assert_well_formed(page);
	assert_line(page, "dhatd_targets 1");
	assert_line(page, "dhatd_target_cost_ratio{program=\"service\",pid=\"4711\"} 0.025");
	assert_line(page, "dhatd_heap_live_bytes{program=\"service\",pid=\"4711\"} 650");
	assert_line(page, "dhatd_heap_live_blocks{program=\"service\",pid=\"4711\"} 7");
	assert_line(page, "dhatd_heap_peak_bytes{program=\"service\",pid=\"4711\"} 760");
	assert_line(page,
		    "dhatd_heap_allocated_bytes_total{program=\"service\",pid=\"4711\"} 1080");
	assert_line(page, "dhatd_heap_allocated_blocks_total{program=\"service\",pid=\"4711\"} 12");
	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"exact\"} 1");
	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"inexact\"} 0");
	assert_true(
		asprintf(&live,
			 "dhatd_stack_live_bytes{program=\"service\",pid=\"4711\",stack=\"%s\"} "
			 "600",
			 load) > 0);
	assert_line(page, live);
	assert_true(asprintf(&total,
			     "dhatd_stack_allocated_blocks_total{program=\"service\",pid=\"4711\","
			     "stack=\"%s\"} 10",
			     load) > 0);
	assert_line(page, total);
	assert_line(page, "dhatd_stack_live_bytes{program=\"service\",pid=\"4711\",stack=\"[all "
			  "others]\"} 0");
	/* a counter must not fall: the others have none */
	assert_null(strstr(page, "bytes_total{program=\"service\",pid=\"4711\",stack=\"[all"));
}

/* Ends of intervals; of what is exact there are none. */
static void test_sampled(void **state)
{
	static const struct built_stack sampled[] = {
		{ .frames = { "keep@src/a.c:10" },
		  .live_bytes = 900000,
		  .live_blocks = 1,
		  .total_bytes = 900000,
		  .total_blocks = 1,
		  .seen_bytes = 900000 },
		BUILT_END,
	};
	_cleanup_free_ char *exact = page_of_snapshot(&(struct built_watch){ 0 }, two_stacks);
	_cleanup_free_ char *page = page_of_snapshot(
		&(struct built_watch){ .verdict = "sampled", .sample_bytes = 4096 }, sampled);

	assert_well_formed(page);
	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"sampled\"} 1");
	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"exact\"} 0");
	assert_line(page, "dhatd_target_sample_bytes{program=\"service\",pid=\"4711\"} 4096");
	assert_line(page, "dhatd_heap_live_bytes_low{program=\"service\",pid=\"4711\"} 900000");
	/* a small block more, or some, may have been missed */
	assert_line(page, "dhatd_heap_live_bytes_high{program=\"service\",pid=\"4711\"} 912142");
	assert_line(page, "dhatd_stack_live_bytes_high{program=\"service\",pid=\"4711\",stack="
			  "\"keep (src/a.c)\"} 900000");
	assert_null(strstr(exact, "_low"));
	assert_null(strstr(exact, "sample_bytes"));
}

static void test_inexact(void **state)
{
	_cleanup_free_ char *page =
		page_of_snapshot(&(struct built_watch){ .verdict = "inexact" }, two_stacks);

	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"exact\"} 0");
	assert_line(page, "dhatd_verdict{program=\"service\",pid=\"4711\",verdict=\"inexact\"} 1");
}

/* The names of series of one page, of one family, without their figures. */
static char *names_in(const char *page, const char *family)
{
	_cleanup_free_ char *copy = strdup(page);
	char *names = NULL, *rest = copy;
	size_t size;
	FILE *file = open_memstream(&names, &size);

	for (char *line; (line = strsep(&rest, "\n"));)
		if (strncmp(line, family, strlen(family)) == 0 && line[strlen(family)] == '{')
			fprintf(file, "%.*s\n", (int)(strrchr(line, ' ') - line), line);
	fclose(file);
	return names;
}

/* Another build, elsewhere in memory: other lines and addresses. */
static void test_names_stay_after_a_restart(void **state)
{
	static const struct built_stack later[] = {
		BUILT(1, 1, 1, 1, 1, 1, "keep@src/a.c:99", "main@src/main.c:7"),
		BUILT(2, 2, 2, 2, 2, 2, "load@src/login.c:11", "login@src/login.c:44",
		      "handle@src/http.c:6", "main@src/main.c:2"),
		BUILT_END,
	};
	_cleanup_free_ char *page = page_of_snapshot(&(struct built_watch){ 0 }, two_stacks);
	_cleanup_free_ char *again = page_of_snapshot(&(struct built_watch){ 0 }, later);
	_cleanup_free_ char *names = names_in(page, "dhatd_stack_live_bytes");
	_cleanup_free_ char *names_again = names_in(again, "dhatd_stack_live_bytes");

	assert_string_equal(names, names_again);
	assert_null(strstr(names, "0x"));
}

static void test_hostile_names(void **state)
{
	static const struct built_stack hostile[] = {
		BUILT(1, 1, 1, 1, 1, 1, "a\"} 1\nevil{x=\"@src/\xff\\.c:1", "b\r\n@src/b\".c:2"),
		BUILT(2, 1, 1, 1, 1, 1, "operator\"\"_x(char const*)@src/x.c:1"),
		BUILT(3, 1, 1, 1, 1, 1, "f (@src/x.c:1"),
		BUILT(4, 1, 1, 1, 1, 1, " ()@src/x.c:1"),
		BUILT_END,
	};
	_cleanup_free_ char *page = page_of_snapshot(&(struct built_watch){ 0 }, hostile);

	assert_well_formed(page);
	assert_null(strstr(page, "\nevil"));
}

static void test_long_names_are_cut_at_characters(void **state)
{
	char function[1024] = "";
	struct built_stack stacks[] = { BUILT(7, 1, 7, 1, 7, 1, NULL), BUILT_END };
	_cleanup_free_ char *page = NULL;
	const char *begin;

	for (int i = 0; i < 200; i++)
		strcat(function, "\xe2\x82\xac");
	strcat(function, "@src/x.c:1");
	stacks[0].frames[0] = function;
	page = page_of_snapshot(&(struct built_watch){ 0 }, stacks);
	assert_well_formed(page);
	begin = strstr(page, "stack=\"\xe2\x82\xac");
	assert_non_null(begin);
	assert_true(strcspn(begin + 7, "\"") < 2 * STACK_SERIES_CHARS);
}

/* M1, whatever is shown. */
static void test_bound_of_series(void **state)
{
	enum { COUNT = STACK_SERIES_LIVE + 200 };
	struct built_stack *stacks = calloc(COUNT + 1, sizeof(*stacks));
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	_cleanup_(stack_series_deinit) struct stack_series_list series = { 0 };
	uint64_t live = 0, blocks = 0;

	for (int i = 0; i < COUNT; i++) {
		char *name = NULL;

		assert_true(asprintf(&name, "f%03d@src/f.c:1", i) > 0);
		stacks[i] = (struct built_stack)BUILT(1000 + i, 2, 5000, 9, 1, 1, name);
	}
	snapshot = built_snapshot(&(struct built_watch){ 0 }, stacks);
	assert_int_equal(stack_series_of(snapshot, &series), 0);
	assert_int_equal(series.count, STACK_SERIES_LIVE + 1); /* none of them grows */
	assert_string_equal(series.list[0].name, "f219 (src/f.c)");
	assert_string_equal(series.list[series.count - 1].name, STACK_SERIES_OTHERS);
	for (size_t i = 0; i < series.count; i++) {
		live += series.list[i].live_bytes;
		blocks += series.list[i].live_blocks;
	}
	assert_int_equal(live, snapshot->end->totals->live_bytes);
	assert_int_equal(blocks, snapshot->end->totals->live_blocks);
	for (int i = 0; i < COUNT; i++)
		free(without_qualifiers(stacks[i].frames[0]));
	free(stacks);
}

/* A slow leak is not hidden by caches that are larger. */
static void test_growing_stacks_have_places(void **state)
{
	enum { COUNT = STACK_SERIES_LIVE + 1 };
	struct built_stack stacks[COUNT + 1] = { 0 };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	_cleanup_(stack_series_deinit) struct stack_series_list series = { 0 };
	Dhat__PointSlots slots = DHAT__POINT_SLOTS__INIT;
	int64_t lows[] = { 0, 10, 10, 10, 10, 10, 10, 10 };
	char names[COUNT][32];

	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "f%02d@src/f.c:1", i);
		stacks[i] = (struct built_stack)BUILT(i ? 1000 : 70, 1, 5000, 9, 1, 1, names[i]);
	}
	snapshot = built_snapshot(&(struct built_watch){ 0 }, stacks);
	slots.slot_ns = 1000000000;
	slots.count = ARRAY_SIZE(lows);
	((Dhat__SnapshotEnd *)without_qualifiers(snapshot->end))->history = &slots;
	snapshot->points[0]->low_bytes = lows;
	snapshot->points[0]->n_low_bytes = ARRAY_SIZE(lows);
	assert_int_equal(stack_series_of(snapshot, &series), 0);
	((Dhat__SnapshotEnd *)without_qualifiers(snapshot->end))->history = NULL;
	snapshot->points[0]->low_bytes = NULL;
	snapshot->points[0]->n_low_bytes = 0;
	assert_int_equal(series.count, COUNT + 1);
	assert_string_equal(series.list[COUNT - 1].name, "f00 (src/f.c)");
	assert_true(series.list[COUNT - 1].growth > 9.99 && series.list[COUNT - 1].growth < 10.01);
	assert_true(series.growth > 9.99 && series.growth < 10.01);
}

static void test_from_before_the_attach(void **state)
{
	static const struct built_stack stacks[] = {
		BUILT(600, 6, 1000, 10, 700, 7, "load@src/login.c:10"),
		{ .label = DHAT_LABEL_BEFORE, .live_bytes = 44, .live_blocks = 4 },
		BUILT_END,
	};
	_cleanup_free_ char *page = page_of_snapshot(&(struct built_watch){ 0 }, stacks);

	assert_well_formed(page);
	assert_line(page, "dhatd_heap_live_bytes{program=\"service\",pid=\"4711\"} 644");
	assert_line(page, "dhatd_stack_live_bytes{program=\"service\",pid=\"4711\","
			  "stack=\"[allocated before attach]\"} 44");
	assert_line(page, "dhatd_stack_live_bytes{program=\"service\",pid=\"4711\",stack=\"[all "
			  "others]\"} 0");
}

/* Bit by bit it becomes known what was there before: for Prometheus that would be growth. */
static void test_what_is_being_listed_does_not_grow(void **state)
{
	static const struct built_stack stacks[] = {
		BUILT(600, 6, 1000, 10, 700, 7, "load@src/login.c:10"),
		{ .label = DHAT_LABEL_BEFORE, .live_bytes = 44, .live_blocks = 4 },
		BUILT_END,
	};
	_cleanup_free_ char *page =
		page_of_snapshot(&(struct built_watch){ .is_listing = true }, stacks);

	assert_well_formed(page);
	assert_null(strstr(page, "dhatd_heap_live_bytes{"));
	assert_null(strstr(page, "dhatd_heap_live_blocks{"));
	assert_null(strstr(page, "dhatd_heap_peak_bytes{"));
	assert_null(strstr(page, DHAT_LABEL_BEFORE));
	assert_line(page, "dhatd_stack_live_bytes{program=\"service\",pid=\"4711\",stack=\"[all "
			  "others]\"} 0");
	assert_line(page,
		    "dhatd_heap_allocated_bytes_total{program=\"service\",pid=\"4711\"} 1000");
}

/* ---- those that have ended ----------------------------------------------------------------- */

static void add_ended(struct metrics *metrics, uint64_t ended_s_ago, const char *state,
		      uint64_t live)
{
	Dhat__TargetStatus status = DHAT__TARGET_STATUS__INIT;
	Dhat__Target target = DHAT__TARGET__INIT;
	Dhat__Totals totals = DHAT__TOTALS__INIT;
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	char name[16];

	snprintf(name, sizeof(name), "%s", state);
	target.pid = 12;
	target.command = target.executable = "/usr/bin/job";
	target.state = name;
	totals.end_ns = 5000000000;
	totals.live_bytes = live;
	target.observed_since_unix_ns = NOW_NS - ended_s_ago * 1000000000 - totals.end_ns;
	status.target = &target;
	status.totals = &totals;
	status.verdict = &verdict;
	assert_int_equal(metrics_add_status(metrics, &status), 0);
}

static void test_ended(void **state)
{
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };
	_cleanup_free_ char *page = NULL;

	add_ended(&metrics, 100000, "killed", 1);
	add_ended(&metrics, 20, "exited", 33); /* executed the same program again */
	add_ended(&metrics, 10, "exited", 44);
	page = page_of(&metrics);
	assert_well_formed(page);
	assert_line(page, "dhatd_targets 0");
	assert_line(page, "dhatd_ended_live_bytes{program=\"job\",pid=\"12\",state=\"exited\"} 44");
	assert_null(strstr(page, "killed"));
	assert_null(strstr(page, " 33\n"));
	/* no series of theirs goes on */
	assert_null(strstr(page, "dhatd_heap_live_bytes{"));
	assert_null(strstr(page, "dhatd_verdict{"));
	assert_null(strstr(page, "dhatd_target_info{"));
}

static void test_ended_is_over_some_time(void **state)
{
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };
	_cleanup_free_ char *page = NULL;

	add_ended(&metrics, METRICS_ENDED_NS / 1000000000, "exited", 44);
	page = page_of(&metrics);
	assert_null(strstr(page, "dhatd_ended_live_bytes{"));
}

static void test_bound_of_targets(void **state)
{
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };
	_cleanup_free_ char *page = NULL;

	for (uint32_t i = 0; i < METRICS_MAX_TARGETS + 3; i++) {
		_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
			built_snapshot(&(struct built_watch){ .pid = i + 1 }, two_stacks);

		assert_int_equal(metrics_add_snapshot(&metrics, snapshot, 2.5), 0);
	}
	page = page_of(&metrics);
	assert_well_formed(page);
	assert_line(page, "dhatd_targets 256");
	assert_line(page, "dhatd_targets_left_out 3");
}

static void test_sections(void **state)
{
	static const struct search_state list[] = {
		{ .name = "php", .is_searching = true, .left_out = 3, .attached = 16 },
		{ .name = "redis@1" },
	};
	struct metrics metrics = { .now_unix_ns = NOW_NS, .searches = list, .search_count = 2 };
	_cleanup_free_ char *page = page_of(&metrics);

	assert_well_formed(page);
	assert_line(page, "dhatd_watch_searching{watch=\"php\"} 1");
	assert_line(page, "dhatd_watch_processes{watch=\"php\",state=\"attached\"} 16");
	assert_line(page, "dhatd_watch_processes{watch=\"php\",state=\"left_out\"} 3");
	assert_line(page, "dhatd_watch_searching{watch=\"redis@1\"} 0");
}

/* Destinations are told apart by their tenants, too; what is left has a series of its own. */
static void test_pushes(void **state)
{
	struct pusher_state pushes[] = {
		{ .url = "http://p/ingest", .form = "pyroscope", .tenant = "a", .folder = "/f/1" },
		{ .url = "http://p/ingest", .form = "pyroscope", .tenant = "b", .folder = "/f/2" },
		{ .url = "http://p/ingest", .form = "pyroscope", .folder = "/f/3" },
		{ .url = "http://q/ingest", .folder = "/f/4", .state.waiting = 3 },
		{ .url = "http://q/ingest", .folder = "/f/5", .state.waiting = 4 },
	};
	struct metrics metrics = { .pushes = pushes, .push_count = ARRAY_SIZE(pushes) };
	_cleanup_free_ char *page = page_of(&metrics);

	assert_well_formed(page);
	assert_line(page, "dhatd_push_profiles_total{url=\"http://p/ingest\",form=\"pyroscope\","
			  "tenant=\"b\"} 0");
	assert_line(page, "dhatd_push_left_profiles{url=\"http://q/ingest\",folder=\"/f/4\"} 3");
	assert_null(strstr(page, "dhatd_push_waiting_profiles{url=\"http://q"));
}

/* Where it is stands at one series, which others are joined with. */
static void test_where_it_is(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot =
		built_snapshot(&(struct built_watch){ 0 }, two_stacks);
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };
	Dhat__Container container = DHAT__CONTAINER__INIT;
	char id[] = "3f2a", pod[] = "0a1b-2c", unit[] = "web@1.service", *no_unit;
	Dhat__Target *target = snapshot->head->target;
	_cleanup_free_ char *page = NULL;

	container.id = id;
	container.pod = pod;
	target->container = &container;
	no_unit = target->unit;
	target->unit = unit;
	assert_int_equal(metrics_add_snapshot(&metrics, snapshot, 2.5), 0);
	target->container = NULL;
	target->unit = no_unit;
	page = page_of(&metrics);
	assert_well_formed(page);
	assert_line(page, "dhatd_target_info{program=\"service\",pid=\"4711\",executable=\"/usr/"
			  "bin/service\",allocators=\"\",container_id=\"3f2a\",pod_uid=\"0a1b-2c\","
			  "unit=\"web@1.service\"} 1");
	assert_line(page, "dhatd_heap_live_bytes{program=\"service\",pid=\"4711\"} 650");
}

static void test_nobody(void **state)
{
	_cleanup_(metrics_deinit) struct metrics metrics = { .now_unix_ns = NOW_NS };
	_cleanup_free_ char *page = page_of(&metrics);

	assert_well_formed(page);
	assert_line(page, "dhatd_targets 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_sampled),
		cmocka_unit_test(test_inexact),
		cmocka_unit_test(test_names_stay_after_a_restart),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_long_names_are_cut_at_characters),
		cmocka_unit_test(test_bound_of_series),
		cmocka_unit_test(test_growing_stacks_have_places),
		cmocka_unit_test(test_from_before_the_attach),
		cmocka_unit_test(test_what_is_being_listed_does_not_grow),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_ended_is_over_some_time),
		cmocka_unit_test(test_bound_of_targets),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_pushes),
		cmocka_unit_test(test_where_it_is),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
