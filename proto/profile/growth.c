#include "growth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/units.h"
#include "proto/wire/frame.h"
#include "verdict.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

/* Of frames and of points in one message; both stay far below DHAT_FRAME_RESPONSE_MAX. */
enum { BATCH_SIZE = 256 };

static const struct {
	size_t from, to; /* in a rendered point, in a program point */
	bool is_sum;
} figures[] = {
#define FIGURE(field, is_sum)                                                                      \
	{                                                                                          \
		offsetof(struct dhat_rendered_point, field), offsetof(Dhat__ProgramPoint, field),  \
			is_sum                                                                     \
	}
	FIGURE(total_bytes, true), FIGURE(total_blocks, true), FIGURE(peak_bytes, true),
	FIGURE(peak_blocks, true), FIGURE(live_bytes, true),   FIGURE(live_blocks, true),
	FIGURE(max_bytes, false),  FIGURE(max_blocks, false),
#undef FIGURE
};

struct builder {
	const struct dhat_difference *difference;
	enum dhat_growth kind;
	struct dhat_snapshot *snapshot;
	uint32_t
		*numbers[2]; /* of the frames of before and after in the result; 0: not there yet */
	uint32_t frame_count;		 /* of the result */
	Dhat__Frame *frames[BATCH_SIZE]; /* borrowed */
	size_t frames_waiting;
	Dhat__ProgramPoint points[BATCH_SIZE], *point_list[BATCH_SIZE]; /* frames are owned */
	Dhat__Sampled sampled[BATCH_SIZE];				/* of the points */
	size_t points_waiting;
	uint64_t sample_bytes;	     /* the greater of both; 0: both are exact */
	Dhat__Totals totals, shrunk; /* shrunk: live bytes and blocks of it */
};

static void builder_deinit(struct builder *builder)
{
	dhat_snapshot_free(builder->snapshot);
	for (size_t i = 0; i < builder->points_waiting; i++)
		free(builder->points[i].frames);
	free(builder->numbers[0]);
	free(builder->numbers[1]);
}

/* ---- parts --------------------------------------------------------------------------------- */

/* A copy of the part into the snapshot, which owns what it has. */
static int add_part(struct builder *builder, const Dhat__SnapshotPart *part)
{
	size_t size = dhat__snapshot_part__get_packed_size(part);
	_cleanup_free_ uint8_t *bytes = malloc(size + 1);
	ProtobufCMessage *copy;

	if (!bytes)
		return -ENOMEM;
	dhat__snapshot_part__pack(part, bytes);
	copy = dhat_frame_unpack(&dhat__snapshot_part__descriptor, bytes, size);
	return copy ? dhat_snapshot_add(builder->snapshot, (Dhat__SnapshotPart *)copy, NULL)
		    : -ENOMEM;
}

static int flush_frames(struct builder *builder)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__FrameBatch batch = DHAT__FRAME_BATCH__INIT;

	if (!builder->frames_waiting)
		return 0;
	batch.frames = builder->frames;
	batch.n_frames = builder->frames_waiting;
	part.part_case = DHAT__SNAPSHOT_PART__PART_FRAMES;
	part.frames = &batch;
	builder->frames_waiting = 0;
	return add_part(builder, &part);
}

/* Their frames first: S2. */
static int flush_points(struct builder *builder)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__PointBatch batch = DHAT__POINT_BATCH__INIT;
	int r = flush_frames(builder);

	if (r < 0 || !builder->points_waiting)
		return r;
	for (size_t i = 0; i < builder->points_waiting; i++)
		builder->point_list[i] = &builder->points[i];
	batch.points = builder->point_list;
	batch.n_points = builder->points_waiting;
	part.part_case = DHAT__SNAPSHOT_PART__PART_POINTS;
	part.points = &batch;
	r = add_part(builder, &part);
	for (size_t i = 0; i < builder->points_waiting; i++)
		free(builder->points[i].frames);
	builder->points_waiting = 0;
	return r;
}

/* ---- points -------------------------------------------------------------------------------- */

static int frame_number(struct builder *builder, bool is_after, uint32_t number, uint32_t *ret)
{
	const struct dhat_rendering *side =
		is_after ? builder->difference->after : builder->difference->before;
	uint32_t *known = &builder->numbers[is_after][number - 1];
	int r = 0;

	if (!*known) {
		if (builder->frames_waiting == BATCH_SIZE)
			r = flush_frames(builder);
		builder->frames[builder->frames_waiting++] = side->snapshot->frames[number - 1];
		*known = ++builder->frame_count;
	}
	*ret = *known;
	return r;
}

static int set_frames(struct builder *builder, Dhat__ProgramPoint *point, bool is_after,
		      const Dhat__ProgramPoint *from)
{
	int r = 0;

	point->frames = malloc((from->n_frames + 1) * sizeof(*point->frames));
	if (!point->frames)
		return -ENOMEM;
	point->n_frames = from->n_frames;
	for (size_t i = 0; r == 0 && i < from->n_frames; i++)
		r = frame_number(builder, is_after, from->frames[i], &point->frames[i]);
	return r;
}

