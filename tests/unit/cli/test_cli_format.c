/* What dhatctl prints, for a terminal and into a pipe. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "cli/births.h"
#include "cli/command.h"
#include "cli/rows.h"
#include "cli/view.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/export/export.h"
#include "tests/unit/sample.h"

static char path[64];

/* ---- columns ------------------------------------------------------------------------------- */

static char *column(const char *text, size_t columns)
{
	char *printed = NULL;
	size_t size;
	struct screen screen = { .file = open_memstream(&printed, &size) };

	screen_column(&screen, text, columns);
	fclose(screen.file);
	return printed;
}

static void test_columns(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
		const char *printed;
	} cases[] = {
		{ "abc", 5, "abc  " },
		{ "abc", 3, "abc" },
		{ "abcdefghij", 7, "abc…hij" },
		{ "abcdefghij", 6, "ab…hij" },
		{ "äöüäöüäöü", 5, "äö…öü" },
		{ "\x1b[2J", 5, "?[2J " },
		{ "abc", 1, "…" },
		{ "abc", 0, "" },
		{ "", 2, "  " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *printed = column(cases[i].text, cases[i].columns);

		assert_string_equal(printed, cases[i].printed);
	}
}

static void expect_paragraph(size_t width, size_t column_, const char *text, const char *expected)
{
	char *printed = NULL;
	size_t size;
	struct screen screen = { .width = width, .file = open_memstream(&printed, &size) };

	screen_paragraph(&screen, column_, text);
	fclose(screen.file);
	assert_string_equal(printed, expected);
	free(printed);
}

static void test_paragraphs(void **state)
{
	expect_paragraph(20, 4, "one two three four", "one two three\n    four\n");
	expect_paragraph(20, 4, "one two three fou", "one two three\n    fou\n");
	expect_paragraph(21, 4, "one two three fou", "one two three fou\n");
	expect_paragraph(20, 2, "a-very-long-word-of-its-own x",
			 "a-very-long-word-of-its-own\n  x\n");
	expect_paragraph(0, 4, "one two three four five six", "one two three four five six\n");
	expect_paragraph(20, 4, "", "\n");
	expect_paragraph(20, 0, "\x1b[1m", "?[1m\n");
}

static void test_no_codes_into_a_pipe(void **state)
{
	_cleanup_fclose_ FILE *file = tmpfile();
	struct screen screen;
	char text[16] = "";

	setenv("TERM", "xterm", 1);
	setenv("COLUMNS", "72", 1);
	screen_init(&screen, file);
	assert_int_equal(screen.width, 72);
	unsetenv("COLUMNS");
	screen_init(&screen, file);
	assert_int_equal(screen.width, 0);
	screen_print(&screen, MARK_BAD, "x%d", 1);
	rewind(file);
	assert_int_equal(fread(text, 1, sizeof(text), file), 2);
	assert_string_equal(text, "x1");
}

/* ---- ranking ------------------------------------------------------------------------------- */

