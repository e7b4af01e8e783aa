#include "export_dhat.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "frame_text.h"
#include "json.h"

struct text { /* a line of the frame table */
	uint32_t index;
	char line[];
};

struct span { /* the lines of a frame of the snapshot, in `lines`; count 0: not rendered yet */
	uint32_t first, count;
};

struct merged { /* a program point of the file; sums over its parts */
	uint64_t total_bytes, total_blocks, lifetimes_ns, max_bytes, max_blocks;
	uint64_t peak_bytes, peak_blocks, live_bytes, live_blocks;
	uint64_t greatest_max_bytes; /* of a single part */
	uint32_t part_count;
	uint32_t line_count;
	uint32_t lines[]; /* `fs`: indices in the frame table, innermost first */
};

struct export
{
	const struct dhat_snapshot *snapshot;
	FILE *file;
	void *text_tree; /* struct text by line, for tsearch() */
	struct text **texts;
	size_t text_count, text_room;
	struct span *spans; /* by frame number - 1 */
	uint32_t *lines;
	size_t line_count, line_room;
	void *merged_tree; /* struct merged by lines */
	struct merged **merged;
	size_t merged_count; /* at most one for each point of the snapshot */
	uint32_t *stack;     /* of the point at hand */
	size_t stack_count, stack_room;
};

static void keep_node(void *node)
{
}

static void export_deinit(struct export *export)
{
	tdestroy(export->text_tree, keep_node);
	tdestroy(export->merged_tree, keep_node);
	for (size_t i = 0; i < export->text_count; i++)
		free(export->texts[i]);
	for (size_t i = 0; i < export->merged_count; i++)
		free(export->merged[i]);
	free(export->texts);
	free(export->spans);
	free(export->lines);
	free(export->merged);
	free(export->stack);
}

static int export_init(struct export *export, const struct dhat_snapshot *snapshot, FILE *file)
{
	*export = (struct export){ .snapshot = snapshot, .file = file };
	export->spans = calloc(snapshot->frame_count + 1, sizeof(*export->spans));
	export->merged = calloc(snapshot->point_count + 1, sizeof(struct merged *));
	return export->spans && export->merged ? 0 : -ENOMEM;
}

static int push(uint32_t **array, size_t *count, size_t *room, uint32_t value)
{
	if (*count == *room) {
		size_t wanted = *room ? 2 * *room : 1024;
		uint32_t *larger = reallocarray(*array, wanted, sizeof(**array));

		if (!larger)
			return -ENOMEM;
		*array = larger;
		*room = wanted;
	}
	(*array)[(*count)++] = value;
	return 0;
}

/* ---- frame table --------------------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(((const struct text *)a)->line, ((const struct text *)b)->line);
}

static int append_text(struct export *export, struct text *text)
{
	if (export->text_count == export->text_room) {
		size_t room = export->text_room ? 2 * export->text_room : 1024;
		struct text **texts = reallocarray(export->texts, room, sizeof(*texts));

		if (!texts)
			return -ENOMEM;
		export->texts = texts;
		export->text_room = room;
	}
	text->index = export->text_count;
	export->texts[export->text_count++] = text;
	return 0;
}

/* The index of a line; each line is in the table once. */
static int intern(struct export *export, const char *line, uint32_t *ret)
{
	_cleanup_free_ struct text *text = malloc(sizeof(*text) + strlen(line) + 1);
	struct text **node;
	int r;

	if (!text)
		return -ENOMEM;
	strcpy(text->line, line);
	node = tsearch(text, &export->text_tree, compare_texts);
	if (!node)
		return -ENOMEM;
	if (*node == text) {
		r = append_text(export, text);
		if (r < 0) {
			tdelete(text, &export->text_tree, compare_texts);
			return r;
		}
		take_ptr(text);
	}
	*ret = (*node)->index;
	return 0;
}

static int render_line(struct export *export, const Dhat__Frame *frame,
		       const Dhat__Location *location)
{
	_cleanup_free_ char *line = dhat_frame_text(frame, location);
	uint32_t index;
	int r;

	r = line ? intern(export, line, &index) : -ENOMEM;
	if (r < 0)
		return r;
	return push(&export->lines, &export->line_count, &export->line_room, index);
}

/* A frame of the snapshot: one line for each function inlined there, and the function itself. */
static int render_frame(struct export *export, uint32_t number)
{
	const Dhat__Frame *frame = export->snapshot->frames[number - 1];
	struct span *span = &export->spans[number - 1];
	int r = 0;

	if (span->count)
		return 0;
	span->first = export->line_count;
	for (size_t i = 0; r == 0 && i < frame->n_locations; i++)
		r = render_line(export, frame, frame->locations[i]);
	if (r == 0 && !frame->n_locations)
		r = render_line(export, frame, NULL);
	span->count = export->line_count - span->first;
	return r;
}

/* ---- program points ------------------------------------------------------------------------ */

static int push_stack(struct export *export, uint32_t index)
{
	return push(&export->stack, &export->stack_count, &export->stack_room, index);
}

