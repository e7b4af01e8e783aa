/* Digests, baselines and judgements: by names, whatever the addresses and lines. */
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
#include "proto/profile/baseline.h"
#include "proto/profile/judgement.h"
#include "proto/profile/redact.h"
#include "tests/unit/built_snapshot.h"

#define PARSE "parse_line@/src/app/parse.c:10"
#define MAIN "main@/src/app/main.c:5"
#define LIBC "@/lib/libc.so.6"

static const struct built_stack before_stacks[] = {
	BUILT(100, 1, 1000, 10, 200, 2, PARSE, MAIN, LIBC),
	BUILT(4096, 4, 8192, 8, 4096, 4, "add@/src/app/cache.c:7", MAIN),
	BUILT(50, 1, 50, 1, 50, 1, "@/lib/libplugin.so.1", MAIN),
	{ .label = DHAT_LABEL_BEFORE,
	  .live_bytes = 7777,
	  .live_blocks = 7,
	  .peak_bytes = 7777,
	  .peak_blocks = 7 },
	BUILT_END,
};
/* a build later: other lines, a recursion, another way through the C library, one function more */
static const struct built_stack after_stacks[] = {
	BUILT(150, 2, 1500, 15, 300, 3, "parse_line@/src/app/parse.c:12",
	      "parse_line@/src/app/parse.c:14", "main@/src/app/main.c:6", LIBC),
	BUILT(50, 1, 50, 1, 50, 1, "parse_line@/src/app/parse.c:30", "getline@/lib/libc.so.6",
	      "main@/src/app/main.c:6"),
	BUILT(4096, 4, 8192, 8, 4096, 4, "add@/src/app/cache.c:9", "main@/src/app/main.c:6"),
	BUILT(1024, 1, 1024, 1, 0, 0, "parse_all@/src/app/parse.c:50", "main@/src/app/main.c:6"),
	BUILT(0, 0, 64, 1, 64, 1, "init@/src/app/init.c:1", "main@/src/app/main.c:4"),
	BUILT_END,
};

static struct dhat_digest *digest_of(struct dhat_snapshot *snapshot)
{
	struct dhat_filter filter = { 0 };
	struct dhat_digest *digest = NULL;

	assert_int_equal(dhat_digest_of(snapshot, &filter, &digest), 0);
	return digest;
}

static struct dhat_snapshot *built(const struct built_stack *stacks, const char *verdict)
{
	return built_snapshot(&(struct built_watch){ .verdict = verdict }, stacks);
}

static void expect_row(const struct dhat_digest_row *row, const char *names, uint64_t live_bytes,
		       uint64_t total_blocks)
{
	char joined[512] = "";

	for (size_t i = 0; i < row->name_count; i++)
		snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
			 i ? " < " : "", row->names[i]);
	assert_string_equal(joined, names);
	assert_int_equal(row->figures[DHAT_LIVE_BYTES], live_bytes);
	assert_int_equal(row->figures[DHAT_TOTAL_BLOCKS], total_blocks);
}

static void test_digest(void **state)
{
	struct dhat_snapshot *before = built(before_stacks, NULL),
			     *after = built(after_stacks, NULL);
	struct dhat_digest *digest = digest_of(before);

	assert_string_equal(digest->program, "service");
	assert_int_equal(digest->row_count, 3);
	expect_row(&digest->rows[0], "??? (libplugin.so.1) < main (app/main.c)", 50, 1);
	expect_row(&digest->rows[1], "add (app/cache.c) < main (app/main.c)", 4096, 8);
	expect_row(&digest->rows[2], "parse_line (app/parse.c) < main (app/main.c)", 100, 10);
	/* G2 */
	assert_int_equal(digest->figures[DHAT_LIVE_BYTES], 4246);
	assert_int_equal(digest->figures[DHAT_PEAK_BYTES], 4346);
	assert_int_equal(digest->figures[DHAT_TOTAL_BLOCKS], 19);
	dhat_digest_free(digest);

	digest = digest_of(after);
	assert_int_equal(digest->row_count, 4);
	expect_row(&digest->rows[3], "parse_line (app/parse.c) < main (app/main.c)", 200, 16);
	dhat_digest_free(digest);
	dhat_snapshot_free(before);
	dhat_snapshot_free(after);
}

