/* The data of a report: sums are the snapshot's, stacks are whole, and no name gets out of them. */
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
#include "proto/export/export.h"
#include "proto/profile/redact.h"
#include "tests/unit/sample_holds.h"

#define FRAME_NUMBERS 4 /* name, place, line, is it own code */

static char *export(const struct dhat_snapshot *snapshot, const struct dhat_export_options *options,
		    size_t *ret_size)
{
	char *text = NULL;
	FILE *file = open_memstream(&text, ret_size);

	assert_int_equal(dhat_html_exporter.write(snapshot, options, file, NULL), 0);
	fclose(file);
	return text;
}

/* What stands in the element that a browser takes the data from; the page is cut there. */
static char *data_text(char *page)
{
	char *begin = strstr(page, "<script id=\"data\" type=\"application/json\">\n"), *end;

	assert_non_null(begin);
	begin = strchr(begin, '>') + 1;
	end = strchr(begin, '<'); /* where a browser looks whether it ends */
	assert_non_null(end);
	assert_int_equal(strncmp(end, "</script>", strlen("</script>")), 0);
	*end = 0;
	return begin;
}

static struct json_object *data_of(const struct dhat_snapshot *snapshot,
				   const struct dhat_export_options *options)
{
	size_t size;
	_cleanup_free_ char *page = export(snapshot, options, &size);
	struct json_object *data = json_tokener_parse(data_text(page));

	assert_non_null(data);
	return data;
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		fail_msg("%s is missing", key);
	return value;
}

static int64_t number_at(struct json_object *array, size_t i)
{
	assert_true(i < json_object_array_length(array));
	return json_object_get_int64(json_object_array_get_idx(array, i));
}

static uint64_t sum_of(const struct dhat_snapshot *snapshot, enum dhat_metric metric)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];
		const uint64_t values[DHAT_METRIC_COUNT] = {
			point->live_bytes,  point->live_blocks, point->peak_bytes,
			point->peak_blocks, point->total_bytes, point->total_blocks,
		};

		sum += values[metric];
	}
	return sum;
}

/* "main;insert;…": the frames of row number `wanted`, read as the page reads them. */
static char *stack_of(struct json_object *data, size_t wanted)
{
	struct json_object *packed = get(data, "stacks"), *frames = get(data, "frames"),
			   *strings = get(data, "strings");
	int64_t stack[64];
	size_t at = 0, depth = 0, size;
	char *text = NULL;
	FILE *file;

	for (size_t row = 0; row <= wanted; row++) {
		size_t shared = number_at(packed, at), more = number_at(packed, at + 1);

		assert_true(shared <= depth && shared + more <= ARRAY_SIZE(stack));
		for (size_t i = 0; i < more; i++)
			stack[shared + i] = number_at(packed, at + 2 + i);
		depth = shared + more;
		at += 2 + more;
	}
	file = open_memstream(&text, &size);
	for (size_t i = 0; i < depth; i++)
		fprintf(file, "%s%s", i ? ";" : "",
			json_object_get_string(json_object_array_get_idx(
				strings, number_at(frames, FRAME_NUMBERS * stack[i]))));
	fclose(file);
	return text;
}

static void test_sums(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { .metric = DHAT_PEAK_BYTES };
	struct json_object *data = data_of(snapshot, &options), *columns = get(data, "columns");

	assert_int_equal(json_object_get_int(get(data, "shown")), DHAT_PEAK_BYTES);
	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		struct json_object *column = json_object_array_get_idx(columns, metric);
		struct json_object *values = get(column, "values");
		uint64_t sum = 0;

		assert_string_equal(json_object_get_string(get(column, "key")),
				    dhat_metric_name(metric));
		assert_string_equal(json_object_get_string(get(column, "unit")),
				    dhat_metric_is_bytes(metric) ? "bytes" : "blocks");
		assert_true(json_object_get_boolean(get(column, "is_sum")));
		assert_int_equal(json_object_array_length(values), SAMPLE_POINTS - 1);
		for (size_t i = 0; i < SAMPLE_POINTS - 1; i++)
			sum += number_at(values, i);
		assert_int_equal(sum, sum_of(snapshot, metric));
	}
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* Each stack is there, whole, with its own figures: one that is looked for by its names. */
static void test_stacks(void **state)
{
	static const struct {
		const char *stack;
		uint64_t live_bytes;
	} wanted[] = {
		{ "main;Cache::insert(int);std::vector<int>::push_back(int const&)", 1000000 },
		{ "main;service+0xabc2", 0 },
		{ "[allocated before attach]", 770 },
	};
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data = data_of(snapshot, &options);
	struct json_object *live =
		get(json_object_array_get_idx(get(data, "columns"), 0), "values");
	size_t found = 0;

	for (size_t row = 0; row < SAMPLE_POINTS - 1; row++) {
		_cleanup_free_ char *stack = stack_of(data, row);

		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
			if (strcmp(stack, wanted[i].stack))
				continue;
			assert_int_equal(number_at(live, row), wanted[i].live_bytes);
			found++;
		}
	}
	assert_int_equal(found, ARRAY_SIZE(wanted));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

