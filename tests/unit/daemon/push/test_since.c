/* since: what was allocated between two pushes, stack by stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/push/since.h"
#include "tests/unit/sample.h"

static void set_text(char **text, const char *value)
{
	free(*text);
	*text = strdup(value);
}

static uint64_t total_of(const struct dhat_snapshot *snapshot)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < snapshot->point_count; i++)
		sum += snapshot->points[i]->total_bytes;
	return sum;
}

static struct since *subtract(const struct since *last, struct dhat_snapshot *snapshot,
			      uint64_t *ret_ns)
{
	struct since *next = NULL;

	assert_int_equal(since_subtract(last, snapshot, &next, ret_ns), 0);
	return next;
}

static void test_first_is_whole(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	uint64_t whole = total_of(snapshot), ns = 0;
	struct since *since = subtract(NULL, snapshot, &ns);

	assert_int_equal(total_of(snapshot), whole);
	assert_int_equal(ns, snapshot->head->target->observed_since_unix_ns);
	since_free(since);
	dhat_snapshot_free(snapshot);
}

static void test_second_is_the_rest(void **state)
{
	struct dhat_snapshot *before = sample_snapshot(), *after = sample_snapshot(),
			     *third = sample_snapshot();
	uint64_t ns = 0, live = after->points[0]->live_bytes;
	struct since *first = subtract(NULL, before, &ns), *second, *last;

	after->points[0]->total_bytes += 77;
	after->points[0]->total_blocks += 2;
	third->points[0]->total_bytes += 80;
	((Dhat__SnapshotHead *)(uintptr_t)after->head)->taken_unix_ns += 5000000000ull;
	second = subtract(first, after, &ns);
	assert_int_equal(total_of(after), 77);
	assert_int_equal(after->points[0]->total_bytes, 77);
	assert_int_equal(after->points[0]->total_blocks, 2);
	assert_int_equal(after->points[0]->live_bytes, live);
	assert_int_equal(ns, before->head->taken_unix_ns);
	assert_int_equal(after->head->target->observed_ns, 5000000000ull);
	/* the next one's base is what there was, and not the difference */
	last = subtract(second, third, &ns);
	assert_int_equal(total_of(third), 3);
	since_free(first);
	since_free(second);
	since_free(last);
	dhat_snapshot_free(before);
	dhat_snapshot_free(after);
	dhat_snapshot_free(third);
}

/* A stack that is new is whole, and one that has gone (a heap lets go of empty ones) is no matter.
 */
static void test_other_stacks(void **state)
{
	struct dhat_snapshot *before = sample_snapshot(), *after = sample_snapshot();
	uint64_t ns = 0, bytes = after->points[1]->total_bytes;
	struct since *first = subtract(NULL, before, &ns), *second;

	set_text(&after->points[1]->stop, "no rule"); /* it ends elsewhere: it is another */
	second = subtract(first, after, &ns);
	assert_int_equal(total_of(after), bytes);
	since_free(first);
	since_free(second);
	dhat_snapshot_free(before);
	dhat_snapshot_free(after);
}

/* The last one differs from the first by its kind only. */
static void make_twin(struct dhat_snapshot *snapshot)
{
	set_text(&snapshot->points[6]->kind, "heap");
	snapshot->points[0]->kind = strdup("heap");
}

/* Two that look alike: their sum is right. */
static void test_twins(void **state)
{
	struct dhat_snapshot *before = sample_snapshot(), *after = sample_snapshot();
	struct since *first, *second;
	uint64_t ns = 0;

	make_twin(before);
	make_twin(after);
	after->points[0]->total_bytes += 10;
	first = subtract(NULL, before, &ns);
	second = subtract(first, after, &ns);
	assert_int_equal(total_of(after), 10);
	since_free(first);
	since_free(second);
	dhat_snapshot_free(before);
	dhat_snapshot_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_is_whole),
		cmocka_unit_test(test_second_is_the_rest),
		cmocka_unit_test(test_other_stacks),
		cmocka_unit_test(test_twins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
