/* A profile kept up to date by what changed since: it is what a whole one would be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/profile/snapshot_view.h"
#include "tests/unit/sample.h"

#define SINCE 1700000000000000000ull

struct answer { /* what dhatd would say */
	bool is_changes, has_lost_mark;
	uint32_t generation, known_points;
	uint64_t peak_number, since_unix_ns, later_ns;
	const Dhat__ProgramPoint *points;
	size_t point_count;
	const char *const *functions; /* of its frames, NULL-terminated */
};

static Dhat__SnapshotPart *head_of(const struct answer *answer)
{
	Dhat__SnapshotPart *part = sample_head();

	if (answer->generation) {
		part->head->view = malloc(sizeof(*part->head->view));
		dhat__view__init(part->head->view);
		part->head->view->is_changes = answer->is_changes;
		part->head->view->generation = answer->generation;
		part->head->view->known_points = answer->known_points;
		part->head->view->peak_number = answer->peak_number;
	}
	if (answer->has_lost_mark)
		dhat__mark__free_unpacked(part->head->marks[--part->head->n_marks], NULL);
	part->head->taken_unix_ns += answer->later_ns;
	if (answer->since_unix_ns)
		part->head->target->observed_since_unix_ns = answer->since_unix_ns;
	return part;
}

static Dhat__SnapshotPart *frames_of(const char *const *functions)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__FrameBatch batch = DHAT__FRAME_BATCH__INIT;
	Dhat__Location locations[8], *lists[8];
	Dhat__Frame frames[8], *list[8];

	for (; functions[batch.n_frames]; batch.n_frames++) {
		size_t i = batch.n_frames;

		assert_true(i < ARRAY_SIZE(frames));
		dhat__location__init(&locations[i]);
		dhat__frame__init(&frames[i]);
		locations[i].function = (char *)(uintptr_t)functions[i];
		lists[i] = &locations[i];
		list[i] = &frames[i];
		if (!*functions[i]) /* code in no file, without a name */
			continue;
		frames[i].object = "/usr/bin/service";
		frames[i].locations = &lists[i];
		frames[i].n_locations = 1;
	}
	batch.frames = list;
	part.part_case = DHAT__SNAPSHOT_PART__PART_FRAMES;
	part.frames = &batch;
	return sample_own(&part);
}

static Dhat__SnapshotPart *points_of(const struct answer *answer)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__PointBatch batch = DHAT__POINT_BATCH__INIT;
	Dhat__ProgramPoint points[8], *list[8];

	assert_true(answer->point_count <= ARRAY_SIZE(points));
	for (size_t i = 0; i < answer->point_count; i++) {
		points[i] = answer->points[i];
		list[i] = &points[i];
	}
	batch.points = list;
	batch.n_points = answer->point_count;
	part.part_case = DHAT__SNAPSHOT_PART__PART_POINTS;
	part.points = &batch;
	return sample_own(&part);
}

static struct dhat_snapshot *snapshot_of(const struct answer *answer)
{
	struct dhat_snapshot *snapshot = NULL;

	assert_int_equal(dhat_snapshot_new(&snapshot), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, head_of(answer), NULL), 0);
	if (answer->functions)
		assert_int_equal(dhat_snapshot_add(snapshot, frames_of(answer->functions), NULL),
				 0);
	assert_int_equal(dhat_snapshot_add(snapshot, points_of(answer), NULL), 0);
	assert_int_equal(dhat_snapshot_add(snapshot, sample_end(), NULL), 0);
	return snapshot;
}

static void take(struct dhat_view *view, const struct answer *answer)
{
	struct dhat_error err = { 0 };

	if (dhat_view_take(view, snapshot_of(answer), &err))
		fail_msg("%s", err.message);
}

static Dhat__ProgramPoint point(uint32_t number, uint64_t live, uint64_t peak, uint32_t *frames,
				size_t frame_count)
{
	Dhat__ProgramPoint made = DHAT__PROGRAM_POINT__INIT;

	made.number = number;
	made.live_bytes = made.total_bytes = live;
	made.live_blocks = made.total_blocks = live ? 1 : 0;
	made.peak_bytes = peak;
	made.frames = frames;
	made.n_frames = frame_count;
	made.stop = frame_count ? "complete" : "";
	return made;
}

static const char *function_of(const struct dhat_view *view, size_t i, size_t frame)
{
	const struct dhat_snapshot *snapshot = view->snapshot;

	assert_true(frame < snapshot->points[i]->n_frames);
	return snapshot->frames[snapshot->points[i]->frames[frame] - 1]->locations[0]->function;
}