static void test_ranking(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_rendering *rendering = NULL;
	enum ranking_key key;

	assert_int_equal(dhat_table_new(snapshot, &(struct dhat_table_options){ 0 }, &rendering),
			 0);
	/* points 2 and 3 of the sample read alike */
	assert_int_equal(rendering->point_count, SAMPLE_POINTS - 1);
	/* what was there before the attach is in no ranking, and behind all others */
	assert_int_equal(ranking_sort(rendering, RANK_BY_LIVE), 4);
	assert_int_equal(rendering->points[0]->live_bytes, 1000000);
	assert_int_equal(rendering->points[3]->live_bytes, 100);
	assert_int_equal(rendering->points[3]->part_count, 2);
	assert_true(dhat_point_is_before(rendering->points[5]->part));
	assert_int_equal(ranking_sort(rendering, RANK_BY_TOTAL), 5);
	assert_int_equal(rendering->points[0]->total_bytes, 5000000);
	assert_int_equal(ranking_sort(rendering, RANK_BY_MAX), 5);
	assert_int_equal(ranking_sort(rendering, RANK_BY_PEAK), 5);
	/* by what comes before the bytes; what has none of them is in no ranking */
	assert_int_equal(ranking_sort(rendering, RANK_BY_SURVIVAL), 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(ranking_survival(rendering->points[i]) <=
			    ranking_survival(rendering->points[i - 1]));
	assert_int_equal(ranking_sort(rendering, RANK_BY_AGE), 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(dhat_rendered_mean_age_us(rendering->points[i]) <=
			    dhat_rendered_mean_age_us(rendering->points[i - 1]));
	assert_int_equal(ranking_sort(rendering, RANK_BY_TEMPORARY), 0);
	rendering->points[4]->temporary_blocks = 2;
	rendering->points[3]->temporary_blocks = 7;
	assert_int_equal(ranking_sort(rendering, RANK_BY_TEMPORARY), 2);
	assert_int_equal(rendering->points[0]->temporary_blocks, 7);
	assert_int_equal(ranking_parse_key("survival", &key), 0);
	assert_int_equal(key, RANK_BY_SURVIVAL);
	assert_int_equal(ranking_parse_key("peak", &key), 0);
	assert_int_equal(key, RANK_BY_PEAK);
	assert_int_equal(ranking_parse_key("size", &key), -EINVAL);
	dhat_rendering_free(rendering);
	dhat_snapshot_free(snapshot);
}

/* ---- survivors ----------------------------------------------------------------------------- */

/* Each block has outlived some number of marks, and none is counted twice. */
static void test_survivors(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_(survivors_deinit) struct survivors survivors = { 0 };
	_cleanup_free_ char *printed = NULL;
	struct dhat_rendering *table = NULL;
	size_t size;
	struct screen screen = { .file = open_memstream(&printed, &size) };

	assert_int_equal(dhat_table_new(snapshot, &(struct dhat_table_options){ 0 }, &table), 0);
	assert_int_equal(survivors_count(table, &survivors), 0);
	assert_int_equal(survivors.marks, 2);
	for (size_t i = 0; i < table->point_count; i++) {
		const struct dhat_rendered_point *row = table->points[i];
		uint64_t bytes = 0, blocks = 0;

		for (size_t j = 0; j <= survivors.marks; j++) {
			bytes += survivors.figures[row->number * 3 + j].bytes;
			blocks += survivors.figures[row->number * 3 + j].blocks;
		}
		assert_int_equal(bytes, row->live_bytes);
		assert_int_equal(blocks, row->live_blocks);
	}
	/* the sample's leak: 900,000 bytes since early, 400,000 of them since late */
	survivors_print(&screen, &survivors, table->points[0]);
	fclose(screen.file);
	assert_string_equal(printed, "      marks outlived                   live        bytes\n"
				     "      2: before early                   100     97.7 KiB\n"
				     "      1: before late                    500      488 KiB\n"
				     "      0: since late                     400      391 KiB\n");
	dhat_rendering_free(table);
	dhat_snapshot_free(snapshot);
}

/* ---- whole commands, on a file ------------------------------------------------------------- */

static char *run(const struct command *command, int expected, const char *const *args)
{
	char *argv[16] = { "dhatctl" }, *text = NULL;
	_cleanup_fclose_ FILE *file = tmpfile();
	struct dhat_error err = { 0 };
	bool is_judgement = !strcmp(command->name, "assert");
	int argc = 1, out = dup(1), error = dup(2), r;
	size_t size = 0;

	for (; *args; args++)
		argv[argc++] = without_qualifiers(*args);
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	r = command->run(argc, argv, &err);
	fflush(stdout);
	fputs(err.message, stderr);
	dup2(out, 1);
	dup2(error, 2);
	close(out);
	close(error);
	rewind(file);
	if (getdelim(&text, &size, 0, file) < 0) {
		free(text);
		text = strdup("");
	}
	/* a judgement that was made is no failure */
	if (err.code != expected || (r < 0 && !expected) || (r == 0 && expected && !is_judgement))
		fail_msg("%s: %d, %d: %s", command->name, r, err.code, text);
	return text;
}

static const struct command *command(const char *name)
{
	const struct command *found = commands;

	while (strcmp(found->name, name))
		found++;
	return found;
}

#define RUN(name, expected, ...)                                                                   \
	run(command(name), expected, (const char *const[]){ __VA_ARGS__, NULL })

/* DHAT_GOLDEN=write writes the golden file instead. */
static void expect_golden(const char *golden_path, const char *text)
{
	const char *mode = getenv("DHAT_GOLDEN");
	_cleanup_fclose_ FILE *file = fopen(golden_path, mode ? "w" : "r");
	_cleanup_free_ char *golden = NULL;
	size_t size = 0;

	assert_non_null(file);
	if (mode) {
		fputs(text, file);
		return;
	}
	assert_true(getdelim(&golden, &size, 0, file) > 0);
	assert_string_equal(text, golden);
}

static void test_stats(void **state)
{
	static const struct {
		const char *key, *golden;
	} cases[] = {
		{ "live", "tests/golden/stats.live.txt" },
		{ "total", "tests/golden/stats.total.txt" },
		{ "peak", "tests/golden/stats.peak.txt" },
		{ "max", "tests/golden/stats.max.txt" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			RUN("stats", 0, path, "--sort", cases[i].key, "--depth", "3");

		expect_golden(cases[i].golden, text);
		assert_null(strchr(text, '\033'));
	}
}

/* Of births: the sample's marks are "early" and "late". */
static void test_stats_since(void **state)
{
	_cleanup_free_ char *since = RUN("stats", 0, path, "--since", "early", "--depth", "3");
	_cleanup_free_ char *json = RUN("stats", 0, path, "--since=late", "--json");
	_cleanup_free_ char *chosen =
		RUN("stats", 0, path, "--since", "late", "--filter", "no such");
	_cleanup_free_ char *file = RUN("stats", 0, path, "--since", path);
	_cleanup_free_ char *unknown = RUN("stats", DHAT_EXIT_USAGE, path, "--since", "deploy");
	_cleanup_free_ char *sorted =
		RUN("stats", DHAT_EXIT_USAGE, path, "--since", "early", "--sort", "peak");
	struct json_object *root = json_tokener_parse(json), *births, *points, *point;

	expect_golden("tests/golden/stats.since.txt", since);
	assert_non_null(strstr(chosen, "\nNothing is live in the stacks that were chosen.\n"));
	assert_non_null(strstr(file, "\nAs much is live as before.\n"));
	assert_non_null(strstr(unknown, "there is no mark deploy; there are: early, late"));
	assert_non_null(strstr(sorted, "--since sorts by what is live, and has no --sort"));
	assert_non_null(root);
	births = json_object_object_get(root, "births");
	assert_string_equal(json_object_get_string(json_object_object_get(births, "since")),
			    "late");
	assert_int_equal(json_object_get_uint64(json_object_object_get(births, "live_bytes")),
			 400000);
	assert_true(json_object_get_double(json_object_object_get(births, "seconds")) == 30);
	points = json_object_object_get(root, "points");
	assert_int_equal(json_object_array_length(points), 1);
	point = json_object_array_get_idx(points, 0);
	assert_int_equal(json_object_get_uint64(json_object_object_get(point, "born_bytes")),
			 400000);
	assert_int_equal(json_object_get_uint64(json_object_object_get(point, "born_blocks")), 400);
	assert_int_equal(json_object_get_uint64(json_object_object_get(point, "live_bytes")),
			 1000000);
	json_object_put(root);
}

/* Ages and sizes; the sample knows what is older than a minute. */
static void test_stats_ages(void **state)
{
	_cleanup_free_ char *ages =
		RUN("stats", 0, path, "--ages", "--sizes", "--depth", "1", "--top", "2");
	_cleanup_free_ char *json = RUN("stats", 0, path, "--ages", "--json", "--top", "1");
	_cleanup_free_ char *older = RUN("stats", 0, path, "--older", "1m", "--depth", "1");
	_cleanup_free_ char *other = RUN("stats", 0, path, "--older", "61s", "--depth", "1");
	_cleanup_free_ char *about = RUN("stats", 0, path, "--older", "61s", "--json");
	_cleanup_free_ char *none =
		RUN("stats", 0, path, "--ages", "--sizes", "--filter", "no such");
	_cleanup_free_ char *wrong = RUN("stats", DHAT_EXIT_USAGE, path, "--older", "x");
	_cleanup_free_ char *both =
		RUN("stats", DHAT_EXIT_USAGE, path, "--older", "1m", "--since", "early");
	struct json_object *root = json_tokener_parse(json), *counts;

	expect_golden("tests/golden/stats.ages.txt", ages);
	expect_golden("tests/golden/stats.older.txt", older);
	/* the sample's ages: 700 blocks from 32 s on, of one point's 1,000 */
	assert_non_null(strstr(
		other, "\nAllocated at least 32.0 s ago (before 2023-11-14 22:14:18): 684 KiB "
		       "(700,000 bytes) live in 700 blocks;"));
	assert_non_null(strstr(other, "A file knows ages by powers of two; blocks are exact,"));
	assert_non_null(strstr(about, "\"older_ns\": 32000000000"));
	assert_non_null(strstr(about, "\"bytes_are_estimated\": true"));
	assert_non_null(strstr(none,
			       " by the age that they had:\n      none\n\nLive blocks by size:\n"
			       "      none\n"));
	assert_non_null(strstr(wrong, "--older x: a time is a number with s, m, h or d"));
	assert_non_null(strstr(both, "--since a mark, or --older than a time?"));
	assert_non_null(root);
	counts = json_object_object_get(
		json_object_array_get_idx(json_object_object_get(root, "points"), 0), "live_ages");
	assert_int_equal(json_object_array_length(counts), 25);
	assert_int_equal(json_object_get_int(json_object_array_get_idx(counts, 23)), 600);
	json_object_put(root);
}

/* Marks of a profile, found and ordered. */
static void test_births(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_error err = { 0 };
	struct dhat_births births;
	char name[BIRTHS_CHARS];

	assert_true(births_is_mark("a-1_+:@B"));
	assert_false(births_is_mark("a.dhat") || births_is_mark("./a") || births_is_mark("12") ||
		     births_is_mark("") || births_is_mark("-a") || births_is_mark("a b") ||
		     births_is_mark("Makefile")); /* a file that is here */
	assert_int_equal(births_find(snapshot, "early", "late", &births, &err), 0);
	assert_string_equal(births_name(snapshot, &births, name), "between early and late");
	assert_true(births_seconds(snapshot, &births) == 30);
	assert_int_equal(dhat_all_born(snapshot, &births).bytes, 900100 - 400000);
	assert_int_equal(dhat_point_born(snapshot->points[2], &births).blocks, 1);
	assert_int_equal(births_find(snapshot, "late", "early", &births, &err), -EINVAL);
	assert_non_null(strstr(err.message, "early was not made after late"));
	assert_int_equal(births_find(snapshot, "early", "early", &births, NULL), -EINVAL);
	assert_int_equal(births_find(snapshot, "early", "x", &births, NULL), -ENOENT);
	dhat_snapshot_free(snapshot);
}

/* Sums by one's own code, names whole, and what filters leave out. */
static void test_stats_by(void **state)
{
	char suppressions[] = "/tmp/dhat-format-supp-XXXXXX";
	int fd = mkstemp(suppressions);

	assert_int_equal(write(fd, "leak:no such\nleak:push_back\n", 28), 28);
	close(fd);
	_cleanup_free_ char *line = RUN("stats", 0, path, "--by", "line");
	_cleanup_free_ char *object = RUN("stats", 0, path, "--by=object", "--sort=total");
	_cleanup_free_ char *filtered =
		RUN("stats", 0, path, "--filter", "Cache::", "--exclude", "no such", "--top=2");
	_cleanup_free_ char *known = RUN("stats", 0, path, "--suppressions", suppressions);
	_cleanup_free_ char *none = RUN("stats", 0, path, "--filter", "no such");
	_cleanup_free_ char *merged = RUN("stats", 0, path, "--depth", "1");
	_cleanup_free_ char *nameless = RUN("stats", 0, path, "--no-names");

	unlink(suppressions);
	expect_golden("tests/golden/stats.by-line.txt", line);
	assert_non_null(strstr(object, "Objects with the most bytes ever allocated:\n"));
	assert_non_null(strstr(object, "\n      /usr/bin/service\n"));
	assert_non_null(
		strstr(filtered,
		       "\nLeft out: 0 bytes live in 0 blocks, 1 stack: what does not match "
		       "--filter\n          nothing by --exclude no such: it matches no stack\n"));
	assert_non_null(strstr(known, "\nLeft out: 989 KiB (1,012,388 bytes) live in 1,004 blocks, "
				      "5 stacks: leak:push_back\n"));
	assert_null(strstr(known, "no such"));
	/* what is live and was not chosen is live all the same */
	assert_non_null(strstr(none, "\nNothing is live in the stacks that were chosen.\n"));
	/* who wants no names needs no hint */
	assert_null(strstr(nameless, "Hint: functions"));
	/* what reads the same is one row */
	assert_non_null(strstr(merged, "981 KiB (1,004,096 bytes) live in 1,001 blocks, 99.2%, "
				       "2 stacks\n"));
	assert_non_null(strstr(merged, "      … and on, in 2 stacks (--depth)\n"));
}

/* Each line of a list fits a terminal of 60 columns. */
static void test_stacks_fit_the_terminal(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_rendering *rendering = NULL;
	char *printed = NULL, *line, *rest;
	size_t size;
	struct screen screen = { .width = 60, .file = open_memstream(&printed, &size) };

	assert_int_equal(dhat_table_new(snapshot,
					&(struct dhat_table_options){ .style.has_addresses = true },
					&rendering),
			 0);
	rows_print(&screen, rendering, &(struct rows_options){ .top = 10 });
	fclose(screen.file);
	rest = printed;
	while ((line = strsep(&rest, "\n"))) {
		if (dhat_text_width(line) > 60)
			fail_msg("%zu columns: %s", dhat_text_width(line), line);
	}
	free(printed);
	dhat_rendering_free(rendering);
	dhat_snapshot_free(snapshot);
}

/* With its scale, as wide as there is room; letters where the terminal has no UTF-8. */
static void test_timeline(void **state)
{
	_cleanup_free_ char *piped = RUN("stats", 0, path), *wide = NULL, *plain = NULL;

	assert_null(strstr(piped, "Live: "));
	setenv("COLUMNS", "70", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	wide = RUN("stats", 0, path);
	setenv("LC_ALL", "C", 1);
	plain = RUN("stats", 0, path);
	unsetenv("COLUMNS");
	unsetenv("LC_ALL");
	assert_non_null(strstr(wide, "\nLive: ▄▇█  0 to 989 KiB in 1 min 30 s; RSS 9.1 MiB\n"));
	assert_non_null(strstr(plain, "\nLive: =%#  0 to 989 KiB in 1 min 30 s; RSS 9.1 MiB\n"));
}

/* What is said of now is of the end there: RSS, which nobody can read any more, and how long ago.
 */
static void test_words_of_the_ended(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__Target *target = snapshot->head->target;
	char *attached = target->state;

	(void)state;
	assert_string_equal(view_rss(snapshot), "RSS 9.1 MiB");
	assert_string_equal(view_ago(target), "ago");
	target->state = "exited";
	assert_string_equal(view_rss(snapshot), "RSS 9.1 MiB when last read");
	assert_string_equal(view_ago(target), "before the end");
	target->state = attached;
	dhat_snapshot_free(snapshot);
}

static void test_growth(void **state)
{
	_cleanup_free_ char *text = RUN("stats", 0, path, "--sort", "growth");
	_cleanup_free_ char *json = RUN("stats", 0, path, "--sort", "growth", "--json");
	struct json_object *root = json_tokener_parse(json), *point;

	/* one grows, and no other is listed */
	assert_non_null(strstr(text,
			       "\nStacks with the most growth (of what is never freed) by the "
			       "minute:\n\n   1. 586 KiB (600,000 bytes) more a minute, "
			       "live in 1,000 blocks\n"));
	assert_null(strstr(text, "   2. "));
	point = json_object_array_get_idx(json_object_object_get(root, "points"), 0);
	assert_int_equal(
		json_object_get_int(json_object_object_get(point, "growth_bytes_per_minute")),
		600000);
	assert_int_equal(json_object_get_int(json_object_array_get_idx(
				 json_object_object_get(point, "low_bytes"), SAMPLE_SLOTS - 1)),
			 800000);
	assert_int_equal(json_object_get_int(json_object_object_get(point, "mean_age_us")),
			 44000000);
	json_object_put(root);
}

/* Leaks first, with the reason; what was there before the attach is no row. */
static void test_suspects(void **state)
{
	_cleanup_free_ char *text = RUN("suspects", 0, path, "--by", "stack");
	_cleanup_free_ char *json = RUN("suspects", 0, path, "--json");
	_cleanup_free_ char *none = RUN("suspects", 0, path, "--filter", "nothing of the kind");
	struct json_object *root = json_tokener_parse(json), *suspects, *leak;

	assert_non_null(strstr(text,
			       "\n1 stack leaks:\n\n   1. leaks (medium confidence): grows 586 "
			       "KiB a minute since 2023-11-14 22:13:21; none of its 1,000 "
			       "blocks was ever freed\n      977 KiB (1,000,000 bytes) live in "
			       "1,000 blocks\n      std::vector<int>::push_back"));
	assert_non_null(strstr(text, "\nNot suspected:\n\n   2. "));
	assert_null(strstr(text, "[allocated before attach]"));
	suspects = json_object_object_get(root, "suspects");
	assert_int_equal(json_object_array_length(suspects), 1);
	leak = json_object_array_get_idx(suspects, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(leak, "course")),
			    "leaks");
	assert_int_equal(
		json_object_get_int(json_object_object_get(leak, "growth_bytes_per_minute")),
		600000);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(
				    json_object_object_get(leak, "lines"), 0)),
			    "Cache::insert(int) (src/cache.cc:12)");
	json_object_put(root);
	assert_non_null(strstr(none, "\nnothing leaks: no line grows.\n"));
}

/* Of a dhatd from before there were histories. */
static void test_without_history(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *suspects = NULL, *stats = NULL;
	char file[128];

	dhat__timeline__free_unpacked(snapshot->end->timeline, NULL);
	dhat__point_slots__free_unpacked(snapshot->end->history, NULL);
	((Dhat__SnapshotEnd *)without_qualifiers(snapshot->end))->timeline = NULL;
	((Dhat__SnapshotEnd *)without_qualifiers(snapshot->end))->history = NULL;
	snprintf(file, sizeof(file), "%s-old", path);
	assert_int_equal(dhat_save(snapshot, file, &dhat_lossless_exporter,
				   &(struct dhat_export_options){ 0 }, NULL),
			 0);
	suspects = RUN("suspects", 0, file);
	stats = RUN("stats", 0, file, "--sort", "growth");
	assert_non_null(strstr(suspects,
			       "\nwhat grows cannot be told: the profile has no history:\n"
			       "\n   1. not known: the profile has no history\n"));
	assert_null(strstr(stats, "   1. "));
	unlink(file);
	dhat_snapshot_free(snapshot);
}

/* The stable part: version 1 has these keys, in this order. */
static void test_explain(void **state)
{
	static const char *const keys[] = {
		"version",
		"pid",
		"program",
		"state",
		"since_unix_ns",
		"observed_ns",
		"verdict",
		"reason",
		"live_bytes",
		"live_blocks",
		"before_attach_bytes",
		"peak_bytes",
		"rss_bytes",
		"lost_bytes",
		"lost_age_ns",
		"keeps",
		"growth_bytes_per_minute",
		"headline",
		"suspect_count",
		"suspects",
		"keeps_why",
		"next",
		"next_why",
	};
	_cleanup_free_ char *text = RUN("explain", 0, path), *expected = NULL;
	_cleanup_free_ char *json = RUN("explain", 0, path, "--json");
	struct json_object *root = json_tokener_parse(json), *suspect;
	size_t i = 0;

	assert_true(
		asprintf(&expected,
			 "service (pid 4711), watched for 1 min 30 s, since 2023-11-14 22:13:20\n"
			 "inexact: 3 allocations were lost because the ring was full\n"
			 "989 KiB live in 1,010 blocks, 892 KiB at the peak, RSS 9.1 MiB\n"
			 "1 line leaks:\n"
			 "   1. Cache::insert(int) at src/cache.cc:12 (medium confidence)\n"
			 "      grows 586 KiB a minute since 2023-11-14 22:13:21; nothing "
			 "older than 3 us was freed\n"
			 "Next: dhatctl stats --filter 'Cache::insert(int)' %s   (the stacks "
			 "that lead to the first suspect)\n",
			 path) > 0);
	assert_string_equal(text, expected);
	json_object_object_foreach(root, key, value)
	{
		(void)value;
		assert_true(i < ARRAY_SIZE(keys));
		assert_string_equal(key, keys[i++]);
	}
	assert_int_equal(i, ARRAY_SIZE(keys));
	suspect = json_object_array_get_idx(json_object_object_get(root, "suspects"), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(suspect, "function")),
			    "Cache::insert(int)");
	assert_int_equal(json_object_get_int(json_object_object_get(root, "version")), 1);
	json_object_put(root);
}

