/* What a profile says of pages: sums, several processes, redacted, checked; and what keeps them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/keeping.h"
#include "proto/profile/redact.h"
#include "proto/profile/snapshot_merge.h"
#include "tests/unit/sample_pages.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

#define MIB (1ull << 20)

static void sums_of_rows(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_pages();
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	/* by object both points are one row */
	const struct dhat_table_options options = { .style = { .by = DHAT_BY_OBJECT } };
	struct dhat_point_pages sum = { 0 };

	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	for (size_t i = 0; i < table->point_count; i++)
		if (table->points[i]->pages.resident_bytes)
			sum = table->points[i]->pages;
	assert_int_equal(sum.resident_bytes, 900100);
	assert_int_equal(sum.swapped_bytes, 60000);
	assert_int_equal(sum.untouched_bytes, 40000);
	assert_int_equal(sum.beside_bytes, 2 * (1000 + 2 * MIB));
	assert_int_equal(sum.beside_ages[0], 2000);
	assert_int_equal(sum.beside_ages[1], 0);
	assert_int_equal(sum.beside_ages[2], 4 * MIB);
	assert_int_equal(sum.alone_bytes, 6 * MIB);
	assert_int_equal(sum.highest_blocks, 24);
	assert_int_equal(sum.highest_bytes, 2400);
}

static void several_processes(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *sum = sample_with_pages();
	struct dhat_snapshot *other = sample_with_pages(), *without = sample_snapshot();

	other->head->target->pid = 2;
	without->head->target->pid = 3;
	other->end->pages->knows_all_blocks = false;
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_true(sum->head->has_pages);
	assert_int_equal(sum->end->pages->resident_bytes, 20 * MIB);
	assert_int_equal(sum->end->pages->live_bytes, 2 * MIB);
	assert_int_equal(sum->end->pages->beside_bytes, 12 * MIB);
	assert_int_equal(sum->end->pages->below_bytes, 4 * MIB);
	assert_int_equal(sum->end->pages->above_bytes, 2 * MIB);
	assert_int_equal(sum->end->pages->swapped_bytes, 8192);
	assert_int_equal(sum->end->pages->highest_blocks, 48);
	assert_int_equal(sum->end->pages->highest_bytes, 4800);
	assert_int_equal(sum->end->pages->highest_gain_bytes, 4 * MIB);
	assert_false(sum->end->pages->knows_all_blocks);
	assert_true(sum->end->pages->is_glibc);
	/* what not all of them have is not told */
	assert_int_equal(dhat_snapshot_merge(sum, without, NULL), 0);
	assert_false(sum->head->has_pages);
}

static void figures_stay_when_redacted(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_pages();

	assert_int_equal(dhat_redact(snapshot), 0);
	assert_true(snapshot->head->has_pages);
	assert_int_equal(snapshot->end->pages->beside_bytes, 6 * MIB);
	assert_int_equal(snapshot->points[0]->resident_bytes, 900000);
}

/* S5, S6 */
static void what_does_not_fit(void **state)
{
	for (int i = 0; i < 2; i++) {
		_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
		Dhat__SnapshotPart *head = sample_head(), *points = sample_points();
		Dhat__ProgramPoint *point = points->points->points[0];

		head->head->has_pages = true;
		point->n_beside_bytes = DHAT_PAGE_AGES + i;
		point->beside_bytes = calloc(DHAT_PAGE_AGES + 1, sizeof(uint64_t));
		assert_int_equal(dhat_snapshot_new(&snapshot), 0);
		assert_int_equal(dhat_snapshot_add(snapshot, head, NULL), 0);
		assert_int_equal(dhat_snapshot_add(snapshot, sample_frames(), NULL), 0);
		assert_int_equal(dhat_snapshot_add(snapshot, points, NULL), i ? -EBADMSG : 0);
		assert_int_equal(dhat_snapshot_add(snapshot, sample_end(), NULL), -EBADMSG);
	}
}

/* ---- what keeps it ----------------------------------------------------------------------- */

