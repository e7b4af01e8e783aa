/* What became of assertions, as people, Jenkins and GitHub read it; names are anybody's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/export/gate.h"
#include "proto/profile/redact.h"
#include "tests/unit/built_snapshot.h"

/* a name that would end an attribute, an element, an order and a line */
#define EVIL "Map<int, \"x\">::add(T&)\n::error::'%,\xff\xef\xbf\xbf"

static const struct built_stack stacks[] = {
	BUILT(2048, 2, 4096, 4, 2048, 2, EVIL "@/repo/src/map.cc:12", "main@/repo/src/main.cc:5"),
	BUILT(1000, 1, 1000, 1, 1000, 1, "load@./src/load.cc:7", "load@./src/load.cc:7",
	      "main@/repo/src/main.cc:6"),
	BUILT(1, 1, 1, 1, 1, 1, "@/lib/libplugin.so.1"),
	{ .label = DHAT_LABEL_BEFORE, .live_bytes = 7777, .live_blocks = 7 },
	BUILT_END,
};

struct report {
	struct dhat_gate gate;
	FILE *file;
	char *text;
	size_t size;
};

static void report_begin(struct report *report, const char *const *assertions, const char *verdict)
{
	*report = (struct report){ 0 };
	for (; *assertions; assertions++)
		assert_int_equal(dhat_gate_add(&report->gate, *assertions, "test"), 0);
	assert_int_equal(dhat_gate_prepare(&report->gate, NULL), 0);
	assert_int_equal(
		dhat_gate_judge(&report->gate,
				built_snapshot(&(struct built_watch){ .verdict = verdict }, stacks),
				NULL),
		0);
	report->file = open_memstream(&report->text, &report->size);
}

static void report_end(struct report *report)
{
	dhat_gate_deinit(&report->gate);
	free(report->text);
}

static const char *const two[] = { "live.bytes < 1k", "total.blocks == 6", NULL };

static void test_text(void **state)
{
	static const char expected[] =
		"Judged: service (pid 4711), watched from its start for 1 min 0 s\n"
		"  FAILS live.bytes < 1k: 3.0 KiB (3,049 bytes)\n"
		"        1. 2.0 KiB (2,048 bytes) live in Map<int, "
		"\"x\">::add(T&)?::error::'%,\xef\xbf\xbd"
		"\xef\xbf\xbf at src/map.cc:12\n"
		"           called by main at src/main.cc:5\n"
		"        2. 1,000 bytes live in load at src/load.cc:7\n"
		"           called by main at src/main.cc:6\n"
		"        3. 1 byte live in ??? at libplugin.so.1+0x";
	struct report report;

	report_begin(&report, two, NULL);
	judged_print(&(struct screen){ .file = report.file }, report.gate.judgements[0]);
	fclose(report.file);
	if (strncmp(report.text, expected, strlen(expected)))
		assert_string_equal(report.text, expected);
	assert_non_null(strstr(report.text, "\n  ok    total.blocks == 6: 6 blocks\n"));
	assert_non_null(strstr(report.text,
			       "\n  Note: 7.6 KiB (7,777 bytes) in 7 blocks from before "
			       "the attach: not counted\n"));
	assert_non_null(strstr(report.text, "\n1 of 2 assertions does not hold\n"));
	report_end(&report);
}

static void test_deep_stacks(void **state)
{
	const struct built_stack deep[] = {
		BUILT(5, 1, 5, 1, 5, 1, "f1@a.c:1", "f2@a.c:2", "f3@a.c:3", "f4@a.c:4", "f5@a.c:5",
		      "f6@a.c:6", "f7@a.c:7", "f8@a.c:8", "f9@a.c:9", "f10@a.c:10", "f11@a.c:11"),
		BUILT_END
	};
	struct dhat_gate gate = { 0 };
	_cleanup_free_ char *text = NULL;

	assert_int_equal(dhat_gate_add(&gate, "live.bytes == 0", "test"), 0);
	assert_int_equal(
		dhat_gate_judge(&gate, built_snapshot(&(struct built_watch){ 0 }, deep), NULL), 0);
	text = judged_guilty(gate.judgements[0], &gate.judgements[0]->rulings[0], 0, true);
	assert_non_null(strstr(text, "\ncalled by f10 at a.c:10\ncalled by others (see"));
	assert_null(strstr(text, "f11"));
	dhat_gate_deinit(&gate);
}