/* Whatever the names of a target are, no more than asked for is printed, and it is JSON. */
static void test_budget(void **state)
{
	static const char *const budgets[] = { "1536", "2000", "3k", "4k", "100k" };
	struct dhat_snapshot *snapshot = sample_snapshot();
	char name[3000], file[128];
	size_t before = 0;

	for (size_t i = 0; i + 4 < sizeof(name); i += 4)
		memcpy(name + i, "\xf0\x9f\x90\x9b", 5); /* four bytes each */
	for (size_t i = 0; i < snapshot->frame_count; i++)
		for (size_t j = 0; j < snapshot->frames[i]->n_locations; j++) {
			free(snapshot->frames[i]->locations[j]->function);
			snapshot->frames[i]->locations[j]->function = strdup(name);
		}
	free(snapshot->end->verdict->reasons[0]);
	snapshot->end->verdict->reasons[0] = strdup(name);
	free(snapshot->head->target->executable);
	snapshot->head->target->executable = strdup(name);
	snprintf(file, sizeof(file), "%s-'long'-and-'with'-'quotes'-0123456789012345678901", path);
	assert_int_equal(dhat_save(snapshot, file, &dhat_lossless_exporter,
				   &(struct dhat_export_options){ 0 }, NULL),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(budgets); i++) {
		_cleanup_free_ char *json =
			RUN("explain", 0, file, "--json", "--budget", budgets[i]);
		_cleanup_free_ char *text = RUN("explain", 0, file, "--budget", budgets[i]);
		struct json_object *root = json_tokener_parse(json);
		uint64_t budget;

		assert_non_null(root);
		json_object_put(root);
		assert_int_equal(dhat_parse_size(budgets[i], &budget), 0);
		assert_in_range(strlen(json), before, budget);
		assert_in_range(strlen(text), 1, budget);
		before = strlen(json);
	}
	unlink(file);
	dhat_snapshot_free(snapshot);
}

