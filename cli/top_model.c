#include "top_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/profile/mark.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

struct top_point { /* of the view's, at the same index */
	uint64_t baseline_bytes, baseline_blocks;
	uint64_t last_total_blocks, total_blocks; /* of the last answer but one, and of the last */
	uint64_t lost_bytes;			  /* of the last scan that anybody asked for */
};

static const char *const key_names[TOP_KEY_COUNT] = { "live",	"growth", "allocs",
						      "blocks", "total",  "lost" };

int top_key_parse(const char *text, enum top_key *ret)
{
	for (size_t i = 0; i < TOP_KEY_COUNT; i++) {
		if (!strcmp(text, key_names[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *top_key_name(enum top_key key)
{
	return key_names[key];
}

void top_model_init(struct top_model *model, const struct top_options *options)
{
	*model = (struct top_model){ .options = *options, .selected_point = SIZE_MAX };
	dhat__totals__init(&model->last);
	dhat__totals__init(&model->baseline);
}

void top_model_deinit(struct top_model *model)
{
	dhat_rendering_free(model->table);
	free(model->rows);
	free(model->points);
	free(model->pattern);
	free(model->since_name);
}

/* ---- history ------------------------------------------------------------------------------- */

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void halve(struct top_history *history)
{
	for (size_t i = 0; i < TOP_HISTORY / 2; i++)
		history->live_bytes[i] =
			higher(history->live_bytes[2 * i], history->live_bytes[2 * i + 1]);
	history->count = TOP_HISTORY / 2;
	history->stride *= 2;
}

void top_history_add(struct top_history *history, uint64_t live_bytes)
{
	if (!history->stride)
		history->stride = 1;
	if (history->pending) {
		uint64_t *last = &history->live_bytes[history->count - 1];

		*last = higher(*last, live_bytes);
	} else {
		if (history->count == TOP_HISTORY)
			halve(history);
		history->live_bytes[history->count++] = live_bytes;
	}
	history->pending = (history->pending + 1) % history->stride;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static double number_of(const struct top_row *row, enum top_key key)
{
	switch (key) {
	case TOP_GROWTH:
		return row->grown_bytes;
	case TOP_ALLOCS:
		return row->allocs_per_second;
	case TOP_BLOCKS:
		return row->live_blocks;
	case TOP_TOTAL:
		return row->total_bytes;
	case TOP_LOST:
		return row->lost_bytes;
	default:
		return row->live_bytes;
	}
}

/* Most first; among equals what has most live bytes, and then who was there first. */
static int compare(const void *a_, const void *b_, void *key)
{
	const struct top_row *a = a_, *b = b_;
	double x = number_of(a, *(enum top_key *)key), y = number_of(b, *(enum top_key *)key);

	if (x != y)
		return x > y ? -1 : 1;
	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	return a->point->number < b->point->number ? -1 : 1;
}

static void find_selected(struct top_model *model)
{
	const struct dhat_rendered_point *wanted =
		model->selected_point < model->snapshot->point_count
			? model->table->point_of[model->selected_point]
			: NULL;

	model->selected = 0;
	for (size_t i = 0; wanted && i < model->row_count; i++)
		if (model->rows[i].point == wanted)
			model->selected = i;
}

void top_model_sort(struct top_model *model, enum top_key key)
{
	model->options.key = key;
	if (!model->table)
		return;
	qsort_r(model->rows, model->row_count, sizeof(*model->rows), compare, &key);
	find_selected(model);
}

/* What has grown, of a point. */
static struct dhat_born growth_of(const struct top_model *model, const Dhat__ProgramPoint *point,
				  const struct top_point *known)
{
	if (model->since)
		return dhat_point_born(point, &(struct dhat_births){ .since = model->since });
	return (struct dhat_born){ point->live_bytes - known->baseline_bytes,
				   point->live_blocks - known->baseline_blocks };
}

static void add_point(struct top_row *row, const Dhat__ProgramPoint *point,
		      const struct top_point *known, struct dhat_born grown, double seconds)
{
	row->live_bytes += point->live_bytes;
	row->live_blocks += point->live_blocks;
	row->total_bytes += point->total_bytes;
	row->total_blocks += point->total_blocks;
	row->lost_bytes += known->lost_bytes;
	row->grown_bytes += (int64_t)grown.bytes;
	row->grown_blocks += (int64_t)grown.blocks;
	row->last_ns = higher(row->last_ns, point->last_ns);
	if (seconds > 0)
		row->allocs_per_second +=
			(double)(known->total_blocks - known->last_total_blocks) / seconds;
}

/* keeps M1 */
static void add_up(struct top_model *model)
{
	const struct dhat_rendering *table = model->table;
	size_t kept = 0;

	memset(model->rows, 0, (table->point_count + 1) * sizeof(*model->rows));
	model->before_bytes = model->before_blocks = model->shown_bytes = 0;
	for (size_t i = 0; i < model->snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = model->snapshot->points[i];
		const struct dhat_rendered_point *of = table->point_of[i];

		if (dhat_point_is_before(point)) {
			model->before_bytes += point->live_bytes;
			model->before_blocks += point->live_blocks;
		} else if (of) {
			model->rows[of->number].point = of;
			add_point(&model->rows[of->number], point, &model->points[i],
				  growth_of(model, point, &model->points[i]), model->seconds);
		}
	}
	for (size_t i = 0; i < table->point_count; i++) {
		if (!model->rows[i].point || !model->rows[i].total_blocks)
			continue;
		model->shown_bytes += model->rows[i].live_bytes;
		model->rows[kept++] = model->rows[i];
	}
	model->row_count = kept;
	top_model_sort(model, model->options.key);
}

/* ---- what is a row ------------------------------------------------------------------------- */

static int apply_filter(const struct top_model *model, bool *is_shown)
{
	_cleanup_(dhat_filter_deinit) struct dhat_filter typed = { 0 };
	_cleanup_free_ bool *also = calloc(model->snapshot->point_count + 1, sizeof(*also));
	int r = also ? dhat_filter_apply(model->options.filter, model->snapshot, is_shown)
		     : -ENOMEM;

	if (r < 0 || !model->pattern)
		return r;
	r = dhat_filter_add(&typed, DHAT_FILTER_ONLY, model->pattern);
	if (r == 0)
		r = dhat_filter_apply(&typed, model->snapshot, also);
	for (size_t i = 0; r == 0 && i < model->snapshot->point_count; i++)
		is_shown[i] &= also[i];
	return r;
}

static int make_table(struct top_model *model)
{
	_cleanup_free_ bool *is_shown = calloc(model->snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options wanted = model->options.table;
	struct dhat_rendering *table = NULL;
	struct top_row *rows;
	int r = is_shown ? apply_filter(model, is_shown) : -ENOMEM;

	wanted.is_shown = is_shown;
	if (r == 0)
		r = dhat_table_new(model->snapshot, &wanted, &table);
	if (r < 0)
		return r;
	dhat_rendering_free(model->table);
	model->table = table;
	rows = reallocarray(model->rows, table->point_count + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	model->rows = rows;
	return 0;
}

static int remake(struct top_model *model)
{
	int r = model->snapshot ? make_table(model) : 0;

	if (r == 0 && model->table)
		add_up(model);
	return r;
}

int top_model_set_by(struct top_model *model, enum dhat_by by)
{
	model->options.table.style.by = by;
	return remake(model);
}

int top_model_set_pattern(struct top_model *model, const char *pattern)
{
	char *copy = pattern && *pattern ? strdup(pattern) : NULL;

	if (pattern && *pattern && !copy)
		return -ENOMEM;
	free(model->pattern);
	model->pattern = copy;
	return remake(model);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* Nothing is known of what was: all begins anew. */
static void forget(struct top_model *model)
{
	model->point_count = 0;
	model->seconds = 0;
	model->allocs_per_second = model->frees_per_second = 0;
	model->selected_point = SIZE_MAX;
	model->history = (struct top_history){ 0 };
}

/* A stack that is new had nothing before; of the first answer all is the baseline. */
static int know_points(struct top_model *model, bool is_first)
{
	const struct dhat_snapshot *snapshot = model->snapshot;

	while (model->point_count < snapshot->point_count) {
		const Dhat__ProgramPoint *point = snapshot->points[model->point_count];
		struct top_point known = { 0 };

		if (array_make_room(&model->points, &model->point_room, model->point_count))
			return -ENOMEM;
		if (is_first)
			known = (struct top_point){ point->live_bytes, point->live_blocks,
						    point->total_blocks, point->total_blocks, 0 };
		model->points[model->point_count++] = known;
	}
	for (size_t i = 0; i < model->point_count; i++) {
		struct top_point *point = &model->points[i];

		point->last_total_blocks = point->total_blocks;
		point->total_blocks = snapshot->points[i]->total_blocks;
	}
	return 0;
}

static void know_lost(struct top_model *model)
{
	const Dhat__LastHolds *last = model->snapshot->end->last_holds;

	for (size_t i = 0; i < model->point_count; i++)
		model->points[i].lost_bytes = 0;
	for (size_t i = 0; last && i < last->n_points; i++)
		if (last->points[i] && last->points[i] <= model->point_count)
			model->points[last->points[i] - 1].lost_bytes += last->lost_bytes[i];
}

/* Since when growth counts, and how much it is in all. */
static void find_since(struct top_model *model)
{
	const Dhat__SnapshotHead *head = model->snapshot->head;

	model->since = model->since_name ? dhat_mark_find(model->snapshot, model->since_name) : 0;
	if (model->since) {
		model->baseline_ns = head->marks[model->since - 1]->ns;
		model->grown_bytes = (int64_t)head->marks[model->since - 1]->live_bytes;
	} else {
		model->baseline_ns = model->baseline.end_ns;
		model->grown_bytes = (int64_t)(model->last.live_bytes - model->baseline.live_bytes);
	}
}

/* totals is the snapshot's, of this answer. */
static void note_totals(struct top_model *model, bool is_first, const Dhat__Totals *totals)
{
	const Dhat__Totals *last = &model->last;
	uint64_t allocs = totals->total_blocks - last->total_blocks;

	model->seconds = 0;
	if (is_first)
		model->baseline = *totals;
	else if (totals->end_ns > last->end_ns)
		model->seconds = (totals->end_ns - last->end_ns) / 1e9;
	model->allocs_per_second = model->frees_per_second = 0;
	if (model->seconds > 0) {
		uint64_t more = totals->live_blocks - last->live_blocks;

		model->allocs_per_second = allocs / model->seconds;
		model->frees_per_second =
			(int64_t)(allocs - more) > 0 ? (allocs - more) / model->seconds : 0;
	}
	model->last = *totals;
	find_since(model);
	top_history_add(&model->history, totals->live_bytes);
}

int top_model_take(struct top_model *model, const struct dhat_view *view)
{
	bool is_first = view->is_another || !model->snapshot ||
			view->snapshot->point_count < model->point_count;
	int r;

	model->snapshot = view->snapshot;
	if (is_first)
		forget(model);
	note_totals(model, is_first, view->snapshot->end->totals);
	r = know_points(model, is_first);
	if (r < 0)
		return r;
	know_lost(model);
	if (is_first || view->has_grown || !model->table)
		return remake(model);
	model->table->snapshot = view->snapshot;
	add_up(model);
	return 0;
}

void top_model_set_baseline(struct top_model *model)
{
	if (!model->snapshot)
		return;
	for (size_t i = 0; i < model->point_count; i++) {
		model->points[i].baseline_bytes = model->snapshot->points[i]->live_bytes;
		model->points[i].baseline_blocks = model->snapshot->points[i]->live_blocks;
	}
	model->baseline = model->last;
	free(take_ptr(model->since_name));
	find_since(model);
	add_up(model);
}

int top_model_set_since(struct top_model *model, const char *name)
{
	char *copy = name ? strdup(name) : NULL;

	if (name && !copy)
		return -ENOMEM;
	free(model->since_name);
	model->since_name = copy;
	if (!model->snapshot)
		return 0;
	find_since(model);
	add_up(model);
	return 0;
}

double top_model_baseline_seconds(const struct top_model *model)
{
	return model->last.end_ns > model->baseline_ns
		       ? (model->last.end_ns - model->baseline_ns) / 1e9
		       : 0;
}

#define LEAST_SECONDS 1 /* below it a rate is noise */

double top_model_a_minute(const struct top_model *model, int64_t bytes)
{
	double seconds = top_model_baseline_seconds(model);

	return seconds < LEAST_SECONDS ? 0 : bytes * 60 / seconds;
}

/* ---- the selection ------------------------------------------------------------------------- */

void top_model_move(struct top_model *model, long rows)
{
	size_t selected = model->selected;

	if (!model->row_count)
		return;
	if (rows < 0)
		selected -= (size_t)-rows < selected ? (size_t)-rows : selected;
	else
		selected += (size_t)rows;
	if (selected >= model->row_count)
		selected = model->row_count - 1;
	model->selected = selected;
	model->selected_point = model->rows[selected].point->part->number - 1;
}

void top_model_select_first(struct top_model *model)
{
	model->selected_point = SIZE_MAX;
	model->selected = 0;
}

int top_model_open(const struct top_model *model, const struct top_row *row,
		   struct dhat_rendering **ret)
{
	_cleanup_free_ bool *is_shown = calloc(model->snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options wanted = model->options.table;

	if (!is_shown)
		return -ENOMEM;
	for (size_t i = 0; i < model->snapshot->point_count; i++)
		is_shown[i] = model->table->point_of[i] == row->point;
	wanted.style.by = DHAT_BY_STACK;
	wanted.depth = 0;
	wanted.is_shown = is_shown;
	return dhat_table_new(model->snapshot, &wanted, ret);
}