/* No line is an order, whatever a target calls its functions. */
static void test_lines_begin_with_ours(void **state)
{
	static const char *const all[] = { "live.bytes == 0", "total.blocks == 0",
					   "peak.blocks == 0", NULL };
	struct report report;
	char *rest, *line;

	report_begin(&report, all, "inexact");
	judged_print(&(struct screen){ .file = report.file, .width = 40 },
		     report.gate.judgements[0]);
	fclose(report.file);
	rest = report.text;
	while ((line = strsep(&rest, "\n")))
		assert_int_not_equal(strncmp(line + strspn(line, " "), "::", 2), 0);
	report_end(&report);
}

static void test_junit(void **state)
{
	static const char expected[] =
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
		"  <testsuite name=\"dhatd.service\" tests=\"3\" failures=\"1\" errors=\"1\" "
		"skipped=\"0\" time=\"60.000\">\n"
		"    <testcase classname=\"dhatd.service\" name=\"the numbers can be trusted\">\n"
		"      <error type=\"verdict\" message=\"the numbers are partial: 3 events were "
		"lost\">the numbers are partial: 3 events were lost</error>\n    </testcase>\n"
		"    <testcase classname=\"dhatd.service\" name=\"live.bytes &lt; 1k\">\n"
		"      <failure type=\"assertion\" message=\"live.bytes &lt; 1k: 3.0 KiB (3,049 "
		"bytes)\">live.bytes &lt; 1k: 3.0 KiB (3,049 bytes)\n\n"
		"1. 2.0 KiB (2,048 bytes) live in Map&lt;int, "
		"&quot;x&quot;&gt;::add(T&amp;)?::error::&apos;%,"
		"\xef\xbf\xbd? at src/map.cc:12\ncalled by main at src/main.cc:5\n\n2. ";
	struct report report;

	report_begin(&report, two, "partial");
	assert_int_equal(judged_junit(report.file, report.gate.judgements, 1), 0);
	fclose(report.file);
	if (strncmp(report.text, expected, strlen(expected)))
		assert_string_equal(report.text, expected);
	assert_non_null(strstr(report.text, "</failure>\n    </testcase>\n    <testcase "
					    "classname=\"dhatd.service\" name=\"total.blocks == "
					    "6\"/>\n  </testsuite>\n</testsuites>\n"));
	report_end(&report);
}

static void test_github(void **state)
{
	static const char *const names[] = { "stack(/load/).live.bytes == 0", "live.bytes == 0",
					     "stack(/no_such/).live.bytes == 1", NULL };
	static const char expected[] =
		"::error title=dhatd::the numbers are inexact: 3 events were lost\n"
		"::error file=src/load.cc,line=7,title=stack(/load/).live.bytes == 0::"
		"stack(/load/).live.bytes == 0: 1,000 bytes%0A1,000 bytes live in load at "
		"src/load.cc:7\n"
		"::error file=src/map.cc,line=12,title=live.bytes == 0::live.bytes == 0: 3.0 KiB "
		"(3,049 bytes)%0A2.0 KiB (2,048 bytes) live in Map<int, "
		"\"x\">::add(T&)?::error::'%25,"
		"\xef\xbf\xbd\xef\xbf\xbf at src/map.cc:12%0A1,000 bytes live in load at "
		"src/load.cc:7%0A1 byte live in ??? at libplugin.so.1+0x";
	struct report report;

	report_begin(&report, names, "inexact");
	judged_github(report.file, report.gate.judgements[0], "/repo/");
	fclose(report.file);
	if (strncmp(report.text, expected, strlen(expected)))
		assert_string_equal(report.text, expected);
	assert_non_null(strstr(report.text,
			       "\n::error title=stack(/no_such/).live.bytes == 1::stack(/no_such/)."
			       "live.bytes == 1: 0 bytes; no stack has a name that matches\n"));
	report_end(&report);
	/* of another repository: as it is */
	report_begin(&report, names, NULL);
	judged_github(report.file, report.gate.judgements[0], "/rep");
	fclose(report.file);
	assert_non_null(strstr(report.text, "file=/repo/src/map.cc,line=12,"));
	report_end(&report);
}

