/* The formats beside DHAT JSON: what their readers rely on, and that sums are the snapshot's. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <zlib.h>

#include "proto/base/cleanup.h"
#include "proto/export/export.h"
#include "proto/export/pprof.pb-c.h"
#include "proto/profile/trim.h"
#include "tests/unit/sample_holds.h"
#include "tests/unit/sample_pages.h"

static char *export(const struct dhat_exporter *exporter, const struct dhat_snapshot *snapshot,
		    const struct dhat_export_options *options, size_t *ret_size)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_int_equal(exporter->write(snapshot, options, file, NULL), 0);
	fclose(file);
	if (ret_size)
		*ret_size = size;
	return text;
}

/* What the points have in all, by metric. */
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

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		fail_msg("%s is missing", key);
	return value;
}

/* ---- folded -------------------------------------------------------------------------------- */

/* As speedscope reads: greedy up to the last blank before digits. */
static uint64_t sum_of_folded(char *text, int *ret_lines)
{
	uint64_t sum = 0;

	*ret_lines = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *blank = strrchr(line, ' '), *end;

		assert_non_null(blank);
		sum += strtoull(blank + 1, &end, 10);
		assert_true(*end == 0 && end > blank + 1);
		/* flamegraph.pl would take a number before it for another column */
		*blank = 0;
		assert_false(strspn(strrchr(line, ' ') ?: "x", " 0123456789") ==
			     strlen(strrchr(line, ' ') ?: "x"));
		(*ret_lines)++;
	}
	return sum;
}

static void test_folded(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	int lines;

	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		struct dhat_export_options options = { .metric = metric };
		_cleanup_free_ char *text = export(&dhat_folded_exporter, snapshot, &options, NULL);

		assert_int_equal(sum_of_folded(text, &lines), sum_of(snapshot, metric));
		assert_in_range(lines, 1, SAMPLE_POINTS);
	}
	dhat_snapshot_free(snapshot);
}

static void test_folded_names(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	_cleanup_free_ char *text = NULL, *trimmed = NULL;

	text = export(&dhat_folded_exporter, snapshot, &options, NULL);
	/* outermost first; inlined functions are frames of their own */
	assert_non_null(strstr(
		text, "main;Cache::insert(int);std::vector<int>::push_back(int const&) 1000000\n"));
	assert_non_null(strstr(text, "[allocated before attach] 770\n"));
	assert_non_null(strstr(text, "[stack ends early: no rule];"));
	free(snapshot->frames[0]->locations[0]->function);
	snapshot->frames[0]->locations[0]->function = strdup("<[u8; 16] as Trait>::make 42");
	free(text);
	text = export(&dhat_folded_exporter, snapshot, &options, NULL);
	assert_non_null(strstr(text, ";<[u8, 16] as Trait>::make_42 1000000\n"));
	dhat_snapshot_free(snapshot);
}

/* ---- speedscope ---------------------------------------------------------------------------- */

static void check_profile(struct json_object *profile, size_t frame_count, uint64_t sum)
{
	struct json_object *samples = get(profile, "samples"), *weights = get(profile, "weights");
	size_t count = json_object_array_length(samples);
	uint64_t weighed = 0;

	assert_string_equal(json_object_get_string(get(profile, "type")), "sampled");
	assert_int_equal(json_object_array_length(weights), count);
	for (size_t i = 0; i < count; i++) {
		struct json_object *stack = json_object_array_get_idx(samples, i);

		assert_true(json_object_get_int64(json_object_array_get_idx(weights, i)) > 0);
		weighed += json_object_get_uint64(json_object_array_get_idx(weights, i));
		assert_true(json_object_array_length(stack) > 0);
		for (size_t j = 0; j < json_object_array_length(stack); j++)
			assert_in_range(json_object_get_int64(json_object_array_get_idx(stack, j)),
					1, frame_count - 1);
	}
	assert_int_equal(weighed, sum);
	assert_int_equal(json_object_get_uint64(get(profile, "startValue")), 0);
	assert_int_equal(json_object_get_uint64(get(profile, "endValue")), sum);
}

