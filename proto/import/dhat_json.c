#include "dhat_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_line.h"
#include "json_text.h"
#include "pieces.h"
#include "proto/base/cleanup.h"
#include "proto/base/json_read.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"
#include "stats_json.h"

#define FILE_VERSION 2
#define MAX_OBJECTS 1024 /* that of proto/export/dhat_json.c; each frame is looked for in all */
#define PRELOADED "/vgpreload_dhat-"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
static inline void json_object_put_ptr(struct json_object **object)
{
	json_object_put(*object);
}

struct importer {
	const char *path; /* for messages */
	struct json_object *root;
	struct json_object *block; /* "dhatd"; NULL: the file is of others */
	bool has_time;		   /* times are in µs */
	struct dhat_snapshot *snapshot;
	Dhat__Totals sums; /* of all points */
	struct dhat_error *err;
};

static int bad(struct importer *importer, const char *what)
{
	return dhat_error_set(importer->err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", importer->path,
			      what);
}

static int failed(struct importer *importer, int r, const char *what)
{
	if (r == -EBADMSG)
		return bad(importer, what);
	return r < 0 ? dhat_error_errno(importer->err, -r, "cannot read %s", importer->path) : 0;
}

/* ---- is it what can be read? --------------------------------------------------------------- */

static int check_mode(struct importer *importer)
{
	const char *mode = pieces_text(importer->root, "mode");
	struct json_object *has_lifetimes =
		pieces_member(importer->root, "bklt", json_type_boolean);

	if (strcmp(mode, "heap") && strcmp(mode, "rust-heap"))
		return dhat_error_set(importer->err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "%s: DHAT's mode \"%.40s\" counts events and not blocks, so "
				      "there is no heap in it: mode \"heap\" can be read",
				      importer->path, mode);
	if (!has_lifetimes || !json_object_get_boolean(has_lifetimes))
		return bad(importer, "DHAT JSON without lifetimes (bklt): it does not say what is "
				     "live");
	return 0;
}

static int check_kind(struct importer *importer)
{
	struct json_object *version;
	uint64_t number;

	if (!json_object_object_get_ex(importer->root, "dhatFileVersion", &version))
		return bad(importer, "not DHAT JSON (no dhatFileVersion), and no other file that "
				     "can be read back");
	if (dhat_json_read_number(version, &number) < 0 || number != FILE_VERSION)
		return bad(importer, "DHAT JSON of another version than 2");
	importer->block = pieces_member(importer->root, "dhatd", json_type_object);
	/* dhat-rs writes the same two letters, and Valgrind "instrs" */
	importer->has_time = !strcmp(pieces_text(importer->root, "tu"), "µs");
	return check_mode(importer);
}

/* ---- parts --------------------------------------------------------------------------------- */

static int add_part(struct importer *importer, Dhat__SnapshotPart__PartCase kind,
		    ProtobufCMessage *message)
{
	return pieces_add_part(importer->snapshot, kind, message, importer->path, importer->err);
}

/* ---- the beginning ------------------------------------------------------------------------- */

static int read_target(struct importer *importer, Dhat__Target *target)
{
	uint64_t pid, end_us;

	if (pieces_number(importer->root, "pid", &pid) < 0 || pid > INT32_MAX ||
	    pieces_number(importer->root, "te", &end_us) < 0 || end_us > UINT64_MAX / 1000)
		return -EBADMSG;
	target->pid = (uint32_t)pid;
	target->observed_ns = importer->has_time ? end_us * 1000 : 0;
	target->command = strdup(pieces_text(importer->root, "cmd"));
	target->state = strdup(DHAT_STATE_EXITED);
	target->from_start = true;
	if (!target->command || !target->state) {
		/* what is freed as a message has texts, or their defaults */
		target->command = target->command ?: (char *)(uintptr_t)protobuf_c_empty_string;
		target->state = target->state ?: (char *)(uintptr_t)protobuf_c_empty_string;
		return -ENOMEM;
	}
	return 0;
}

/* What the block tells that the points then do not have. */
static void forget_moments(Dhat__SnapshotHead *head)
{
	for (size_t i = 0; i < head->n_marks; i++)
		dhat__mark__free_unpacked(head->marks[i], NULL);
	free(head->marks);
	head->marks = NULL;
	head->n_marks = 0;
	head->has_ages = head->has_pages = false;
	head->older_ns = head->lifetimes_since_ns = 0;
}

