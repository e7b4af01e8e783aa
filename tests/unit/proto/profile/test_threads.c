/* Who allocates at a point: in words, as rows of a table, and of several processes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/rendering.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/threads.h"
#include "tests/unit/sample.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

static void set_texts(char ***list, size_t *count, const char *const *texts)
{
	for (size_t i = 0; i < *count; i++)
		free((*list)[i]);
	free(*list);
	*list = calloc(64, sizeof(**list));
	for (*count = 0; texts[*count]; (*count)++)
		(*list)[*count] = strdup(texts[*count]);
}

static struct dhat_snapshot *sample_with(const char *const *threads, const char *const *allocators)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__SnapshotHead *head = without_qualifiers(snapshot->head);

	set_texts(&head->threads, &head->n_threads, threads);
	set_texts(&head->allocators, &head->n_allocators, allocators);
	return snapshot;
}

static const char *const pool[] = { "service",	"worker-1", "worker-22", "io",
				    "worker-*", "conn 3/4", "conn 5/6",	 "a",
				    "b",	"c",	    "d",	 NULL };
static const char *const glibc[] = { "glibc 2.36", NULL };

static void test_text(void **state)
{
	static const struct {
		uint64_t threads;
		const char *text;
	} cases[] = {
		{ 0, "[thread not known]" },
		{ 1, "[thread not known]" },
		{ 1 << 1, "service" },
		{ 1 << 3, "worker-*" }, /* alone here, and one of a pool */
		{ 1 << 1 | 1, "service, and others" },
		{ 1 << 2 | 1 << 3, "worker-*" },
		{ 1 << 2 | 1 << 5, "worker-*" },
		{ 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5, "worker-*, io" },
		{ 1 << 6 | 1 << 7, "conn */*" },
		{ 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 1 | 1 << 4,
		  "service, io, a, b, c, d" },
		{ UINT64_MAX, "service, worker-*, io, conn */*, a, b, and others" },
		{ 1ull << 63, "[thread not known]" }, /* the list has no such name */
	};
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with(pool, glibc);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = dhat_threads_text(snapshot->head, cases[i].threads);

		assert_string_equal(text, cases[i].text);
	}
	assert_null(dhat_allocator_name(snapshot->head, 0));
	assert_string_equal(dhat_allocator_name(snapshot->head, 1), "glibc 2.36");
	assert_null(dhat_allocator_name(snapshot->head, 2));
}

/* Rows are what reads the same; what has no stack is a row of its own. */
static void test_table(void **state)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = sample_with(pool, glibc);
	const struct dhat_table_options options = { .style = { .by = DHAT_BY_THREAD } };
	struct dhat_rendering *table = NULL;
	uint64_t live = 0;

	snapshot->points[0]->threads = 1 << 2 | 1 << 3;
	snapshot->points[1]->threads = 1 << 2 | 1 << 5;
	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	assert_true(strstr(table->lines[table->points[0]->lines[0]], "worker-*"));
	assert_int_equal(table->points[0]->part_count, 2);
	assert_int_equal(table->points[0]->threads, 1 << 2 | 1 << 3 | 1 << 5);
	assert_ptr_equal(table->point_of[0], table->point_of[1]);
	for (size_t i = 0; i < table->point_count; i++) {
		assert_int_equal(table->points[i]->line_count,
				 1 + (*table->points[i]->part->kind != 0));
		live += table->points[i]->live_bytes;
	}
	assert_int_equal(live, snapshot->end->totals->live_bytes);
	for (size_t i = 0; i < snapshot->point_count; i++)
		if (!strcmp(snapshot->points[i]->label, DHAT_LABEL_BEFORE))
			assert_true(strstr(table->lines[table->point_of[i]->lines[0]],
					   DHAT_LABEL_BEFORE));
	dhat_rendering_free(table);
}

/* A name has another number in another process, and so has an allocator. */
static void test_merge(void **state)
{
	static const char *const others[] = { "io", "other", NULL };
	static const char *const jemalloc[] = { "jemalloc 5.3.0", NULL };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *sum = sample_with(pool, glibc);
	struct dhat_snapshot *other = sample_with(others, jemalloc);
	size_t first = sum->point_count;
	_cleanup_free_ char *text = NULL;

	sum->points[0]->threads = 1 << 4;
	other->head->target->pid = 1;
	other->points[0]->threads = 1 << 1 | 1 << 2;
	other->points[1]->threads = 1 | 1ull << 40;
	other->points[0]->allocator = 1;
	assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
	assert_int_equal(sum->points[0]->threads, 1 << 4);
	assert_int_equal(sum->points[first]->threads, 1 << 4 | 1 << 12);
	assert_int_equal(sum->points[first + 1]->threads, 1);
	text = dhat_threads_text(sum->head, sum->points[first]->threads);
	assert_string_equal(text, "io, other");
	assert_string_equal(dhat_allocator_name(sum->head, sum->points[first]->allocator),
			    "jemalloc 5.3.0");
	assert_int_equal(sum->points[first + 1]->allocator, 0);
}

/* There are no more than 63: the rest is "others". */
static void test_too_many(void **state)
{
	static const char *const none[] = { NULL };
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *sum = sample_with(none, none);
	Dhat__SnapshotHead *head = without_qualifiers(sum->head);

	for (unsigned i = 0; i < 70; i++) {
		char name[16];
		const char *const names[] = { name, NULL };
		struct dhat_snapshot *other;

		snprintf(name, sizeof(name), "thread %c%c", 'a' + i / 26, 'a' + i % 26);
		other = sample_with(names, none);
		other->head->target->pid = 1 + i;
		other->points[0]->threads = 1 << 1;
		assert_int_equal(dhat_snapshot_merge(sum, other, NULL), 0);
		assert_int_equal(sum->points[SAMPLE_POINTS * (i + 1)]->threads,
				 i < 63 ? 1ull << (i + 1) : 1);
	}
	assert_int_equal(head->n_threads, 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