static void test_json(void **state)
{
	_cleanup_free_ char *text = RUN("stats", 0, path, "--json", "--top", "2");
	struct json_object *root = json_tokener_parse(text), *points, *point;

	assert_non_null(root);
	assert_true(json_object_object_get_ex(root, "points", &points));
	assert_int_equal(json_object_array_length(points), 2);
	point = json_object_array_get_idx(points, 0);
	assert_int_equal(json_object_get_uint64(json_object_object_get(point, "live_bytes")),
			 1000000);
	assert_int_equal(json_object_array_length(json_object_object_get(point, "frames")), 2);
	json_object_put(root);
}

static void test_trim_words(void **state)
{
	_cleanup_free_ char *all = RUN("stats", 0, path, "--trim");
	_cleanup_free_ char *named = RUN("stats", 0, path, "--trim=std,allocator,tokio");
	_cleanup_free_ char *next = RUN("stats", 0, "--trim", "std", path);
	_cleanup_free_ char *joined = RUN("stats", 0, "--trim=std", path);

	assert_string_equal(all, named);
	assert_string_equal(next, joined);
	/* the library's templates are gone, and who called them is there */
	assert_null(strstr(joined, "std::"));
	assert_non_null(strstr(joined, "\n      Cache::insert(int)  src/cache.cc:12\n"));
}