static int read_head(struct importer *importer)
{
	Dhat__SnapshotHead *head = pieces_new(&dhat__snapshot_head__descriptor);
	int r = head ? 0 : -ENOMEM;

	if (r == 0 && importer->block) {
		r = dhat_json_read_fields(importer->block, &head->base);
		forget_moments(head);
	} else if (r == 0) {
		head->format_version = DHAT_SNAPSHOT_VERSION;
		head->sample_rate = 1;
		head->target = pieces_new(&dhat__target__descriptor);
		r = head->target ? read_target(importer, head->target) : -ENOMEM;
	}
	if (r < 0) {
		if (head)
			dhat__snapshot_head__free_unpacked(head, NULL);
		return failed(importer, r, "its beginning holds a value that cannot be there");
	}
	return add_part(importer, DHAT__SNAPSHOT_PART__PART_HEAD, &head->base);
}

/* ---- frames: number n is line n of the table ----------------------------------------------- */

static int read_frame(struct json_object *value, Dhat__Frame *frame)
{
	const char *line;
	int r;

	if (!json_object_is_type(value, json_type_string))
		return -EBADMSG;
	line = json_object_get_string(value);
	r = dhat_frame_line_read(line, frame);
	/* how many they were is in the words, which is what is shown */
	if (r == 0 && pieces_is_left_out(line))
		frame->left_out = 1;
	return r;
}

/* What a line that names the source does not say: its object, by the address, if only one of those
 * that the block lists is there. Others' files have no such list, and addresses of redacted files
 * are in several: nothing is known then. */
static struct json_object *object_at(struct json_object *objects, uint64_t address)
{
	size_t count = objects ? json_object_array_length(objects) : 0;
	struct json_object *found = NULL;

	for (size_t i = 0; i < count && i < MAX_OBJECTS; i++) {
		struct json_object *object = json_object_array_get_idx(objects, i);
		uint64_t first, last;

		if (pieces_number(object, "first", &first) < 0 ||
		    pieces_number(object, "last", &last) < 0 || address < first || address > last)
			continue;
		if (found)
			return NULL;
		found = object;
	}
	return found;
}

static int add_object(Dhat__Frame *frame, struct json_object *objects)
{
	struct json_object *object = object_at(objects, frame->address);
	const char *path = object ? pieces_text(object, "path") : "", *build_id;
	uint64_t address, vaddr;
	int r;

	if (!*path || !frame->address || (*frame->object && strcmp(frame->object, path)) ||
	    pieces_number(object, "address", &address) < 0 ||
	    pieces_number(object, "vaddr", &vaddr) < 0)
		return 0;
	build_id = pieces_text(object, "build_id");
	frame->object_vaddr = vaddr + (frame->address - address);
	r = pieces_set_text(&frame->object, path, strlen(path));
	return r < 0 || !*build_id ? r
				   : pieces_set_text(&frame->build_id, build_id, strlen(build_id));
}

static int fill_frames(const struct importer *importer, struct json_object *table,
		       Dhat__FrameBatch *batch)
{
	struct json_object *objects =
		importer->block ? pieces_member(importer->block, "objects", json_type_array) : NULL;
	size_t count = json_object_array_length(table);
	int r = 0;

	batch->frames = calloc(count + 1, sizeof(Dhat__Frame *));
	if (!batch->frames)
		return -ENOMEM;
	for (size_t i = 1; r == 0 && i < count; i++) { /* 0 is "[root]" */
		Dhat__Frame *frame = pieces_new(&dhat__frame__descriptor);

		if (!frame)
			return -ENOMEM;
		batch->frames[batch->n_frames++] = frame;
		r = read_frame(json_object_array_get_idx(table, i), frame);
		if (r == 0)
			r = add_object(frame, objects);
	}
	return r;
}

static int read_frames(struct importer *importer, struct json_object *table)
{
	Dhat__FrameBatch *batch;
	int r;

	if (json_object_array_length(table) > DHAT_SNAPSHOT_MAX_FRAMES)
		return bad(importer, "too many frames");
	batch = pieces_new(&dhat__frame_batch__descriptor);
	r = batch ? fill_frames(importer, table, batch) : -ENOMEM;
	if (r < 0) {
		if (batch)
			dhat__frame_batch__free_unpacked(batch, NULL);
		return failed(importer, r, "its frame table (ftbl) holds what is no text");
	}
	return add_part(importer, DHAT__SNAPSHOT_PART__PART_FRAMES, &batch->base);
}

/* ---- points -------------------------------------------------------------------------------- */