static void test_speedscope(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { .metric = DHAT_PEAK_BYTES };
	_cleanup_free_ char *text = export(&dhat_speedscope_exporter, snapshot, &options, NULL);
	struct json_object *root = json_tokener_parse(text), *frames, *profiles, *frame;

	assert_non_null(root);
	assert_string_equal(json_object_get_string(get(root, "$schema")),
			    "https://www.speedscope.app/file-format-schema.json");
	frames = get(get(root, "shared"), "frames");
	profiles = get(root, "profiles");
	assert_int_equal(json_object_array_length(profiles), DHAT_METRIC_COUNT);
	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		struct json_object *profile = json_object_array_get_idx(profiles, metric);

		assert_string_equal(json_object_get_string(get(profile, "name")),
				    dhat_metric_name(metric));
		assert_string_equal(json_object_get_string(get(profile, "unit")),
				    dhat_metric_is_bytes(metric) ? "bytes" : "none");
		check_profile(profile, json_object_array_length(frames), sum_of(snapshot, metric));
	}
	assert_int_equal(json_object_get_int(get(root, "activeProfileIndex")), DHAT_PEAK_BYTES);
	frame = json_object_array_get_idx(frames, 1);
	assert_string_equal(json_object_get_string(get(frame, "name")),
			    "std::vector<int>::push_back(int const&)");
	assert_string_equal(json_object_get_string(get(frame, "file")),
			    "/usr/include/c++/12/bits/stl_vector.h");
	assert_int_equal(json_object_get_int(get(frame, "line")), 1281);
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* A note in a frame's place is a text of a file that anybody may have written. */
static void test_speedscope_hostile_note(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	Dhat__Location *location = snapshot->frames[1]->locations[0];
	_cleanup_free_ char *text = NULL;
	struct json_object *root;

	snapshot->frames[1]->left_out = 3;
	free(location->function);
	location->function = strdup("note\tplace\t1}],\"x\":[{\t2");
	text = export(&dhat_speedscope_exporter, snapshot, &options, NULL);
	root = json_tokener_parse(text);
	assert_non_null(root);
	assert_false(json_object_object_get_ex(get(root, "shared"), "x", NULL));
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* One negative weight, and the reader refuses the whole file: each number is two profiles. */
static void test_speedscope_difference(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { .metric = DHAT_TOTAL_BYTES, .is_difference = true };
	uint64_t all = sum_of(snapshot, DHAT_LIVE_BYTES), shrunk = snapshot->points[0]->live_bytes;
	_cleanup_free_ char *text = NULL;
	struct json_object *root, *frames, *profiles;

	snapshot->points[0]->live_bytes = -shrunk;
	text = export(&dhat_speedscope_exporter, snapshot, &options, NULL);
	root = json_tokener_parse(text);
	assert_non_null(root);
	frames = get(get(root, "shared"), "frames");
	profiles = get(root, "profiles");
	assert_int_equal(json_object_array_length(profiles), 2 * DHAT_METRIC_COUNT);
	assert_string_equal(
		json_object_get_string(get(json_object_array_get_idx(profiles, 0), "name")),
		"live-bytes grown");
	assert_string_equal(
		json_object_get_string(get(json_object_array_get_idx(profiles, 1), "name")),
		"live-bytes shrunk");
	check_profile(json_object_array_get_idx(profiles, 0), json_object_array_length(frames),
		      all - shrunk);
	check_profile(json_object_array_get_idx(profiles, 1), json_object_array_length(frames),
		      shrunk);
	assert_int_equal(json_object_get_int(get(root, "activeProfileIndex")),
			 2 * DHAT_TOTAL_BYTES);
	json_object_put(root);
	dhat_snapshot_free(snapshot);
}

/* ---- JSON lines ---------------------------------------------------------------------------- */

static void test_jsonl(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	_cleanup_free_ char *text = export(&dhat_jsonl_exporter, snapshot, &options, NULL);
	uint64_t live = 0;
	int lines = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
		struct json_object *object = json_tokener_parse(line);

		assert_non_null(object);
		assert_string_equal(json_object_get_string(get(object, "type")),
				    lines ? "point" : "totals");
		assert_int_equal(json_object_get_int(get(object, "pid")), 4711);
		if (lines) {
			live += json_object_get_uint64(get(object, "live_bytes"));
			assert_int_equal(json_object_get_string_len(get(object, "stack_id")), 16);
			assert_true(json_object_array_length(get(object, "stack")) > 0);
			assert_int_equal(json_object_array_length(get(object, "low_bytes")),
					 SAMPLE_SLOTS);
			assert_int_equal(
				json_object_get_int(get(object, "growth_bytes_per_minute")),
				lines == 1 ? 600000 : 0);
		} else {
			struct json_object *timeline = get(object, "timeline");
			struct json_object *resident = get(timeline, "rss_bytes");

			assert_int_equal(json_object_get_int64(get(timeline, "slot_ns")),
					 30000000000);
			assert_int_equal(json_object_array_length(get(timeline, "live_bytes")), 3);
			assert_int_equal(
				json_object_get_int(json_object_array_get_idx(resident, 2)),
				9500000);
			assert_string_equal(json_object_get_string(get(object, "verdict")),
					    "inexact");
		}
		json_object_put(object);
	}
	assert_int_equal(lines, SAMPLE_POINTS); /* the totals, and two points are one */
	assert_int_equal(live, sum_of(snapshot, DHAT_LIVE_BYTES));
	dhat_snapshot_free(snapshot);
}

