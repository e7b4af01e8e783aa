/* Profiles of other programs, and files that are none: a real one of Valgrind's, and what is wrong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/import/import.h"
#include "proto/import/json_text.h"
#include "proto/profile/verdict.h"

static int import_bytes(const char *bytes, size_t size, struct dhat_snapshot **ret,
			struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = tmpfile();

	*ret = NULL;
	*err = (struct dhat_error){ 0 };
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	rewind(file);
	return dhat_import(file, "x.json", ret, err);
}

static void assert_refused(const char *text, const char *said)
{
	struct dhat_snapshot *snapshot;
	struct dhat_error err;

	assert_int_equal(import_bytes(text, strlen(text), &snapshot, &err), -EBADMSG);
	assert_null(snapshot);
	assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	if (!strstr(err.message, said))
		fail_msg("%s: \"%s\", not \"%s\"", text, err.message, said);
}

static const char *function_of(const struct dhat_snapshot *snapshot, size_t point, size_t frame)
{
	return snapshot->frames[snapshot->points[point]->frames[frame] - 1]->locations[0]->function;
}

/* valgrind --tool=dhat (3.19.0) on a program that allocates 4000 bytes, 100 times 50 that it frees,
 * and 7. */
static void test_valgrind(void **state)
{
	_cleanup_fclose_ FILE *file = fopen("tests/golden/valgrind.dhat.json", "re");
	struct dhat_error err = { 0 };
	struct dhat_snapshot *snapshot = NULL;
	const Dhat__Totals *totals;

	assert_non_null(file);
	assert_int_equal(dhat_import(file, "valgrind.dhat.json", &snapshot, &err), 0);
	totals = snapshot->end->totals;
	assert_int_equal(totals->total_bytes, 4000 + 100 * 50 + 7);
	assert_int_equal(totals->total_blocks, 102);
	assert_int_equal(totals->peak_bytes, 4050);
	assert_int_equal(totals->live_bytes, 4007);
	assert_int_equal(totals->live_blocks, 2);
	assert_int_equal(totals->stack_count, 3);
	/* instructions are no time */
	assert_int_equal(totals->end_ns, 0);
	assert_int_equal(snapshot->head->target->observed_ns, 0);
	assert_int_equal(snapshot->points[0]->lifetimes_us, 0);
	assert_string_equal(snapshot->head->target->command, "./leak");
	/* malloc itself is no caller of it */
	assert_int_equal(snapshot->points[0]->n_frames, 2);
	assert_string_equal(function_of(snapshot, 0, 0), "mk");
	assert_string_equal(function_of(snapshot, 0, 1), "main");
	assert_int_equal(dhat_verdict_of(snapshot->end->verdict), DHAT_NOT_KNOWN);
	assert_false(snapshot->end->verdict->exact);
	assert_non_null(strstr(snapshot->lacks, "Valgrind"));
	assert_non_null(strstr(snapshot->lacks, "verdict"));
	dhat_snapshot_free(snapshot);
}

#define BEGIN                                                                                      \
	"{\"dhatFileVersion\":2,\"mode\":\"rust-heap\",\"bklt\":true,\"tu\":\"µs\",\"te\":5000,"  \
	"\"tg\":1000,\"cmd\":\"p\",\"pid\":7,"
#define TABLE "\"ftbl\":[\"[root]\",\"0x1: f (a.rs:1:2)\",\"[mmap]\"]}\n"

