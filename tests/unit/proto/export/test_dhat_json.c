/* DHAT JSON: the sample against a golden file, and what a reader relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/qualifiers.h"
#include "proto/export/export.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/trim.h"
#include "tests/unit/sample.h"

static char *export_trimmed(const struct dhat_snapshot *snapshot, unsigned trim_rules)
{
	char *text = NULL;
	const struct dhat_export_options options = { .trim_rules = trim_rules };
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_int_equal(dhat_json_exporter.write(snapshot, &options, file, NULL), 0);
	fclose(file);
	return text;
}

static char *export(const struct dhat_snapshot *snapshot)
{
	return export_trimmed(snapshot, 0);
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		fail_msg("%s is missing", key);
	return value;
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(get(object, key));
}

/* DHAT_GOLDEN=write writes the golden file instead. */
static void test_golden(void **state)
{
	static const char golden_path[] = "tests/golden/sample.dhat.json";
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *text = export(snapshot), *golden = NULL;
	const char *mode = getenv("DHAT_GOLDEN");
	_cleanup_fclose_ FILE *file = NULL;
	size_t size = 0;

	file = fopen(golden_path, mode ? "w" : "r");
	assert_non_null(file);
	if (mode) {
		fputs(text, file);
	} else {
		assert_true(getdelim(&golden, &size, 0, file) > 0);
		assert_string_equal(text, golden);
	}
	dhat_snapshot_free(snapshot);
}