/* After a scan the totals tell its sums and its age, and each point its own; before one, and of a
 * difference, nothing does. */
static void test_jsonl_tells_what_is_lost(void **state)
{
	struct dhat_snapshot *snapshot = sample_with_holds();
	struct dhat_export_options options = { 0 };
	uint64_t lost = 0, held = 0;

	for (int is_difference = 0; is_difference < 2; is_difference++) {
		_cleanup_free_ char *text = NULL;
		bool is_first = true;

		options.is_difference = is_difference;
		text = export(&dhat_jsonl_exporter, snapshot, &options, NULL);
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			struct json_object *object = json_tokener_parse(line);

			if (is_difference) {
				assert_false(json_object_object_get_ex(object, "lost_bytes", NULL));
			} else if (is_first) {
				assert_int_equal(json_object_get_uint64(get(object, "lost_bytes")),
						 104000);
				assert_int_equal(json_object_get_uint64(get(object, "lost_blocks")),
						 1040);
				assert_int_equal(json_object_get_uint64(get(object, "scan_age_ns")),
						 SAMPLE_SCAN_AGE_NS);
				assert_int_equal(
					json_object_array_length(get(object, "not_called_lost")),
					0);
			} else {
				lost += json_object_get_uint64(get(object, "lost_bytes"));
				held += json_object_get_uint64(get(object, "held_bytes"));
			}
			is_first = false;
			json_object_put(object);
		}
	}
	assert_int_equal(lost, 104000);
	assert_int_equal(held, 904000);
	dhat_snapshot_free(snapshot);
}

/* ---- pprof --------------------------------------------------------------------------------- */

static Pprof__Profile *read_pprof(const struct dhat_snapshot *snapshot,
				  const struct dhat_export_options *options)
{
	size_t size;
	_cleanup_free_ char *zipped = export(&dhat_pprof_exporter, snapshot, options, &size);
	static uint8_t bytes[1 << 16];
	z_stream stream = { .next_in = (uint8_t *)zipped,
			    .avail_in = size,
			    .next_out = bytes,
			    .avail_out = sizeof(bytes) };
	Pprof__Profile *profile;

	assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	inflateEnd(&stream);
	profile = pprof__profile__unpack(NULL, stream.total_out, bytes);
	assert_non_null(profile);
	return profile;
}

