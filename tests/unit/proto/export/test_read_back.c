/* From a .dhat to DHAT JSON or JSON lines, and back: the same totals, and the same figures of each
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/export/export.h"
#include "proto/import/import.h"
#include "proto/profile/born.h"
#include "proto/profile/verdict.h"
#include "tests/unit/exported.h"
#include "tests/unit/sample.h"

static char *export(const struct dhat_snapshot *snapshot, size_t *ret_size)
{
	return export_as(&dhat_json_exporter, snapshot, ret_size);
}

static struct dhat_snapshot *import(char *text, size_t size)
{
	_cleanup_fclose_ FILE *file = fmemopen(text, size, "r");
	struct dhat_snapshot *snapshot = NULL;
	struct dhat_error err = { 0 };

	assert_non_null(file);
	if (dhat_import(file, "x.json", &snapshot, &err) < 0)
		fail_msg("%s", err.message);
	return snapshot;
}

static struct dhat_snapshot *there_and_back(const struct dhat_snapshot *snapshot)
{
	size_t size;
	_cleanup_free_ char *text = export(snapshot, &size);

	return import(text, size);
}

static struct dhat_snapshot *as_lines_and_back(const struct dhat_snapshot *snapshot)
{
	size_t size;
	_cleanup_free_ char *text = export_as(&dhat_jsonl_exporter, snapshot, &size);

	return import(text, size);
}

static void assert_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t size = protobuf_c_message_get_packed_size(a);
	_cleanup_free_ uint8_t *one = malloc(size + 1), *other = malloc(size + 1);

	assert_int_equal(protobuf_c_message_get_packed_size(b), size);
	protobuf_c_message_pack(a, one);
	protobuf_c_message_pack(b, other);
	assert_memory_equal(one, other, size);
}

static bool reads_the_same(const struct dhat_rendering *one, const struct dhat_rendered_point *a,
			   const struct dhat_rendering *other, const struct dhat_rendered_point *b)
{
	bool is_same = a->line_count == b->line_count;

	for (uint32_t i = 0; is_same && i < a->line_count; i++)
		is_same = !strcmp(one->lines[a->lines[i]], other->lines[b->lines[i]]);
	return is_same;
}

/* The row of another table that reads as a row of this one. */
static const struct dhat_rendered_point *find(const struct dhat_rendering *table,
					      const struct dhat_rendering *one,
					      const struct dhat_rendered_point *row)
{
	for (size_t i = 0; i < table->point_count; i++)
		if (reads_the_same(one, row, table, table->points[i]))
			return table->points[i];
	fail_msg("there is no line \"%s\"", one->lines[row->lines[row->line_count - 1]]);
	return NULL;
}

static void assert_same_lines(const struct dhat_snapshot *a, const struct dhat_snapshot *b,
			      enum dhat_by by)
{
	const struct dhat_table_options options = { .style.by = by };
	struct dhat_rendering *one, *other;

	assert_int_equal(dhat_table_new(a, &options, &one), 0);
	assert_int_equal(dhat_table_new(b, &options, &other), 0);
	assert_int_equal(one->point_count, other->point_count);
	for (size_t i = 0; i < one->point_count; i++) {
		const struct dhat_rendered_point *point = one->points[i];
		const struct dhat_rendered_point *same = find(other, one, point);

		for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++)
			assert_int_equal(dhat_metric_of(point, metric),
					 dhat_metric_of(same, metric));
	}
	dhat_rendering_free(one);
	dhat_rendering_free(other);
}

