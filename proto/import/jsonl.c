#include "jsonl.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "frame_line.h"
#include "pieces.h"
#include "proto/base/cleanup.h"
#include "proto/base/json_read.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"
#include "stock.h"

#define BEGIN "{\"type\":\"" /* as it is written */
#define NOT_FITTING                                                                                \
	"an object lacks its stack, or has a figure that is negative or no number: these are not " \
	"the lines that dhatctl wrote"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
static inline void json_object_put_ptr(struct json_object **object)
{
	json_object_put(*object);
}

struct importer {
	const char *path; /* for messages */
	struct dhat_error *err;
	struct json_object *totals; /* the first line's; NULL: it has not come yet */
	struct stock stock;
	Dhat__Totals sums; /* of all points */
	struct dhat_snapshot *snapshot;
};

static void importer_deinit(struct importer *importer)
{
	json_object_put(importer->totals);
	stock_deinit(&importer->stock);
	dhat_snapshot_free(importer->snapshot);
}

static int bad(struct importer *importer, const char *what)
{
	return dhat_error_set(importer->err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", importer->path,
			      what);
}

static int failed(struct importer *importer, int r)
{
	if (r == -EBADMSG)
		return bad(importer, NOT_FITTING);
	return r < 0 ? dhat_error_errno(importer->err, -r, "cannot read %s", importer->path) : 0;
}

/* ---- points -------------------------------------------------------------------------------- */

static int frame_number(struct importer *importer, const char *line, uint32_t *ret)
{
	Dhat__Frame *frame;
	int r = stock_frame(&importer->stock, line, ret, &frame);

	if (r < 0 || !frame)
		return r;
	r = dhat_frame_text_read(line, frame);
	frame->left_out = pieces_is_left_out(line); /* how many is in the words */
	return r;
}

