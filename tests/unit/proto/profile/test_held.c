/* What a profile says after a scan: sums, words, conditions, suspects; and what becomes of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/judgement.h"
#include "proto/profile/redact.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/suspect_text.h"
#include "tests/unit/sample_holds.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_judgement *, dhat_judgement_free)

static void refuse(const struct dhat_snapshot *snapshot, const char *why)
{
	Dhat__Holds *holds = snapshot->end->holds;

	holds->refusals = malloc(sizeof(*holds->refusals));
	holds->refusals[holds->n_refusals++] = strdup(why);
	dhat__holds_sum__free_unpacked(holds->lost, NULL);
	holds->lost = NULL;
}

static void words(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_holds();
	char text[DHAT_HELD_CHARS];

	assert_int_equal(dhat_held_age_ns(snapshot), SAMPLE_SCAN_AGE_NS);
	dhat_held_say(snapshot, text);
	assert_string_equal(text, "As of a scan 1 min 0 s ago 102 KiB in 1,040 blocks are lost");
	assert_true(dhat_held_is_told(snapshot, text));
	refuse(snapshot, "it is too busy");
	dhat_held_say(snapshot, text);
	assert_string_equal(text,
			    "As of a scan 1 min 0 s ago nothing is called lost: it is too busy");
	assert_false(dhat_held_is_told(snapshot, text));
	assert_string_equal(text, "what is lost could not be told: it is too busy");
	dhat_held_forget(snapshot);
	assert_false(dhat_held_is_told(snapshot, text));
	assert_non_null(strstr(text, "`dhatctl holds PID'"));
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
}

static void lost_rows_are_the_first_suspects(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_holds();
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	const struct dhat_table_options options = { 0 };
	char why[DHAT_WHY_CHARS], word[DHAT_WORD_CHARS];

	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	assert_int_equal(dhat_suspects_find(table, &suspects), 0);
	assert_int_equal(suspects.list[0].suspicion.lost_bytes, 100000);
	assert_int_equal(suspects.list[1].suspicion.lost_bytes, 4000);
	assert_int_equal(suspects.list[2].suspicion.lost_blocks, 0);
	assert_true(suspects.suspect_count >= 2);
	assert_int_equal(strncmp(dhat_suspect_word(&suspects.list[0], word), "lost", 4), 0);
	dhat_suspect_why(snapshot, &suspects.list[0], "noon", why);
	assert_non_null(
		strstr(why, "nothing in the process pointed to 97.7 KiB in 1,000 blocks 1 min 0 s "
			    "ago; "));
	dhat_suspects_headline(table, &suspects, why);
	assert_non_null(strstr(why, "2 stacks have lost 102 KiB in 1,040 blocks; "));
}

/* The figure of one condition, and whether it holds; -1: it is undecided, and *why says why. */
static int judge(struct dhat_snapshot *snapshot, const char *text, uint64_t *figure, char *why)
{
	_cleanup_(dhat_judgement_free_ptr) struct dhat_judgement *judgement = NULL;
	struct dhat_assertion assertion = { 0 };
	struct dhat_assertion_fault fault;
	struct dhat_filter filter = { 0 };
	int holds;

	assert_int_equal(dhat_assertion_parse(text, &assertion, &fault), 0);
	assert_int_equal(dhat_judgement_new(snapshot, &filter, &assertion, 1, NULL, DHAT_INEXACT,
					    &judgement),
			 0);
	*figure = judgement->rulings[0].now;
	strcpy(why, judgement->rulings[0].why);
	holds = judgement->rulings[0].is_undecided ? -1 : judgement->rulings[0].holds;
	dhat_assertion_deinit(&assertion);
	return holds;
}