/* Whether any of what can be added up has changed. */
static bool set_figures(struct builder *builder, Dhat__ProgramPoint *point,
			const struct dhat_change *change)
{
	bool has_any = false;

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		const char *before = (const char *)change->before,
			   *after = (const char *)change->after;
		uint64_t value = (after ? *(const uint64_t *)(after + figures[i].from) : 0) -
				 (before ? *(const uint64_t *)(before + figures[i].from) : 0);

		if ((int64_t)value < 0 && builder->kind == DHAT_GROWTH_GROWN)
			value = 0;
		has_any |= figures[i].is_sum && value;
		*(uint64_t *)((char *)point + figures[i].to) = value;
	}
	return has_any;
}

/* Of two estimates the variances add up, and nothing of their difference is there for certain. */
static void set_sampled(struct builder *builder, Dhat__ProgramPoint *point,
			const struct dhat_change *change)
{
	Dhat__Sampled *sampled = &builder->sampled[builder->points_waiting];
	struct dhat_evidence evidence = { 0 };

	if (!builder->sample_bytes)
		return;
	if (change->before)
		dhat_evidence_add(&evidence, &change->before->evidence);
	if (change->after)
		dhat_evidence_add(&evidence, &change->after->evidence);
	dhat__sampled__init(sampled);
	sampled->total_variance = evidence.variance[DHAT_ESTIMATED_TOTAL];
	sampled->peak_variance = evidence.variance[DHAT_ESTIMATED_PEAK];
	sampled->live_variance = evidence.variance[DHAT_ESTIMATED_LIVE];
	point->sampled = sampled;
}

static void add_totals(struct builder *builder, const Dhat__ProgramPoint *point)
{
	Dhat__Totals *totals = &builder->totals;

	totals->total_bytes += point->total_bytes;
	totals->total_blocks += point->total_blocks;
	totals->peak_bytes += point->peak_bytes;
	totals->peak_blocks += point->peak_blocks;
	totals->live_bytes += point->live_bytes;
	totals->live_blocks += point->live_blocks;
	totals->stack_count++;
}

/* A moment of a point since the earlier profile was taken, or 0. */
static uint64_t since_before(const struct builder *builder, const Dhat__Target *target, uint64_t ns)
{
	uint64_t start = builder->difference->before->snapshot->head->taken_unix_ns,
		 moment = target->observed_since_unix_ns + ns;

	return moment > start ? moment - start : 0;
}

static int add_change(struct builder *builder, const struct dhat_change *change)
{
	const Dhat__ProgramPoint *from = (change->after ?: change->before)->part;
	const Dhat__Target *target =
		(change->after ? builder->difference->after : builder->difference->before)
			->snapshot->head->target;
	Dhat__ProgramPoint *point = &builder->points[builder->points_waiting];
	int64_t bytes = dhat_change_bytes(change), blocks = dhat_change_blocks(change);
	int r;

	builder->shrunk.live_bytes += bytes < 0 ? -(uint64_t)bytes : 0;
	builder->shrunk.live_blocks += blocks < 0 ? -(uint64_t)blocks : 0;
	dhat__program_point__init(point);
	if (!set_figures(builder, point, change))
		return 0;
	set_sampled(builder, point, change);
	builder->points_waiting++;
	point->stop = from->stop;
	point->label = from->label;
	point->kind = from->kind;
	point->used_frame_pointers = from->used_frame_pointers;
	point->first_ns = since_before(builder, target, from->first_ns);
	point->last_ns = since_before(builder, target, from->last_ns);
	add_totals(builder, point);
	r = set_frames(builder, point, change->after, from);
	return r == 0 && builder->points_waiting == BATCH_SIZE ? flush_points(builder) : r;
}

/* ---- the head and the end ------------------------------------------------------------------ */