static void test_head(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { .trim_rules = 1 };
	struct json_object *data = data_of(snapshot, &options), *loss;

	assert_string_equal(json_object_get_string(get(data, "verdict")), "inexact");
	assert_string_equal(
		json_object_get_string(json_object_array_get_idx(get(data, "reasons"), 0)),
		"3 allocations were lost because the ring was full");
	assert_int_equal(json_object_array_length(get(data, "losses")), 1);
	loss = json_object_array_get_idx(get(data, "losses"), 0);
	assert_string_equal(json_object_get_string(get(loss, "name")), "drop_alloc");
	assert_int_equal(json_object_get_int(get(loss, "value")), 3);
	assert_int_equal(json_object_array_length(get(data, "trimmed")), 1);
	assert_string_equal(json_object_get_string(get(data, "program")), "service");
	assert_int_equal(json_object_get_int64(get(data, "since_ms")), 1700000000000);
	/* arguments may be passwords */
	assert_null(strstr(json_object_to_json_string(data), "--name"));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

static struct json_object *column_of(struct json_object *data, const char *key)
{
	struct json_object *columns = get(data, "columns");

	for (size_t i = 0; i < json_object_array_length(columns); i++) {
		struct json_object *column = json_object_array_get_idx(columns, i);

		if (!strcmp(json_object_get_string(get(column, "key")), key))
			return column;
	}
	fail_msg("no column %s", key);
	return NULL;
}

/* A mark's column has the rows alone that have something since. */
static void check_mark(struct json_object *data, const char *key, const char *label, size_t count,
		       uint64_t wanted)
{
	struct json_object *column = column_of(data, key), *rows = get(column, "rows"),
			   *values = get(column, "values");
	uint64_t sum = 0;
	int64_t row = 0;

	assert_string_equal(json_object_get_string(get(column, "label")), label);
	assert_true(json_object_get_boolean(get(column, "is_sum")));
	assert_int_equal(json_object_array_length(rows), count);
	assert_int_equal(json_object_array_length(values), count);
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *stack = NULL;

		row += number_at(rows, i);
		sum += number_at(values, i);
		stack = stack_of(data, row);
		if (number_at(values, i) >= 400)
			assert_string_equal(stack,
					    "main;Cache::insert(int);std::vector<int>::push_back("
					    "int const&)");
	}
	assert_int_equal(sum, wanted);
}