/* A line that is no frame: "[allocated before attach]". */
static int push_note(struct export *export, const char *note)
{
	uint32_t index;
	int r;

	r = intern(export, note, &index);
	return r < 0 ? r : push_stack(export, index);
}

static int render_stack(struct export *export, const Dhat__ProgramPoint *point)
{
	const char *stop = dhat_stop_reason(point);
	char note[128];
	int r = 0;

	export->stack_count = 0;
	if (*point->label)
		r = push_note(export, point->label);
	if (r == 0 && *point->kind) {
		snprintf(note, sizeof(note), "[%s]", point->kind);
		r = push_note(export, note);
	}
	for (size_t i = 0; r == 0 && i < point->n_frames; i++) {
		const struct span *span = &export->spans[point->frames[i] - 1];

		r = render_frame(export, point->frames[i]);
		for (uint32_t j = 0; r == 0 && j < span->count; j++)
			r = push_stack(export, export->lines[span->first + j]);
	}
	if (r == 0 && stop) {
		snprintf(note, sizeof(note), "[stack ends early: %s]", stop);
		r = push_note(export, note);
	}
	if (r == 0 && !export->stack_count)
		r = push_note(export, "[no stack]");
	return r;
}

static int compare_merged(const void *a_, const void *b_)
{
	const struct merged *a = a_, *b = b_;

	if (a->line_count != b->line_count)
		return a->line_count < b->line_count ? -1 : 1;
	return memcmp(a->lines, b->lines, a->line_count * sizeof(*a->lines));
}

static void add_part(struct merged *merged, const Dhat__ProgramPoint *point)
{
	merged->total_bytes += point->total_bytes;
	merged->total_blocks += point->total_blocks;
	merged->lifetimes_ns += point->lifetimes_ns;
	merged->max_bytes += point->max_bytes;
	merged->max_blocks += point->max_blocks;
	merged->peak_bytes += point->peak_bytes;
	merged->peak_blocks += point->peak_blocks;
	merged->live_bytes += point->live_bytes;
	merged->live_blocks += point->live_blocks;
	if (merged->greatest_max_bytes < point->max_bytes)
		merged->greatest_max_bytes = point->max_bytes;
	merged->part_count++;
}

static int add_point(struct export *export, const Dhat__ProgramPoint *point)
{
	_cleanup_free_ struct merged *merged = NULL;
	struct merged **node;
	size_t size;
	int r;

	r = render_stack(export, point);
	if (r < 0)
		return r;
	size = export->stack_count * sizeof(*merged->lines);
	merged = calloc(1, sizeof(*merged) + size);
	if (!merged)
		return -ENOMEM;
	merged->line_count = export->stack_count;
	memcpy(merged->lines, export->stack, size);
	node = tsearch(merged, &export->merged_tree, compare_merged);
	if (!node)
		return -ENOMEM;
	if (*node == merged)
		export->merged[export->merged_count++] = take_ptr(merged);
	add_part(*node, point);
	return 0;
}

/* Below this the maximum of a merged point cannot have been. */
static uint64_t least_max_bytes(const struct merged *merged)
{
	uint64_t least = merged->greatest_max_bytes;

	if (least < merged->peak_bytes)
		least = merged->peak_bytes;
	return least < merged->live_bytes ? merged->live_bytes : least;
}

static bool is_max_known(const struct merged *merged)
{
	return merged->part_count == 1 || least_max_bytes(merged) == merged->max_bytes;
}

static void put_point(const struct merged *merged, FILE *file)
{
	fprintf(file,
		" {\"tb\":%" PRIu64 ",\"tbk\":%" PRIu64 ",\"tl\":%" PRIu64 "\n  ,\"mb\":%" PRIu64
		",\"mbk\":%" PRIu64 "\n  ,\"gb\":%" PRIu64 ",\"gbk\":%" PRIu64
		"\n  ,\"eb\":%" PRIu64 ",\"ebk\":%" PRIu64 "\n  ,\"fs\":[",
		merged->total_bytes, merged->total_blocks, merged->lifetimes_ns / 1000,
		merged->max_bytes, merged->max_blocks, merged->peak_bytes, merged->peak_blocks,
		merged->live_bytes, merged->live_blocks);
	for (uint32_t i = 0; i < merged->line_count; i++)
		fprintf(file, "%s%" PRIu32, i ? "," : "", merged->lines[i]);
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
		const char *name = *point->label ? point->label : point->stop;
		uint64_t points = 1, blocks = point->total_blocks;

		if (json_object_object_get_ex(object, name, &old)) {
			points += json_object_get_uint64(json_object_object_get(old, "points"));
			blocks +=
				json_object_get_uint64(json_object_object_get(old, "total_blocks"));
		}
		stop = json_object_new_object();
		if (!stop || !set(stop, "points", json_object_new_uint64(points)) ||
		    !set(stop, "total_blocks", json_object_new_uint64(blocks)) ||
		    !set(object, name, stop)) {
			json_object_put(object);
			return NULL;
		}
	}
	return object;
}

