/* redact: nothing of what it leaves out is anywhere in a file, and figures stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "proto/base/cleanup.h"
#include "proto/profile/redact.h"
#include "proto/profile/rendering.h"
#include "proto/profile/snapshot_file.h"
#include "tests/unit/sample.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

static bool holds(const char *bytes, size_t size, const char *text)
{
	return memmem(bytes, size, text, strlen(text));
}

static void add_holds(struct dhat_snapshot *snapshot)
{
	Dhat__PointHolds *holds = malloc(sizeof(*holds));
	Dhat__HoldsChain *chain = malloc(sizeof(*chain));

	dhat__point_holds__init(holds);
	dhat__holds_chain__init(chain);
	chain->in_root = strdup(".a path");
	holds->type = strdup("Cache");
	holds->chains = calloc(1, sizeof(*holds->chains));
	holds->chains[holds->n_chains++] = chain;
	holds->withdrawn_blocks = 7;
	snapshot->points[0]->holds = holds;
}

static void nothing_is_left(void **state)
{
	static const char *const secrets[] = { "service",   "/usr",	"Cache", "insert",
					       "push_back", "cache.cc", "main",	 "libc.so.6",
					       "malloc",    "ring was", "name",	 "a path",
					       "host",	    "early",	"late" };
	struct dhat_snapshot *snapshot = sample_snapshot();
	Dhat__SnapshotHead *head = (void *)(uintptr_t)snapshot->head;
	Dhat__SnapshotEnd *end = (void *)(uintptr_t)snapshot->end;
	struct dhat_snapshot_writer writer;
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&bytes, &size);

	end->notes = calloc(1, sizeof(*end->notes));
	end->notes[end->n_notes++] = strdup("3 frames of a path have no names");
	snapshot->frames[0]->build_id = strdup("0123abcd");
	add_holds(snapshot);
	assert_int_equal(dhat_redact(snapshot), 0);
	/* what is said of it has some of these words */
	assert_int_equal(end->n_notes, 1);
	assert_int_equal(strncmp(end->notes[0], "redacted: ", 10), 0);
	*end->notes[0] = 0;
	/* counters are ours, and say what is lost */
	for (size_t i = 0; i < end->n_counters; i++)
		*end->counters[i]->meaning = 0;
	dhat_snapshot_writer_init(&writer, file);
	for (size_t i = 0; i < snapshot->part_count; i++)
		assert_int_equal(dhat_snapshot_writer_add(&writer, snapshot->parts[i], NULL), 0);
	dhat_snapshot_writer_end(&writer);
	fclose(file);
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		if (holds(bytes, size, secrets[i]))
			fail_msg("%s is still there", secrets[i]);
	assert_true(holds(bytes, size, "0123abcd"));
	assert_true(holds(bytes, size, "glibc 2.36"));
	assert_string_equal(head->target->command, DHAT_REDACTED);
	assert_int_equal(snapshot->points[0]->holds->withdrawn_blocks, 7);
	assert_int_equal(dhat_snapshot_finish(snapshot, NULL), 0);
	dhat_snapshot_free(snapshot);
}

static void figures_and_shapes_stay(void **state)
{
	struct dhat_snapshot *snapshot = sample_snapshot();
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	const struct dhat_table_options options = { 0 };
	uint64_t live = 0;

	assert_int_equal(dhat_redact(snapshot), 0);
	assert_int_equal(snapshot->head->target->pid, 4711);
	assert_int_equal(snapshot->end->totals->live_bytes, 1013158);
	assert_int_equal(snapshot->head->n_marks, 2);
	assert_string_equal(snapshot->head->marks[1]->name, "mark-2");
	assert_int_equal(snapshot->head->marks[1]->live_bytes, 400000);
	assert_true(snapshot->head->has_ages);
	assert_int_equal(snapshot->end->timeline->n_live_bytes, 3);
	assert_int_equal(snapshot->end->history->count, SAMPLE_SLOTS);
	assert_false(snapshot->end->verdict->exact);
	assert_int_equal(snapshot->end->n_counters, 2);
	assert_int_equal(snapshot->points[0]->n_frames, 2);
	assert_string_equal(snapshot->frames[0]->object, "object-1");
	assert_string_equal(snapshot->frames[4]->object, "object-1");
	assert_int_equal(snapshot->frames[1]->address, snapshot->frames[1]->object_vaddr);
	assert_string_equal(snapshot->frames[3]->object, ""); /* in no file */
	assert_int_equal(snapshot->frames[3]->address, 4);
	/* a place is a row still: two that read alike by their names have offsets of their own now
	 */
	assert_int_equal(dhat_table_new(snapshot, &options, &table), 0);
	assert_int_equal(table->point_count, SAMPLE_POINTS);
	for (size_t i = 0; i < table->point_count; i++)
		live += table->points[i]->live_bytes;
	assert_int_equal(live, 1000000 + 100 + 4096 + 770 + 8192);
	dhat_snapshot_free(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(figures_and_shapes_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
