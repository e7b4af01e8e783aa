/* The profiles of several processes of one program as one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/mark.h"
#include "proto/profile/rendering.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/verdict.h"
#include "tests/unit/sample.h"

static struct dhat_snapshot *process(uint32_t pid, uint64_t later_ns)
{
	struct dhat_snapshot *snapshot = sample_snapshot();

	snapshot->head->target->pid = pid;
	snapshot->head->target->observed_since_unix_ns += later_ns;
	return snapshot;
}

static void test_sums(void **state)
{
	struct dhat_snapshot *sum = process(1, 5000000000);
	const struct dhat_table_options options = { 0 };
	struct dhat_rendering *table = NULL;

	assert_int_equal(dhat_snapshot_merge(sum, process(2, 0), NULL), 0);
	assert_int_equal(dhat_snapshot_merge(sum, process(3, 7000000000), NULL), 0);
	assert_int_equal(sum->pid_count, 3);
	assert_int_equal(sum->pids[0], 1);
	assert_int_equal(sum->pids[2], 3);
	assert_int_equal(sum->end->totals->live_bytes, 3 * 1013158);
	assert_int_equal(sum->end->totals->live_blocks, 3 * 1010);
	assert_int_equal(sum->end->totals->total_bytes, 3 * 6013088);
	assert_int_equal(sum->end->totals->peak_bytes, 3 * 913365);
	assert_int_equal(sum->end->counters[1]->value, 9);
	/* what reads the same is one row, of all three */
	assert_int_equal(dhat_table_new(sum, &options, &table), 0);
	assert_int_equal(table->point_count, SAMPLE_POINTS - 1);
	assert_int_equal(table->points[0]->live_bytes, 3000000);
	assert_int_equal(table->points[0]->part_count, 3);
	/* since the first of them began: 2 */
	assert_int_equal(sum->head->target->observed_since_unix_ns, 1700000000000000000ull);
	assert_int_equal(sum->head->target->observed_ns, 97000000000);
	assert_int_equal(table->points[0]->first_ns, 1000000000);
	assert_int_equal(table->points[0]->last_ns, 96000000000);
	assert_int_equal(sum->end->totals->end_ns, 97000000000);
	/* 1 and 3 are later by 5 and 7 s, so that a slot of 1 is half in one of 2: the least counts
	 */
	assert_null(sum->end->timeline);
	assert_int_equal(table->points[0]->lows[0], 0);
	assert_int_equal(table->points[0]->lows[8] - table->points[0]->lows[7], 300000);
	assert_true(table->points[0]->growth > 3 * 600000 * 0.99 &&
		    table->points[0]->growth < 3 * 600000 * 1.01);
	dhat_rendering_free(table);
	dhat_snapshot_free(sum);
}

/* Renamed, since the second process has them in another order, and one more. */
static struct dhat_snapshot *marked(uint32_t pid, const char *first, const char *second)
{
	struct dhat_snapshot *snapshot = process(pid, 0);
	Dhat__Mark **marks = snapshot->head->marks;

	free(marks[0]->name);
	free(marks[1]->name);
	marks[0]->name = strdup(first);
	marks[1]->name = strdup(second);
	return snapshot;
}

static void test_marks_of_all(void **state)
{
	struct dhat_snapshot *sum = marked(1, "a", "b"), *later = marked(2, "c", "a");
	const struct dhat_table_options options = { .births = { .since = 1 } };
	struct dhat_rendering *table = NULL;

	later->head->target->observed_since_unix_ns += 1000000000;
	later->head->marks[1]->ns = 28000000000; /* "a", a second earlier all the same */
	assert_int_equal(dhat_snapshot_merge(sum, later, NULL), 0);
	assert_int_equal(sum->head->n_marks, 1);
	assert_int_equal(dhat_mark_find(sum, "a"), 1);
	assert_int_equal(dhat_mark_find(sum, "b"), 0);
	assert_int_equal(sum->head->marks[0]->ns, 29000000000);
	assert_int_equal(sum->head->marks[0]->live_bytes, 900100 + 400000);
	assert_int_equal(dhat_table_new(sum, &options, &table), 0);
	assert_int_equal(table->points[0]->born.bytes, 900000 + 400000);
	assert_int_equal(table->points[0]->born.blocks, 900 + 400);
	assert_int_equal(dhat_all_born(sum, &options.births).bytes, 900100 + 400000);
	dhat_rendering_free(table);
	/* one that has none of them */
	assert_int_equal(dhat_snapshot_merge(sum, marked(3, "x", "y"), NULL), 0);
	assert_int_equal(sum->head->n_marks, 0);
	assert_int_equal(dhat_all_born(sum, &options.births).bytes, 0);
	dhat_snapshot_free(sum);
}