/* Nothing would be found again: all would be gone, or new. */
static void test_no_comparison_with_redacted(void **state)
{
	char redacted[sizeof(path) + 16];

	(void)state;
	snprintf(redacted, sizeof(redacted), "%s.redacted.dhat", path);

	_cleanup_free_ char *written = RUN("export", 0, path, "--redact", "-o", redacted);
	_cleanup_free_ char *verified = RUN("verify", DHAT_EXIT_USAGE, redacted, path);
	_cleanup_free_ char *compared = RUN("diff", DHAT_EXIT_USAGE, path, redacted);
	_cleanup_free_ char *since = RUN("stats", DHAT_EXIT_USAGE, path, "--since", redacted);
	_cleanup_free_ char *both = RUN("diff", 0, redacted, redacted);

	unlink(redacted);
	assert_non_null(strstr(verified, " is redacted and has no names by which its stacks"));
	assert_non_null(strstr(compared, " is redacted and has no names by which its stacks"));
	assert_non_null(strstr(since, " is redacted and has no names by which its stacks"));
	assert_non_null(strstr(both, "As much is live as before."));
}

static void test_export(void **state)
{
	_cleanup_free_ char *text = RUN("export", 0, path);
	struct json_object *root = json_tokener_parse(text);

	assert_non_null(root);
	assert_int_equal(json_object_get_int(json_object_object_get(root, "dhatFileVersion")), 2);
	json_object_put(root);
	/* for strangers */
	_cleanup_free_ char *redacted = RUN("export", 0, path, "--redact");
	assert_null(strstr(redacted, "Cache"));
	assert_null(strstr(redacted, "service"));
	assert_non_null(strstr(redacted, "\"redacted: host, command line"));
	/* into a file: what was written, for programs and for people */
	_cleanup_free_ char *json = RUN("export", 0, path, "-o", "/dev/null", "--json");
	_cleanup_free_ char *words = RUN("export", 0, path, "-o", "/dev/null");

	root = json_tokener_parse(json);
	assert_non_null(root);
	assert_string_equal(json_object_get_string(json_object_object_get(root, "file")),
			    "/dev/null");
	json_object_put(root);
	assert_non_null(strstr(words, "written to /dev/null\n"));
	assert_non_null(strstr(words, "INEXACT: "));
}

