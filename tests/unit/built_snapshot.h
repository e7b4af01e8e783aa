#pragma once
/* built_snapshot: a snapshot of stacks that a test lists, whose totals are their sums. */
#include <stdio.h>

#include "tests/unit/sample.h"

#define BUILT_MAX_FRAMES 12

struct built_stack {
	/* innermost first: "FUNCTION@FILE:LINE"; "FUNCTION@OBJECT" (with ".so") has no source,
	 * "@OBJECT" no name either */
	const char *frames[BUILT_MAX_FRAMES];
	uint64_t live_bytes, live_blocks, total_bytes, total_blocks, peak_bytes, peak_blocks;
	const char *label;
	/* of a sample: what all three figures of bytes stand on; 0: that is not told */
	uint64_t seen_bytes;
	double variance;
};

/* Live, ever, at the peak: bytes and blocks of each; then the frames. */
#define BUILT(live, live_count, total, total_count, peak, peak_count, ...)                         \
	{                                                                                          \
		.frames = { __VA_ARGS__ }, .live_bytes = (live), .live_blocks = (live_count),      \
		.total_bytes = (total), .total_blocks = (total_count), .peak_bytes = (peak),       \
		.peak_blocks = (peak_count),                                                       \
	}
#define BUILT_END                                                                                  \
	{                                                                                          \
		.label = NULL                                                                      \
	}

struct built_watch {
	uint32_t pid;		/* 0: 4711 */
	uint64_t seconds;	/* how long; 0: 60 */
	uint64_t since_seconds; /* when it began */
	const char *verdict;	/* NULL: exact; else with a reason */
	const char *state;	/* NULL: attached */
	uint64_t sample_bytes;	/* 0: no sample */
	bool is_listing;	/* as Totals has it */
};

static inline void built_frame(const char *text, Dhat__Frame *frame, Dhat__Location *location,
			       Dhat__Location **list)
{
	const char *at = strchr(text, '@'), *colon = strrchr(text, ':');
	bool has_source = !strstr(at, ".so");

	dhat__frame__init(frame);
	dhat__location__init(location);
	frame->object = has_source ? "/usr/bin/service" : strdup(at + 1);
	frame->address = 0x400000 + (uint64_t)(uintptr_t)text % 4096;
	frame->object_vaddr = frame->address;
	location->function = strndup(text, at - text);
	location->file = has_source ? strndup(at + 1, colon - at - 1) : "";
	location->line = has_source ? atoi(colon + 1) : 0;
	*list = location;
	frame->locations = list;
	frame->n_locations = at > text;
}

static inline void built_add(struct dhat_snapshot *snapshot, Dhat__SnapshotPart *part)
{
	if (dhat_snapshot_add(snapshot, sample_own(part), NULL) < 0)
		abort();
}

static inline void built_head(struct dhat_snapshot *snapshot, const struct built_watch *watch)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__SnapshotHead head = DHAT__SNAPSHOT_HEAD__INIT;
	Dhat__Target target = DHAT__TARGET__INIT;
	uint64_t seconds = watch->seconds ?: 60;
	char state[16];

	target.pid = watch->pid ?: 4711;
	target.command = target.executable = "/usr/bin/service";
	target.from_start = true;
	snprintf(state, sizeof(state), "%s", watch->state ?: "attached");
	target.state = state;
	target.observed_since_unix_ns = (1700000000 + watch->since_seconds) * 1000000000ull;
	target.observed_ns = seconds * 1000000000;
	head.format_version = DHAT_SNAPSHOT_VERSION;
	head.sample_bytes = watch->sample_bytes;
	head.taken_unix_ns = target.observed_since_unix_ns + target.observed_ns;
	head.target = &target;
	part.part_case = DHAT__SNAPSHOT_PART__PART_HEAD;
	part.head = &head;
	built_add(snapshot, &part);
}