/* What pprof refuses: a first string that is not "", ids that are 0 or unknown, values of another
 * number. */
static void check_references(const Pprof__Profile *profile)
{
	assert_string_equal(profile->string_table[0], "");
	for (size_t i = 0; i < profile->n_function; i++) {
		assert_int_equal(profile->function[i]->id, i + 1);
		assert_in_range(profile->function[i]->name, 1, profile->n_string_table - 1);
	}
	for (size_t i = 0; i < profile->n_mapping; i++) {
		assert_int_equal(profile->mapping[i]->id, i + 1);
		assert_true(profile->mapping[i]->has_functions);
		assert_true(profile->mapping[i]->memory_start < profile->mapping[i]->memory_limit);
	}
	for (size_t i = 0; i < profile->n_location; i++) {
		const Pprof__Location *location = profile->location[i];

		assert_int_equal(location->id, i + 1);
		assert_true(location->n_line > 0);
		assert_in_range(location->mapping_id, 0, profile->n_mapping);
		for (size_t j = 0; j < location->n_line; j++)
			assert_in_range(location->line[j]->function_id, 1, profile->n_function);
		if (!location->mapping_id)
			continue;
		assert_in_range(location->address,
				profile->mapping[location->mapping_id - 1]->memory_start,
				profile->mapping[location->mapping_id - 1]->memory_limit - 1);
	}
	for (size_t i = 0; i < profile->n_sample; i++) {
		assert_int_equal(profile->sample[i]->n_value, profile->n_sample_type);
		assert_true(profile->sample[i]->n_location_id > 0);
		for (size_t j = 0; j < profile->sample[i]->n_location_id; j++)
			assert_in_range(profile->sample[i]->location_id[j], 1, profile->n_location);
	}
}

static const char *function_name(const Pprof__Profile *profile, const Pprof__Line *line)
{
	return profile->string_table[profile->function[line->function_id - 1]->name];
}

static void test_pprof(void **state)
{
	static const enum dhat_metric metric_of_kind[] = { DHAT_TOTAL_BLOCKS, DHAT_TOTAL_BYTES,
							   DHAT_LIVE_BLOCKS,  DHAT_LIVE_BYTES,
							   DHAT_PEAK_BLOCKS,  DHAT_PEAK_BYTES };
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	Pprof__Profile *profile = read_pprof(snapshot, &options);
	const Pprof__Location *location;

	check_references(profile);
	/* the kinds are the same in all files, or pprof would not subtract one from another */
	assert_int_equal(profile->n_sample_type, 8);
	assert_int_equal(profile->n_sample, SAMPLE_POINTS);
	for (size_t kind = 0; kind < 6; kind++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < profile->n_sample; i++)
			sum += profile->sample[i]->value[kind];
		assert_int_equal(sum, sum_of(snapshot, metric_of_kind[kind]));
	}
	assert_string_equal(profile->string_table[profile->default_sample_type], "inuse_space");
	assert_string_equal(profile->string_table[profile->period_type->type], "space");
	location = profile->location[profile->sample[0]->location_id[0] - 1];
	assert_int_equal(location->n_line, 2);
	assert_string_equal(function_name(profile, location->line[0]),
			    "std::vector<int>::push_back(int const&)");
	assert_string_equal(function_name(profile, location->line[1]), "Cache::insert(int)");
	assert_int_equal(location->line[0]->line, 1281);
	/* never the shown name: it would be cut */
	for (size_t i = 0; i < profile->n_function; i++)
		assert_true(!profile->function[i]->system_name ||
			    profile->function[i]->system_name != profile->function[i]->name);
	assert_non_null(strstr(profile->string_table[profile->comment[0]], "inexact"));
	assert_int_equal(profile->n_comment, 3);
	assert_non_null(strstr(profile->string_table[profile->comment[2]], "not known"));
	pprof__profile__free_unpacked(profile, NULL);
	dhat_snapshot_free(snapshot);
}

