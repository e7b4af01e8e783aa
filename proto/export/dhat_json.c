/* dhat_json: a snapshot as DHAT JSON, version 2, for Valgrind's dh_view.html and for the tools
 * that read its files.
 *
 * Frames are rendered to text, and points whose texts are equal are one program point in the file
 * (the viewer refuses two). Its sums are exact. Its maximum is not known when the parts had theirs
 * at different times: `mb` and `mbk` are then the sums, an upper bound, and the point is listed in
 * dhatd.merged_points with a lower bound beside it. A stack that ended early has one more frame at
 * its outer end that says why: "[stack ends early: no rule]"; so it is never merged with a whole
 * one. What the format has no place for (verdict, counters, probes, …) is in the top-level key
 * "dhatd", which the viewer ignores.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/export/intervals.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/rendering.h"
#include "proto/profile/trim.h"
#include "proto/profile/verdict.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

static void put_point(const struct dhat_rendered_point *point, FILE *file)
{
	fprintf(file,
		" {\"tb\":%" PRIu64 ",\"tbk\":%" PRIu64 ",\"tl\":%" PRIu64 "\n  ,\"mb\":%" PRIu64
		",\"mbk\":%" PRIu64 "\n  ,\"gb\":%" PRIu64 ",\"gbk\":%" PRIu64
		"\n  ,\"eb\":%" PRIu64 ",\"ebk\":%" PRIu64 "\n  ,\"fs\":[",
		point->total_bytes, point->total_blocks, point->lifetimes_us, point->max_bytes,
		point->max_blocks, point->peak_bytes, point->peak_blocks, point->live_bytes,
		point->live_blocks);
	for (uint32_t i = 0; i < point->line_count; i++)
		fprintf(file, "%s%" PRIu32, i ? "," : "", point->lines[i]);
	fputs("]}", file);
}

/* ---- the "dhatd" block --------------------------------------------------------------------- */

/* false, and the value put, when memory is short. */
static bool set(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(object, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static struct json_object *time_text(uint64_t unix_ns)
{
	time_t seconds = unix_ns / 1000000000;
	char text[64];
	struct tm tm;

	if (!unix_ns) /* a profile of another program's, read back */
		return json_object_new_string("not known");
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_object_new_string(text);
}

static struct json_object *strings(char **texts, size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < count; i++)
		json_object_array_add(array, dhat_json_string(texts[i]));
	return array;
}

/* Why stacks end, with how many points and blocks each. */
static struct json_object *stops(const struct dhat_snapshot *snapshot)
{
	struct json_object *object = json_object_new_object(), *stop, *old;

	for (size_t i = 0; object && i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];
		_cleanup_free_ char *name =
			dhat_text_clean(*point->label ? point->label : point->stop);
		uint64_t points = 1, blocks = point->total_blocks;

		if (name && json_object_object_get_ex(object, name, &old)) {
			points += json_object_get_uint64(json_object_object_get(old, "points"));
			blocks +=
				json_object_get_uint64(json_object_object_get(old, "total_blocks"));
		}
		stop = json_object_new_object();
		if (!name || !stop || !set(stop, "points", json_object_new_uint64(points)) ||
		    !set(stop, "total_blocks", json_object_new_uint64(blocks)) ||
		    !set(object, name, stop)) {
			json_object_put(object);
			return NULL;
		}
	}
	return object;
}

static struct json_object *merged_points(const struct dhat_rendering *rendering)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < rendering->point_count; i++) {
		const struct dhat_rendered_point *point = rendering->points[i];
		struct json_object *object;

