#include "snapshot_view.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct known_frame {
	const Dhat__Frame *frame;
	uint32_t number;
};

void dhat_view_deinit(struct dhat_view *view)
{
	tdestroy(view->frames, free);
	dhat_snapshot_free(view->snapshot);
	*view = (struct dhat_view){ 0 };
}

/* Keeps V4. */
static bool is_time_for_names(const struct dhat_view *view)
{
	return view->has_unnamed &&
	       view->snapshot->head->taken_unix_ns - view->whole_unix_ns >= DHAT_VIEW_NAMES_NS;
}

void dhat_view_ask(const struct dhat_view *view, Dhat__Seen *ret)
{
	dhat__seen__init(ret);
	if (!view->snapshot || view->wants_whole || is_time_for_names(view))
		return;
	ret->since_unix_ns = view->snapshot->head->target->observed_since_unix_ns;
	ret->generation = view->snapshot->head->view->generation;
	ret->known_points = view->snapshot->point_count;
}

/* ---- does it fit? -------------------------------------------------------------------------- */

/* Numbers rise; those behind `known` have no gap, and go up to where the head says. */
static bool has_numbers(const struct dhat_snapshot *answer, size_t known)
{
	uint32_t last = 0;

	for (size_t i = 0; i < answer->point_count; i++) {
		const Dhat__ProgramPoint *point = answer->points[i];

		if (point->number <= last || (point->number <= known && point->n_frames) ||
		    (point->number > known && point->number != (last > known ? last : known) + 1))
			return false;
		last = point->number;
	}
	return (last > known ? last : known) == answer->head->view->known_points;
}

static int check(const struct dhat_view *view, const struct dhat_snapshot *answer,
		 struct dhat_error *err)
{
	const struct dhat_snapshot *last = view->snapshot;
	bool is_changes = answer->head->view && answer->head->view->is_changes;

	if (!answer->head->view)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_PROTOCOL,
				      "this dhatd is older, and cannot tell what has changed: use "
				      "the dhatctl that came with it");
	if ((is_changes && !last) || !has_numbers(answer, is_changes ? last->point_count : 0) ||
	    (is_changes && answer->head->target->observed_since_unix_ns !=
				   last->head->target->observed_since_unix_ns))
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_PROTOCOL,
				      "dhatd's answer does not go with the one before it");
	return 0;
}

/* ---- frames -------------------------------------------------------------------------------- */

#define COMPARE(a, b)                                                                              \
	do {                                                                                       \
		if ((a) != (b))                                                                    \
			return (a) < (b) ? -1 : 1;                                                 \
	} while (0)

static int compare_locations(const Dhat__Location *a, const Dhat__Location *b)
{
	int r;

	COMPARE(a->line, b->line);
	COMPARE(a->column, b->column);
	r = strcmp(a->function, b->function);
	if (!r)
		r = strcmp(a->file, b->file);
	return r ? r : strcmp(a->linkage_name, b->linkage_name);
}

static int compare_frames(const void *a_, const void *b_)
{
	const Dhat__Frame *a = ((const struct known_frame *)a_)->frame;
	const Dhat__Frame *b = ((const struct known_frame *)b_)->frame;
	int r;

	COMPARE(a->address, b->address);
	COMPARE(a->object_vaddr, b->object_vaddr);
	COMPARE(a->is_exact_pc, b->is_exact_pc);
	COMPARE(a->left_out, b->left_out);
	COMPARE(a->n_locations, b->n_locations);
	r = strcmp(a->object, b->object);
	if (!r)
		r = strcmp(a->build_id, b->build_id);
	if (!r)
		r = strcmp(a->unnamed_reason, b->unnamed_reason);
	for (size_t i = 0; !r && i < a->n_locations; i++)
		r = compare_locations(a->locations[i], b->locations[i]);
	return r;
}

/* The number of a frame that reads like this one; keeps V3. *is_new: it is this one, and ours now.
 */