static void test_merging(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *text = export(snapshot);
	struct json_object *root = json_tokener_parse(text), *points, *point, *merged, *one;

	assert_non_null(root);
	points = get(root, "pps");
	assert_int_equal(json_object_array_length(points), SAMPLE_POINTS - 1);
	/* points 2 and 3 look the same: sums, and the maximum as an upper bound */
	point = json_object_array_get_idx(points, 2);
	assert_int_equal(number(point, "tb"), 800);
	assert_int_equal(number(point, "tbk"), 8);
	assert_int_equal(number(point, "tl"), 8);
	assert_int_equal(number(point, "mb"), 500);
	assert_int_equal(number(point, "gb"), 200);
	assert_int_equal(number(point, "eb"), 100);
	/* lifetimes are those of the blocks that are counted: the viewer divides by `tbk` */
	point = json_object_array_get_idx(points, 4);
	assert_int_equal(number(point, "tbk"), 0);
	assert_int_equal(number(point, "ebk"), 6);
	assert_int_equal(number(point, "tl"), 0);
	merged = get(get(root, "dhatd"), "merged_points");
	assert_int_equal(json_object_array_length(merged), 1);
	one = json_object_array_get_idx(merged, 0);
	assert_int_equal(number(one, "pp"), 2);
	assert_int_equal(number(one, "parts"), 2);
	assert_int_equal(number(one, "mb_at_least"), 300);
	assert_int_equal(number(one, "mb_at_most"), 500);
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* Where each point has its maximum at the end, the sum is the maximum and nothing is flagged. */
static void test_merged_maximum_may_be_known(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *text = NULL;
	struct json_object *root;

	snapshot->points[2]->live_bytes = snapshot->points[2]->max_bytes;
	snapshot->points[3]->live_bytes = snapshot->points[3]->max_bytes;
	text = export(snapshot);
	root = json_tokener_parse(text);
	assert_int_equal(json_object_array_length(get(get(root, "dhatd"), "merged_points")), 0);
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* Trimming leaves frames out before points are compared: what differs in nothing else is one. */
static void test_trimming(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *text = NULL;
	struct json_object *root, *points, *stack;

	/* the inlined push_back becomes two different kinds of noise in frames 1 and 5 */
	free(snapshot->frames[0]->locations[0]->function);
	snapshot->frames[0]->locations[0]->function = strdup("operator new(unsigned long)");
	free(snapshot->frames[4]->locations[0]->function);
	snapshot->frames[4]->locations[0]->function = strdup("operator new[](unsigned long)");
	/* point 3 is then point 0, but for its innermost frame */
	snapshot->points[3]->n_frames = 2;
	snapshot->points[3]->frames[0] = 5;
	snapshot->points[3]->frames[1] = 2;
	text = export(snapshot);
	root = json_tokener_parse(text);
	assert_int_equal(json_object_array_length(get(root, "pps")), SAMPLE_POINTS);
	json_object_put(root);
	free(take_ptr(text));

	text = export_trimmed(snapshot, DHAT_TRIM_ALLOCATOR);
	root = json_tokener_parse(text);
	points = get(root, "pps");
	assert_int_equal(json_object_array_length(points), SAMPLE_POINTS - 1);
	assert_int_equal(number(json_object_array_get_idx(points, 0), "tb"), 1000500);
	stack = get(json_object_array_get_idx(points, 0), "fs");
	assert_int_equal(json_object_array_length(stack), 2);
	stack = get(get(root, "dhatd"), "trimmed");
	assert_int_equal(json_object_array_length(stack), 1);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(stack, 0)),
			    "allocator");
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

static void test_frames(void **state)
{
	Dhat__Frame frame = DHAT__FRAME__INIT;
	Dhat__Location location = DHAT__LOCATION__INIT;
	static const struct {
		const char *object, *function, *file, *text;
		bool has_location;
	} cases[] = {
		{ "/bin/x", "f(int)", "a/b.c", "0xAB12: f(int) (a/b.c:7:3)", true },
		{ "/bin/x", "f", "", "0xAB12: f (in /bin/x)", true },
		{ "", "f", "", "0xAB12: f (in no file)", true },
		/* Firefox Profiler cuts at the last " (" */
		{ "/x (deleted)", "f (a)", "", "0xAB12: f (a) (in /x\u00a0(deleted))", true },
		{ "/bin/x", "f", "b (1)/(2).c", "0xAB12: f (b\u00a0(1)/(2).c:7:3)", true },
		{ "/x (deleted)", "", "", "0xAB12: ??? (in /x\u00a0(deleted)+0x1b2)", false },
		{ "/bin/x", "", "a.c", "0xAB12: ??? (a.c:7:3)", true },
		{ "/bin/x", "", "", "0xAB12: ??? (in /bin/x+0x1b2)", true },
		{ "/bin/x", "", "", "0xAB12: ??? (in /bin/x+0x1b2)", false },
		{ "", "", "", "0xAB12: ??? (in no file)", false },
	};

	frame.address = 0xab12;
	frame.object_vaddr = 0x1b2;
	location.line = 7;
	location.column = 3;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL;

		frame.object = without_qualifiers(cases[i].object);
		location.function = without_qualifiers(cases[i].function);
		location.file = without_qualifiers(cases[i].file);
		text = dhat_frame_text(&frame, cases[i].has_location ? &location : NULL);
		assert_string_equal(text, cases[i].text);
	}
}