static void test_matching(void **state)
{
	static const struct {
		const char *pattern;
		bool matches;
	} cases[] = {
		{ NULL, true },		 { "parse_", true },	   { "^parse_line$", true },
		{ "parse.c", true },	 { "^app/main.c$", true }, { "^main", true },
		{ "line (app", false },	 { "^line", false },	   { "/parse.c$", true },
		{ "operator*<", false }, { "add", false },
	};
	char *names[] = { "parse_line (app/parse.c)", "main (app/main.c)", "[mmap]" };
	char *plain[] = { "f(int)", "g() const" }; /* that is no file */
	const struct dhat_digest_row row = { .names = names, .name_count = 3 },
				     other = { .names = plain, .name_count = 2 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (dhat_digest_row_matches(&row, cases[i].pattern) != cases[i].matches)
			fail_msg("%s", cases[i].pattern);
	assert_true(dhat_digest_row_matches(&row, "[mmap]"));
	assert_true(dhat_digest_row_matches(&other, "^f(int)$"));
	assert_true(dhat_digest_row_matches(&other, "g() const"));
}

/* ---- baselines ----------------------------------------------------------------------------- */

static char *written(const struct dhat_digest *digest)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_int_equal(dhat_baseline_write(digest, file, NULL), 0);
	fclose(file);
	return text;
}

static int read_back(const char *text, struct dhat_digest **ret, struct dhat_error *err)
{
	_cleanup_fclose_ FILE *file = fmemopen((char *)(uintptr_t)text, strlen(text), "r");

	return dhat_baseline_read(file, "base.json", ret, err);
}

static void test_baseline(void **state)
{
	static const char expected[] =
		"{\n\"dhatd_baseline\": 1,\n\"program\": \"service\",\n\"verdict\": \"exact\",\n"
		"\"totals\": {\"live_bytes\": 4246, \"live_blocks\": 6, \"peak_bytes\": 4346, "
		"\"peak_blocks\": 7, \"total_bytes\": 9242, \"total_blocks\": 19},\n\"stacks\": [\n"
		"{\"stack\": [\"??? (libplugin.so.1)\", \"main (app/main.c)\"], \"live_bytes\": "
		"50, "
		"\"live_blocks\": 1, \"peak_bytes\": 50, \"peak_blocks\": 1, \"total_bytes\": 50, "
		"\"total_blocks\": 1},\n"
		"{\"stack\": [\"add (app/cache.c)\", \"main (app/main.c)\"], \"live_bytes\": 4096, "
		"\"live_blocks\": 4, \"peak_bytes\": 4096, \"peak_blocks\": 4, \"total_bytes\": "
		"8192, "
		"\"total_blocks\": 8},\n"
		"{\"stack\": [\"parse_line (app/parse.c)\", \"main (app/main.c)\"], "
		"\"live_bytes\": "
		"100, \"live_blocks\": 1, \"peak_bytes\": 200, \"peak_blocks\": 2, "
		"\"total_bytes\": "
		"1000, \"total_blocks\": 10}\n]\n}\n";
	struct dhat_snapshot *snapshot = built(before_stacks, NULL);
	struct dhat_digest *digest = digest_of(snapshot), *back = NULL;
	_cleanup_free_ char *text = written(digest), *again = NULL;

	assert_string_equal(text, expected);
	assert_int_equal(read_back(text, &back, NULL), 0);
	assert_int_equal(back->verdict, DHAT_EXACT);
	assert_null(back->rows[0].point);
	again = written(back);
	assert_string_equal(again, text);
	dhat_digest_free(back);
	dhat_digest_free(digest);
	dhat_snapshot_free(snapshot);
}

#define FIGURES                                                                                    \
	"\"live_bytes\": 1, \"live_blocks\": 1, \"peak_bytes\": 1, \"peak_blocks\": 1, "           \
	"\"total_bytes\": 1, \"total_blocks\": 1"
#define HEAD "{\"dhatd_baseline\": 1, \"totals\": {" FIGURES "}, \"stacks\": ["
#define ROW "{\"stack\": [\"f\"], " FIGURES "}"

static void test_no_baselines(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "line 1 is no JSON" },
		{ "{\n\"dhatd_baseline\": 1,\n", "line 3 is no JSON" },
		{ "[]", "dhatd_baseline is missing" },
		{ "{\"dhatFileVersion\": 2}", "dhatd_baseline is missing" },
		{ "{\"dhatd_baseline\": 2}", "of version 2, this program reads version 1" },
		{ "{\"dhatd_baseline\": 1}", "the totals: live_bytes is missing" },
		{ "{\"dhatd_baseline\": 1, \"totals\": {\"live_bytes\": -1}}",
		  "the totals: live_bytes is no number" },
		{ "{\"dhatd_baseline\": 1, \"totals\": {" FIGURES "}}",
		  "the list of stacks is missing" },
		{ HEAD "1]}", "stack 1 has no names" },
		{ HEAD "{\"stack\": []}]}", "stack 1 has no names" },
		{ HEAD "{\"stack\": [1]}]}", "stack 1: a name of the stack is no text" },
		{ HEAD ROW ", {\"stack\": [\"g\"]}]}", "stack 2: live_bytes is missing" },
		{ HEAD ROW ", " ROW "]}", "a stack is there twice" },
		{ HEAD ROW "]} and more", "line 1 is no JSON" },
	};
	struct dhat_digest *digest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_error err = { 0 };

		assert_true(read_back(*cases[i].text ? cases[i].text : " ", &digest, &err) < 0);
		assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
		if (!strstr(err.message, cases[i].why))
			fail_msg("%s: %s", cases[i].text, err.message);
		assert_null(digest);
	}
	/* no word of a verdict is none to be trusted; rows may be in any order */
	assert_int_equal(
		read_back(HEAD "{\"stack\": [\"g\"], " FIGURES "}, " ROW "]}\n", &digest, NULL), 0);
	assert_int_equal(digest->verdict, DHAT_INEXACT);
	assert_string_equal(digest->rows[0].names[0], "f");
	dhat_digest_free(digest);
}