/* What dhat-rs writes, as far as it differs. */
static void test_dhat_rs(void **state)
{
	static const char text[] =
		BEGIN "\"pps\":[{\"tb\":8,\"tbk\":2,\"tl\":90,\"mb\":8,\"mbk\":2,\"gb\":8,"
		      "\"gbk\":2,\"eb\":4,\"ebk\":1,\"fs\":[1,2]}]," TABLE;
	struct dhat_snapshot *snapshot;
	struct dhat_error err;

	assert_int_equal(import_bytes(text, strlen(text), &snapshot, &err), 0);
	assert_int_equal(snapshot->end->totals->end_ns, 5000000);
	assert_int_equal(snapshot->end->totals->peak_ns, 1000000);
	assert_int_equal(snapshot->points[0]->lifetimes_us, 90);
	/* dhatctl's notes are notes in dhatctl's files only */
	assert_int_equal(snapshot->points[0]->n_frames, 2);
	assert_string_equal(snapshot->points[0]->kind, "");
	assert_null(strstr(snapshot->lacks, "Valgrind"));
	dhat_snapshot_free(snapshot);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "{", "cut short" },
		{ "{}", "no dhatFileVersion" },
		{ "{} {}", "not JSON" },
		{ "{\"a\":nonsense}", "not JSON" },
		{ "{\"dhatd_baseline\":1}", "no dhatFileVersion" },
		{ "{\"dhatFileVersion\":3}", "another version" },
		{ "{\"dhatFileVersion\":\"2\"}", "another version" },
		{ "{\"dhatFileVersion\":2,\"mode\":\"ad-hoc\"}", "mode \"ad-hoc\" counts events" },
		{ "{\"dhatFileVersion\":2,\"mode\":\"copy\"}", "mode \"copy\" counts events" },
		{ "{\"dhatFileVersion\":2,\"mode\":\"rust-ad-hoc\"}", "counts events" },
		{ "{\"dhatFileVersion\":2,\"mode\":\"heap\",\"bklt\":false}", "lifetimes" },
		{ BEGIN "\"pps\":[]}", "without program points" },
		{ BEGIN "\"pps\":{}," TABLE, "without program points" },
		{ BEGIN "\"pps\":[{\"tb\":-8,\"fs\":[1]}]," TABLE, "negative" },
		{ BEGIN "\"pps\":[{\"tb\":1.5,\"fs\":[1]}]," TABLE, "no number" },
		{ BEGIN "\"pps\":[{\"tb\":\"1\",\"fs\":[1]}]," TABLE, "no number" },
		{ BEGIN "\"pps\":[{\"fs\":[3]}]," TABLE, "lacks its stack" },
		{ BEGIN "\"pps\":[{\"fs\":[-1]}]," TABLE, "lacks its stack" },
		{ BEGIN "\"pps\":[{}]," TABLE, "lacks its stack" },
		{ BEGIN "\"pps\":[null]," TABLE, "lacks its stack" },
		{ BEGIN "\"pps\":[],\"ftbl\":[\"[root]\",7]}", "no text" },
		{ BEGIN "\"pps\":[],\"ftbl\":[\"[root]\",null]}", "no text" },
		{ BEGIN "\"te\":-1,\"pps\":[]," TABLE, "cannot be there" },
		{ BEGIN "\"tg\":6000,\"pps\":[]," TABLE, "cannot be there" },
		{ BEGIN "\"te\":18446744073709551615,\"pps\":[]," TABLE, "cannot be there" },
		{ BEGIN "\"dhatd\":{},\"pps\":[]," TABLE, "format 0" },
		{ BEGIN "\"dhatd\":{\"format_version\":1},\"pps\":[]," TABLE, "which process" },
		{ BEGIN "\"dhatd\":{\"format_version\":-1},\"pps\":[]," TABLE, "cannot be there" },
		{ BEGIN "\"dhatd\":{\"target\":[]},\"pps\":[]," TABLE, "cannot be there" },
		{ BEGIN
		  "\"dhatd\":{\"format_version\":1,\"target\":{},\"notes\":[1]},\"pps\":[]," TABLE,
		  "cannot be there" },
		{ "[", "nor DHAT JSON" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].text, cases[i].said);
}

#define TOTALS                                                                                     \
	"{\"type\":\"totals\",\"pid\":7,\"executable\":\"/"                                        \
	"x\",\"verdict\":\"exact\",\"observed_ns\":9,"                                             \
	"\"reasons\":[],\"points\":1}\n"
#define POINT "{\"type\":\"point\",\"live_bytes\":5,\"stack\":[\"f (a.c:1)\",\"[no stack]\"]}\n"

static void test_json_lines(void **state)
{
	static const char text[] = TOTALS POINT;
	struct dhat_snapshot *snapshot;
	struct dhat_error err;

	assert_int_equal(import_bytes(text, strlen(text), &snapshot, &err), 0);
	assert_int_equal(snapshot->point_count, 1);
	assert_int_equal(snapshot->points[0]->live_bytes, 5);
	assert_int_equal(snapshot->points[0]->n_frames, 1);
	assert_string_equal(function_of(snapshot, 0, 0), "f");
	assert_int_equal(dhat_verdict_of(snapshot->end->verdict), DHAT_EXACT);
	dhat_snapshot_free(snapshot);
}