static const char *const first_functions[] = { "allocate", "main", NULL };

static void take_first(struct dhat_view *view)
{
	const Dhat__ProgramPoint points[] = {
		point(1, 100, 90, (uint32_t[]){ 1, 2 }, 2),
		point(2, 50, 40, (uint32_t[]){ 2 }, 1),
	};

	take(view, &(struct answer){ .generation = 7,
				     .known_points = 2,
				     .peak_number = 3,
				     .points = points,
				     .point_count = 2,
				     .functions = first_functions });
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_it_asks_for_what_it_lacks(void **state)
{
	Dhat__Seen first, next;
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };

	dhat_view_ask(&view, &first);
	assert_int_equal(first.generation, 0);
	take_first(&view);
	assert_true(view.is_another && view.has_grown);
	dhat_view_ask(&view, &next);
	assert_int_equal(next.since_unix_ns, SINCE);
	assert_int_equal(next.generation, 7);
	assert_int_equal(next.known_points, 2);
}

/* V1: what was not sent is as it was, and was so at a peak that is newer. */
static void test_what_has_not_changed_stays(void **state)
{
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	const Dhat__ProgramPoint changed = point(2, 70, 60, NULL, 0);
	struct answer answer = { .is_changes = true,
				 .generation = 8,
				 .known_points = 2,
				 .peak_number = 3,
				 .points = &changed,
				 .point_count = 1 };

	take_first(&view);
	take(&view, &answer);
	assert_false(view.is_another || view.has_grown);
	assert_int_equal(view.snapshot->points[0]->live_bytes, 100);
	assert_int_equal(view.snapshot->points[0]->peak_bytes, 90);
	assert_int_equal(view.snapshot->points[1]->live_bytes, 70);
	assert_int_equal(view.snapshot->points[1]->peak_bytes, 60);
	assert_string_equal(function_of(&view, 1, 0), "main");
	answer.peak_number = 4;
	answer.point_count = 0;
	take(&view, &answer);
	assert_int_equal(view.snapshot->points[0]->peak_bytes, 100);
	assert_int_equal(view.snapshot->points[1]->peak_bytes, 70);
	assert_int_equal(view.snapshot->head->view->peak_number, 4);
}

/* V2 and V3. */
static void test_new_stacks_come_behind(void **state)
{
	static const char *const functions[] = { "main", "parse", NULL };
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	const Dhat__ProgramPoint points[] = {
		point(1, 30, 30, NULL, 0),
		point(3, 0, 0, (uint32_t[]){ 2, 1 }, 2),
		point(4, 9, 9, (uint32_t[]){ 1 }, 1),
	};

	take_first(&view);
	take(&view, &(struct answer){ .is_changes = true,
				      .generation = 9,
				      .known_points = 4,
				      .peak_number = 3,
				      .points = points,
				      .point_count = 3,
				      .functions = functions });
	assert_true(view.has_grown);
	assert_int_equal(view.snapshot->point_count, 4);
	assert_int_equal(view.snapshot->frame_count, 3); /* "main" is there already */
	assert_int_equal(view.snapshot->points[0]->live_bytes, 30);
	assert_string_equal(function_of(&view, 0, 0), "allocate");
	assert_string_equal(function_of(&view, 2, 0), "parse");
	assert_string_equal(function_of(&view, 2, 1), "main");
	assert_string_equal(function_of(&view, 3, 0), "main");
}

static void test_another_watch_is_another_profile(void **state)
{
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	const Dhat__ProgramPoint only = point(1, 5, 5, (uint32_t[]){ 1 }, 1);

	take_first(&view);
	take(&view, &(struct answer){ .generation = 1,
				      .known_points = 1,
				      .since_unix_ns = SINCE + 1,
				      .points = &only,
				      .point_count = 1,
				      .functions = first_functions });
	assert_true(view.is_another);
	assert_int_equal(view.snapshot->point_count, 1);
	assert_int_equal(view.snapshot->head->target->observed_since_unix_ns, SINCE + 1);
}

