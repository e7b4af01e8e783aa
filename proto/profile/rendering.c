#include "rendering.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_text.h"
#include "own_code.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"
#include "threads.h"
#include "trim.h"

struct span { /* the lines of a frame, in frame_lines; count 0: not rendered yet */
	uint32_t first, count;
};

struct numbers { /* a growing array */
	uint32_t *at;
	size_t count, room;
};

struct builder {
	struct dhat_rendering *rendering;
	dhat_line_of_frame line_of_frame; /* NULL: a table's line */
	const struct dhat_table_options *options;
	struct interned lines; /* become the rendering's */
	struct span *spans;    /* by frame number - 1 */
	struct numbers frame_lines;
	struct numbers
		frame_owns;	/* of each of these lines: is it own code? Only if that is asked */
	struct interned stacks; /* of the rendering's points: the numbers of their lines */
	struct numbers stack;	/* of the point at hand */
	uint32_t hidden_count;
	const char **functions; /* of the frames in `stack`, for the rules; NULL: no name */
	bool *keep;
	size_t function_count, function_room, keep_room;
};

static void builder_deinit(struct builder *builder)
{
	interned_deinit(&builder->lines);
	interned_deinit(&builder->stacks);
	free(builder->spans);
	free(builder->frame_lines.at);
	free(builder->frame_owns.at);
	free(builder->stack.at);
	free(builder->functions);
	free(builder->keep);
}

static int push(struct numbers *numbers, uint32_t number)
{
	if (array_make_room(&numbers->at, &numbers->room, numbers->count))
		return -ENOMEM;
	numbers->at[numbers->count++] = number;
	return 0;
}

/* ---- lines --------------------------------------------------------------------------------- */

static char *line_of(const struct builder *builder, const Dhat__Frame *frame,
		     const Dhat__Location *location)
{
	if (frame->left_out && location)
		return strdup(location->function); /* a note in a frame's place */
	if (builder->line_of_frame)
		return builder->line_of_frame(frame, location);
	return dhat_table_line(frame, location, &builder->options->style);
}

static int render_location(struct builder *builder, const Dhat__Frame *frame,
			   const Dhat__Location *location)
{
	_cleanup_free_ char *line = line_of(builder, frame, location);
	uint32_t index;
	int r;

	r = line ? interned_add(&builder->lines, line, &index) : -ENOMEM;
	if (r == 0)
		r = push(&builder->frame_lines, index);
	/* once a frame: that takes longer than all else, and stacks share their frames */
	if (r == 0 && builder->options->is_own_only)
		r = push(&builder->frame_owns, dhat_is_own_code(frame, location));
	return r;
}

/* A frame: one line for each function inlined there, innermost first, and the function itself. */
static int render_frame(struct builder *builder, uint32_t number)
{
	const Dhat__Frame *frame = builder->rendering->snapshot->frames[number - 1];
	struct span *span = &builder->spans[number - 1];
	int r = 0;

	if (span->count)
		return 0;
	span->first = builder->frame_lines.count;
	for (size_t i = 0; r == 0 && i < frame->n_locations; i++)
		r = render_location(builder, frame, frame->locations[i]);
	if (r == 0 && !frame->n_locations)
		r = render_location(builder, frame, NULL);
	span->count = builder->frame_lines.count - span->first;
	return r;
}

/* ---- points -------------------------------------------------------------------------------- */

/* A line that is no frame: "[allocated before attach]". */
static int push_note(struct builder *builder, const char *note)
{
	uint32_t index;
	int r;

	r = interned_add(&builder->lines, note, &index);
	return r < 0 ? r : push(&builder->stack, index);
}

static int push_function(struct builder *builder, const Dhat__Frame *frame, size_t location)
{
	if (array_make_room(&builder->functions, &builder->function_room,
			    builder->function_count) ||
	    array_make_room(&builder->keep, &builder->keep_room, builder->function_count))
		return -ENOMEM;
	builder->functions[builder->function_count++] =
		location < frame->n_locations ? frame->locations[location]->function : NULL;
	return 0;
}

static int push_frame(struct builder *builder, uint32_t number)
{
	const Dhat__Frame *frame = builder->rendering->snapshot->frames[number - 1];
	const struct span *span = &builder->spans[number - 1];
	int r;

	r = render_frame(builder, number);
	for (uint32_t i = 0; r == 0 && i < span->count; i++) {
		r = push(&builder->stack, builder->frame_lines.at[span->first + i]);
		if (r == 0 && builder->options->trim_rules)
			r = push_function(builder, frame, i);
	}
	return r;
}