static const char *text_at(const Pprof__Profile *profile, int64_t at)
{
	return profile->string_table[at];
}

/* The age of live blocks, with its unit; what kind of memory it is; and the program comes first. */
static void test_pprof_labels(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	Pprof__Profile *profile;
	const Pprof__Label *label;
	size_t kinds = 0;

	snapshot->frames[0]->object = strdup("/usr/lib/libfirst.so");
	profile = read_pprof(snapshot, &options);
	assert_string_equal(text_at(profile, profile->mapping[0]->filename), "/usr/bin/service");
	assert_int_equal(profile->sample[0]->n_label, 3);
	label = profile->sample[0]->label[0];
	assert_string_equal(text_at(profile, label->key), "thread");
	assert_string_equal(text_at(profile, label->str), "worker-*");
	label = profile->sample[0]->label[1];
	assert_string_equal(text_at(profile, label->key), "allocator");
	assert_string_equal(text_at(profile, label->str), "glibc 2.36");
	label = profile->sample[0]->label[2];
	assert_string_equal(text_at(profile, label->key), "age");
	assert_int_equal(label->num, 44000000);
	assert_string_equal(text_at(profile, label->num_unit), "microseconds");
	for (size_t i = 0; i < profile->n_sample; i++)
		for (size_t j = 0; j < profile->sample[i]->n_label; j++) {
			label = profile->sample[i]->label[j];
			kinds += !strcmp(text_at(profile, label->key), "kind") &&
				 !strcmp(text_at(profile, label->str), "mmap");
		}
	assert_int_equal(kinds, 1);
	pprof__profile__free_unpacked(profile, NULL);
	dhat_snapshot_free(snapshot);
}

/* Behind the others, so that their numbers stay. */
static void test_pprof_pages(void **state)
{
	struct dhat_snapshot *snapshot = sample_with_pages();
	struct dhat_export_options options = { 0 };
	Pprof__Profile *profile = read_pprof(snapshot, &options);

	check_references(profile);
	assert_int_equal(profile->n_sample_type, 8);
	assert_int_equal(profile->n_comment, 2);
	assert_string_equal(profile->string_table[profile->sample_type[6]->type], "resident_space");
	assert_string_equal(profile->string_table[profile->sample_type[7]->type], "swapped_space");
	assert_int_equal(profile->sample[0]->n_value, 8);
	assert_int_equal(profile->sample[0]->value[6], 900000);
	assert_int_equal(profile->sample[0]->value[7], 60000);
	assert_int_equal(profile->sample[2]->value[6], 100);
	pprof__profile__free_unpacked(profile, NULL);
	dhat_snapshot_free(snapshot);
}

/* What a rule leaves out is gone, and the function that is left at the same address stays. */
static void test_pprof_trimmed(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { .trim_rules = DHAT_TRIM_ALLOCATOR };
	const Pprof__Location *location;
	Pprof__Profile *profile;

	free(snapshot->frames[0]->locations[0]->function);
	snapshot->frames[0]->locations[0]->function = strdup("operator new(unsigned long)");
	profile = read_pprof(snapshot, &options);
	check_references(profile);
	location = profile->location[profile->sample[0]->location_id[0] - 1];
	assert_int_equal(location->n_line, 1);
	assert_string_equal(function_name(profile, location->line[0]), "Cache::insert(int)");
	pprof__profile__free_unpacked(profile, NULL);
	dhat_snapshot_free(snapshot);
}

/* ---- massif -------------------------------------------------------------------------------- */

static char *next_line(char **text)
{
	char *line;

	do
		line = strsep(text, "\n");
	while (line && *line == '#');
	return line;
}