/* V4, and what a person may ask for. */
static void test_names_come_later(void **state)
{
	static const char *const unnamed[] = { "", NULL };
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	const Dhat__ProgramPoint only = point(1, 5, 5, (uint32_t[]){ 1 }, 1);
	struct answer whole = { .generation = 1,
				.known_points = 1,
				.points = &only,
				.point_count = 1,
				.functions = unnamed };
	struct answer changes = { .generation = 2, .is_changes = true, .known_points = 1 };
	Dhat__Seen seen;

	take(&view, &whole);
	take(&view, &changes);
	dhat_view_ask(&view, &seen);
	assert_int_equal(seen.generation, 2);
	changes.later_ns = DHAT_VIEW_NAMES_NS;
	take(&view, &changes);
	dhat_view_ask(&view, &seen);
	assert_int_equal(seen.generation, 0);

	whole.functions = first_functions; /* they have names now */
	take(&view, &whole);
	assert_true(view.has_grown && !view.is_another);
	assert_string_equal(function_of(&view, 0, 0), "allocate");
	take(&view, &changes);
	dhat_view_ask(&view, &seen);
	assert_int_equal(seen.generation, 2);
	view.wants_whole = true;
	dhat_view_ask(&view, &seen);
	assert_int_equal(seen.generation, 0);
	take(&view, &whole);
	assert_false(view.wants_whole);
}

static void test_what_does_not_fit_changes_nothing(void **state)
{
	static uint32_t frames[] = { 1 };
	const struct {
		const char *name;
		Dhat__ProgramPoint point;
		struct answer answer;
	} cases[] = {
		{ "an older dhatd", point(0, 1, 1, NULL, 0), { .known_points = 2 } },
		{ "no number",
		  point(0, 1, 1, NULL, 0),
		  { .generation = 8, .is_changes = true, .known_points = 2 } },
		{ "a gap",
		  point(4, 1, 1, frames, 1),
		  { .generation = 8, .is_changes = true, .known_points = 4 } },
		{ "fewer than told",
		  point(3, 1, 1, frames, 1),
		  { .generation = 8, .is_changes = true, .known_points = 4 } },
		{ "another stack for a known point",
		  point(1, 1, 1, frames, 1),
		  { .generation = 8, .is_changes = true, .known_points = 2 } },
		{ "changes of another watch",
		  point(1, 1, 1, NULL, 0),
		  { .generation = 8,
		    .is_changes = true,
		    .known_points = 2,
		    .since_unix_ns = SINCE + 1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
		struct answer answer = cases[i].answer;
		struct dhat_error err = { 0 };

		answer.points = &cases[i].point;
		answer.point_count = 1;
		answer.functions = first_functions;
		take_first(&view);
		if (dhat_view_take(&view, snapshot_of(&answer), &err) != -EBADMSG)
			fail_msg("%s was taken", cases[i].name);
		assert_int_equal(err.code, DHAT_EXIT_PROTOCOL);
		assert_int_equal(view.snapshot->points[0]->live_bytes, 100);
		assert_int_equal(view.snapshot->point_count, 2);
	}
}

static void test_changes_of_nothing(void **state)
{
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };

	assert_int_equal(
		dhat_view_take(&view,
			       snapshot_of(&(struct answer){ .generation = 1, .is_changes = true }),
			       NULL),
		-EBADMSG);
	assert_null(view.snapshot);
}

/* What was allocated since marks comes with a point; when one is gone all has to be asked for. */
static void test_marks(void **state)
{
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	Dhat__ProgramPoint changed = point(2, 70, 60, NULL, 0);
	uint64_t bytes[] = { 40, 20 }, blocks[] = { 4, 2 };
	struct answer answer = { .is_changes = true,
				 .generation = 8,
				 .known_points = 2,
				 .peak_number = 3,
				 .points = &changed,
				 .point_count = 1 };

	changed.since_bytes = bytes;
	changed.since_blocks = blocks;
	changed.n_since_bytes = changed.n_since_blocks = 2;
	take_first(&view);
	take(&view, &answer);
	assert_int_equal(view.snapshot->points[1]->n_since_bytes, 2);
	assert_int_equal(view.snapshot->points[1]->since_bytes[1], 20);
	assert_int_equal(view.snapshot->points[0]->n_since_bytes, 0);
	/* all of it was freed since */
	changed.n_since_bytes = changed.n_since_blocks = 0;
	answer.generation = 9;
	take(&view, &answer);
	assert_int_equal(view.snapshot->points[1]->n_since_bytes, 0);
	assert_false(view.wants_whole);
	answer.has_lost_mark = true;
	answer.generation = 10;
	take(&view, &answer);
	assert_true(view.wants_whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_asks_for_what_it_lacks),
		cmocka_unit_test(test_what_has_not_changed_stays),
		cmocka_unit_test(test_new_stacks_come_behind),
		cmocka_unit_test(test_another_watch_is_another_profile),
		cmocka_unit_test(test_names_come_later),
		cmocka_unit_test(test_what_does_not_fit_changes_nothing),
		cmocka_unit_test(test_changes_of_nothing),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