/* Leave out what the rules say of the frames, which are the last lines of `stack`. */
static void trim(struct builder *builder)
{
	size_t count = builder->function_count, first = builder->stack.count - count;

	if (!count)
		return;
	dhat_trim_stack(builder->functions, count, builder->options->trim_rules, builder->keep);
	builder->stack.count = first;
	for (size_t i = 0; i < count; i++) {
		if (builder->keep[i])
			builder->stack.at[builder->stack.count++] = builder->stack.at[first + i];
	}
}

/* The line of a frame's location. */
static int push_location(struct builder *builder, uint32_t number, size_t location)
{
	int r = render_frame(builder, number);

	return r < 0 ? r
		     : push(&builder->stack,
			    builder->frame_lines.at[builder->spans[number - 1].first + location]);
}

/* The innermost frame of one's own code; there is none: the innermost one. */
static int push_own_frame(struct builder *builder, const Dhat__ProgramPoint *point)
{
	struct dhat_own_frame own = { 0 };

	if (dhat_own_next(builder->rendering->snapshot, point, &own))
		return push_location(builder, own.number, own.location_index);
	return point->n_frames ? push_location(builder, point->frames[0], 0) : 0;
}

/* Of one frame the lines that are own code, but what reads as the line before it: a recursion. */
static int push_own_lines(struct builder *builder, uint32_t number, size_t first)
{
	const struct span *span = &builder->spans[number - 1];
	struct numbers *stack = &builder->stack;
	int r = render_frame(builder, number);

	for (uint32_t i = span->first; r == 0 && i < span->first + span->count; i++) {
		uint32_t line = builder->frame_lines.at[i];

		if (builder->frame_owns.at[i] &&
		    (stack->count == first || stack->at[stack->count - 1] != line))
			r = push(stack, line);
	}
	return r;
}

static int push_own_frames(struct builder *builder, const Dhat__ProgramPoint *point)
{
	size_t first = builder->stack.count;
	int r = 0;

	for (size_t i = 0; r == 0 && i < point->n_frames; i++)
		r = push_own_lines(builder, point->frames[i], first);
	return r < 0 || builder->stack.count > first ? r : push_own_frame(builder, point);
}

static int push_frames(struct builder *builder, const Dhat__ProgramPoint *point)
{
	const char *stop = dhat_stop_reason(point);
	char note[128];
	int r = 0;

	for (size_t i = 0; r == 0 && i < point->n_frames; i++)
		r = push_frame(builder, point->frames[i]);
	if (r == 0)
		trim(builder);
	if (r == 0 && stop) {
		snprintf(note, sizeof(note), "[stack ends early: %s]", stop);
		r = push_note(builder, note);
	}
	return r;
}

/* What has no stack is no thread's, either. */
static int push_threads(struct builder *builder, const Dhat__ProgramPoint *point)
{
	_cleanup_free_ char *text = NULL;

	if (*point->label && !point->threads)
		return 0;
	text = dhat_threads_text(builder->rendering->snapshot->head, point->threads);
	return text ? push_note(builder, text) : -ENOMEM;
}

static int push_what_counts(struct builder *builder, const Dhat__ProgramPoint *point)
{
	if (builder->options->style.by == DHAT_BY_THREAD)
		return push_threads(builder, point);
	if (builder->options->style.by != DHAT_BY_STACK)
		return push_own_frame(builder, point);
	return builder->options->is_own_only ? push_own_frames(builder, point)
					     : push_frames(builder, point);
}

static int render_stack(struct builder *builder, const Dhat__ProgramPoint *point)
{
	size_t depth = builder->options->depth;
	char note[128];
	int r = 0;

	builder->stack.count = builder->function_count = builder->hidden_count = 0;
	if (*point->label)
		r = push_note(builder, point->label);
	if (r == 0 && *point->kind) {
		snprintf(note, sizeof(note), "[%s]", point->kind);
		r = push_note(builder, note);
	}
	if (r == 0)
		r = push_what_counts(builder, point);
	if (r == 0 && !builder->stack.count)
		r = push_note(builder, "[no stack]");
	if (r == 0 && depth && builder->stack.count > depth) {
		builder->hidden_count = builder->stack.count - depth;
		builder->stack.count = depth;
	}
	return r;
}

static void add_counts(uint64_t *sums, const uint32_t *counts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sums[i] += counts[i];
}