/* As ms_print reads: "n2: 500 name" and its two children; returns its bytes. What is in it itself
 * is what its children have not. */
static uint64_t read_node(char **text, size_t depth, uint64_t *ret_own)
{
	char *line = next_line(text), *colon;
	unsigned long children;
	uint64_t bytes, below = 0;

	assert_non_null(line);
	assert_int_equal(strspn(line, " "), depth);
	assert_int_equal(sscanf(line + depth, "n%lu: %" SCNu64, &children, &bytes), 2);
	colon = strchr(line, ':');
	assert_non_null(strchr(colon + 2, ' ')); /* it has a name */
	for (unsigned long i = 0; i < children; i++)
		below += read_node(text, depth + 1, ret_own);
	assert_true(below <= bytes);
	*ret_own += bytes - below;
	return bytes;
}

static void check_head(char **text, const char *kind, unsigned number, uint64_t ms, uint64_t bytes)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "snapshot=%u", number);
	assert_string_equal(next_line(text), wanted);
	snprintf(wanted, sizeof(wanted), "time=%" PRIu64, ms);
	assert_string_equal(next_line(text), wanted);
	snprintf(wanted, sizeof(wanted), "mem_heap_B=%" PRIu64, bytes);
	assert_string_equal(next_line(text), wanted);
	assert_string_equal(next_line(text), "mem_heap_extra_B=0");
	assert_string_equal(next_line(text), "mem_stacks_B=0");
	snprintf(wanted, sizeof(wanted), "heap_tree=%s", kind);
	assert_string_equal(next_line(text), wanted);
}

static void check_moment(char **text, const char *kind, unsigned number, uint64_t ms,
			 uint64_t bytes)
{
	uint64_t own = 0;

	check_head(text, kind, number, ms, bytes);
	assert_int_equal(read_node(text, 0, &own), bytes);
	assert_int_equal(own, bytes); /* each stack's bytes are somewhere */
}

static void test_massif(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	_cleanup_free_ char *text = export(&dhat_massif_exporter, snapshot, &options, NULL);
	char *rest = text;

	/* from the innermost frame outwards, of which two stacks have the first two; the largest
	 * first */
	assert_non_null(strstr(text,
			       "\n n1: 1004096 0x55550000ABC0: std::vector<int>::push_back("
			       "int const&) (/usr/include/c++/12/bits/stl_vector.h:1281)\n"
			       "  n2: 1004096 0x55550000ABC0: Cache::insert(int) (src/cache.cc:12)"
			       "\n   n0: 1000000 0x55550000ABC1: main (in /usr/bin/service)\n"
			       "   n1: 4096 "));
	assert_string_equal(next_line(&rest), "desc: dhatd " DHAT_VERSION ", inexact");
	assert_string_equal(next_line(&rest), "cmd: /usr/bin/service");
	assert_string_equal(next_line(&rest), "time_unit: ms");
	/* the last slot ends where t-end is */
	check_head(&rest, "empty", 0, 30000, 400000);
	check_head(&rest, "empty", 1, 60000, 913365);
	check_moment(&rest, "peak", 2, 80000, sum_of(snapshot, DHAT_PEAK_BYTES));
	check_moment(&rest, "detailed", 3, 90000, sum_of(snapshot, DHAT_LIVE_BYTES));
	assert_string_equal(rest, "");
	dhat_snapshot_free(snapshot);
}

/* Stacks that were chosen have no timeline of their own; what comes behind the peak stands there.
 */