static const char valgrind[] = "tests/golden/valgrind.dhat.json";

/* What another program's file lacks is said, and is not shown as none. */
static void test_read_back(void **state)
{
	_cleanup_free_ char *text = RUN("stats", 0, valgrind);
	_cleanup_free_ char *json = RUN("stats", 0, valgrind, "--json");
	_cleanup_free_ char *lines = RUN("export", 0, valgrind, "--format", "jsonl");
	_cleanup_free_ char *html = RUN("export", 0, valgrind, "--format", "html");
	_cleanup_free_ char *same = RUN("diff", 0, valgrind, valgrind);
	_cleanup_free_ char *redacted = RUN("export", 0, valgrind, "--redact");
	struct json_object *root = json_tokener_parse(json), *points, *point;

	expect_golden("tests/golden/stats.valgrind.txt", text);
	assert_non_null(root);
	assert_non_null(json_object_object_get(root, "lacks"));
	points = json_object_object_get(root, "points");
	point = json_object_array_get_idx(points, 0);
	assert_int_equal(json_object_get_int(json_object_object_get(point, "live_bytes")), 4000);
	assert_true(json_object_object_get_ex(point, "lifetimes_us", &points));
	assert_null(points);
	assert_true(json_object_object_get_ex(point, "first_ns", &points));
	assert_null(points);
	json_object_put(root);
	assert_non_null(strstr(lines, "\"verdict\":\"not known\""));
	assert_non_null(strstr(lines, "\"lacks\":\"read from DHAT JSON of Valgrind's"));
	assert_non_null(strstr(html, "\"lacks\":\"read from DHAT JSON of Valgrind's"));
	assert_non_null(strstr(same, "\nAs much is live as before.\n"));
	assert_null(strstr(same, "1970"));
	assert_null(strstr(redacted, "leak"));
	assert_non_null(strstr(redacted, "which lacks a verdict"));
}