/* What is live is one row's, of this course. */
static enum dhat_keeping judge(struct dhat_snapshot *snapshot, enum dhat_course course,
			       double *ret_growth)
{
	struct dhat_rendering table = { .snapshot = snapshot };
	struct dhat_rendered_point row = { .live_bytes = snapshot->end->totals->live_bytes };
	struct dhat_suspect suspect = { &row, { .course = course, .growth = 60 * MIB } };
	struct dhat_suspects suspects = { .list = &suspect, .count = 1 };

	return dhat_keeping_judge(&table, &suspects, ret_growth);
}

static void live_blocks_keep_it(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_pages();
	Dhat__Pages *pages = snapshot->end->pages;
	double growth;

	pages->live_bytes = 5 * MIB;
	pages->beside_bytes = 2 * MIB;
	assert_int_equal(judge(snapshot, DHAT_LEAKS, &growth), DHAT_KEEPS_LEAK);
	assert_true(growth == 60 * MIB);
	assert_int_equal(judge(snapshot, DHAT_GROWS, &growth), DHAT_KEEPS_GROWING);
	assert_true(growth == 60 * MIB);
	assert_int_equal(judge(snapshot, DHAT_EARLY, &growth), DHAT_KEEPS_EARLY);
	assert_int_equal(judge(snapshot, DHAT_LEVEL, &growth), DHAT_KEEPS_CACHE);
	assert_int_equal(judge(snapshot, DHAT_ONCE, &growth), DHAT_KEEPS_CACHE);
	/* whether or not the rest is known */
	pages->knows_all_blocks = false;
	assert_int_equal(judge(snapshot, DHAT_LEVEL, &growth), DHAT_KEEPS_CACHE);
	assert_true(growth == 0);
}

static void something_else_keeps_it(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_pages();
	Dhat__Pages *pages = snapshot->end->pages;
	double growth;

	/* also of what leaks besides */
	assert_int_equal(judge(snapshot, DHAT_LEAKS, &growth), DHAT_KEEPS_FRAGMENTS);
	pages->beside_bytes = 3 * MIB;
	pages->below_bytes = 5 * MIB;
	assert_int_equal(judge(snapshot, DHAT_LEVEL, &growth), DHAT_KEEPS_FREE);
	pages->knows_all_blocks = false;
	assert_int_equal(judge(snapshot, DHAT_LEVEL, &growth), DHAT_KEEPS_UNKNOWN);
	pages->resident_bytes = MIB - 1;
	assert_int_equal(judge(snapshot, DHAT_LEAKS, &growth), DHAT_KEEPS_LITTLE);
}

static void in_words(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_pages();
	char text[DHAT_KEEPING_CHARS];

	dhat_keeping_say(DHAT_KEEPS_FRAGMENTS, snapshot->end->pages, 0, text);
	assert_string_equal(text, "Fragmentation: of the 10.0 MiB that the allocator has in memory "
				  "1.0 MiB (10.0%) are live blocks; 6.0 MiB are free, but on the "
				  "same pages as these");
	dhat_keeping_say(DHAT_KEEPS_FREE, snapshot->end->pages, 0, text);
	assert_non_null(strstr(text, "; 3.0 MiB are whole pages that are free"));
	dhat_keeping_say(DHAT_KEEPS_LEAK, snapshot->end->pages, 5 * MIB, text);
	assert_non_null(strstr(text, "A leak: "));
	assert_non_null(strstr(text, "which grow by 5.0 MiB a minute"));
	dhat_keeping_say(DHAT_KEEPS_UNKNOWN, snapshot->end->pages, 0, text);
	assert_non_null(strstr(text, "or blocks from before the attach"));
	for (int i = DHAT_KEEPS_LITTLE; i <= DHAT_KEEPS_UNKNOWN; i++) {
		dhat_keeping_say(i, snapshot->end->pages, -1, text);
		assert_non_null(dhat_keeping_name(i));
		assert_true(strlen(text) < DHAT_KEEPING_CHARS - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_of_rows),
		cmocka_unit_test(several_processes),
		cmocka_unit_test(figures_stay_when_redacted),
		cmocka_unit_test(what_does_not_fit),
		cmocka_unit_test(live_blocks_keep_it),
		cmocka_unit_test(something_else_keeps_it),
		cmocka_unit_test(in_words),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