static int frame_number(struct dhat_view *view, Dhat__Frame *frame, uint32_t *ret, bool *is_new)
{
	struct dhat_snapshot *snapshot = view->snapshot;
	struct known_frame *known = malloc(sizeof(*known)), **node;

	if (!known ||
	    array_make_room(&snapshot->frames, &snapshot->frame_room, snapshot->frame_count)) {
		free(known);
		return -ENOMEM;
	}
	*known = (struct known_frame){ frame, snapshot->frame_count + 1 };
	node = tsearch(known, &view->frames, compare_frames);
	if (!node) {
		free(known);
		return -ENOMEM;
	}
	*ret = (*node)->number;
	*is_new = *node == known;
	if (!*is_new) {
		free(known);
		return 0;
	}
	snapshot->frames[snapshot->frame_count++] = frame;
	view->has_unnamed |= !frame->n_locations && !*frame->object;
	return 0;
}

/* Those that are known go from the batch; numbers: of each frame of the answer. */
static int take_frames(struct dhat_view *view, Dhat__FrameBatch *batch, uint32_t **numbers)
{
	size_t kept = 0, i;
	int r = 0;

	for (i = 0; r == 0 && i < batch->n_frames; i++) {
		bool is_new = false;

		r = frame_number(view, batch->frames[i], (*numbers)++, &is_new);
		if (is_new)
			batch->frames[kept++] = batch->frames[i];
		else
			dhat__frame__free_unpacked(batch->frames[i], NULL);
	}
	while (i < batch->n_frames)
		dhat__frame__free_unpacked(batch->frames[i++], NULL);
	batch->n_frames = kept;
	return r;
}

/* ---- points -------------------------------------------------------------------------------- */

static void swap_series(uint64_t **a, size_t *a_count, uint64_t **b, size_t *b_count)
{
	uint64_t *series = *a;
	size_t count = *a_count;

	*a = *b;
	*a_count = *b_count;
	*b = series;
	*b_count = count;
}

/* What is replaced goes with `from`. */
static void take_figures(Dhat__ProgramPoint *into, Dhat__ProgramPoint *from)
{
	Dhat__Sampled *sampled;

	swap_series(&into->since_bytes, &into->n_since_bytes, &from->since_bytes,
		    &from->n_since_bytes);
	swap_series(&into->since_blocks, &into->n_since_blocks, &from->since_blocks,
		    &from->n_since_blocks);
	sampled = into->sampled;
	into->sampled = from->sampled;
	from->sampled = sampled;
	into->total_bytes = from->total_bytes;
	into->total_blocks = from->total_blocks;
	into->lifetimes_us = from->lifetimes_us;
	into->max_bytes = from->max_bytes;
	into->max_blocks = from->max_blocks;
	into->peak_bytes = from->peak_bytes;
	into->peak_blocks = from->peak_blocks;
	into->live_bytes = from->live_bytes;
	into->live_blocks = from->live_blocks;
	into->first_ns = from->first_ns;
	into->last_ns = from->last_ns;
	into->temporary_blocks = from->temporary_blocks;
	into->threads = from->threads;
}

/* Figures go to the points that are known, which go from the batch; keeps V2. */
static int take_points(struct dhat_snapshot *snapshot, Dhat__PointBatch *batch, size_t known,
		       const uint32_t *numbers)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < batch->n_points; i++) {
		Dhat__ProgramPoint *point = batch->points[i];

		if (point->number <= known) {
			take_figures(snapshot->points[point->number - 1], point);
			dhat__program_point__free_unpacked(point, NULL);
			continue;
		}
		batch->points[kept++] = point;
		for (size_t j = 0; j < point->n_frames; j++)
			point->frames[j] = numbers[point->frames[j] - 1]; /* keeps S2 */
		if (r == 0)
			r = array_make_room(&snapshot->points, &snapshot->point_room,
					    snapshot->point_count);
		if (r == 0)
			snapshot->points[snapshot->point_count++] = point;
	}
	batch->n_points = kept;
	return r;
}

/* ---- parts --------------------------------------------------------------------------------- */

/* The parts of `from` that say something become those of `snapshot`: its head and end instead of
 * those that were there, which only the first answer and the last one have. */