/* ---- judgements ---------------------------------------------------------------------------- */

struct judged {
	struct dhat_assertion assertion;
	struct dhat_judgement *judgement;
	struct dhat_digest *baseline;
	struct dhat_snapshot *before;
};

static struct judged judge(const char *text, const char *suppression)
{
	struct judged judged = { .before = built(before_stacks, NULL) };
	struct dhat_assertion_fault fault;
	struct dhat_filter filter = { 0 };

	if (suppression)
		assert_int_equal(dhat_filter_add(&filter, DHAT_FILTER_SUPPRESSION, suppression), 0);
	judged.baseline = digest_of(judged.before);
	assert_int_equal(dhat_assertion_parse(text, &judged.assertion, &fault), 0);
	assert_int_equal(dhat_judgement_new(built(after_stacks, NULL), &filter, &judged.assertion,
					    1, judged.baseline, DHAT_EXACT, &judged.judgement),
			 0);
	dhat_filter_deinit(&filter);
	return judged;
}

static void judged_deinit(struct judged *judged)
{
	dhat_judgement_free(judged->judgement);
	dhat_assertion_deinit(&judged->assertion);
	dhat_digest_free(judged->baseline);
	dhat_snapshot_free(judged->before);
}

static void test_rulings(void **state)
{
	static const struct {
		const char *text, *suppression;
		bool holds;
		uint64_t now, baseline;
		size_t match_count;
		const char *guilty[DHAT_JUDGEMENT_GUILTY]; /* innermost names */
	} cases[] = {
		/* the largest first; what keeps nothing is not guilty */
		{ "live.bytes == 0",
		  NULL,
		  false,
		  5320,
		  0,
		  4,
		  { "add (app/cache.c)", "parse_all (app/parse.c)", "parse_line (app/parse.c)" } },
		{ "live.bytes < 5321", NULL, true, 5320, 0, 4, { 0 } },
		{ "stack(/init/).live.bytes == 0", NULL, true, 0, 0, 1, { 0 } },
		{ "stack(/no_such/).live.bytes == 0", NULL, true, 0, 0, 0, { 0 } },
		{ "stack(/parse_/).live.bytes == 0",
		  NULL,
		  false,
		  1224,
		  0,
		  2,
		  { "parse_all (app/parse.c)", "parse_line (app/parse.c)" } },
		/* against the baseline what is as it was is no fault: no word of the cache */
		{ "growth == 0",
		  NULL,
		  false,
		  5320,
		  4246,
		  4,
		  { "parse_all (app/parse.c)", "parse_line (app/parse.c)" } },
		{ "stack(/cache.c/).growth == 0", NULL, true, 4096, 4096, 1, { 0 } },
		{ "total.blocks <= baseline * 1.05",
		  NULL,
		  false,
		  26,
		  19,
		  4,
		  { "parse_line (app/parse.c)", "init (app/init.c)", "parse_all (app/parse.c)" } },
		{ "total.blocks <= baseline * 1.5", NULL, true, 26, 19, 4, { 0 } },
		{ "stack(/parse_line/).total.blocks <= baseline + 6",
		  NULL,
		  true,
		  16,
		  10,
		  1,
		  { 0 } },
		/* what is gone is there in the baseline alone */
		{ "stack(/libplugin/).growth == 0", NULL, false, 0, 50, 0, { 0 } },
		{ "stack(/libplugin/).growth <= 0", NULL, true, 0, 50, 0, { 0 } },
		{ "live.bytes == 0", "parse.c", false, 4096, 0, 2, { "add (app/cache.c)" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct judged judged = judge(cases[i].text, cases[i].suppression);
		const struct dhat_ruling *ruling = &judged.judgement->rulings[0];
		size_t count = 0;

		if (ruling->holds != cases[i].holds || ruling->now != cases[i].now ||
		    ruling->baseline != cases[i].baseline ||
		    ruling->match_count != cases[i].match_count)
			fail_msg("%s: %d, %d against %d in %zu", cases[i].text, ruling->holds,
				 (int)ruling->now, (int)ruling->baseline, ruling->match_count);
		while (count < DHAT_JUDGEMENT_GUILTY && cases[i].guilty[count])
			count++;
		if (ruling->guilty_count != count)
			fail_msg("%s: %zu guilty", cases[i].text, ruling->guilty_count);
		for (size_t j = 0; j < count; j++)
			assert_string_equal(ruling->guilty[j].row->names[0], cases[i].guilty[j]);
		assert_int_equal(dhat_judgement_failures(judged.judgement), !cases[i].holds);
		judged_deinit(&judged);
	}
}

static void test_suppressed(void **state)
{
	struct judged judged = judge("live.bytes == 0", "parse.c");

	assert_int_equal(judged.judgement->hidden_bytes, 1224);
	assert_int_equal(judged.judgement->hidden_stacks, 3);
	judged_deinit(&judged);
}

static void test_trust(void **state)
{
	static const struct {
		const char *verdict;
		enum dhat_verdict worst;
		bool is_trusted;
	} cases[] = {
		{ NULL, DHAT_EXACT, true },	    { "partial", DHAT_EXACT, false },
		{ "inexact", DHAT_EXACT, false },   { "partial", DHAT_PARTIAL, true },
		{ "inexact", DHAT_PARTIAL, false }, { "partial", DHAT_INEXACT, true },
		{ "inexact", DHAT_INEXACT, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_judgement *judgement = NULL;
		struct dhat_filter filter = { 0 };

		assert_int_equal(dhat_judgement_new(built(after_stacks, cases[i].verdict), &filter,
						    NULL, 0, NULL, cases[i].worst, &judgement),
				 0);
		assert_int_equal(judgement->is_trusted, cases[i].is_trusted);
		dhat_judgement_free(judgement);
	}
}

static struct dhat_snapshot *redacted(const struct built_stack *stacks)
{
	struct dhat_snapshot *snapshot = built(stacks, NULL);

	assert_int_equal(dhat_redact(snapshot), 0);
	return snapshot;
}

/* That no name matches proves nothing where there are none. */
static void test_undecided(void **state)
{
	static const struct {
		const char *text, *filter;
		bool now_is_redacted, before_is_redacted, is_undecided;
	} cases[] = {
		{ "stack(/parse_/).live.bytes == 0", NULL, true, false, true },
		{ "stack(/parse_/).total.blocks >= 0", NULL, true, false, true },
		{ "stack(/parse_/).growth <= 0", NULL, false, true, true },
		{ "stack(/parse_/).live.bytes == 1224", NULL, false, true, false },
		{ "live.bytes == 0", "parse_", true, false, true },
		{ "live.bytes <= baseline", NULL, true, true, false },
		{ "live.bytes == 5320", NULL, true, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_assertion assertion;
		struct dhat_filter filter = { 0 };
		struct dhat_snapshot *before =
			(cases[i].before_is_redacted ? redacted(before_stacks)
						     : built(before_stacks, NULL));
		struct dhat_digest *baseline = digest_of(before);
		struct dhat_judgement *judgement = NULL;

		assert_int_equal(dhat_assertion_parse(cases[i].text, &assertion, NULL), 0);
		if (cases[i].filter)
			assert_int_equal(
				dhat_filter_add(&filter, DHAT_FILTER_ONLY, cases[i].filter), 0);
		assert_int_equal(dhat_judgement_new(cases[i].now_is_redacted
							    ? redacted(after_stacks)
							    : built(after_stacks, NULL),
						    &filter, &assertion, 1, baseline, DHAT_INEXACT,
						    &judgement),
				 0);
		if (judgement->rulings[0].is_undecided != cases[i].is_undecided)
			fail_msg("%s: case %zu", cases[i].text, i);
		assert_int_equal(dhat_judgement_undecided(judgement), cases[i].is_undecided);
		assert_int_equal(judgement->rulings[0].holds,
				 !cases[i].is_undecided && i != 5); /* shrunk, or grown */
		dhat_judgement_free(judgement);
		dhat_digest_free(baseline);
		dhat_snapshot_free(before);
		dhat_filter_deinit(&filter);
		dhat_assertion_deinit(&assertion);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest),	 cmocka_unit_test(test_matching),
		cmocka_unit_test(test_baseline), cmocka_unit_test(test_no_baselines),
		cmocka_unit_test(test_rulings),	 cmocka_unit_test(test_suppressed),
		cmocka_unit_test(test_trust),	 cmocka_unit_test(test_undecided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