static void test_massif_timeline(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	_cleanup_free_ char *text = NULL, *part = NULL;

	snapshot->end->totals->peak_ns = 30000000000;
	text = export(&dhat_massif_exporter, snapshot, &options, NULL);
	assert_non_null(strstr(text, "snapshot=0\n#-----------\ntime=30000\nmem_heap_B=913365\n"));
	assert_non_null(strstr(text, "snapshot=1\n#-----------\ntime=30000\nmem_heap_B=400000\n"));
	assert_non_null(strstr(text, "snapshot=2\n#-----------\ntime=60000\nmem_heap_B=913365\n"));
	snapshot->points[0]->live_bytes = 0;
	part = export(&dhat_massif_exporter, snapshot, &options, NULL);
	assert_null(strstr(part, "heap_tree=empty"));
	dhat_snapshot_free(snapshot);
}

/* "#" begins a comment wherever it stands, a new line a node; what is small is one node. */
static void test_massif_names(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	_cleanup_free_ char *text = NULL;

	free(snapshot->frames[1]->locations[0]->function);
	snapshot->frames[1]->locations[0]->function = strdup("main::{closure#0}");
	free(snapshot->points[5]->label);
	snapshot->points[5]->label = strdup("[before\nn9: 1 # x]");
	snapshot->points[5]->live_bytes = 5000;
	text = export(&dhat_massif_exporter, snapshot, &options, NULL);
	assert_non_null(strstr(text, ": main::{closure@0} (in /usr/bin/service)\n"));
	assert_non_null(strstr(text, " n0: 5000 [before?n9: 1 @ x]\n"));
	assert_non_null(
		strstr(text, " n0: 100 in 1 place, which is below dhatd's threshold (0.10%)\n"));
	dhat_snapshot_free(snapshot);
}

/* ---- callgrind ----------------------------------------------------------------------------- */

enum { CALLGRIND_FUNCTIONS = 16 };

struct callgrind { /* what a reader makes of it, by the number of the function */
	char names[CALLGRIND_FUNCTIONS][128];
	uint64_t own[CALLGRIND_FUNCTIONS], inclusive[CALLGRIND_FUNCTIONS];
	uint64_t summary;
};

static unsigned read_name(struct callgrind *graph, const char *text)
{
	unsigned number;
	int used = 0;

	assert_int_equal(sscanf(text, "(%u)%n", &number, &used), 1);
	assert_in_range(number, 1, CALLGRIND_FUNCTIONS - 1);
	if (text[used])
		snprintf(graph->names[number], sizeof(graph->names[number]), "%s", text + used + 1);
	else
		assert_true(*graph->names[number]); /* it was named before */
	return number;
}

/* Of its events the first. */
static void read_callgrind(char *text, struct callgrind *graph)
{
	unsigned function = 0;
	bool is_call = false;

	memset(graph, 0, sizeof(*graph));
	for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
		uint64_t value;

		if (!strncmp(line, "fn=", 3)) {
			function = read_name(graph, line + 3);
		} else if (!strncmp(line, "cfn=", 4)) {
			read_name(graph, line + 4);
			is_call = true;
		} else if (sscanf(line, "summary: %" SCNu64, &value) == 1) {
			graph->summary = value;
		} else if (sscanf(line, "%*u %" SCNu64, &value) == 1) {
			graph->own[function] += is_call ? 0 : value;
			graph->inclusive[function] += value;
			is_call = false;
		}
	}
}

static unsigned function_of(const struct callgrind *graph, const char *name)
{
	for (unsigned i = 1; i < CALLGRIND_FUNCTIONS; i++)
		if (!strcmp(graph->names[i], name))
			return i;
	fail_msg("no function %s", name);
	return 0;
}

static void test_callgrind(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();

	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		struct dhat_export_options options = { .metric = metric };
		_cleanup_free_ char *text =
			export(&dhat_callgrind_exporter, snapshot, &options, NULL);
		struct callgrind graph;
		uint64_t sum = 0;

		read_callgrind(text, &graph);
		for (unsigned i = 1; i < CALLGRIND_FUNCTIONS; i++)
			sum += graph.own[i];
		assert_int_equal(sum, sum_of(snapshot, metric));
		assert_int_equal(graph.summary, sum_of(snapshot, metric));
	}
	dhat_snapshot_free(snapshot);
}