static int add_histograms(struct dhat_rendered_point *sum, const Dhat__ProgramPoint *part)
{
	if (!part->n_live_ages && !part->n_dead_ages && !part->n_live_sizes)
		return 0;
	if (!sum->histograms)
		sum->histograms = calloc(1, sizeof(*sum->histograms));
	if (!sum->histograms)
		return -ENOMEM;
	add_counts(sum->histograms->live_ages, part->live_ages, part->n_live_ages);
	add_counts(sum->histograms->dead_ages, part->dead_ages, part->n_dead_ages);
	add_counts(sum->histograms->live_sizes, part->live_sizes, part->n_live_sizes);
	sum->histograms->slack_bytes += part->slack_bytes;
	return 0;
}

void dhat_histograms_add(struct dhat_histograms *sum, const struct dhat_histograms *part)
{
	for (size_t i = 0; i < DHAT_AGES; i++) {
		sum->live_ages[i] += part->live_ages[i];
		sum->dead_ages[i] += part->dead_ages[i];
	}
	for (size_t i = 0; i < DHAT_SIZES; i++)
		sum->live_sizes[i] += part->live_sizes[i];
	sum->slack_bytes += part->slack_bytes;
}

/* keeps R2 */
static void add_part(const struct dhat_snapshot *snapshot, struct dhat_rendered_point *sum,
		     const Dhat__ProgramPoint *part, const struct dhat_births *births)
{
	struct dhat_born born = dhat_point_born(part, births);

	sum->born.bytes += born.bytes;
	sum->born.blocks += born.blocks;
	sum->total_bytes += part->total_bytes;
	sum->total_blocks += part->total_blocks;
	sum->temporary_blocks += part->temporary_blocks;
	sum->threads |= part->threads;
	/* lifetimes are those of the blocks in the totals: from before the attach none is */
	if (part->total_blocks)
		sum->lifetimes_us += part->lifetimes_us;
	sum->max_bytes += part->max_bytes;
	sum->max_blocks += part->max_blocks;
	sum->peak_bytes += part->peak_bytes;
	sum->peak_blocks += part->peak_blocks;
	sum->live_bytes += part->live_bytes;
	sum->live_blocks += part->live_blocks;
	if (sum->greatest_max_bytes < part->max_bytes)
		sum->greatest_max_bytes = part->max_bytes;
	if (!sum->part_count || part->first_ns < sum->first_ns)
		sum->first_ns = part->first_ns;
	if (sum->last_ns < part->last_ns)
		sum->last_ns = part->last_ns;
	sum->live_ages_us += (double)part->mean_age_us * part->live_blocks;
	if (sum->longest_freed_us < part->longest_freed_us)
		sum->longest_freed_us = part->longest_freed_us;
	dhat_history_add(snapshot, part, sum->lows);
	dhat_point_pages_add(&sum->pages, part);
	dhat_held_add(&sum->held, part);
	dhat_evidence_add_point(&sum->evidence, snapshot->head, part);
	sum->part_count++;
}

static struct dhat_rendered_point *new_point(struct builder *builder,
					     const Dhat__ProgramPoint *part)
{
	struct dhat_rendering *rendering = builder->rendering;
	size_t size = builder->stack.count * sizeof(rendering->points[0]->lines[0]);
	struct dhat_rendered_point *point = calloc(1, sizeof(*point) + size);

	if (!point)
		return NULL;
	point->part = part;
	point->line_count = builder->stack.count;
	point->hidden_count = builder->hidden_count;
	memcpy(point->lines, builder->stack.at, size);
	point->number = rendering->point_count;
	rendering->points[rendering->point_count++] = point;
	return point;
}

/* The point that has the lines at hand. Keeps R1. */
static struct dhat_rendered_point *find_point(struct builder *builder,
					      const Dhat__ProgramPoint *part)
{
	uint32_t number;

	if (interned_add_bytes(&builder->stacks, builder->stack.at,
			       builder->stack.count * sizeof(*builder->stack.at), &number) < 0)
		return NULL;
	return number == builder->rendering->point_count ? new_point(builder, part)
							 : builder->rendering->points[number];
}

static int add_point(struct builder *builder, const Dhat__ProgramPoint *part,
		     struct dhat_rendered_point **ret)
{
	struct dhat_rendered_point *point;
	int r = render_stack(builder, part);

	if (r < 0)
		return r;
	point = find_point(builder, part);
	if (!point)
		return -ENOMEM;
	add_part(builder->rendering->snapshot, point, part, &builder->options->births);
	if (builder->options->has_histograms)
		r = add_histograms(point, part);
	*ret = point;
	return r;
}