/* Each stack in batches of its own. */
static inline void built_stack(struct dhat_snapshot *snapshot, const struct built_stack *stack,
			       Dhat__Totals *totals)
{
	Dhat__SnapshotPart frames_part = DHAT__SNAPSHOT_PART__INIT, points_part = frames_part;
	Dhat__FrameBatch frames_batch = DHAT__FRAME_BATCH__INIT;
	Dhat__PointBatch points_batch = DHAT__POINT_BATCH__INIT;
	Dhat__ProgramPoint point = DHAT__PROGRAM_POINT__INIT, *points[] = { &point };
	Dhat__Sampled sampled = DHAT__SAMPLED__INIT;
	Dhat__Frame frames[BUILT_MAX_FRAMES], *list[BUILT_MAX_FRAMES];
	Dhat__Location locations[BUILT_MAX_FRAMES], *lists[BUILT_MAX_FRAMES];
	uint32_t numbers[BUILT_MAX_FRAMES];

	for (size_t i = 0; i < BUILT_MAX_FRAMES && stack->frames[i]; i++) {
		built_frame(stack->frames[i], &frames[i], &locations[i], &lists[i]);
		list[i] = &frames[i];
		numbers[i] = snapshot->frame_count + i + 1;
		frames_batch.n_frames = point.n_frames = i + 1;
	}
	frames_batch.frames = list;
	frames_part.part_case = DHAT__SNAPSHOT_PART__PART_FRAMES;
	frames_part.frames = &frames_batch;
	built_add(snapshot, &frames_part);
	for (size_t i = 0; i < point.n_frames; i++) {
		free(locations[i].function);
		free(locations[i].file[0] ? locations[i].file : frames[i].object);
	}

	point.frames = numbers;
	point.stop = "complete";
	point.label = stack->label ? strdup(stack->label) : "";
	point.live_bytes = stack->live_bytes;
	point.live_blocks = stack->live_blocks;
	point.total_bytes = stack->total_bytes;
	point.total_blocks = stack->total_blocks;
	point.peak_bytes = stack->peak_bytes;
	point.peak_blocks = stack->peak_blocks;
	if (stack->seen_bytes) {
		sampled.total_bytes = sampled.peak_bytes = sampled.live_bytes = stack->seen_bytes;
		sampled.total_variance = sampled.peak_variance = sampled.live_variance =
			stack->variance;
		point.sampled = &sampled;
	}
	totals->live_bytes += point.live_bytes;
	totals->live_blocks += point.live_blocks;
	totals->total_bytes += point.total_bytes;
	totals->total_blocks += point.total_blocks;
	totals->peak_bytes += point.peak_bytes;
	totals->peak_blocks += point.peak_blocks;
	points_batch.points = points;
	points_batch.n_points = 1;
	points_part.part_case = DHAT__SNAPSHOT_PART__PART_POINTS;
	points_part.points = &points_batch;
	built_add(snapshot, &points_part);
	if (stack->label)
		free(point.label);
}

/* stacks: up to the first without frames and label. The caller frees. */
static inline struct dhat_snapshot *built_snapshot(const struct built_watch *watch,
						   const struct built_stack *stacks)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__SnapshotEnd end = DHAT__SNAPSHOT_END__INIT;
	Dhat__Totals totals = DHAT__TOTALS__INIT;
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	char *reasons[] = { "3 events were lost" }, word[16];
	struct dhat_snapshot *snapshot = NULL;

	if (dhat_snapshot_new(&snapshot) < 0)
		abort();
	built_head(snapshot, watch);
	for (; stacks->frames[0] || stacks->label; stacks++)
		built_stack(snapshot, stacks, &totals);
	snprintf(word, sizeof(word), "%s", watch->verdict ?: "exact");
	verdict.word = word;
	verdict.exact = !watch->verdict;
	verdict.reasons = reasons;
	verdict.n_reasons = watch->verdict != NULL;
	totals.is_listing = watch->is_listing;
	end.totals = &totals;
	end.verdict = &verdict;
	part.part_case = DHAT__SNAPSHOT_PART__PART_END;
	part.end = &end;
	built_add(snapshot, &part);
	if (dhat_snapshot_finish(snapshot, NULL) < 0)
		abort();
	return snapshot;
}