static void test_ages_of_all(void **state)
{
	struct dhat_snapshot *sum = process(1, 0), *other = process(2, 0);
	const struct dhat_table_options options = { .has_histograms = true };
	struct dhat_rendering *table = NULL;
	Dhat__SnapshotHead *head;

	other->head->target->observed_since_unix_ns -= 5000000000; /* everything is 5 s later */
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_true(sum->head->has_ages);
	assert_int_equal(sum->head->older_ns, 60000000000);
	assert_int_equal(sum->head->lifetimes_since_ns, 30000000000);
	assert_int_equal(dhat_table_new(sum, &options, &table), 0);
	assert_int_equal(table->points[0]->histograms->live_ages[23], 1200);
	assert_int_equal(table->points[0]->histograms->live_sizes[11], 1800);
	assert_int_equal(table->points[1]->histograms->dead_ages[8], 2 * 9998);
	assert_null(table->points[2]->histograms);
	dhat_rendering_free(table);
	other = process(3, 0); /* by --lifetimes, and the others by a mark */
	head = without_qualifiers(other->head);
	head->lifetimes_since_ns = 1;
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_int_equal(sum->head->lifetimes_since_ns, 0);
	other = process(4, 0);
	head = without_qualifiers(other->head);
	head->has_ages = false;
	head->older_ns = head->lifetimes_since_ns = 0;
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_false(sum->head->has_ages);
	assert_int_equal(sum->head->older_ns, 0);
	assert_int_equal(sum->head->lifetimes_since_ns, 0);
	dhat_snapshot_free(sum);
}

static void test_marks_in_another_order(void **state)
{
	struct dhat_snapshot *sum = marked(1, "a", "b");

	assert_int_equal(dhat_snapshot_merge(sum, marked(2, "b", "a"), NULL), 0);
	assert_int_equal(sum->head->n_marks, 2);
	assert_string_equal(sum->head->marks[1]->name, "b");
	assert_int_equal(sum->head->marks[1]->ns, 30000000000);
	assert_int_equal(sum->head->marks[1]->live_blocks, 400 + 901);
	assert_int_equal(dhat_all_born(sum, &(struct dhat_births){ .since = 2 }).blocks, 400 + 901);
	dhat_snapshot_free(sum);
}

static void test_verdict(void **state)
{
	struct dhat_snapshot *sum = process(1, 0);

	sum->end->verdict->exact = true;
	sum->end->verdict->word = strdup("exact");
	free(sum->end->verdict->reasons[0]);
	sum->end->verdict->n_reasons = 0;
	assert_int_equal(dhat_snapshot_merge(sum, process(2, 0), NULL), 0);
	assert_int_equal(dhat_verdict_of(sum->end->verdict), DHAT_INEXACT);
	assert_int_equal(sum->end->verdict->n_reasons, 1);
	assert_string_equal(sum->end->verdict->reasons[0],
			    "process 2: 3 allocations were lost because the ring was full");
	for (uint32_t pid = 3; pid < 40; pid++)
		assert_int_equal(dhat_snapshot_merge(sum, process(pid, 0), NULL), 0);
	assert_int_equal(sum->end->verdict->n_reasons, DHAT_MERGE_MAX_TEXTS + 1);
	assert_non_null(strstr(sum->end->verdict->reasons[DHAT_MERGE_MAX_TEXTS], "and more"));
	assert_int_equal(sum->end->totals->live_bytes, 39ull * 1013158);
	dhat_snapshot_free(sum);
}