		if (dhat_rendered_max_is_known(point))
			continue;
		object = json_object_new_object();
		if (!object || !set(object, "pp", json_object_new_uint64(i)) ||
		    !set(object, "parts", json_object_new_uint64(point->part_count)) ||
		    !set(object, "mb_at_least",
			 json_object_new_uint64(dhat_rendered_least_max(point))) ||
		    !set(object, "mb_at_most", json_object_new_uint64(point->max_bytes)) ||
		    json_object_array_add(array, object) < 0) {
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

/* ---- objects: what a line of the frame table has no room for ------------------------------- */

#define MAX_OBJECTS                                                                                \
	1024 /* of which a process has dozens; frames of others say nothing of theirs              \
	      */

struct object {
	const Dhat__Frame *frame; /* the first one in it */
	uint64_t first, last;	  /* addresses of frames */
	bool is_moved;		  /* it was at several places */
};

static struct object *find_object(struct object *objects, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(objects[i].frame->object, path))
			return &objects[i];
	return NULL;
}

static void extend(struct object *object, const Dhat__Frame *frame)
{
	object->is_moved |= frame->address - frame->object_vaddr !=
			    object->frame->address - object->frame->object_vaddr;
	if (frame->address < object->first)
		object->first = frame->address;
	if (frame->address > object->last)
		object->last = frame->address;
}

/* Returns how many there are. */
static size_t collect_objects(const struct dhat_snapshot *snapshot, struct object *objects)
{
	struct object *object = NULL;
	size_t count = 0;

	for (size_t i = 0; i < snapshot->frame_count; i++) {
		const Dhat__Frame *frame = snapshot->frames[i];

		if (!*frame->object)
			continue;
		if (!object || strcmp(object->frame->object, frame->object))
			object = find_object(objects, count, frame->object);
		if (!object && count < MAX_OBJECTS) {
			object = &objects[count++];
			*object = (struct object){ frame, frame->address, frame->address, false };
		}
		if (object)
			extend(object, frame);
	}
	return count;
}

static struct json_object *object_as_json(const struct object *object)
{
	struct json_object *json = json_object_new_object();

	if (json && set(json, "path", dhat_json_string(object->frame->object)) &&
	    set(json, "build_id", dhat_json_string(object->frame->build_id)) &&
	    set(json, "vaddr", json_object_new_uint64(object->frame->object_vaddr)) &&
	    set(json, "address", json_object_new_uint64(object->frame->address)) &&
	    set(json, "first", json_object_new_uint64(object->first)) &&
	    set(json, "last", json_object_new_uint64(object->last)))
		return json;
	json_object_put(json);
	return NULL;
}

/* Between which addresses the frames of each object are, and what is where in it: by these whoever
 * reads the file back finds the object of a frame whose line names its source. */
static struct json_object *objects_of(const struct dhat_snapshot *snapshot)
{
	_cleanup_free_ struct object *objects = calloc(MAX_OBJECTS, sizeof(*objects));
	struct json_object *array = json_object_new_array(), *json;
	size_t count = objects ? collect_objects(snapshot, objects) : 0;

