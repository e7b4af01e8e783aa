#include "stats_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pieces.h"
#include "proto/base/cleanup.h"
#include "proto/base/json_read.h"
#include "proto/wire/words.h"
#include "stock.h"

#define NOT_FITTING                                                                                \
	"a figure or a frame is missing, or greater than the whole: this is not what `dhatctl "    \
	"stats --json' has printed"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct importer {
	struct json_object *root;
	struct stock stock;
	Dhat__ProgramPoint rest; /* what the listed ones leave of the totals */
};

static void importer_deinit(struct importer *importer)
{
	stock_deinit(&importer->stock);
}

bool dhat_stats_json_knows(struct json_object *root)
{
	return pieces_member(root, "points", json_type_array) &&
	       pieces_member(root, "left_out", json_type_array);
}

/* ---- points -------------------------------------------------------------------------------- */

static int read_frame(struct importer *importer, struct json_object *object, uint32_t *ret)
{
	bool is_object = json_object_is_type(object, json_type_object);
	const char *text =
		is_object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
	Dhat__Frame *frame = NULL;
	int r = text	    ? stock_frame(&importer->stock, text, ret, &frame)
		: is_object ? -ENOMEM
			    : -EBADMSG;

	return r < 0 || !frame ? r : dhat_json_read_fields(object, &frame->base);
}

static int read_stack(struct importer *importer, struct json_object *stack,
		      Dhat__ProgramPoint *point)
{
	size_t depth = json_object_array_length(stack);
	int r = 0;

	point->frames = calloc(depth + 1, sizeof(*point->frames));
	if (!point->frames)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < depth; i++)
		r = read_frame(importer, json_object_array_get_idx(stack, i),
			       &point->frames[point->n_frames++]);
	return r;
}

/* What is kept of a point; the rest of its keys are sums of rows, or of what is not read back. */
static int read_figures(struct json_object *object, Dhat__ProgramPoint *point)
{
	const struct {
		const char *key;
		uint64_t *value;
	} figures[] = {
		{ "mean_age_us", &point->mean_age_us },
		{ "temporary_blocks", &point->temporary_blocks },
	};
	static const char *const texts[] = { "label", "kind", "stop" };
	char **places[] = { &point->label, &point->kind, &point->stop };
	int r = pieces_figures(object, point);

	/* null: what it was read from did not say */
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(figures); i++)
		if (json_object_object_get(object, figures[i].key))
			r = pieces_number(object, figures[i].key, figures[i].value);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
		const char *text = pieces_text(object, texts[i]);

		r = pieces_set_text(places[i], text, strlen(text));
	}
	return r;
}

static int take_off(uint64_t *left, uint64_t part)
{
	if (part > *left)
		return -EBADMSG;
	*left -= part;
	return 0;
}

static int take_from_rest(Dhat__ProgramPoint *rest, const Dhat__ProgramPoint *point)
{
	int r = take_off(&rest->total_bytes, point->total_bytes);

	r = r ?: take_off(&rest->total_blocks, point->total_blocks);
	r = r ?: take_off(&rest->peak_bytes, point->peak_bytes);
	r = r ?: take_off(&rest->peak_blocks, point->peak_blocks);
	r = r ?: take_off(&rest->live_bytes, point->live_bytes);
	return r ?: take_off(&rest->live_blocks, point->live_blocks);
}

static int read_point(struct importer *importer, struct json_object *object)
{
	struct json_object *stack = json_object_is_type(object, json_type_object)
					    ? pieces_member(object, "frames", json_type_array)
					    : NULL;
	Dhat__ProgramPoint *point = stack ? stock_add_point(&importer->stock) : NULL;
	int r;

	if (!point)
		return stack ? -ENOMEM : -EBADMSG;
	r = read_figures(object, point);
	if (r == 0)
		r = read_stack(importer, stack, point);
	return r < 0 ? r : take_from_rest(&importer->rest, point);
}

static int add_before(struct importer *importer)
{
	struct json_object *before =
		pieces_member(importer->root, "before_attach", json_type_object);
	Dhat__ProgramPoint *point;
	uint64_t blocks = 0, peak_blocks = 0;

	if (!before)
		return 0;
	if (pieces_number(before, "live_blocks", &blocks) < 0 ||
	    pieces_number(before, "peak_blocks", &peak_blocks) < 0)
		return -EBADMSG;
	if (!blocks && !peak_blocks)
		return 0;
	point = stock_add_point(&importer->stock);
	if (!point)
		return -ENOMEM;
	if (read_figures(before, point) < 0)
		return -EBADMSG;
	free(point->label);
	point->label = strdup(DHAT_LABEL_BEFORE);
	return point->label ? take_from_rest(&importer->rest, point) : -ENOMEM;
}