static void test_lines_and_totals(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = there_and_back(snapshot);

	assert_same_message(&snapshot->end->totals->base, &back->end->totals->base);
	assert_same_lines(snapshot, back, DHAT_BY_LINE);
	assert_same_lines(snapshot, back, DHAT_BY_FUNCTION);
	assert_same_lines(snapshot, back, DHAT_BY_FILE);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* What DHAT JSON says of the whole comes back as it was; what it does not hold is not there. */
static void test_head_and_end(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = there_and_back(snapshot);

	assert_int_equal(back->head->target->pid, snapshot->head->target->pid);
	assert_int_equal(back->head->taken_unix_ns, snapshot->head->taken_unix_ns);
	assert_int_equal(back->head->target->observed_since_unix_ns,
			 snapshot->head->target->observed_since_unix_ns);
	assert_int_equal(back->end->n_counters, snapshot->end->n_counters);
	assert_int_equal(back->end->n_probes, snapshot->end->n_probes);
	assert_int_equal(dhat_verdict_of(back->end->verdict), DHAT_INEXACT);
	assert_int_equal(back->end->verdict->n_reasons, 1);
	assert_string_equal(back->end->verdict->reasons[0],
			    "3 allocations were lost because the ring was full");
	assert_int_equal(back->head->n_marks, 0);
	assert_false(back->head->has_ages);
	assert_null(back->end->history);
	assert_non_null(strstr(back->lacks, "marks"));
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

static bool has_point(const struct dhat_snapshot *snapshot, const char *label, const char *kind,
		      const char *stop)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];

		if (!strcmp(point->label, label) && !strcmp(point->kind, kind) &&
		    !strcmp(point->stop, stop))
			return true;
	}
	return false;
}