/* However often a function is in a stack, its inclusive figure is the stack's, once. */
static void test_callgrind_recursion(void **state)
{
	static const uint32_t numbers[] = { 3, 2, 1, 2, 2 }; /* innermost first */
	struct dhat_snapshot *snapshot = sample_snapshot();
	struct dhat_export_options options = { 0 };
	Dhat__ProgramPoint *point = snapshot->points[0];
	_cleanup_free_ char *text = NULL;
	struct callgrind graph;

	free(point->frames);
	point->frames = memcpy(malloc(sizeof(numbers)), numbers, sizeof(numbers));
	point->n_frames = ARRAY_SIZE(numbers);
	for (size_t i = 1; i < snapshot->point_count; i++)
		snapshot->points[i]->live_bytes = 0;
	text = export(&dhat_callgrind_exporter, snapshot, &options, NULL);
	read_callgrind(text, &graph);
	assert_int_equal(graph.inclusive[function_of(&graph, "main")], 1000000);
	assert_int_equal(graph.own[function_of(&graph, "main")], 0);
	assert_int_equal(graph.own[function_of(&graph, "service+0xabc2")], 1000000);
	assert_int_equal(graph.inclusive[function_of(&graph, "Cache::insert(int)")], 1000000);
	dhat_snapshot_free(snapshot);
}

/* ---- names of files ------------------------------------------------------------------------ */

static void test_suffixes(void **state)
{
	static const struct {
		const char *path;
		const struct dhat_exporter *exporter; /* NULL: refused */
	} cases[] = {
		{ "-", &dhat_json_exporter },
		{ "/dev/null", &dhat_json_exporter },
		{ "leak", &dhat_json_exporter },
		{ "../a.b/leak", &dhat_json_exporter },
		{ ".leak", &dhat_json_exporter },
		{ "leak.json", &dhat_json_exporter },
		{ "leak.dhat.json", &dhat_json_exporter },
		{ "leak.speedscope.json", &dhat_speedscope_exporter },
		{ "a.dhat", &dhat_lossless_exporter },
		{ "x.y.pb.gz", &dhat_pprof_exporter },
		{ "x.folded", &dhat_folded_exporter },
		{ "x.jsonl", &dhat_jsonl_exporter },
		{ "x.html", &dhat_html_exporter },
		{ "x.massif", &dhat_massif_exporter },
		{ "x.callgrind", &dhat_callgrind_exporter },
		{ "x.txt", NULL },
		{ "x.gz", NULL },
		{ "x.json.1", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct dhat_exporter *exporter;
		struct dhat_error err = { 0 };
		int r = dhat_exporter_of_path(cases[i].path, &exporter, &err);

		if (cases[i].exporter) {
			assert_int_equal(r, 0);
			assert_ptr_equal(exporter, cases[i].exporter);
			continue;
		}
		assert_true(r < 0);
		assert_int_equal(err.code, DHAT_EXIT_USAGE);
		assert_non_null(strstr(err.message, ".pb.gz"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_folded_names),
		cmocka_unit_test(test_speedscope),
		cmocka_unit_test(test_speedscope_difference),
		cmocka_unit_test(test_speedscope_hostile_note),
		cmocka_unit_test(test_jsonl),
		cmocka_unit_test(test_jsonl_tells_what_is_lost),
		cmocka_unit_test(test_pprof),
		cmocka_unit_test(test_pprof_labels),
		cmocka_unit_test(test_pprof_pages),
		cmocka_unit_test(test_pprof_trimmed),
		cmocka_unit_test(test_suffixes),
		cmocka_unit_test(test_massif),
		cmocka_unit_test(test_massif_timeline),
		cmocka_unit_test(test_massif_names),
		cmocka_unit_test(test_callgrind),
		cmocka_unit_test(test_callgrind_recursion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