/* An observation that has just begun: the viewer divides by te. */
static void test_time_is_never_zero(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_free_ char *text = NULL;
	struct json_object *root;

	snapshot->end->totals->end_ns = 10;
	snapshot->end->totals->peak_ns = 5000;
	snapshot->point_count = 0;
	text = export(snapshot);
	root = json_tokener_parse(text);
	assert_int_equal(number(root, "te"), 1);
	assert_int_equal(number(root, "tg"), 1);
	assert_int_equal(json_object_array_length(get(root, "pps")), 0);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(get(root, "ftbl"), 0)),
			    "[root]");
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* 100,000 points of 20 frames: memory and time stay in proportion. */
static void test_many_points(void **state)
{
	enum { POINTS = 100000, FRAMES = 20000, DEPTH = 20 };
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_snapshot large = *snapshot;
	Dhat__Frame *frames = calloc(FRAMES, sizeof(*frames));
	Dhat__ProgramPoint *points = calloc(POINTS, sizeof(*points));
	uint32_t *stacks = calloc((size_t)POINTS * DEPTH, sizeof(*stacks));
	_cleanup_free_ char *text = NULL;
	size_t count = 0;

	large.frames = calloc(FRAMES, sizeof(void *));
	large.points = calloc(POINTS, sizeof(void *));
	for (uint32_t i = 0; i < FRAMES; i++) {
		dhat__frame__init(&frames[i]);
		frames[i].address = 0x1000 + i;
		large.frames[i] = &frames[i];
	}
	for (uint32_t i = 0; i < POINTS; i++) {
		dhat__program_point__init(&points[i]);
		points[i].total_bytes = i;
		points[i].frames = stacks + (size_t)i * DEPTH;
		points[i].n_frames = DEPTH;
		for (uint32_t j = 0; j < DEPTH; j++)
			points[i].frames[j] = 1 + (i / (j + 1) + j * 977) % FRAMES;
		large.points[i] = &points[i];
	}
	large.frame_count = FRAMES;
	large.point_count = POINTS;
	text = export(&large);
	/* by hand: a sanitized strstr() measures the rest of the text each time */
	for (const char *at = text; *at; at++)
		count += at[0] == '{' && at[1] == '"' && at[2] == 't' && at[3] == 'b';
	assert_int_equal(count, POINTS);
	free(large.frames);
	free(large.points);
	free(frames);
	free(points);
	free(stacks);
	dhat_snapshot_free(snapshot);
}

/* The three words, also of files from before there were three. */
static void test_verdict(void **state)
{
	static const struct {
		bool exact;
		const char *word, *expected;
	} cases[] = {
		{ true, "exact", "exact" },	 { false, "partial", "partial" },
		{ false, "inexact", "inexact" }, { true, "", "exact" },
		{ false, "", "inexact" },	 { false, "unheard of", "inexact" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_snapshot *snapshot = sample_snapshot();
		_cleanup_free_ char *text = NULL;
		struct json_object *root, *block;

		snapshot->end->verdict->exact = cases[i].exact;
		snapshot->end->verdict->word = strdup(cases[i].word);
		snapshot->end->verdict->uncounted_bytes = 12345678901;
		text = export(snapshot);
		root = json_tokener_parse(text);
		block = get(root, "dhatd");
		assert_string_equal(json_object_get_string(get(block, "verdict")),
				    cases[i].expected);
		assert_int_equal(json_object_get_boolean(get(block, "exact")), cases[i].exact);
		assert_int_equal(number(block, "uncounted_bytes"), 12345678901);
		assert_int_equal(json_object_array_length(get(block, "reasons")), 1);
		json_object_put(root);
		dhat_snapshot_free(snapshot);
	}
}

/* Every field of a message, under its own name. */
static void test_messages_as_json(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct json_object *object = dhat_json_message(&snapshot->end->base), *probe;

	assert_int_equal(json_object_object_length(object), 7);
	assert_int_equal(number(get(object, "totals"), "total_bytes"), 6013088);
	assert_int_equal(json_object_array_length(get(object, "counters")), 2);
	probe = json_object_array_get_idx(get(object, "probes"), 0);
	assert_string_equal(json_object_get_string(get(probe, "instruction")), "push r12");
	assert_true(json_object_get_boolean(get(probe, "is_emulated")));
	assert_string_equal(json_object_get_string(get(probe, "note")), "");
	assert_int_equal(json_object_array_length(get(object, "notes")), 0);
	json_object_put(object);
	/* of a oneof, what is set; no bytes that are not UTF-8, no controls */
	object = dhat_json_message(&snapshot->parts[0]->base);
	assert_int_equal(json_object_object_length(object), 1);
	assert_string_equal(
		json_object_get_string(get(get(get(object, "head"), "target"), "command")),
		"./service --name \"a\\b\" ?[31m\xef\xbf\xbd");
	json_object_put(object);
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_merged_maximum_may_be_known),
		cmocka_unit_test(test_trimming),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_time_is_never_zero),
		cmocka_unit_test(test_many_points),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_messages_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