static void test_codes(void **state)
{
	static const char *const holds[] = { "total.blocks == 6", NULL };
	static const struct {
		const char *const *assertions;
		const char *verdict;
		bool may_be_partial;
		enum dhat_exit code;
	} cases[] = {
		{ holds, NULL, false, DHAT_EXIT_OK },
		{ two, NULL, false, DHAT_EXIT_ASSERTION },
		{ holds, "partial", false, DHAT_EXIT_INEXACT },
		{ holds, "partial", true, DHAT_EXIT_OK },
		{ two, "partial", true, DHAT_EXIT_ASSERTION },
		{ two, "inexact", true, DHAT_EXIT_INEXACT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum dhat_exit code = DHAT_EXIT_FAILED;
		struct dhat_gate gate = { .may_be_partial = cases[i].may_be_partial };
		_cleanup_fclose_ FILE *file = tmpfile();

		for (const char *const *text = cases[i].assertions; *text; text++)
			assert_int_equal(dhat_gate_add(&gate, *text, "test"), 0);
		assert_int_equal(
			dhat_gate_judge(
				&gate,
				built_snapshot(&(struct built_watch){ .verdict = cases[i].verdict },
					       stacks),
				NULL),
			0);
		assert_int_equal(dhat_gate_finish(&gate, file, i % 2, "test", &code, NULL), 0);
		assert_int_equal(code, cases[i].code);
		dhat_gate_deinit(&gate);
	}
}

static void test_prepare(void **state)
{
	static const struct {
		const char *assertion, *baseline, *junit, *why;
		enum dhat_exit code;
	} cases[] = {
		{ NULL, NULL, NULL, "which condition?", DHAT_EXIT_USAGE },
		{ "growth == 0", NULL, NULL, "against which baseline?", DHAT_EXIT_USAGE },
		{ "live.bytes <= baseline", NULL, NULL, "against which baseline?",
		  DHAT_EXIT_USAGE },
		{ "growth == 0", "/no/such/file", NULL, "cannot read /no/such/file",
		  DHAT_EXIT_BAD_FILE },
		{ "growth == 0", "/dev/null", NULL, "not a baseline", DHAT_EXIT_BAD_FILE },
		{ "live.bytes == 0", NULL, "/no/such/folder/x.xml", "/no/such/folder",
		  DHAT_EXIT_OUTPUT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_gate gate = { .baseline_path = cases[i].baseline,
					  .junit_path = cases[i].junit };
		struct dhat_error err = { 0 };

		if (cases[i].assertion)
			assert_int_equal(dhat_gate_add(&gate, cases[i].assertion, "test"), 0);
		assert_true(dhat_gate_prepare(&gate, &err) < 0);
		if (!strstr(err.message, cases[i].why) || (int)err.code != (int)cases[i].code)
			fail_msg("case %zu: %d, %s", i, err.code, err.message);
		dhat_gate_deinit(&gate);
	}
}

/* A condition on names, where there are none: no success, and no failure of the program's. */
static void test_undecided(void **state)
{
	static const char said[] = "stack(/parse_/).live.bytes == 0: cannot be decided: names were "
				   "left out (export --redact), and no stack can be matched";
	struct dhat_snapshot *snapshot = built_snapshot(&(struct built_watch){ 0 }, stacks);
	enum dhat_exit code = DHAT_EXIT_OK;
	struct dhat_gate gate = { .may_be_inexact = true };
	struct report report = { 0 };
	_cleanup_free_ char *expected = NULL;

	assert_int_equal(dhat_redact(snapshot), 0);
	assert_int_equal(dhat_gate_add(&gate, "stack(/parse_/).live.bytes == 0", "test"), 0);
	assert_int_equal(dhat_gate_judge(&gate, snapshot, NULL), 0);
	report.file = open_memstream(&report.text, &report.size);
	assert_int_equal(dhat_gate_finish(&gate, report.file, false, "test", &code, NULL), 0);
	assert_int_equal(code, DHAT_EXIT_INEXACT);
	assert_int_equal(judged_junit(report.file, gate.judgements, 1), 0);
	fclose(report.file);
	assert_true(asprintf(&expected, "  FAILS %s\n", said) > 0);
	assert_non_null(strstr(report.text, expected));
	assert_non_null(strstr(report.text, "\n1 of 1 assertion cannot be decided\n"));
	assert_null(strstr(report.text, "not hold"));
	assert_non_null(strstr(report.text, "tests=\"2\" failures=\"0\" errors=\"1\""));
	assert_non_null(strstr(report.text, "<error type=\"undecided\" message=\"stack("));
	free(report.text);
	dhat_gate_deinit(&gate);
}

/* One file that cannot be written is no reason not to write the other. */
static void test_all_outputs_are_tried(void **state)
{
	char folder[] = "/tmp/dhat-gate-XXXXXX", baseline[64], moved[64];
	enum dhat_exit code = DHAT_EXIT_FAILED;
	struct dhat_gate gate = { .junit_path = "/no/such/folder/x.xml",
				  .new_baseline_path = baseline };
	struct dhat_error err = { 0 };
	_cleanup_fclose_ FILE *file = tmpfile();

	assert_non_null(mkdtemp(folder));
	snprintf(baseline, sizeof(baseline), "%s/base.json", folder);
	assert_int_equal(dhat_gate_add(&gate, "live.bytes >= 0", "test"), 0);
	assert_int_equal(
		dhat_gate_judge(&gate, built_snapshot(&(struct built_watch){ 0 }, stacks), NULL),
		0);
	assert_true(dhat_gate_finish(&gate, file, false, "test", &code, &err) < 0);
	assert_non_null(strstr(err.message, "/no/such/folder"));
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	assert_int_equal(unlink(baseline), 0);
	/* nor of both: the first is handed on, the second said */
	err = (struct dhat_error){ 0 };
	snprintf(moved, sizeof(moved), "%s/none/base.json", folder);
	gate.new_baseline_path = moved;
	assert_true(dhat_gate_finish(&gate, file, false, "test", &code, &err) < 0);
	assert_non_null(strstr(err.message, "/no/such/folder"));
	assert_int_equal(code, DHAT_EXIT_FAILED);
	assert_int_equal(rmdir(folder), 0);
	dhat_gate_deinit(&gate);
}

/* Of two programs: told, and judged all the same. */
static void test_another_program(void **state)
{
	static const char baseline[] =
		"{\"dhatd_baseline\": 1, \"program\": \"%s\", \"verdict\": \"exact\", \"totals\": "
		"{\"live_bytes\": 1, \"live_blocks\": 1, \"peak_bytes\": 1, \"peak_blocks\": 1, "
		"\"total_bytes\": 1, \"total_blocks\": 100}, \"stacks\": []}";
	static const char *const programs[] = { "service", "other" };

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		char path[] = "/tmp/dhat-baseline-XXXXXX", text[4096] = "";
		struct dhat_gate gate = { .baseline_path = path };
		enum dhat_exit code = DHAT_EXIT_FAILED;
		_cleanup_fclose_ FILE *file = tmpfile();
		int fd = mkstemp(path);

		assert_true(dprintf(fd, baseline, programs[i]) > 0);
		close(fd);
		assert_int_equal(dhat_gate_add(&gate, "total.blocks <= baseline", "test"), 0);
		assert_int_equal(dhat_gate_prepare(&gate, NULL), 0);
		unlink(path);
		assert_int_equal(dhat_gate_judge(&gate,
						 built_snapshot(&(struct built_watch){ 0 }, stacks),
						 NULL),
				 0);
		assert_int_equal(dhat_gate_finish(&gate, file, false, "test", &code, NULL), 0);
		assert_int_equal(code, DHAT_EXIT_OK);
		rewind(file);
		assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
		assert_int_equal(strstr(text, "is of another program, other") != NULL, i == 1);
		dhat_gate_deinit(&gate);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_deep_stacks),
		cmocka_unit_test(test_lines_begin_with_ours),
		cmocka_unit_test(test_junit),
		cmocka_unit_test(test_github),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_another_program),
		cmocka_unit_test(test_undecided),
		cmocka_unit_test(test_all_outputs_are_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