struct dhat_interval dhat_rendered_interval(const struct dhat_rendering *rendering,
					    const struct dhat_rendered_point *point,
					    enum dhat_estimated which)
{
	const uint64_t bytes[DHAT_ESTIMATED_COUNT] = {
		[DHAT_ESTIMATED_TOTAL] = point->total_bytes,
		[DHAT_ESTIMATED_PEAK] = point->peak_bytes,
		[DHAT_ESTIMATED_LIVE] = point->live_bytes,
	};

	return dhat_interval_of(rendering->snapshot->head->sample_bytes, &point->evidence, which,
				bytes[which]);
}

uint64_t dhat_rendered_mean_age_us(const struct dhat_rendered_point *point)
{
	double mean = point->live_blocks ? point->live_ages_us / point->live_blocks : 0;

	return mean < INT64_MAX / 2.0 ? (uint64_t)mean : INT64_MAX / 2;
}

uint64_t dhat_rendered_least_max(const struct dhat_rendered_point *point)
{
	uint64_t least = point->greatest_max_bytes;

	if (least < point->peak_bytes)
		least = point->peak_bytes;
	return least < point->live_bytes ? point->live_bytes : least;
}

bool dhat_rendered_max_is_known(const struct dhat_rendered_point *point)
{
	return point->part_count == 1 || dhat_rendered_least_max(point) == point->max_bytes;
}

static int build(struct builder *builder)
{
	const struct dhat_snapshot *snapshot = builder->rendering->snapshot;
	uint32_t root;
	int r;

	builder->spans = calloc(snapshot->frame_count + 1, sizeof(*builder->spans));
	builder->rendering->points = calloc(snapshot->point_count + 1, sizeof(void *));
	builder->rendering->point_of = calloc(snapshot->point_count + 1, sizeof(void *));
	if (!builder->spans || !builder->rendering->points || !builder->rendering->point_of)
		return -ENOMEM;
	r = interned_add(&builder->lines, "[root]", &root);
	for (size_t i = 0; r == 0 && i < snapshot->point_count; i++)
		if (!builder->options->is_shown || builder->options->is_shown[i])
			r = add_point(builder, snapshot->points[i],
				      &builder->rendering->point_of[i]);
	for (size_t i = 0; r == 0 && i < builder->rendering->point_count; i++) {
		struct dhat_rendered_point *point = builder->rendering->points[i];

		point->growth = dhat_history_growth(snapshot, point->lows, point->first_ns);
	}
	return r;
}

static int rendering_new(const struct dhat_snapshot *snapshot, dhat_line_of_frame line_of_frame,
			 const struct dhat_table_options *options, struct dhat_rendering **ret)
{
	struct builder builder = { .line_of_frame = line_of_frame, .options = options };
	int r;

	builder.rendering = calloc(1, sizeof(*builder.rendering));
	if (!builder.rendering)
		return -ENOMEM;
	builder.rendering->snapshot = snapshot;
	builder.rendering->style = options->style;
	builder.rendering->births = options->births;
	builder.rendering->trim_rules = options->trim_rules;
	r = build(&builder);
	builder.rendering->lines = take_ptr(builder.lines.list);
	builder.rendering->line_count = builder.lines.count;
	builder.lines.count = 0;
	builder_deinit(&builder);
	if (r < 0) {
		dhat_rendering_free(builder.rendering);
		return r;
	}
	*ret = builder.rendering;
	return 0;
}

int dhat_rendering_new(const struct dhat_snapshot *snapshot, dhat_line_of_frame line_of_frame,
		       unsigned trim_rules, struct dhat_rendering **ret)
{
	const struct dhat_table_options options = { .trim_rules = trim_rules };

	return rendering_new(snapshot, line_of_frame, &options, ret);
}

int dhat_table_new(const struct dhat_snapshot *snapshot, const struct dhat_table_options *options,
		   struct dhat_rendering **ret)
{
	return rendering_new(snapshot, NULL, options, ret);
}

void dhat_rendering_free(struct dhat_rendering *rendering)
{
	if (!rendering)
		return;
	for (size_t i = 0; i < rendering->line_count; i++)
		free(rendering->lines[i]);
	for (size_t i = 0; i < rendering->point_count; i++) {
		free(rendering->points[i]->histograms);
		free(rendering->points[i]);
	}
	free(rendering->lines);
	free(rendering->points);
	free(rendering->point_of);
	free(rendering);
}