static int read_stack(struct importer *importer, struct json_object *stack,
		      Dhat__ProgramPoint *point)
{
	size_t depth = json_object_array_length(stack);

	point->frames = calloc(depth + 1, sizeof(*point->frames));
	if (!point->frames)
		return -ENOMEM;
	for (size_t i = 0; i < depth; i++) {
		struct json_object *value = json_object_array_get_idx(stack, i);
		bool is_frame;
		int r;

		if (!json_object_is_type(value, json_type_string) ||
		    !json_object_get_string_len(value))
			return -EBADMSG;
		r = pieces_take_note(json_object_get_string(value), point, &is_frame);
		if (r == 0 && is_frame)
			r = frame_number(importer, json_object_get_string(value),
					 &point->frames[point->n_frames++]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_point(struct importer *importer, struct json_object *object,
		      Dhat__ProgramPoint *point)
{
	struct json_object *stack = pieces_member(object, "stack", json_type_array);
	int r = stack ? pieces_figures(object, point) : -EBADMSG;

	if (r == 0)
		r = read_stack(importer, stack, point);
	if (r == 0)
		r = pieces_set_text(&point->stop, DHAT_STACK_COMPLETE, strlen(DHAT_STACK_COMPLETE));
	if (r == 0)
		pieces_add_up(&importer->sums, point);
	return r;
}

static int read_point(struct importer *importer, struct json_object *object)
{
	Dhat__ProgramPoint *point = stock_add_point(&importer->stock);

	return failed(importer, point ? fill_point(importer, object, point) : -ENOMEM);
}

/* ---- lines --------------------------------------------------------------------------------- */

static int take_object(struct importer *importer, struct json_object *object)
{
	const char *type = pieces_text(object, "type");

	if (!strcmp(type, "difference") || !strcmp(type, "change"))
		return bad(importer, "a difference cannot be read back");
	if (!strcmp(type, "totals") && importer->totals)
		return bad(importer, "there is more than one profile in it: give each a file of "
				     "its own");
	if (!strcmp(type, "totals")) {
		importer->totals = json_object_get(object);
		return 0;
	}
	if (strcmp(type, "point"))
		return bad(importer, "not JSON lines of dhatctl's: an object is neither of type "
				     "totals nor of type point");
	return importer->totals ? read_point(importer, object)
				: bad(importer, "the object of type totals has to come first");
}

static int read_line(struct importer *importer, const char *line, size_t length)
{
	_cleanup_(json_object_put_ptr) struct json_object *object = NULL;
	int r;

	if (!length)
		return 0;
	r = dhat_json_text_parse(line, length, importer->path, &object, importer->err);
	return r < 0 ? r : take_object(importer, object);
}

static int read_lines(struct importer *importer, const struct dhat_json_text *text)
{
	const char *line = text->bytes, *end = line + text->length;
	uint64_t wanted;
	int r = dhat_json_text_check(line, text->length, importer->path, importer->err);

	while (r == 0 && line < end) {
		const char *line_end = memchr(line, '\n', end - line) ?: end;

		r = read_line(importer, line, line_end - line);
		line = line_end + 1;
	}
	if (r < 0)
		return r;
	if (!importer->totals || pieces_number(importer->totals, "points", &wanted) < 0)
		return bad(importer, NOT_FITTING);
	if (wanted != importer->stock.points->n_points)
		return bad(importer, wanted > importer->stock.points->n_points
					     ? "the file was cut short: fetch or copy it again"
					     : "it has more points than its totals say");
	return 0;
}

/* ---- the beginning and the end ------------------------------------------------------------- */

static int read_target(struct importer *importer, Dhat__Target *target)
{
	const char *executable = pieces_text(importer->totals, "executable");
	struct json_object *from_start =
		pieces_member(importer->totals, "from_start", json_type_boolean);
	uint64_t pid;
	int r = pieces_number(importer->totals, "pid", &pid);

	if (r == 0 && pid > INT32_MAX)
		r = -EBADMSG;
	if (r == 0)
		r = pieces_number(importer->totals, "observed_ns", &target->observed_ns);
	if (r == 0)
		r = pieces_number(importer->totals, "observed_since_unix_ns",
				  &target->observed_since_unix_ns);
	if (r < 0)
		return r;
	target->pid = (uint32_t)pid;
	target->from_start = from_start && json_object_get_boolean(from_start);
	r = pieces_set_text(&target->executable, executable, strlen(executable));
	if (r == 0)
		r = pieces_set_text(&target->command, executable, strlen(executable));
	return r < 0 ? r
		     : pieces_set_text(&target->state, DHAT_STATE_EXITED,
				       strlen(DHAT_STATE_EXITED));
}

static int fill_head(struct importer *importer, Dhat__SnapshotHead *head)
{
	const char *host = pieces_text(importer->totals, "host");
	const char *born = pieces_text(importer->totals, "born");
	int r;

	head->format_version = DHAT_SNAPSHOT_VERSION;
	r = pieces_number(importer->totals, "sample_bytes", &head->sample_bytes);
	if (r < 0)
		return r;
	head->sample_rate = head->sample_bytes ? 0 : 1;
	head->target = pieces_new(&dhat__target__descriptor);
	r = head->target ? read_target(importer, head->target) : -ENOMEM;
	if (r == 0)
		r = pieces_number(importer->totals, "taken_unix_ns", &head->taken_unix_ns);
	if (r == 0)
		r = pieces_set_text(&head->born, born, strlen(born));
	return r < 0 ? r : pieces_set_text(&head->host, host, strlen(host));
}

/* Only what the totals have the names of: the reasons. */
static int read_verdict(struct importer *importer, Dhat__Verdict *verdict)
{
	const char *word = pieces_text(importer->totals, "verdict");
	int r;

	for (int i = 0; strcmp(word, dhat_verdict_word(i)); i++)
		if (i == DHAT_NOT_KNOWN)
			return -EBADMSG;
	r = dhat_json_read_fields(importer->totals, &verdict->base);
	if (r < 0)
		return r;
	verdict->exact = !strcmp(word, dhat_verdict_word(DHAT_EXACT));
	return pieces_set_text(&verdict->word, word, strlen(word));
}

static int read_totals(struct importer *importer, Dhat__Totals *totals)
{
	int r = dhat_json_read_fields(importer->totals, &totals->base);

	if (r < 0)
		return r;
	totals->end_ns = importer->snapshot->head->target->observed_ns;
	totals->stack_count = importer->sums.stack_count;
	return totals->peak_ns > totals->end_ns ? -EBADMSG : 0;
}

static int fill_end(struct importer *importer, Dhat__SnapshotEnd *end)
{
	struct json_object *timeline =
		pieces_member(importer->totals, "timeline", json_type_object);
	int r;

	end->verdict = pieces_new(&dhat__verdict__descriptor);
	r = end->verdict ? read_verdict(importer, end->verdict) : -ENOMEM;
	end->totals = r == 0 ? pieces_new(&dhat__totals__descriptor) : NULL;
	if (r == 0)
		r = end->totals ? read_totals(importer, end->totals) : -ENOMEM;
	if (r < 0 || !timeline)
		return r;
	end->timeline = pieces_new(&dhat__timeline__descriptor);
	return end->timeline ? dhat_json_read_fields(timeline, &end->timeline->base) : -ENOMEM;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* Takes the message over; r: how it went to fill it. */
static int add_part(struct importer *importer, Dhat__SnapshotPart__PartCase kind, void *message,
		    int r)
{
	if (message && r == 0)
		return pieces_add_part(importer->snapshot, kind, message, importer->path,
				       importer->err);
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
	return failed(importer, message ? r : -ENOMEM);
}

static int add_head(struct importer *importer)
{
	Dhat__SnapshotHead *head = pieces_new(&dhat__snapshot_head__descriptor);

	return add_part(importer, DHAT__SNAPSHOT_PART__PART_HEAD, head,
			head ? fill_head(importer, head) : 0);
}

static int add_end(struct importer *importer)
{
	Dhat__SnapshotEnd *end = pieces_new(&dhat__snapshot_end__descriptor);

	return add_part(importer, DHAT__SNAPSHOT_PART__PART_END, end,
			end ? fill_end(importer, end) : 0);
}

static int put_together(struct importer *importer)
{
	int r = add_head(importer);

	if (r == 0)
		r = add_part(importer, DHAT__SNAPSHOT_PART__PART_FRAMES,
			     take_ptr(importer->stock.frames), 0);
	if (r == 0)
		r = add_part(importer, DHAT__SNAPSHOT_PART__PART_POINTS,
			     take_ptr(importer->stock.points), 0);
	if (r == 0)
		r = add_end(importer);
	if (r < 0)
		return r;
	importer->snapshot->lacks =
		strdup("read from JSON lines of dhatctl's, which lack the command line, addresses, "
		       "build ids, the objects of frames with a line, marks, ages and history");
	return importer->snapshot->lacks ? 0 : failed(importer, -ENOMEM);
}

bool dhat_jsonl_knows(const char *text, size_t length)
{
	return length >= strlen(BEGIN) && !memcmp(text, BEGIN, strlen(BEGIN));
}

int dhat_jsonl_import(const struct dhat_json_text *text, const char *path,
		      struct dhat_snapshot **ret, struct dhat_error *err)
{
	_cleanup_(importer_deinit) struct importer importer = {
		.path = path,
		.err = err,
	};
	int r = stock_init(&importer.stock);

	if (r == 0)
		r = dhat_snapshot_new(&importer.snapshot);
	if (r < 0)
		return failed(&importer, r);
	dhat__totals__init(&importer.sums);
	r = read_lines(&importer, text);
	if (r == 0)
		r = put_together(&importer);
	if (r == 0)
		*ret = take_ptr(importer.snapshot);
	return r;
}