static void test_refused_lines(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ TOTALS, "cut short" },
		{ TOTALS POINT POINT, "more points" },
		{ TOTALS "{\"type\":\"point\",\"sta", "cut short" },
		{ POINT TOTALS, "has to come first" },
		{ TOTALS POINT TOTALS, "more than one profile" },
		{ "{\"type\":\"difference\"}\n", "difference" },
		{ TOTALS "{\"type\":\"change\"}\n", "difference" },
		{ TOTALS "{\"type\":\"pod\"}\n", "neither" },
		{ TOTALS "[]\n", "neither" },
		{ TOTALS "{\"type\":\"point\"}\n", "lacks its stack" },
		{ TOTALS "{\"type\":\"point\",\"stack\":[7]}\n", "lacks its stack" },
		{ TOTALS "{\"type\":\"point\",\"stack\":[\"\"]}\n", "lacks its stack" },
		{ TOTALS "{\"type\":\"point\",\"live_bytes\":-1,\"stack\":[]}\n", "negative" },
		{ TOTALS "{\"type\":\"point\",\"live_bytes\":\"1\",\"stack\":[]}\n", "no number" },
		{ "{\"type\":\"totals\",\"points\":0,\"verdict\":\"fine\"}\n", "no number" },
		{ "{\"type\":\"totals\",\"points\":0,\"verdict\":\"exact\",\"pid\":-1}\n",
		  "negative" },
		{ "{\"type\":\"totals\",\"points\":0,\"verdict\":\"exact\",\"peak_ns\":1}\n",
		  "no number" },
		{ "{\"type\":\"totals\",\"points\":0,\"verdict\":\"exact\",\"live_bytes\":-1}\n",
		  "negative" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].text, cases[i].said);
}

#define STATS(totals, points, more)                                                                \
	"{\"format_version\":1,\"target\":{\"pid\":7,\"executable\":\"/x\",\"observed_ns\":9},"    \
	"\"marks\":[{\"name\":\"m\"}],\"history\":{\"count\":3},\"threads\":[\"t\"],"              \
	"\"totals\":" totals ",\"verdict\":{\"exact\":true,\"word\":\"exact\"},"                   \
	"\"before_attach\":{\"live_bytes\":30,\"live_blocks\":3,\"peak_bytes\":0,"                 \
	"\"peak_blocks\":0},\"left_out\":[],\"points\":[" points "]" more "}"
#define STATS_TOTALS "{\"total_bytes\":100,\"total_blocks\":10,\"live_bytes\":90,\"live_blocks\":9}"
#define STATS_POINT                                                                                \
	"{\"total_bytes\":60,\"total_blocks\":6,\"live_bytes\":50,\"live_blocks\":5,"              \
	"\"first_ns\":null,\"low_bytes\":[1,2],\"label\":\"\",\"kind\":\"\",\"stop\":"             \
	"\"complete\","                                                                            \
	"\"frames\":[{\"address\":16,\"locations\":[{\"function\":\"f\",\"file\":\"a.c\","         \
	"\"line\":1}]},"                                                                           \
	"{\"address\":32,\"object\":\"/x\"},{\"address\":32,\"object\":\"/x\"}]}"
#define BY_STACK ",\"by\":\"stack\""