static void test_what_cannot_be(void **state)
{
	struct dhat_snapshot *sum = process(1, 0);
	struct dhat_error err = { 0 };
	Dhat__Target other = DHAT__TARGET__INIT;

	assert_int_equal(dhat_snapshot_merge(sum, process(2, 0), NULL), 0);
	assert_int_equal(dhat_snapshot_merge(sum, process(2, 0), &err), -EINVAL);
	assert_int_equal(err.code, DHAT_EXIT_USAGE);
	assert_non_null(strstr(err.message, "two profiles of process 2"));
	assert_int_equal(dhat_snapshot_merge(sum, process(1, 0), NULL), -EINVAL);
	assert_int_equal(sum->end->totals->live_bytes, 2 * 1013158);
	/* one program is one file; without one, one name */
	other.executable = "/usr/bin/service";
	assert_true(dhat_snapshot_is_of(sum, &other));
	other.executable = "/usr/bin/other";
	other.command = "./service x";
	assert_false(dhat_snapshot_is_of(sum, &other));
	dhat_snapshot_free(sum);
}

static struct dhat_snapshot *of(uint32_t pid, const char *command, const char *executable,
				const char *build)
{
	struct dhat_snapshot *snapshot = process(pid, 0);
	Dhat__Target *target = snapshot->head->target;
	Dhat__Frame *frame = snapshot->frames[0];

	free(target->command);
	free(target->executable);
	free(frame->object);
	target->command = strdup(command);
	target->executable = strdup(executable);
	frame->object = strdup(executable);
	frame->build_id = strdup(build);
	return snapshot;
}

static void assert_adds_up(struct dhat_snapshot *a, struct dhat_snapshot *b, bool is_so)
{
	assert_int_equal(dhat_snapshot_adds_up(a, b), is_so);
	assert_int_equal(dhat_snapshot_adds_up(b, a), is_so);
	dhat_snapshot_free(a);
	dhat_snapshot_free(b);
}

static struct dhat_snapshot *contained(struct dhat_snapshot *snapshot, const char *id)
{
	Dhat__Container *container = malloc(sizeof(*container));

	dhat__container__init(container);
	container->id = strdup(id);
	snapshot->head->target->container = container;
	return snapshot;
}

static void test_what_adds_up(void **state)
{
	static const char python[] = "/usr/bin/python3.11", nginx[] = "/usr/sbin/nginx";
	static const char shop[] = "python3 /srv/shop.py -v", mail[] = "python3 /srv/mail.py -v";

	assert_adds_up(of(1, "nginx: master", nginx, "01"), of(2, "nginx: worker", nginx, "01"),
		       true);
	/* two images have the same path: the files are not the same */
	assert_adds_up(of(1, "nginx -g x", nginx, "01"), of(2, "nginx -g x", nginx, "02"), false);
	assert_adds_up(contained(of(1, "nginx", nginx, "01"), "aa"),
		       contained(of(2, "nginx", nginx, "01"), "bb"), true);
	/* the interpreter is not the program */
	assert_adds_up(of(1, shop, python, "01"), of(2, shop, python, "01"), true);
	assert_adds_up(of(1, shop, python, "01"), of(2, mail, python, "01"), false);
	assert_adds_up(contained(of(1, shop, python, "01"), "aa"),
		       contained(of(2, shop, python, "01"), "aa"), true);
	assert_adds_up(contained(of(1, shop, python, "01"), "aa"),
		       contained(of(2, shop, python, "01"), "bb"), false);
	assert_adds_up(contained(of(1, shop, python, "01"), "aa"), of(2, shop, python, "01"),
		       false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_what_adds_up),
		cmocka_unit_test(test_marks_of_all),
		cmocka_unit_test(test_marks_in_another_order),
		cmocka_unit_test(test_ages_of_all),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