static void test_marks(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data = data_of(snapshot, &options);
	struct json_object *mark = json_object_array_get_idx(get(data, "marks"), 1);

	assert_int_equal(json_object_array_length(get(data, "marks")), 2);
	assert_string_equal(json_object_get_string(get(mark, "name")), "late");
	assert_int_equal(json_object_get_int64(get(mark, "us")), 60000000);
	assert_int_equal(json_object_get_int(get(column_of(data, "since-1-blocks"), "mark")), 1);
	check_mark(data, "since-0-bytes", "Since early, 22:13:50 UTC", 2, 900100);
	check_mark(data, "since-0-blocks", "Since early, 22:13:50 UTC", 2, 901);
	check_mark(data, "since-1-bytes", "Since late, 22:14:20 UTC", 1, 400000);
	check_mark(data, "since-1-blocks", "Since late, 22:14:20 UTC", 1, 400);
	json_object_put(data);
	/* of a watch of days the time alone would say nothing */
	snapshot->head->target->observed_ns = 86400000000000;
	data = data_of(snapshot, &options);
	check_mark(data, "since-1-blocks", "Since late, 2023-11-14 22:14:20 UTC", 1, 400);
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

static void test_timeline(void **state)
{
	static const char *const series[] = { "live_bytes", "most_bytes", "live_blocks",
					      "allocations", "rss_bytes" };
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data = data_of(snapshot, &options), *timeline = get(data, "timeline");

	assert_int_equal(json_object_get_int64(get(timeline, "start_us")), 0);
	assert_int_equal(json_object_get_int64(get(timeline, "slot_us")), 30000000);
	assert_int_equal(json_object_get_int64(get(timeline, "end_us")), 90000000);
	assert_int_equal(json_object_get_int64(get(timeline, "peak_us")), 80000000);
	assert_int_equal(json_object_get_int64(get(timeline, "peak_bytes")), 913365);
	for (size_t i = 0; i < ARRAY_SIZE(series); i++)
		assert_int_equal(json_object_array_length(get(timeline, series[i])), 3);
	assert_int_equal(number_at(get(timeline, "live_bytes"), 1), 913365);
	assert_int_equal(number_at(get(timeline, "rss_bytes"), 2), 9500000);
	json_object_put(data);
	snapshot->end->timeline->slot_ns = 0;
	data = data_of(snapshot, &options);
	assert_false(json_object_object_get_ex(data, "timeline", NULL));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* By line: of its stacks the one that has most; and nothing where nobody knows. */
static void test_suspects(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data = data_of(snapshot, &options), *suspect;
	_cleanup_free_ char *stack = NULL;

	assert_string_equal(json_object_get_string(get(data, "growth")), "1 line leaks");
	assert_int_equal(json_object_array_length(get(data, "suspects")), 1);
	assert_int_equal(json_object_get_int(get(data, "suspect_count")), 1);
	suspect = json_object_array_get_idx(get(data, "suspects"), 0);
	stack = stack_of(data, json_object_get_int(get(suspect, "row")));
	assert_string_equal(stack,
			    "main;Cache::insert(int);std::vector<int>::push_back(int const&)");
	assert_string_equal(json_object_get_string(get(suspect, "course")), "leaks");
	assert_string_equal(json_object_get_string(get(suspect, "word")),
			    "leaks (medium confidence)");
	assert_string_equal(json_object_get_string(get(suspect, "why")),
			    "grows 586 KiB a minute since 2023-11-14 22:13:21 UTC; "
			    "nothing older than 3 us was freed");
	json_object_put(data);
	snapshot->end->history->count = 0;
	data = data_of(snapshot, &options);
	assert_false(json_object_object_get_ex(data, "growth", NULL));
	assert_false(json_object_object_get_ex(data, "suspects", NULL));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* People name marks, and a suspect is a place: nothing of either is left. */
static void test_redacted(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data;
	const char *text;

	assert_int_equal(dhat_redact(snapshot), 0);
	data = data_of(snapshot, &options);
	text = json_object_to_json_string_ext(data, JSON_C_TO_STRING_NOSLASHESCAPE);
	assert_int_equal(json_object_array_length(get(data, "suspects")), 1);
	assert_non_null(strstr(text, "Since mark-1, 22:13:50 UTC"));
	assert_null(strstr(text, "Since early"));
	assert_null(strstr(text, "Cache"));
	assert_null(strstr(text, "cache.cc"));
	assert_null(strstr(text, "/usr/bin"));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* Figures of a difference have signs, and what has no difference is not there. */
static void test_difference(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { .is_difference = true };
	int64_t sum = 0;
	struct json_object *data, *columns, *live;

	snapshot->points[0]->live_bytes = -snapshot->points[0]->live_bytes;
	data = data_of(snapshot, &options);
	columns = get(data, "columns");
	live = get(json_object_array_get_idx(columns, DHAT_LIVE_BYTES), "values");
	assert_true(json_object_get_boolean(get(data, "is_difference")));
	assert_int_equal(json_object_array_length(columns), DHAT_METRIC_COUNT);
	for (size_t i = 0; i < json_object_array_length(live); i++)
		sum += number_at(live, i);
	assert_int_equal(sum, (int64_t)sum_of(snapshot, DHAT_LIVE_BYTES));
	assert_true(sum < 0);
	/* times and marks are one profile's */
	assert_false(json_object_object_get_ex(data, "marks", NULL));
	assert_false(json_object_object_get_ex(data, "timeline", NULL));
	assert_false(json_object_object_get_ex(data, "suspects", NULL));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* Nothing ends the element early, and what is read is what was there, cleaned. */
static void test_hostile_names(void **state)
{
	static const char hostile[] =
		"</script><script>bad()</script><!--<script>]]>\"'\\\x1b\xe2\x80\xa8\xff\t1\t2";
	static const char cleaned[] =
		"</script><script>bad()</script><!--<script>]]>\"'\\??\xef\xbf\xbd?1?2";
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	Dhat__Location *location = snapshot->frames[0]->locations[0];
	_cleanup_free_ char *stack = NULL;
	struct json_object *data;

	free(location->function);
	free(location->file);
	free(snapshot->head->target->executable);
	free(snapshot->end->verdict->reasons[0]);
	location->function = strdup(hostile);
	location->file = strdup(hostile);
	snapshot->head->target->executable = strdup(hostile);
	snapshot->end->verdict->reasons[0] = strdup(hostile);
	free(snapshot->head->marks[0]->name);
	snapshot->head->marks[0]->name = strdup(hostile); /* a reader refuses it */
	data = data_of(snapshot, &options);
	assert_string_equal(
		json_object_get_string(json_object_array_get_idx(get(data, "reasons"), 0)),
		cleaned);
	assert_string_equal(json_object_get_string(get(data, "executable")), cleaned);
	assert_string_equal(json_object_get_string(
				    get(json_object_array_get_idx(get(data, "marks"), 0), "name")),
			    cleaned);
	for (size_t row = 0; row < SAMPLE_POINTS - 1; row++) {
		free(stack);
		stack = stack_of(data, row);
		if (strstr(stack, cleaned))
			break;
	}
	assert_non_null(strstr(stack, cleaned));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* A note in a frame's place is a text of a file that anybody may have written: no number of it gets
 * into the data unread. */
static void test_hostile_note(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	Dhat__Location *location = snapshot->frames[1]->locations[0];
	struct json_object *data;

	snapshot->frames[1]->left_out = 3;
	free(location->function);
	location->function = strdup("note\tplace\t],\"x\":[\t1");
	data = data_of(snapshot, &options);
	assert_false(json_object_object_get_ex(data, "x", NULL));
	json_object_put(data);
	dhat_snapshot_free(snapshot);
}

/* ---- size ---------------------------------------------------------------------------------- */

enum { LARGE_STACKS = 100000, LARGE_FRAMES = 4000, LARGE_TRUNK = 12, LARGE_TWIG = 6 };

static Dhat__SnapshotPart *large_frames(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT, *owned;
	Dhat__FrameBatch batch = DHAT__FRAME_BATCH__INIT;
	Dhat__Frame *frames = calloc(LARGE_FRAMES, sizeof(*frames));
	Dhat__Location *locations = calloc(LARGE_FRAMES, sizeof(*locations));
	Dhat__Frame **list = calloc(LARGE_FRAMES, sizeof(*list));
	Dhat__Location **places = calloc(LARGE_FRAMES, sizeof(*places));
	char(*names)[160] = calloc(LARGE_FRAMES, sizeof(*names));

	for (int i = 0; i < LARGE_FRAMES; i++) {
		snprintf(names[i], sizeof(names[i]),
			 "ns%d::Component%d<std::map<std::string, std::vector<int>>>::method_%d("
			 "unsigned long, std::string const&)",
			 i % 37, i % 211, i);
		dhat__location__init(&locations[i]);
		locations[i].function = names[i];
		locations[i].file = "src/components/component.cc";
		locations[i].line = i;
		places[i] = &locations[i];
		dhat__frame__init(&frames[i]);
		frames[i].address = 0x550000000000 + 64 * i;
		frames[i].object = "/usr/bin/service";
		frames[i].locations = &places[i];
		frames[i].n_locations = 1;
		list[i] = &frames[i];
	}
	batch.frames = list;
	batch.n_frames = LARGE_FRAMES;
	part.part_case = DHAT__SNAPSHOT_PART__PART_FRAMES;
	part.frames = &batch;
	owned = sample_own(&part);
	free(names);
	free(places);
	free(list);
	free(locations);
	free(frames);
	return owned;
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

static Dhat__SnapshotPart *large_points(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT, *owned;
	Dhat__PointBatch batch = DHAT__POINT_BATCH__INIT;
	Dhat__ProgramPoint *points = calloc(LARGE_STACKS, sizeof(*points));
	Dhat__ProgramPoint **list = calloc(LARGE_STACKS, sizeof(*list));
	uint32_t(*stacks)[LARGE_TWIG + LARGE_TRUNK] = calloc(LARGE_STACKS, sizeof(*stacks));
	uint32_t seed = 1;

	for (int i = 0; i < LARGE_STACKS; i++) {
		Dhat__ProgramPoint *point = list[i] = &points[i];

		dhat__program_point__init(point);
		for (int j = 0; j < LARGE_TWIG; j++)
			stacks[i][j] = 1 + next_random(&seed) % LARGE_FRAMES;
		for (int j = 0; j < LARGE_TRUNK; j++) /* 50 stacks have the same */
			stacks[i][LARGE_TWIG + j] = 1 + (i / 50 * (j + 1)) % LARGE_FRAMES;
		point->frames = stacks[i];
		point->n_frames = LARGE_TWIG + LARGE_TRUNK;
		point->stop = "complete";
		point->total_blocks = point->live_blocks = point->peak_blocks = point->max_blocks =
			10000 + next_random(&seed) % 80000;
		point->total_bytes = point->live_bytes = point->peak_bytes = point->max_bytes =
			48 * point->total_blocks;
		point->lifetimes_us = 1000000 * point->total_blocks;
		point->first_ns = 1000000000;
		point->last_ns = 3600000000000;
	}
	batch.points = list;
	batch.n_points = LARGE_STACKS;
	part.part_case = DHAT__SNAPSHOT_PART__PART_POINTS;
	part.points = &batch;
	owned = sample_own(&part);
	free(stacks);
	free(list);
	free(points);
	return owned;
}

static void test_size(void **state)
{
	const struct dhat_export_options options = { 0 };
	struct dhat_snapshot *snapshot = NULL;
	_cleanup_free_ char *page = NULL;
	size_t size;

	assert_int_equal(dhat_snapshot_new(&snapshot), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, sample_head(), NULL), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, large_frames(), NULL), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, large_points(), NULL), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, sample_end(), NULL), 0);
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
	page = export(snapshot, &options, &size);
	assert_in_range(size, 1000000, 20000000);
	dhat_snapshot_free(snapshot);
}

/* The names of a way from a root to a stack, "a > b > c". */
static void way_of(struct json_object *data, size_t way, char ret[512])
{
	struct json_object *held = get(data, "held"), *frames = get(data, "frames");
	struct json_object *strings = get(data, "strings");
	size_t at = 0;

	for (size_t i = 0; i < way; i++)
		at += 2 + number_at(held, at + 1);
	assert_int_equal(number_at(held, at), 0);
	*ret = 0;
	for (int64_t i = 0; i < number_at(held, at + 1); i++) {
		int64_t name = number_at(frames, FRAME_NUMBERS * number_at(held, at + 2 + i));

		snprintf(ret + strlen(ret), 512 - strlen(ret), "%s%s", i ? " > " : "",
			 json_object_get_string(json_object_array_get_idx(strings, name)));
	}
}

/* Each stack has a way from what holds most of it; what is lost is below a root of its own. */
static void test_holders(void **state)
{
	struct dhat_snapshot *snapshot = sample_with_holds(), *without = sample_snapshot();
	const struct dhat_export_options options = { 0 };
	struct json_object *data, *none = data_of(without, &options);
	size_t lost = 0, held = 0, unseen = 0, rows;
	char way[512];

	snapshot->end->holds->roots[0]->retained = sample_sum(904000, 9040);
	data = data_of(snapshot, &options);
	rows = json_object_array_length(
		get(json_object_array_get_idx(get(data, "columns"), 0), "values"));
	for (size_t i = 0; i < rows; i++) {
		way_of(data, i, way);
		lost += !strncmp(way, "lost: nothing points to it > ", 29);
		held += !strncmp(way, "global the_cache > ", 19);
		unseen += !strncmp(way, "not looked at", 13);
	}
	assert_int_equal(lost, 1);
	assert_int_equal(held, 2);
	assert_int_equal(unseen, rows - 3);
	assert_int_equal(number_at(get(data, "retained"), 1), 904000);
	assert_non_null(strstr(json_object_get_string(get(data, "scan")), "1,040 blocks are lost"));
	assert_false(json_object_object_get_ex(none, "held", NULL));
	json_object_put(data);
	json_object_put(none);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holders),	     cmocka_unit_test(test_sums),
		cmocka_unit_test(test_stacks),	     cmocka_unit_test(test_head),
		cmocka_unit_test(test_difference),   cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_hostile_note), cmocka_unit_test(test_marks),
		cmocka_unit_test(test_timeline),     cmocka_unit_test(test_suspects),
		cmocka_unit_test(test_redacted),     cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