/* What `stats --json' has printed: what it does not list is one point, and no sum is another. */
static void test_stats(void **state)
{
	static const char text[] = STATS(STATS_TOTALS, STATS_POINT, BY_STACK);
	struct dhat_snapshot *snapshot;
	struct dhat_error err;

	if (import_bytes(text, strlen(text), &snapshot, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(snapshot->point_count, 3);
	assert_int_equal(snapshot->frame_count, 2);
	assert_int_equal(snapshot->points[0]->live_bytes, 50);
	assert_int_equal(snapshot->points[0]->n_frames, 3);
	assert_int_equal(snapshot->points[0]->frames[2], 2);
	assert_string_equal(function_of(snapshot, 0, 0), "f");
	assert_true(dhat_point_is_before(snapshot->points[1]));
	assert_int_equal(snapshot->points[1]->live_bytes, 30);
	assert_string_equal(snapshot->points[2]->label, DHAT_LABEL_NOT_LISTED);
	assert_int_equal(snapshot->points[2]->live_bytes, 10);
	assert_int_equal(snapshot->points[2]->live_blocks, 1);
	assert_int_equal(snapshot->points[2]->total_bytes, 40);
	assert_false(dhat_snapshot_lists_all(snapshot));
	assert_int_equal(snapshot->head->n_marks + snapshot->head->n_threads, 0);
	assert_null(snapshot->end->history);
	assert_int_equal(dhat_verdict_of(snapshot->end->verdict), DHAT_EXACT);
	assert_non_null(strstr(snapshot->lacks, "does not list"));
	dhat_snapshot_free(snapshot);
}

static void test_refused_stats(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "{\"points\":[],\"left_out\":[]}", "has no stacks" },
		{ STATS(STATS_TOTALS, "", ",\"by\":\"line\""), "--by line" },
		{ STATS("{}", STATS_POINT, BY_STACK), "greater than the whole" },
		{ STATS(STATS_TOTALS, "7", BY_STACK), "missing" },
		{ STATS(STATS_TOTALS, "{\"live_bytes\":1}", BY_STACK), "missing" },
		{ STATS(STATS_TOTALS, "{\"frames\":[7]}", BY_STACK), "missing" },
		{ STATS(STATS_TOTALS, "{\"frames\":[],\"live_bytes\":-1}", BY_STACK), "missing" },
		{ "{\"points\":[],\"left_out\":[],\"by\":\"stack\"}", "missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].text, cases[i].said);
}

/* `count` times `unit` in an array */
static char *repeated(const char *unit, size_t count)
{
	size_t length = strlen(unit);
	char *text = malloc(count * length + 16);

	assert_non_null(text);
	strcpy(text, "{\"a\":[");
	for (size_t i = 0; i < count; i++)
		memcpy(text + 6 + i * length, unit, length);
	strcpy(text + 6 + count * length, "0]}");
	return text;
}

static void test_bounds(void **state)
{
	_cleanup_free_ char *deep = repeated("[", 100000);
	/* 6 MB that would be 2.3 GiB as a tree */
	_cleanup_free_ char *wide = repeated("[],", 2100000);
	/* brackets in texts weigh nothing */
	_cleanup_free_ char *quoted = repeated("\"[[[[\\\"[[[[[[[[[[[[[[[[[\",", 200000);

	/* 18 MB that would be 2.2 GiB as frames */
	_cleanup_free_ char *frames = repeated("\"\",", 6200000);

	assert_refused(frames, "2 GiB");
	assert_refused(deep, "not JSON");
	assert_refused(wide, "2 GiB");
	assert_refused(quoted, "no dhatFileVersion");
}

/* Each line alone is small. */
static void test_bound_of_lines(void **state)
{
	enum { COUNT = 1500000 };
	static const char line[] = "{\"type\":\"point\",\"stack\":[]}\n";
	_cleanup_free_ char *text = malloc(COUNT * strlen(line) + 1);

	assert_non_null(text);
	for (size_t i = 0; i < COUNT; i++)
		strcpy(text + i * strlen(line), line);
	assert_refused(text, "2 GiB");
}

/* Sums of a file that lies stay at the largest number. */
static void test_sums_do_not_wrap(void **state)
{
	static const char text[] = BEGIN "\"pps\":[{\"eb\":18446744073709551615,\"fs\":[1]},"
					 "{\"eb\":2,\"fs\":[1]}]," TABLE;
	struct dhat_snapshot *snapshot;
	struct dhat_error err;

	assert_int_equal(import_bytes(text, strlen(text), &snapshot, &err), 0);
	assert_true(snapshot->end->totals->live_bytes == UINT64_MAX);
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valgrind),	 cmocka_unit_test(test_dhat_rs),
		cmocka_unit_test(test_refusals),	 cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_sums_do_not_wrap), cmocka_unit_test(test_json_lines),
		cmocka_unit_test(test_refused_lines),	 cmocka_unit_test(test_stats),
		cmocka_unit_test(test_refused_stats),	 cmocka_unit_test(test_bound_of_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