static void test_notes_in_stacks(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = there_and_back(snapshot);
	Dhat__ProgramPoint before;

	assert_true(has_point(back, "", "mmap", "complete"));
	assert_true(has_point(back, "", "", "no rule"));
	assert_true(has_point(back, DHAT_LABEL_BEFORE, "", "complete"));
	dhat_snapshot_before(back, &before);
	assert_int_equal(before.live_bytes, 770);
	assert_int_equal(before.live_blocks, 6);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* A line that names the source has no room for the object: it is found by the address. */
static void test_objects(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back;

	snapshot->frames[4]->object_vaddr = snapshot->frames[0]->object_vaddr;
	for (int i = 0; i < 5; i++)
		if (*snapshot->frames[i]->object)
			snapshot->frames[i]->build_id = strdup("abcdef");
	back = there_and_back(snapshot);
	assert_string_equal(back->frames[0]->locations[0]->file,
			    "/usr/include/c++/12/bits/stl_vector.h");
	assert_string_equal(back->frames[0]->object, "/usr/bin/service");
	assert_string_equal(back->frames[0]->build_id, "abcdef");
	assert_int_equal(back->frames[0]->object_vaddr, 0xabc0);
	assert_string_equal(back->frames[2]->locations[0]->function, "main");
	assert_int_equal(back->frames[2]->object_vaddr, 0xabc1);
	assert_null(strstr(back->lacks, "objects"));
	assert_same_lines(snapshot, back, DHAT_BY_LINE);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* Of an object that was at two places (two processes put together) nothing is said. */
static void test_objects_that_moved(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = there_and_back(snapshot);

	assert_string_equal(back->frames[0]->object, "");
	assert_string_equal(back->frames[0]->build_id, "");
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* Only a profile whose file says so is exact. */
static void test_exact_is_said_twice(void **state)
{
	static const struct {
		bool exact;
		const char *word;
		enum dhat_verdict expected;
	} cases[] = {
		{ true, "exact", DHAT_EXACT },
		{ false, "partial", DHAT_PARTIAL },
		{ false, "inexact", DHAT_INEXACT },
		{ false, "not known", DHAT_NOT_KNOWN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_snapshot *snapshot = sample_snapshot(), *back;

		snapshot->end->verdict->exact = cases[i].exact;
		snapshot->end->verdict->word = strdup(cases[i].word);
		back = there_and_back(snapshot);
		assert_int_equal(dhat_verdict_of(back->end->verdict), cases[i].expected);
		dhat_snapshot_free(snapshot);
		dhat_snapshot_free(back);
	}
}

/* A second time it is the same file, but for what is not known. */
static void test_again(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *once = there_and_back(snapshot);
	size_t size, again_size;
	_cleanup_free_ char *text = export(once, &size);
	struct dhat_snapshot *twice = there_and_back(once);
	_cleanup_free_ char *again = export(twice, &again_size);

	assert_string_equal(text, again);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(once);
	dhat_snapshot_free(twice);
}

/* Cut anywhere it is refused, and nothing worse. */
static void test_cut_short(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = NULL;
	size_t size;
	_cleanup_free_ char *text = export(snapshot, &size);

	for (size_t cut = 1; cut < size - 2; cut += 7) {
		_cleanup_fclose_ FILE *file = fmemopen(text, cut, "r");
		struct dhat_error err = { 0 };

		assert_true(dhat_import(file, "x.json", &back, &err) < 0);
		assert_null(back);
		assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	}
	dhat_snapshot_free(snapshot);
}

/* ---- JSON lines ---------------------------------------------------------------------------- */

/* Each stack as it read, and its figures. */
static void assert_same_stacks(const struct dhat_snapshot *snapshot,
			       const struct dhat_snapshot *back)
{
	static const char begin[] = "\"stack_id\":", end[] = ",\"max_is_known";
	size_t size;
	_cleanup_free_ char *text = export_as(&dhat_jsonl_exporter, snapshot, &size);
	_cleanup_free_ char *again = export_as(&dhat_jsonl_exporter, back, &size);
	size_t found = 0;

	for (char *at = strstr(text, begin); at; at = strstr(at + 1, begin), found++) {
		_cleanup_free_ char *figures = strndup(at, strstr(at, end) - at);

		if (!strstr(again, figures))
			fail_msg("%s is not in %s", figures, again);
	}
	assert_int_equal(found, back->point_count);
}

static void test_json_lines(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = as_lines_and_back(snapshot);
	const Dhat__Totals *totals = snapshot->end->totals, *of_lines = back->end->totals;

	assert_same_stacks(snapshot, back);
	assert_int_equal(of_lines->total_bytes, totals->total_bytes);
	assert_int_equal(of_lines->live_blocks, totals->live_blocks);
	assert_int_equal(of_lines->peak_bytes, totals->peak_bytes);
	assert_int_equal(of_lines->peak_ns, totals->peak_ns);
	assert_int_equal(back->head->target->pid, snapshot->head->target->pid);
	assert_int_equal(back->head->taken_unix_ns, snapshot->head->taken_unix_ns);
	assert_int_equal(back->head->target->observed_since_unix_ns,
			 snapshot->head->target->observed_since_unix_ns);
	assert_string_equal(back->head->host, snapshot->head->host);
	assert_int_equal(dhat_verdict_of(back->end->verdict), DHAT_INEXACT);
	assert_int_equal(back->end->verdict->n_reasons, 1);
	assert_true(has_point(back, "", "mmap", "complete"));
	assert_true(has_point(back, "", "", "no rule"));
	assert_true(has_point(back, DHAT_LABEL_BEFORE, "", "complete"));
	assert_non_null(strstr(back->lacks, "addresses"));
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* Of a mark alone: what it is of is told, and read back. */
static void test_births_as_lines(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back;

	assert_int_equal(
		dhat_keep_born(snapshot, &(struct dhat_births){ .since = 1 }, "since early"), 0);
	back = as_lines_and_back(snapshot);
	assert_same_stacks(snapshot, back);
	assert_string_equal(back->head->born, "since early");
	assert_int_equal(back->end->totals->live_bytes, 900100);
	dhat_snapshot_free(snapshot);
	dhat_snapshot_free(back);
}

/* Also at a line's end. */
static void test_lines_cut_short(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot(), *back = NULL;
	size_t size;
	_cleanup_free_ char *text = export_as(&dhat_jsonl_exporter, snapshot, &size);

	for (size_t cut = 1; cut < size - 1;
	     cut += text[cut] == '\n' || text[cut - 1] == '\n' ? 1 : 5) {
		_cleanup_fclose_ FILE *file = fmemopen(text, cut, "r");
		struct dhat_error err = { 0 };

		assert_true(dhat_import(file, "x.jsonl", &back, &err) < 0);
		assert_null(back);
		assert_int_equal(err.code, DHAT_EXIT_BAD_FILE);
	}
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_and_totals),
		cmocka_unit_test(test_head_and_end),
		cmocka_unit_test(test_notes_in_stacks),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_objects_that_moved),
		cmocka_unit_test(test_exact_is_said_twice),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_json_lines),
		cmocka_unit_test(test_births_as_lines),
		cmocka_unit_test(test_lines_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