static int take_parts(struct dhat_snapshot *snapshot, struct dhat_snapshot *from)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < snapshot->part_count; i++) {
		Dhat__SnapshotPart *part = snapshot->parts[i];

		if (part->part_case == DHAT__SNAPSHOT_PART__PART_HEAD ||
		    part->part_case == DHAT__SNAPSHOT_PART__PART_END)
			dhat__snapshot_part__free_unpacked(part, NULL);
		else
			snapshot->parts[kept++] = part;
	}
	snapshot->part_count = kept;
	snapshot->head = from->head;
	snapshot->end = from->end;
	for (size_t i = 0; i < from->part_count; i++) {
		Dhat__SnapshotPart *part = from->parts[i];
		bool is_empty = (part->part_case == DHAT__SNAPSHOT_PART__PART_FRAMES &&
				 !part->frames->n_frames) ||
				(part->part_case == DHAT__SNAPSHOT_PART__PART_POINTS &&
				 !part->points->n_points);

		/* what has no room is kept for nobody: the view may only be freed then */
		if (r == 0)
			r = array_make_room(&snapshot->parts, &snapshot->part_room,
					    snapshot->part_count);
		if (r < 0 || is_empty)
			dhat__snapshot_part__free_unpacked(part, NULL);
		else
			snapshot->parts[snapshot->part_count++] = part;
	}
	from->part_count = 0;
	return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Where t-gmax has moved, what has not changed since had then what it has. */
static void move_peak(struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		snapshot->points[i]->peak_bytes = snapshot->points[i]->live_bytes;
		snapshot->points[i]->peak_blocks = snapshot->points[i]->live_blocks;
		if (!snapshot->points[i]->sampled)
			continue;
		snapshot->points[i]->sampled->peak_bytes = snapshot->points[i]->sampled->live_bytes;
		snapshot->points[i]->sampled->peak_single =
			snapshot->points[i]->sampled->live_single;
		snapshot->points[i]->sampled->peak_variance =
			snapshot->points[i]->sampled->live_variance;
	}
}

static int apply(struct dhat_view *view, struct dhat_snapshot *answer)
{
	_cleanup_free_ uint32_t *numbers = calloc(answer->frame_count + 1, sizeof(*numbers));
	uint32_t *next = numbers;
	size_t known = view->snapshot->point_count;
	int r = numbers ? 0 : -ENOMEM;

	if (r == 0 && known &&
	    answer->head->view->peak_number != view->snapshot->head->view->peak_number)
		move_peak(view->snapshot);
	for (size_t i = 0; r == 0 && i < answer->part_count; i++)
		if (answer->parts[i]->part_case == DHAT__SNAPSHOT_PART__PART_FRAMES)
			r = take_frames(view, answer->parts[i]->frames, &next);
	for (size_t i = 0; r == 0 && i < answer->part_count; i++)
		if (answer->parts[i]->part_case == DHAT__SNAPSHOT_PART__PART_POINTS)
			r = take_points(view->snapshot, answer->parts[i]->points, known, numbers);
	view->has_grown = view->snapshot->point_count > known || !known;
	return r < 0 ? r : take_parts(view->snapshot, answer);
}

/* One that was removed is a part of the one before, in points that were not sent, too. */
static bool has_lost_marks(const Dhat__SnapshotHead *last, const Dhat__SnapshotHead *now)
{
	if (now->n_marks < last->n_marks)
		return true;
	for (size_t i = 0; i < last->n_marks; i++)
		if (last->marks[i]->ns != now->marks[i]->ns)
			return true;
	return false;
}

/* All of it is new. */
static int begin(struct dhat_view *view, const struct dhat_snapshot *answer)
{
	const struct dhat_snapshot *last = view->snapshot;
	bool is_another = !last || last->head->target->observed_since_unix_ns !=
					   answer->head->target->observed_since_unix_ns;

	dhat_view_deinit(view);
	view->is_another = is_another;
	view->whole_unix_ns = answer->head->taken_unix_ns;
	return dhat_snapshot_new(&view->snapshot);
}

int dhat_view_take(struct dhat_view *view, struct dhat_snapshot *answer_, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *answer = answer_;
	int r = check(view, answer, err);

	if (r < 0)
		return r;
	if (answer->head->view->is_changes) {
		view->is_another = false;
		view->wants_whole |= has_lost_marks(view->snapshot->head, answer->head);
	} else {
		r = begin(view, answer);
	}
	if (r == 0)
		r = apply(view, answer);
	return r < 0 ? dhat_error_errno(err, -r, "cannot hold the profile") : 0;
}
