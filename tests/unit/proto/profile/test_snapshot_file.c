/* Snapshots put together from parts, and .dhat files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/histogram.h"
#include "proto/profile/snapshot_file.h"
#include "tests/unit/sample.h"

/* The sample as a file in memory. */
static char *bytes;
static size_t size;

static int set_up(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	FILE *file = open_memstream(&bytes, &size);
	struct dhat_snapshot_writer writer;

	dhat_snapshot_writer_init(&writer, file);
	for (size_t i = 0; i < snapshot->part_count; i++)
		assert_int_equal(dhat_snapshot_writer_add(&writer, snapshot->parts[i], NULL), 0);
	dhat_snapshot_writer_end(&writer);
	fclose(file);
	dhat_snapshot_free(snapshot);
	return 0;
}

static int tear_down(void **state)
{
	free(bytes);
	return 0;
}

static int read_bytes(const void *from, size_t count, struct dhat_snapshot **ret,
		      struct dhat_error *err)
{
	FILE *file = fmemopen(without_qualifiers(from), count, "r");
	int r;

	r = dhat_snapshot_read(file, "x.dhat", ret, err);
	fclose(file);
	return r;
}

static void test_there_and_back(void **state)
{
	struct dhat_snapshot *snapshot = NULL;

	assert_int_equal(read_bytes(bytes, size, &snapshot, NULL), 0);
	assert_int_equal(snapshot->frame_count, 5);
	assert_int_equal(snapshot->point_count, SAMPLE_POINTS);
	assert_int_equal(snapshot->head->target->pid, 4711);
	assert_int_equal(snapshot->points[1]->total_bytes, 5000000);
	assert_string_equal(snapshot->frames[0]->locations[1]->function, "Cache::insert(int)");
	assert_string_equal(snapshot->end->counters[1]->name, "drop_alloc");
	dhat_snapshot_free(snapshot);
}

/* A file cut short at any place, and one with any byte wrong, is refused. */
static void test_damage_is_noticed(void **state)
{
	_cleanup_free_ char *copy = malloc(size + 1);

	for (size_t i = 1; i < size; i++) {
		struct dhat_snapshot *snapshot = NULL;
		struct dhat_error err = { 0 };

		assert_int_equal(read_bytes(bytes, i, &snapshot, &err), -EBADMSG);
		assert_null(snapshot);
		assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
		assert_int_equal(strncmp(err.message, "x.dhat: ", 8), 0);
	}
	for (size_t i = 0; i < size; i++) {
		struct dhat_snapshot *snapshot = NULL;

		memcpy(copy, bytes, size);
		copy[i] ^= 1 << i % 8;
		assert_int_equal(read_bytes(copy, size, &snapshot, NULL), -EBADMSG);
		assert_null(snapshot);
	}
	struct dhat_snapshot *snapshot = NULL;
	struct dhat_error err = { 0 };

	memcpy(copy, bytes, size);
	copy[size] = 0;
	assert_int_equal(read_bytes(copy, size + 1, &snapshot, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "behind its end"));
	err = (struct dhat_error){ 0 };
	assert_int_equal(read_bytes("{\"dhatFileVersion\":2}", 21, &snapshot, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "nor DHAT JSON"));
}

/* Each wrong order or number of parts: NULL ends a list. */
static Dhat__SnapshotPart *points_with_frame(uint32_t number)
{
	Dhat__SnapshotPart *part = sample_points();

	part->points->points[0]->frames[0] = number;
	return part;
}

static Dhat__SnapshotPart *frame_zero(void)
{
	return points_with_frame(0);
}

static Dhat__SnapshotPart *frame_six(void)
{
	return points_with_frame(6);
}

static Dhat__SnapshotPart *head_of_version_two(void)
{
	Dhat__SnapshotPart *part = sample_head();

	part->head->format_version = 2;
	return part;
}

static Dhat__SnapshotPart *head_without_target(void)
{
	Dhat__SnapshotPart *part = sample_head();

	dhat__target__free_unpacked(part->head->target, NULL);
	part->head->target = NULL;
	return part;
}

static Dhat__SnapshotPart *end_without_totals(void)
{
	Dhat__SnapshotPart *part = sample_end();

	dhat__totals__free_unpacked(part->end->totals, NULL);
	part->end->totals = NULL;
	return part;
}

static Dhat__SnapshotPart *empty(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;

	return sample_own(&part);
}