static int read_figures(struct importer *importer, struct json_object *object,
			Dhat__ProgramPoint *point)
{
	const struct {
		const char *key;
		uint64_t *value;
	} figures[] = {
		{ "tb", &point->total_bytes },	{ "tbk", &point->total_blocks },
		{ "tl", &point->lifetimes_us }, { "mb", &point->max_bytes },
		{ "mbk", &point->max_blocks },	{ "gb", &point->peak_bytes },
		{ "gbk", &point->peak_blocks }, { "eb", &point->live_bytes },
		{ "ebk", &point->live_blocks },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (pieces_number(object, figures[i].key, figures[i].value) < 0)
			return -EBADMSG;
	if (!importer->has_time)
		point->lifetimes_us = 0;
	return 0;
}

/* Does a stack begin in what Valgrind has put in malloc's place? */
static bool is_preloaded(const struct importer *importer, const char *line)
{
	return !importer->block && strstr(line, PRELOADED);
}

static int read_stack(struct importer *importer, struct json_object *stack,
		      struct json_object *table, Dhat__ProgramPoint *point)
{
	size_t depth = json_object_array_length(stack), lines = json_object_array_length(table);
	uint64_t number;

	point->frames = calloc(depth + 1, sizeof(*point->frames));
	if (!point->frames)
		return -ENOMEM;
	for (size_t i = 0; i < depth; i++) {
		bool is_frame = true;
		const char *line;
		int r = dhat_json_read_number(json_object_array_get_idx(stack, i), &number);

		if (r < 0 || number >= lines)
			return -EBADMSG;
		if (!number) /* "[root]": a stack that nobody knows */
			continue;
		line = json_object_get_string(json_object_array_get_idx(table, number));
		if (importer->block)
			r = pieces_take_note(line, point, &is_frame);
		if (r < 0)
			return r;
		if (is_frame && (point->n_frames || !is_preloaded(importer, line)))
			point->frames[point->n_frames++] = (uint32_t)number;
	}
	return 0;
}

static int read_point(struct importer *importer, struct json_object *object,
		      struct json_object *table, Dhat__ProgramPoint *point)
{
	struct json_object *stack = pieces_member(object, "fs", json_type_array);
	int r;

	if (!stack)
		return -EBADMSG;
	r = read_figures(importer, object, point);
	if (r == 0)
		r = read_stack(importer, stack, table, point);
	if (r == 0 && !*point->stop)
		r = pieces_set_text(&point->stop, DHAT_STACK_COMPLETE, strlen(DHAT_STACK_COMPLETE));
	if (r == 0)
		pieces_add_up(&importer->sums, point);
	return r;
}

static int fill_points(struct importer *importer, struct json_object *points,
		       struct json_object *table, Dhat__PointBatch *batch)
{
	size_t count = json_object_array_length(points);
	int r = 0;

	batch->points = calloc(count + 1, sizeof(Dhat__ProgramPoint *));
	if (!batch->points)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct json_object *object = json_object_array_get_idx(points, i);
		Dhat__ProgramPoint *point = pieces_new(&dhat__program_point__descriptor);

		if (!point)
			return -ENOMEM;
		batch->points[batch->n_points++] = point;
		r = json_object_is_type(object, json_type_object)
			    ? read_point(importer, object, table, point)
			    : -EBADMSG;
	}
	return r;
}

static int read_points(struct importer *importer, struct json_object *points,
		       struct json_object *table)
{
	Dhat__PointBatch *batch;
	int r;

	if (json_object_array_length(points) > DHAT_SNAPSHOT_MAX_POINTS)
		return bad(importer, "too many program points");
	batch = pieces_new(&dhat__point_batch__descriptor);
	r = batch ? fill_points(importer, points, table, batch) : -ENOMEM;
	if (r < 0) {
		if (batch)
			dhat__point_batch__free_unpacked(batch, NULL);
		return failed(importer, r,
			      "a program point (pps) lacks its stack, or has a figure that is "
			      "negative or no number: a difference cannot be read back");
	}
	return add_part(importer, DHAT__SNAPSHOT_PART__PART_POINTS, &batch->base);
}

/* ---- the end ------------------------------------------------------------------------------- */

static int add_reason(Dhat__Verdict *verdict)
{
	verdict->reasons = malloc(sizeof(*verdict->reasons));
	if (!verdict->reasons)
		return -ENOMEM;
	verdict->reasons[0] = strdup("another program made this file, and it does not say whether "
				     "all was counted");
	if (!verdict->reasons[0])
		return -ENOMEM;
	verdict->n_reasons = 1;
	return 0;
}

/* The block has the verdict's fields at its top, and its word in the verdict's place
 * (proto/export/dhat_json.c). */
static int read_verdict(struct importer *importer, Dhat__Verdict *verdict)
{
	const char *word = dhat_verdict_word(DHAT_NOT_KNOWN);
	int r = 0;

	if (importer->block) {
		r = dhat_json_read_fields(importer->block, &verdict->base);
		word = pieces_text(importer->block, "verdict");
		verdict->exact &= !strcmp(word, dhat_verdict_word(DHAT_EXACT));
	}
	if (r == 0)
		r = pieces_set_text(&verdict->word, word, strlen(word));
	return r < 0 || importer->block ? r : add_reason(verdict);
}