static int add_rest(struct importer *importer)
{
	const Dhat__ProgramPoint *rest = &importer->rest;
	Dhat__ProgramPoint *point;

	if (!rest->total_blocks && !rest->live_blocks && !rest->peak_blocks)
		return 0;
	point = stock_add_point(&importer->stock);
	if (!point)
		return -ENOMEM;
	point->total_bytes = rest->total_bytes;
	point->total_blocks = rest->total_blocks;
	point->peak_bytes = rest->peak_bytes;
	point->peak_blocks = rest->peak_blocks;
	point->live_bytes = rest->live_bytes;
	point->live_blocks = rest->live_blocks;
	return pieces_set_text(&point->label, DHAT_LABEL_NOT_LISTED, strlen(DHAT_LABEL_NOT_LISTED));
}

static int read_points(struct importer *importer, const Dhat__Totals *totals)
{
	struct json_object *points = pieces_member(importer->root, "points", json_type_array);
	int r = 0;

	importer->rest.total_bytes = totals->total_bytes;
	importer->rest.total_blocks = totals->total_blocks;
	importer->rest.peak_bytes = totals->peak_bytes;
	importer->rest.peak_blocks = totals->peak_blocks;
	importer->rest.live_bytes = totals->live_bytes;
	importer->rest.live_blocks = totals->live_blocks;
	for (size_t i = 0; r == 0 && i < json_object_array_length(points); i++)
		r = read_point(importer, json_object_array_get_idx(points, i));
	if (r == 0)
		r = add_before(importer);
	return r < 0 ? r : add_rest(importer);
}

/* ---- the beginning and the end ------------------------------------------------------------- */

/* Of what points of a list have no part in, nothing is read. */
static void forget(struct json_object *root)
{
	static const char *const keys[] = { "marks",	 "has_ages",	 "older_ns",
					    "has_pages", "pages",	 "holds",
					    "history",	 "size_classes", "view",
					    "threads",	 "allocators",	 "lifetimes_since_ns",
					    "timeline" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_object_del(root, keys[i]);
}

static int add_parts(struct importer *importer, struct dhat_snapshot *snapshot,
		     Dhat__SnapshotHead *head, Dhat__SnapshotEnd *end, const char *path,
		     struct dhat_error *err)
{
	const struct {
		Dhat__SnapshotPart__PartCase kind;
		void *message;
	} parts[] = {
		{ DHAT__SNAPSHOT_PART__PART_HEAD, head },
		{ DHAT__SNAPSHOT_PART__PART_FRAMES, take_ptr(importer->stock.frames) },
		{ DHAT__SNAPSHOT_PART__PART_POINTS, take_ptr(importer->stock.points) },
		{ DHAT__SNAPSHOT_PART__PART_END, end },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (r < 0)
			protobuf_c_message_free_unpacked(parts[i].message, NULL);
		else
			r = pieces_add_part(snapshot, parts[i].kind, parts[i].message, path, err);
	}
	if (r < 0)
		return r;
	snapshot->lacks =
		strdup("read from what `dhatctl stats --json' printed, which lacks marks, "
		       "ages, history and pages, and all but the sum of the stacks that "
		       "it does not list (--sort total --top N does)");
	return snapshot->lacks ? dhat_snapshot_finish(snapshot, err)
			       : dhat_error_errno(err, ENOMEM, "cannot read %s", path);
}

/* All that has to be there; what is missing else has its default. */
static bool is_whole(const Dhat__SnapshotHead *head, const Dhat__SnapshotEnd *end)
{
	return head->target && end->totals && end->verdict && *end->verdict->word;
}

static int read_all(struct importer *importer, const char *path, struct dhat_snapshot *snapshot,
		    struct dhat_error *err)
{
	Dhat__SnapshotHead *head = pieces_new(&dhat__snapshot_head__descriptor);
	Dhat__SnapshotEnd *end = pieces_new(&dhat__snapshot_end__descriptor);
	int r = head && end ? dhat_json_read_fields(importer->root, &head->base) : -ENOMEM;

	if (r == 0)
		r = dhat_json_read_fields(importer->root, &end->base);
	if (r == 0 && !is_whole(head, end))
		r = -EBADMSG;
	if (r == 0)
		r = read_points(importer, end->totals);
	if (r == 0)
		return add_parts(importer, snapshot, head, end, path, err);
	if (head)
		dhat__snapshot_head__free_unpacked(head, NULL);
	if (end)
		dhat__snapshot_end__free_unpacked(end, NULL);
	if (r == -EBADMSG)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", path,
				      NOT_FITTING);
	return dhat_error_errno(err, -r, "cannot read %s", path);
}

int dhat_stats_json_import(struct json_object *root, const char *path, struct dhat_snapshot **ret,
			   struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	_cleanup_(importer_deinit) struct importer importer = {
		.root = root,
	};
	const char *by = pieces_text(root, "by");
	int r = stock_init(&importer.stock);

	if (r == 0)
		r = dhat_snapshot_new(&snapshot);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot read %s", path);
	if (strcmp(by, "stack"))
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "%s: what `dhatctl stats --json --by %.20s' prints has no "
				      "stacks: without --by it can be read back",
				      path, *by ? by : "…");
	forget(root);
	r = read_all(&importer, path, snapshot, err);
	if (r == 0)
		*ret = take_ptr(snapshot);
	return r;
}