static Dhat__SnapshotPart *too_deep(void)
{
	Dhat__SnapshotPart *part = sample_points();
	Dhat__ProgramPoint *point = part->points->points[0];

	free(point->frames);
	point->n_frames = DHAT_SNAPSHOT_MAX_DEPTH + 1;
	point->frames = malloc(point->n_frames * sizeof(uint32_t));
	for (size_t i = 0; i < point->n_frames; i++)
		point->frames[i] = 1;
	return part;
}

static Dhat__SnapshotPart *since_a_third_mark(void)
{
	Dhat__SnapshotPart *part = sample_points();
	Dhat__ProgramPoint *point = part->points->points[0];

	free(point->since_bytes);
	free(point->since_blocks);
	point->since_bytes = calloc(3, sizeof(uint64_t));
	point->since_blocks = calloc(3, sizeof(uint64_t));
	point->n_since_bytes = point->n_since_blocks = 3;
	return part;
}

static Dhat__SnapshotPart *bytes_without_blocks(void)
{
	Dhat__SnapshotPart *part = sample_points();

	part->points->points[0]->n_since_blocks = 1;
	return part;
}

static Dhat__SnapshotPart *long_histogram(void)
{
	Dhat__SnapshotPart *part = sample_points();
	Dhat__ProgramPoint *point = part->points->points[1];

	free(point->dead_ages);
	point->n_dead_ages = DHAT_AGES + 1;
	point->dead_ages = calloc(point->n_dead_ages, sizeof(uint32_t));
	return part;
}

static Dhat__SnapshotPart *mark_with_an_escape(void)
{
	Dhat__SnapshotPart *part = sample_head();

	free(part->head->marks[1]->name);
	part->head->marks[1]->name = strdup("\033[2J");
	return part;
}

static Dhat__SnapshotPart *head_with_many_marks(void)
{
	Dhat__SnapshotPart *part = sample_head();
	Dhat__SnapshotHead *head = part->head;

	head->marks = realloc(head->marks, 1000 * sizeof(*head->marks));
	for (; head->n_marks < DHAT_SNAPSHOT_MAX_MARKS + 1; head->n_marks++) {
		head->marks[head->n_marks] = malloc(sizeof(Dhat__Mark));
		dhat__mark__init(head->marks[head->n_marks]);
	}
	return part;
}

static void test_wrong_parts(void **state)
{
	static const struct {
		Dhat__SnapshotPart *(*makers[5])(void);
		const char *said;
	} cases[] = {
		{ { sample_frames }, "beginning is missing" },
		{ { sample_head, sample_head }, "two beginnings" },
		{ { sample_head, sample_points }, "a frame that is not there" },
		{ { sample_head, sample_frames, frame_zero }, "a frame that is not there" },
		{ { sample_head, sample_frames, frame_six }, "a frame that is not there" },
		{ { sample_head, sample_frames, too_deep }, "too deep" },
		{ { sample_head, sample_frames, since_a_third_mark }, "since a mark that is not" },
		{ { sample_head, sample_frames, bytes_without_blocks },
		  "since a mark that is not" },
		{ { head_with_many_marks }, "too many marks" },
		{ { mark_with_an_escape }, "a name that no mark has" },
		{ { sample_head, sample_frames, long_histogram }, "histogram that is too long" },
		{ { sample_head, sample_end, sample_end }, "behind its end" },
		{ { sample_head, sample_frames }, "its end is missing" },
		{ { NULL }, "its end is missing" },
		{ { head_of_version_two }, "format 2" },
		{ { head_without_target }, "of which process" },
		{ { sample_head, end_without_totals }, "lacks the totals" },
		{ { sample_head, empty }, "unknown kind" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_snapshot *snapshot = NULL;
		struct dhat_error err = { 0 };
		int r = 0;

		assert_int_equal(dhat_snapshot_new(&snapshot), 0);
		for (size_t j = 0; r == 0 && cases[i].makers[j]; j++)
			r = dhat_snapshot_add(snapshot, cases[i].makers[j](), &err);
		if (r == 0)
			r = dhat_snapshot_finish(snapshot, &err);
		assert_int_equal(r, -EBADMSG);
		if (!strstr(err.message, cases[i].said))
			fail_msg("case %zu: \"%s\"", i, err.message);
		dhat_snapshot_free(snapshot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_damage_is_noticed),
		cmocka_unit_test(test_wrong_parts),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
