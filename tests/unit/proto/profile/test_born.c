/* What was allocated since a mark, as a profile of its own: its sums are those of the blocks that
 * live, in every figure, and nothing that is not of them is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/profile/born.h"
#include "proto/profile/redact.h"
#include "tests/unit/sample_pages.h"

static void check_sums(const struct dhat_snapshot *snapshot)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	uint64_t bytes = 0, blocks = 0;

	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];

		assert_true(point->live_blocks > 0);
		assert_int_equal(point->total_bytes, point->live_bytes);
		assert_int_equal(point->peak_bytes, point->live_bytes);
		assert_int_equal(point->max_blocks, point->live_blocks);
		assert_int_equal(point->lifetimes_us, 0);
		assert_int_equal(point->n_since_bytes + point->n_live_ages + point->n_dead_ages +
					 point->n_live_sizes + point->n_low_bytes,
				 0);
		bytes += point->live_bytes;
		blocks += point->live_blocks;
	}
	assert_int_equal(totals->live_bytes, bytes);
	assert_int_equal(totals->live_blocks, blocks);
	assert_int_equal(totals->total_bytes, bytes);
	assert_int_equal(totals->peak_blocks, blocks);
	assert_int_equal(totals->stack_count, snapshot->point_count);
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
}

static void since_a_mark(void **state)
{
	struct dhat_snapshot *snapshot = sample_with_pages();
	uint64_t since = snapshot->head->target->observed_since_unix_ns;
	const Dhat__SnapshotHead *head = snapshot->head;
	size_t notes = snapshot->end->n_notes;

	assert_int_equal(
		dhat_keep_born(snapshot, &(struct dhat_births){ .since = 1 }, "since early"), 0);
	check_sums(snapshot);
	assert_int_equal(snapshot->point_count, 2);
	assert_int_equal(snapshot->points[0]->live_bytes, 900000);
	assert_int_equal(snapshot->points[0]->n_frames, 2);
	assert_int_equal(snapshot->end->totals->live_bytes, 900100);
	assert_int_equal(snapshot->end->totals->live_blocks, 901);
	assert_int_equal(head->target->observed_since_unix_ns, since + 30000000000);
	assert_int_equal(head->target->observed_ns, 60000000000);
	assert_int_equal(head->n_marks, 0);
	assert_string_equal(head->born, "since early");
	assert_false(head->has_ages || head->has_pages);
	assert_null(snapshot->end->timeline);
	assert_null(snapshot->end->pages);
	assert_non_null(
		strstr(head->target->command, " [what was allocated since early and lives]"));
	assert_int_equal(snapshot->end->n_notes, notes + 1);
	assert_string_equal(snapshot->end->notes[notes],
			    "only what was allocated since early and lives: 900,100 bytes in 901 "
			    "blocks");
	assert_int_equal(dhat_redact(snapshot),
			 0); /* what people have named is no word of it then */
	assert_string_equal(head->born, "at some time");
	dhat_snapshot_free(snapshot);
}

static void between_two_and_of_an_age(void **state)
{
	static const struct {
		struct dhat_births births;
		uint64_t bytes, blocks;
	} cases[] = {
		{ { .since = 1, .before = 2 }, 500100, 501 },
		{ { .since = 2 }, 400000, 400 },
		{ { .are_older = true }, 100000, 100 }, /* of those from before nobody knows */
		{ { .are_older = true, .age_bucket = 24 }, 100000, 100 },
		{ { .are_older = true, .age_bucket = 39 }, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dhat_snapshot *snapshot = sample_snapshot();

		assert_int_equal(dhat_keep_born(snapshot, &cases[i].births, "then"), 0);
		check_sums(snapshot);
		assert_int_equal(snapshot->end->totals->live_bytes, cases[i].bytes);
		assert_int_equal(snapshot->end->totals->live_blocks, cases[i].blocks);
		dhat_snapshot_free(snapshot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(since_a_mark),
		cmocka_unit_test(between_two_and_of_an_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