static struct json_object *merged_points(const struct export *export)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < export->merged_count; i++) {
		const struct merged *merged = export->merged[i];
		struct json_object *object;

		if (is_max_known(merged))
			continue;
		object = json_object_new_object();
		if (!object || !set(object, "pp", json_object_new_uint64(i)) ||
		    !set(object, "parts", json_object_new_uint64(merged->part_count)) ||
		    !set(object, "mb_at_least", json_object_new_uint64(least_max_bytes(merged))) ||
		    !set(object, "mb_at_most", json_object_new_uint64(merged->max_bytes)) ||
		    json_object_array_add(array, object) < 0) {
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static bool fill_block(struct json_object *block, const struct export *export)
{
	const Dhat__SnapshotHead *head = export->snapshot->head;
	const Dhat__SnapshotEnd *end = export->snapshot->end;
	const Dhat__Verdict *verdict = end->verdict;
	const Dhat__Target *target = head->target;

	return set(block, "exact", json_object_new_boolean(verdict->exact)) &&
	       set(block, "reasons", strings(verdict->reasons, verdict->n_reasons)) &&
	       set(block, "sample_rate", json_object_new_uint64(head->sample_rate)) &&
	       set(block, "observed_since", time_text(target->observed_since_unix_ns)) &&
	       set(block, "observed_ns", json_object_new_uint64(target->observed_ns)) &&
	       set(block, "from_start", json_object_new_boolean(target->from_start)) &&
	       set(block, "taken", time_text(head->taken_unix_ns)) &&
	       set(block, "stops", stops(export->snapshot)) &&
	       set(block, "merged_points", merged_points(export)) &&
	       dhat_json_add_fields(block, &head->base) == 0 &&
	       dhat_json_add_fields(block, &end->base) == 0;
}

/* The viewer's reader is JSON.parse(): any order of keys will do. */
static int put_block(const struct export *export)
{
	struct json_object *block = json_object_new_object();
	int r = -ENOMEM;

	if (block && fill_block(block, export)) {
		json_object_object_del(block, "verdict"); /* exact and reasons say it at the top */
		r = dhat_json_put(export->file, block);
	}
	json_object_put(block);
	return r;
}

/* ---- the file ------------------------------------------------------------------------------ */

static int put_head(const struct export *export)
{
	const Dhat__Totals *totals = export->snapshot->end->totals;
	const Dhat__Target *target = export->snapshot->head->target;
	uint64_t end_us = totals->end_ns / 1000, peak_us = totals->peak_ns / 1000;
	FILE *file = export->file;
	int r;

	/* the viewer divides by t-end */
	end_us = end_us ? end_us : 1;
	peak_us = peak_us > end_us ? end_us : peak_us;
	fputs("{\"dhatFileVersion\":2\n,\"mode\":\"heap\",\"verb\":\"Allocated\"\n"
	      ",\"bklt\":true,\"bkacc\":false\n"
	      ",\"tu\":\"µs\",\"Mtu\":\"s\",\"tuth\":10\n,\"cmd\":",
	      file);
	r = dhat_json_put_string(file, target->command);
	fprintf(file, "\n,\"pid\":%" PRIu32 "\n,\"te\":%" PRIu64 ",\"tg\":%" PRIu64 "\n",
		target->pid, end_us, peak_us);
	return r;
}

static int put_points(const struct export *export)
{
	fputs(",\"pps\":\n [", export->file);
	for (size_t i = 0; i < export->merged_count; i++) {
		fputs(i ? "\n ," : "", export->file);
		put_point(export->merged[i], export->file);
	}
	fputs("\n ]\n", export->file);
	return 0;
}

static int put_frame_table(const struct export *export)
{
	int r = 0;

	fputs(",\"ftbl\":\n [", export->file);
	for (size_t i = 0; r == 0 && i < export->text_count; i++) {
		fputs(i ? "\n ," : "", export->file);
		r = dhat_json_put_string(export->file, export->texts[i]->line);
	}
	fputs("\n ]\n,\"dhatd\":", export->file);
	return r;
}

static int export_write(struct export *export)
{
	uint32_t root;
	int r;

	r = intern(export, "[root]", &root);
	for (size_t i = 0; r == 0 && i < export->snapshot->point_count; i++)
		r = add_point(export, export->snapshot->points[i]);
	if (r == 0)
		r = put_head(export);
	if (r == 0)
		r = put_points(export);
	if (r == 0)
		r = put_frame_table(export);
	if (r == 0)
		r = put_block(export);
	fputs("\n}\n", export->file);
	return r;
}

int dhat_export_dhat(const struct dhat_snapshot *snapshot, FILE *file, struct dhat_error *err)
{
	struct export export;
	int r;

	r = export_init(&export, snapshot, file);
	if (r == 0)
		r = export_write(&export);
	export_deinit(&export);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile as DHAT JSON") : 0;
}