	for (size_t i = 0; array && i < count; i++) {
		if (objects[i].is_moved)
			continue;
		json = object_as_json(&objects[i]);
		if (!json || json_object_array_add(array, json) < 0) {
			json_object_put(json);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

/* The rules by which frames were left out. */
static struct json_object *trimmed(unsigned trim_rules)
{
	struct json_object *array = json_object_new_array();

	for (unsigned bit = 1; array && dhat_trim_word(bit); bit <<= 1)
		if (trim_rules & bit)
			json_object_array_add(array, json_object_new_string(dhat_trim_word(bit)));
	return array;
}

/* As estimate.h says, in the order of "pps". */
static struct json_object *intervals(const struct dhat_rendering *rendering)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < rendering->point_count; i++) {
		struct json_object *object = json_object_new_object();

		if (!object) {
			json_object_put(array);
			return NULL;
		}
		intervals_add_point_json(object, rendering->snapshot, rendering->points[i]);
		json_object_array_add(array, object);
	}
	return array;
}

static bool fill_block(struct json_object *block, const struct dhat_rendering *rendering)
{
	const Dhat__SnapshotHead *head = rendering->snapshot->head;
	const Dhat__SnapshotEnd *end = rendering->snapshot->end;
	const Dhat__Verdict *verdict = end->verdict;
	const char *word = dhat_verdict_word(dhat_verdict_of(verdict));
	const Dhat__Target *target = head->target;

	return set(block, "verdict", json_object_new_string(word)) &&
	       set(block, "exact", json_object_new_boolean(verdict->exact)) &&
	       set(block, "uncounted_bytes", json_object_new_uint64(verdict->uncounted_bytes)) &&
	       set(block, "reasons", strings(verdict->reasons, verdict->n_reasons)) &&
	       set(block, "sample_rate", json_object_new_uint64(head->sample_rate)) &&
	       set(block, "observed_since", time_text(target->observed_since_unix_ns)) &&
	       set(block, "observed_ns", json_object_new_uint64(target->observed_ns)) &&
	       set(block, "from_start", json_object_new_boolean(target->from_start)) &&
	       set(block, "taken", time_text(head->taken_unix_ns)) &&
	       set(block, "stops", stops(rendering->snapshot)) &&
	       set(block, "trimmed", trimmed(rendering->trim_rules)) &&
	       set(block, "merged_points", merged_points(rendering)) &&
	       (!head->sample_bytes || set(block, "intervals", intervals(rendering))) &&
	       set(block, "objects", objects_of(rendering->snapshot)) &&
	       dhat_json_add_fields(block, &head->base) == 0 &&
	       dhat_json_add_fields(block, &end->base) == 0 &&
	       /* the message of that name has nothing that is not said at the top */
	       set(block, "verdict", json_object_new_string(word));
}

/* The viewer's reader is JSON.parse(): any order of keys will do. */
static int put_block(const struct dhat_rendering *rendering, FILE *file)
{
	struct json_object *block = json_object_new_object();
	int r = -ENOMEM;

	if (block && fill_block(block, rendering)) {
		r = dhat_json_put(file, block);
	}
	json_object_put(block);
	return r;
}

/* ---- the file ------------------------------------------------------------------------------ */

/* The viewer shows it at the top, and has no other place for a word on what the figures are. */
static int put_command(const struct dhat_snapshot *snapshot, FILE *file)
{
	const char *command = snapshot->head->target->command;
	_cleanup_free_ char *text = NULL;
	char size[DHAT_UNIT_CHARS];

	if (!snapshot->head->sample_bytes)
		return dhat_json_put_string(file, command);
	if (asprintf(&text, "%s [estimates: 1 block per %s was recorded]", command,
		     dhat_format_size(snapshot->head->sample_bytes, size)) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return dhat_json_put_string(file, text);
}

static int put_head(const struct dhat_rendering *rendering, FILE *file)
{
	const Dhat__Totals *totals = rendering->snapshot->end->totals;
	const Dhat__Target *target = rendering->snapshot->head->target;
	uint64_t end_us = totals->end_ns / 1000, peak_us = totals->peak_ns / 1000;
	int r;

	/* the viewer divides by t-end */
	end_us = end_us ? end_us : 1;
	peak_us = peak_us > end_us ? end_us : peak_us;
	fputs("{\"dhatFileVersion\":2\n,\"mode\":\"heap\",\"verb\":\"Allocated\"\n"
	      ",\"bklt\":true,\"bkacc\":false\n"
	      ",\"tu\":\"µs\",\"Mtu\":\"s\",\"tuth\":10\n,\"cmd\":",
	      file);
	r = put_command(rendering->snapshot, file);
	fprintf(file, "\n,\"pid\":%" PRIu32 "\n,\"te\":%" PRIu64 ",\"tg\":%" PRIu64 "\n",
		target->pid, end_us, peak_us);
	return r;
}

static int put_points(const struct dhat_rendering *rendering, FILE *file)
{
	fputs(",\"pps\":\n [", file);
	for (size_t i = 0; i < rendering->point_count; i++) {
		fputs(i ? "\n ," : "", file);
		put_point(rendering->points[i], file);
	}
	fputs("\n ]\n", file);
	return 0;
}

static int put_frame_table(const struct dhat_rendering *rendering, FILE *file)
{
	int r = 0;

	fputs(",\"ftbl\":\n [", file);
	for (size_t i = 0; r == 0 && i < rendering->line_count; i++) {
		fputs(i ? "\n ," : "", file);
		r = dhat_json_put_string(file, rendering->lines[i]);
	}
	fputs("\n ]\n,\"dhatd\":", file);
	return r;
}

static int put_file(const struct dhat_rendering *rendering, FILE *file)
{
	int r;

	r = put_head(rendering, file);
	if (r == 0)
		r = put_points(rendering, file);
	if (r == 0)
		r = put_frame_table(rendering, file);
	if (r == 0)
		r = put_block(rendering, file);
	fputs("\n}\n", file);
	return r;
}

/* "trimmed" in the block "dhatd" names the trim rules. */
static int write_dhat_json(const struct dhat_snapshot *snapshot,
			   const struct dhat_export_options *options, FILE *file,
			   struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	int r;

	r = dhat_rendering_new(snapshot, dhat_frame_text, options->trim_rules, &rendering);
	if (r == 0)
		r = put_file(rendering, file);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile as DHAT JSON") : 0;
}

const struct dhat_exporter dhat_json_exporter = {
	.name = "json",
	.suffix = ".json",
	.write = write_dhat_json,
};