/* "2026-11-29 12:03:44" */
static void format_moment(uint64_t unix_ns, char text[static 32])
{
	time_t seconds = unix_ns / 1000000000;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

/* "what has grown from 2026-11-29 12:03:44 to 2026-11-29 12:05:02 UTC" */
static char *title(const struct builder *builder)
{
	char from[32], to[32], *text;

	format_moment(builder->difference->before->snapshot->head->taken_unix_ns, from);
	format_moment(builder->difference->after->snapshot->head->taken_unix_ns, to);
	if (asprintf(&text, "what has %s from %s to %s UTC",
		     builder->kind == DHAT_GROWTH_GROWN ? "grown" : "changed", from, to) < 0)
		return NULL;
	return text;
}

static int add_head(struct builder *builder)
{
	const Dhat__SnapshotHead *before = builder->difference->before->snapshot->head;
	Dhat__SnapshotHead head = *builder->difference->after->snapshot->head;
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__Target target = *head.target;
	_cleanup_free_ char *what = title(builder), *command = NULL;

	if (!what || asprintf(&command, "%s [%s]", target.command, what) < 0) {
		command = NULL;
		return -ENOMEM;
	}
	target.command = command;
	target.observed_since_unix_ns = before->taken_unix_ns;
	target.observed_ns = head.taken_unix_ns - before->taken_unix_ns;
	target.from_start = false;
	head.target = &target;
	head.sample_bytes = builder->sample_bytes;
	head.has_pages = false; /* what is in memory now has no difference */
	part.part_case = DHAT__SNAPSHOT_PART__PART_HEAD;
	part.head = &head;
	return add_part(builder, &part);
}

/* What the end says in words; all owned. */
struct texts {
	char **reasons;
	size_t reason_count;
	char *note;
};

static void texts_deinit(struct texts *texts)
{
	for (size_t i = 0; i < texts->reason_count; i++)
		free(texts->reasons[i]);
	free(texts->reasons);
	free(texts->note);
}

static int add_reasons(struct texts *texts, const char *which, const Dhat__Verdict *verdict)
{
	char **grown = reallocarray(texts->reasons, texts->reason_count + verdict->n_reasons + 1,
				    sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	texts->reasons = grown;
	for (size_t i = 0; i < verdict->n_reasons; i++) {
		if (asprintf(&grown[texts->reason_count], "%s profile: %s", which,
			     verdict->reasons[i]) < 0)
			return -ENOMEM;
		texts->reason_count++;
	}
	return 0;
}

static int fill_texts(const struct builder *builder, struct texts *texts)
{
	const struct dhat_difference *difference = builder->difference;
	char bytes[DHAT_UNIT_CHARS], blocks[DHAT_UNIT_CHARS];
	_cleanup_free_ char *what = title(builder);
	int r = add_reasons(texts, "earlier", difference->before->snapshot->end->verdict), n;

	if (r == 0)
		r = add_reasons(texts, "later", difference->after->snapshot->end->verdict);
	if (r < 0 || !what)
		return -ENOMEM;
	if (builder->kind == DHAT_GROWTH_SIGNED)
		n = asprintf(&texts->note, "a difference: %s", what);
	else
		n = asprintf(&texts->note,
			     "a difference: %s; what has shrunk is left out: %s bytes in %s blocks "
			     "of what was live",
			     what, dhat_format_count(builder->shrunk.live_bytes, bytes),
			     dhat_format_count(builder->shrunk.live_blocks, blocks));
	if (n >= 0)
		return 0;
	texts->note = NULL;
	return -ENOMEM;
}

static void set_verdict(const struct dhat_difference *difference, Dhat__Verdict *verdict)
{
	const Dhat__Verdict *before = difference->before->snapshot->end->verdict,
			    *after = difference->after->snapshot->end->verdict;
	enum dhat_verdict a = dhat_verdict_of(before), b = dhat_verdict_of(after);

	verdict->word = without_qualifiers(dhat_verdict_word(a > b ? a : b));
	verdict->exact = a == DHAT_EXACT && b == DHAT_EXACT;
	verdict->uncounted_bytes = after->uncounted_bytes;
}

static int add_end(struct builder *builder)
{
	const Dhat__SnapshotHead *head = builder->snapshot->head;
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__SnapshotEnd end = DHAT__SNAPSHOT_END__INIT;
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	struct texts texts = { 0 };
	int r = fill_texts(builder, &texts);

	set_verdict(builder->difference, &verdict);
	verdict.reasons = texts.reasons;
	verdict.n_reasons = texts.reason_count;
	builder->totals.end_ns = builder->totals.peak_ns = head->target->observed_ns;
	end.totals = &builder->totals;
	end.verdict = &verdict;
	end.notes = &texts.note;
	end.n_notes = 1;
	part.part_case = DHAT__SNAPSHOT_PART__PART_END;
	part.end = &end;
	if (r == 0)
		r = add_part(builder, &part);
	texts_deinit(&texts);
	return r;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int builder_init(struct builder *builder, const struct dhat_difference *difference,
			enum dhat_growth kind)
{
	builder->difference = difference;
	builder->kind = kind;
	builder->sample_bytes = dhat_sample_bytes_of_both(difference->before->snapshot,
							  difference->after->snapshot);
	dhat__totals__init(&builder->totals);
	builder->numbers[0] =
		calloc(difference->before->snapshot->frame_count + 1, sizeof(uint32_t));
	builder->numbers[1] =
		calloc(difference->after->snapshot->frame_count + 1, sizeof(uint32_t));
	if (!builder->numbers[0] || !builder->numbers[1])
		return -ENOMEM;
	return dhat_snapshot_new(&builder->snapshot);
}

int dhat_growth_new(const struct dhat_difference *difference, enum dhat_growth kind,
		    struct dhat_snapshot **ret)
{
	_cleanup_free_ struct builder *builder = calloc(1, sizeof(*builder));
	int r = builder ? builder_init(builder, difference, kind) : -ENOMEM;

	if (r == 0)
		r = add_head(builder);
	for (size_t i = 0; r == 0 && i < difference->count; i++)
		r = add_change(builder, &difference->list[i]);
	if (r == 0)
		r = flush_points(builder);
	if (r == 0)
		r = add_end(builder);
	if (r == 0)
		*ret = take_ptr(builder->snapshot);
	if (builder)
		builder_deinit(builder);
	return r;
}