static void conditions(void **state)
{
	struct dhat_snapshot *refused = sample_with_holds(), *doubted = sample_with_holds();
	struct dhat_snapshot *again = sample_with_holds();
	char why[DHAT_HELD_CHARS];
	uint64_t figure;

	assert_int_equal(judge(sample_with_holds(), "lost.bytes == 0", &figure, why), 0);
	assert_int_equal(figure, 104000);
	assert_int_equal(judge(sample_with_holds(), "lost.blocks <= 1040", &figure, why), 1);
	assert_int_equal(figure, 1040);
	assert_int_equal(
		judge(sample_with_holds(), "stack(/no_such/).lost.bytes == 0", &figure, why), 1);
	/* nothing was looked at, or nothing may be called lost: that is not 0 */
	assert_int_equal(judge(sample_snapshot(), "lost.bytes == 0", &figure, why), -1);
	assert_non_null(strstr(why, "snapshot --holds"));
	refuse(refused, "it is too busy");
	assert_int_equal(judge(refused, "lost.bytes == 0", &figure, why), -1);
	assert_non_null(strstr(why, "it is too busy"));
	assert_int_equal(judge(sample_snapshot(), "free.bytes < 1", &figure, why), -1);
	/* nor that nobody is seen to hold what was called lost once, wrongly */
	doubted->points[0]->holds->withdrawn_blocks = 3;
	assert_int_equal(judge(doubted, "lost.bytes == 0", &figure, why), 0);
	dhat__holds_sum__free_unpacked(again->points[0]->holds->unseen, NULL);
	again->points[0]->holds->unseen = again->points[0]->holds->lost;
	again->points[0]->holds->lost = NULL;
	again->points[0]->holds->withdrawn_blocks = 3;
	assert_int_equal(judge(again, "lost.bytes == 0", &figure, why), -1);
	assert_non_null(strstr(why, "1000 blocks of stacks of which that was said before"));
}

static void chains_go_with_the_names(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_holds();

	refuse(snapshot, "/opt/secret/lib.so cannot be read");
	assert_int_equal(dhat_redact(snapshot), 0);
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
	assert_int_equal(snapshot->end->holds->n_roots, 0);
	assert_int_equal(snapshot->points[0]->holds->n_chains, 0);
	assert_int_equal(snapshot->points[0]->holds->lost->bytes, 100000);
	assert_string_equal(snapshot->end->holds->refusals[0], DHAT_REDACTED);
}

static void several_processes(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *sum = sample_with_holds();
	struct dhat_snapshot *other = sample_with_holds(), *without = sample_snapshot();

	other->head->target->pid = 2;
	without->head->target->pid = 3;
	other->end->holds->taken_ns -= 1;
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_int_equal(dhat_snapshot_finish(sum, NULL), 0);
	assert_int_equal(sum->end->holds->lost->bytes, 208000);
	assert_int_equal(dhat_held_age_ns(sum), SAMPLE_SCAN_AGE_NS + 1);
	assert_int_equal(sum->points[0]->holds->n_chains, 0);
	assert_int_equal(dhat_snapshot_merge(sum, without, NULL), 0);
	assert_null(sum->end->holds);
	assert_null(sum->points[0]->holds);
}

/* A holder that a filter leaves out is one whose stack is not known. */
static void points_that_go(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with_holds();
	uint32_t numbers[SAMPLE_POINTS] = { 0 };

	numbers[0] = 1;
	numbers[2] = 2;
	dhat_held_renumber(snapshot, numbers);
	assert_int_equal(snapshot->points[0]->holds->chains[0]->points[0], 2);
	numbers[1] = 0;
	dhat_held_renumber(snapshot, numbers);
	assert_int_equal(snapshot->points[0]->holds->chains[0]->points[0], 0);
}

static void what_is_lost_of_a_view_has_figures(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__LastHolds last = DHAT__LAST_HOLDS__INIT;
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);
	uint32_t points[] = { 1 };
	uint64_t figures[] = { 100 };

	last.points = points;
	last.n_points = 1;
	last.lost_bytes = last.lost_blocks = figures;
	last.n_lost_bytes = last.n_lost_blocks = 1;
	end->last_holds = &last;
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
	last.n_lost_blocks = 0;
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), -EBADMSG);
	end->last_holds = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(lost_rows_are_the_first_suspects),
		cmocka_unit_test(conditions),
		cmocka_unit_test(chains_go_with_the_names),
		cmocka_unit_test(several_processes),
		cmocka_unit_test(points_that_go),
		cmocka_unit_test(what_is_lost_of_a_view_has_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