/* No build passes by figures of which nobody says how good they are. */
static void test_assert_read_back(void **state)
{
	_cleanup_free_ char *refused =
		RUN("assert", DHAT_EXIT_INEXACT, "live.bytes == 4007", valgrind);
	_cleanup_free_ char *partial = RUN("assert", DHAT_EXIT_INEXACT, "live.bytes == 4007",
					   valgrind, "--allow", "partial");
	_cleanup_free_ char *allowed =
		RUN("assert", 0, "live.bytes == 4007", valgrind, "--allow", "inexact");

	_cleanup_free_ char *baseline = RUN("assert", 0, "growth == 0", valgrind, "--baseline",
					    valgrind, "--allow", "inexact");
	_cleanup_free_ char *no_baseline =
		RUN("assert", DHAT_EXIT_INEXACT, "growth == 0", valgrind, "--baseline", valgrind);

	assert_non_null(strstr(baseline, "ok    growth == 0"));
	assert_non_null(strstr(no_baseline, "the numbers in tests/golden/valgrind.dhat.json are "
					    "not known (--allow)"));
	assert_non_null(strstr(refused, "FAILS the numbers are not known"));
	assert_non_null(strstr(partial, "FAILS the numbers are not known"));
	assert_non_null(strstr(allowed, "ok    live.bytes == 4007"));
}

/* The word comes first, its lines below each other. */
static void test_verdict_words(void **state)
{
	char *reasons[] = { "exact for glibc 2.36, which is not all of this process",
			    "what jemalloc hands out is not counted" };
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	struct screen screen;
	char *text = NULL;
	size_t size = 0;

	verdict.word = "partial";
	verdict.reasons = reasons;
	verdict.n_reasons = 2;
	screen_init(&screen, open_memstream(&text, &size));
	view_verdict(&screen, &verdict, "  ");
	verdict.n_reasons = 0;
	view_verdict(&screen, &verdict, "");
	verdict.word = "inexact";
	view_verdict(&screen, &verdict, "");
	verdict.word = "not known";
	view_verdict(&screen, &verdict, "");
	verdict.word = "exact";
	verdict.exact = true;
	view_verdict(&screen, &verdict, "");
	fclose(screen.file);
	assert_string_equal(text, "  PARTIAL: exact for glibc 2.36, which is not all of this "
				  "process\n           what jemalloc hands out is not counted\n"
				  "PARTIAL\nINEXACT\nNOT KNOWN\n");
	free(text);
}