static int read_totals(struct importer *importer, Dhat__Totals *totals)
{
	uint64_t end_us, peak_us;

	*totals = importer->sums;
	if (!importer->has_time)
		return 0;
	if (pieces_number(importer->root, "te", &end_us) < 0 ||
	    pieces_number(importer->root, "tg", &peak_us) < 0 || end_us > UINT64_MAX / 1000 ||
	    peak_us > end_us)
		return -EBADMSG;
	totals->end_ns = end_us * 1000;
	totals->peak_ns = peak_us * 1000;
	return 0;
}

static int fill_end(struct importer *importer, Dhat__SnapshotEnd *end)
{
	int r;

	end->verdict = pieces_new(&dhat__verdict__descriptor);
	r = end->verdict ? read_verdict(importer, end->verdict) : -ENOMEM;
	if (r == 0 && importer->block) {
		Dhat__Verdict *verdict = take_ptr(end->verdict);

		json_object_object_del(importer->block, "verdict"); /* a word there */
		r = dhat_json_read_fields(importer->block, &end->base);
		end->verdict = verdict;
	}
	if (r == 0 && !end->totals) {
		end->totals = pieces_new(&dhat__totals__descriptor);
		r = end->totals ? read_totals(importer, end->totals) : -ENOMEM;
	}
	if (end->history) /* of points, which have none */
		dhat__point_slots__free_unpacked(take_ptr(end->history), NULL);
	return r;
}

static int read_end(struct importer *importer)
{
	Dhat__SnapshotEnd *end = pieces_new(&dhat__snapshot_end__descriptor);
	int r = end ? fill_end(importer, end) : -ENOMEM;

	if (r < 0) {
		if (end)
			dhat__snapshot_end__free_unpacked(end, NULL);
		return failed(importer, r,
			      "its times or its block \"dhatd\" hold a value that "
			      "cannot be there");
	}
	return add_part(importer, DHAT__SNAPSHOT_PART__PART_END, &end->base);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static const char *lacks(const struct importer *importer)
{
	if (importer->block && !pieces_member(importer->block, "objects", json_type_array))
		return "read from DHAT JSON of an older dhatctl's, which lacks build ids, the "
		       "objects of frames with a line, marks, ages, and when each stack allocated";
	if (importer->block)
		return "read from DHAT JSON of dhatctl's, which lacks marks, ages, and when each "
		       "stack allocated";
	if (importer->has_time)
		return "read from DHAT JSON of another program, which lacks a verdict, build ids, "
		       "objects, marks, ages, history, and the time of day";
	return "read from DHAT JSON of Valgrind's, which lacks a verdict, build ids, the objects "
	       "of frames with a line, marks, ages, history, and time (it counts instructions)";
}

static int read_parts(struct importer *importer)
{
	struct json_object *points = pieces_member(importer->root, "pps", json_type_array);
	struct json_object *table = pieces_member(importer->root, "ftbl", json_type_array);
	int r;

	if (!points || !table)
		return bad(importer, "DHAT JSON without program points (pps) or frames (ftbl)");
	r = read_head(importer);
	if (r == 0)
		r = read_frames(importer, table);
	if (r == 0)
		r = read_points(importer, points, table);
	if (r == 0)
		r = read_end(importer);
	if (r == 0)
		r = dhat_snapshot_finish(importer->snapshot, importer->err);
	if (r < 0)
		return r;
	importer->snapshot->lacks = strdup(lacks(importer));
	return importer->snapshot->lacks ? 0 : failed(importer, -ENOMEM, NULL);
}

int dhat_json_import(const struct dhat_json_text *text, const char *path,
		     struct dhat_snapshot **ret, struct dhat_error *err)
{
	_cleanup_(json_object_put_ptr) struct json_object *root = NULL;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	struct importer importer = { .path = path, .err = err };
	int r = dhat_json_text_parse(text->bytes, text->length, path, &root, err);

	if (r < 0)
		return r;
	if (dhat_stats_json_knows(root))
		return dhat_stats_json_import(root, path, ret, err);
	dhat__totals__init(&importer.sums);
	importer.root = root;
	r = dhat_snapshot_new(&snapshot);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot read %s", path);
	importer.snapshot = snapshot;
	r = check_kind(&importer);
	if (r == 0)
		r = read_parts(&importer);
	if (r == 0)
		*ret = take_ptr(snapshot);
	return r;
}