/* Each failure: its exit code and a word of what is said. */
static void test_failures(void **state)
{
	static const struct {
		const char *name, *args[5];
		int code;
		const char *said;
	} cases[] = {
		{ "stats",
		  { "/nowhere/x.dhat" },
		  DHAT_EXIT_BAD_FILE,
		  "cannot read /nowhere/x.dhat" },
		{ "stats", { "/dev/null" }, DHAT_EXIT_BAD_FILE, "not a snapshot" },
		{ "stats", { "/proc" }, DHAT_EXIT_BAD_FILE, "cannot read /proc: Is a directory" },
		{ "stats", { "/nowhere/a", "b" }, DHAT_EXIT_BAD_FILE, "cannot read /nowhere/a" },
		{ "stats",
		  { "1", path },
		  DHAT_EXIT_USAGE,
		  "one process, --all of them, or files?" },
		{ "stats", { "--all", path }, DHAT_EXIT_USAGE, "one process" },
		{ "stats", { path, path }, DHAT_EXIT_USAGE, "two profiles of process 4711" },
		{ "stats",
		  { "--sort", "size" },
		  DHAT_EXIT_USAGE,
		  "live, total, peak, max, growth, age and survival" },
		{ "suspects", { path, path }, DHAT_EXIT_USAGE, "one process, or one file" },
		{ "suspects", { "1", path }, DHAT_EXIT_USAGE, "one process, or one file" },
		{ "suspects", { "/dev/null" }, DHAT_EXIT_BAD_FILE, "not a snapshot" },
		{ "explain", { path, path }, DHAT_EXIT_USAGE, "one process, or one file" },
		{ "explain", { "--budget", "1535" }, DHAT_EXIT_USAGE, "from 1536 on" },
		{ "stats",
		  { valgrind, "--by", "object" },
		  DHAT_EXIT_BAD_FILE,
		  "objects are not known of a profile that was read from DHAT JSON" },
		{ "stats",
		  { valgrind, "--sort", "growth" },
		  DHAT_EXIT_BAD_FILE,
		  "growth is not known" },
		{ "stats", { valgrind, "--ages" }, DHAT_EXIT_BAD_FILE, "ages and sizes are not" },
		{ "diff", { valgrind, path, "--by", "object" }, DHAT_EXIT_BAD_FILE, "objects are" },
		{ "stats", { valgrind, "--since", "early" }, DHAT_EXIT_USAGE, "no mark" },
		{ "suspects", { valgrind }, DHAT_EXIT_BAD_FILE, "what grows cannot be judged" },
		{ "explain", { valgrind }, DHAT_EXIT_BAD_FILE, "what grows cannot be judged" },
		{ "verify", { valgrind, path }, DHAT_EXIT_BAD_FILE, "became of its suspects" },
		{ "verify", { path, valgrind }, DHAT_EXIT_BAD_FILE, "became of its suspects" },
		{ "stats", { "--top", "x" }, DHAT_EXIT_USAGE, "not a number" },
		{ "stats", { "--by", "size" }, DHAT_EXIT_USAGE, "stack, function, line" },
		{ "stats", { "--filter", "" }, DHAT_EXIT_USAGE, "matches everything" },
		{ "stats", { "--suppressions", "/nowhere/x" }, DHAT_EXIT_USAGE, "/nowhere/x" },
		{ "stats", { "--trim=x" }, DHAT_EXIT_USAGE, "x" },
		{ "stats", { "--trim", "x" }, DHAT_EXIT_BAD_FILE, "cannot read x" },
		{ "stats", { "--frob" }, DHAT_EXIT_USAGE, "unrecognized option" },
		{ "stats", { "--socket", "/nowhere/s" }, DHAT_EXIT_NO_DAEMON, "no dhatd answers" },
		{ "status",
		  { "--socket", "/nowhere/s" },
		  DHAT_EXIT_NO_DAEMON,
		  "sudo dhatd attach" },
		{ "status", { "--socket", "" }, DHAT_EXIT_USAGE, "empty" },
		{ "status", { "--pid", "0" }, DHAT_EXIT_USAGE, "not a process id" },
		{ "status", { "x" }, DHAT_EXIT_USAGE, "not an option" },
		{ "snapshot", { "x.json" }, DHAT_EXIT_USAGE, "given by -o" },
		{ "snapshot", { "--format", "xml" }, DHAT_EXIT_USAGE, "there are: json, dhat" },
		{ "snapshot", { "-s", "/nowhere/s", "-o", "x" }, DHAT_EXIT_NO_DAEMON, "no dhatd" },
		{ "export", { "--format", "json" }, DHAT_EXIT_USAGE, "which file?" },
		{ "export",
		  { path, "-o", "/nowhere/x.json" },
		  DHAT_EXIT_OUTPUT,
		  "/nowhere/x.json" },
		{ "export", { path, "-o", "/dev/full" }, DHAT_EXIT_OUTPUT, "No space left" },
		{ "attach", { "--link", "x" }, DHAT_EXIT_USAGE, "session, multi and perf" },
		{ "attach", { "--anonymous" }, DHAT_EXIT_USAGE, "which process?" },
		{ "attach", { "1", "2" }, DHAT_EXIT_USAGE, "one process at a time" },
		{ "attach", { "1", "-s", "/nowhere/s" }, DHAT_EXIT_NO_DAEMON, "no dhatd answers" },
		{ "detach", { "x" }, DHAT_EXIT_USAGE, "not a process id" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			run(command(cases[i].name), cases[i].code, cases[i].args);

		if (!strstr(text, cases[i].said))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, text, cases[i].said);
	}
}

static int set_up(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	int fd, r;

	setenv("TZ", "UTC", 1);
	unsetenv("COLUMNS");
	tzset();
	strcpy(path, "/tmp/dhat-format-XXXXXX.dhat");
	fd = mkstemps(path, 5);
	if (fd < 0)
		return -1;
	close(fd);
	r = dhat_save(snapshot, path, NULL, NULL, NULL);
	dhat_snapshot_free(snapshot);
	return r;
}

static int tear_down(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_paragraphs),
		cmocka_unit_test(test_no_codes_into_a_pipe),
		cmocka_unit_test(test_ranking),
		cmocka_unit_test(test_survivors),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_stats_since),
		cmocka_unit_test(test_births),
		cmocka_unit_test(test_stats_ages),
		cmocka_unit_test(test_stats_by),
		cmocka_unit_test(test_stacks_fit_the_terminal),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_timeline),
		cmocka_unit_test(test_words_of_the_ended),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_suspects),
		cmocka_unit_test(test_without_history),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_trim_words),
		cmocka_unit_test(test_no_comparison_with_redacted),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_assert_read_back),
		cmocka_unit_test(test_verdict_words),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
