/* dhatctl top: rows, growth, order, selection, and how they read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/top_model.h"
#include "cli/top_text.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/text.h"
#include "tests/unit/sample.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

#define SECOND 1000000000ull

struct fixture {
	struct dhat_view view;
	struct dhat_filter filter;
	struct top_model model;
};

/* The sample's points, as a view has them; each look is a second after the one before. */
static void setup(struct fixture *f, enum dhat_by by, enum top_key key)
{
	struct top_options options = { .filter = &f->filter, .key = key };

	*f = (struct fixture){ 0 };
	f->view.snapshot = sample_snapshot();
	for (size_t i = 0; i < f->view.snapshot->point_count; i++)
		f->view.snapshot->points[i]->number = i + 1;
	options.table.style.by = by;
	top_model_init(&f->model, &options);
	f->view.is_another = f->view.has_grown = true;
	assert_int_equal(top_model_take(&f->model, &f->view), 0);
	f->view.is_another = f->view.has_grown = false;
}

static void teardown(struct fixture *f)
{
	top_model_deinit(&f->model);
	dhat_filter_deinit(&f->filter);
	dhat_snapshot_free(f->view.snapshot);
}

static void allocate(struct fixture *f, size_t i, int64_t bytes, int64_t blocks)
{
	Dhat__ProgramPoint *point = f->view.snapshot->points[i];
	Dhat__Totals *totals = f->view.snapshot->end->totals;

	point->live_bytes += bytes;
	point->live_blocks += blocks;
	totals->live_bytes += bytes;
	totals->live_blocks += blocks;
	if (blocks > 0) {
		point->total_bytes += bytes;
		point->total_blocks += blocks;
		totals->total_bytes += bytes;
		totals->total_blocks += blocks;
	}
}

/* A scan: all that is lost is of one point. */
static void lose(struct fixture *f, size_t i, uint64_t bytes)
{
	Dhat__LastHolds *last = malloc(sizeof(*last));

	dhat__last_holds__init(last);
	last->points = malloc(sizeof(*last->points));
	last->lost_bytes = malloc(sizeof(*last->lost_bytes));
	last->lost_blocks = malloc(sizeof(*last->lost_blocks));
	last->n_points = last->n_lost_bytes = last->n_lost_blocks = 1;
	last->points[0] = i + 1;
	last->lost_bytes[0] = bytes;
	last->lost_blocks[0] = 1;
	last->lost = malloc(sizeof(*last->lost));
	dhat__holds_sum__init(last->lost);
	last->lost->bytes = bytes;
	last->lost->blocks = 1;
	((Dhat__SnapshotEnd *)without_qualifiers(f->view.snapshot->end))->last_holds = last;
}

static void look(struct fixture *f)
{
	f->view.snapshot->end->totals->end_ns += SECOND;
	assert_int_equal(top_model_take(&f->model, &f->view), 0);
}

static const struct top_row *row_of(const struct fixture *f, size_t point)
{
	for (size_t i = 0; i < f->model.row_count; i++)
		if (f->model.rows[i].point == f->model.table->point_of[point])
			return &f->model.rows[i];
	fail_msg("no row for point %zu", point);
	return NULL;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* M1 */
static void test_rows_add_up(void **state)
{
	for (enum dhat_by by = DHAT_BY_STACK; by <= DHAT_BY_OBJECT; by++) {
		uint64_t bytes = 0, blocks = 0, shown = 0;
		struct fixture f;

		setup(&f, by, TOP_LIVE);
		for (size_t i = 0; i < f.model.row_count; i++) {
			bytes += f.model.rows[i].live_bytes;
			blocks += f.model.rows[i].live_blocks;
			assert_true(!i ||
				    f.model.rows[i].live_bytes <= f.model.rows[i - 1].live_bytes);
		}
		shown = f.model.shown_bytes;
		assert_int_equal(f.model.before_bytes, 770);
		assert_int_equal(f.model.before_blocks, 6);
		assert_int_equal(shown, bytes);
		assert_int_equal(bytes + 770, f.view.snapshot->end->totals->live_bytes);
		assert_int_equal(blocks + 6, f.view.snapshot->end->totals->live_blocks);
		teardown(&f);
	}
}

static void test_growth_and_rates(void **state)
{
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_GROWTH);
	assert_int_equal(f.model.grown_bytes, 0);
	assert_true(f.model.seconds == 0 && f.model.allocs_per_second == 0);
	allocate(&f, 1, 4000, 40);
	allocate(&f, 0, -1000, -1);
	look(&f);
	assert_int_equal(f.model.grown_bytes, 3000);
	assert_true(f.model.allocs_per_second == 40 && f.model.frees_per_second == 1);
	assert_ptr_equal(&f.model.rows[0], row_of(&f, 1)); /* sorted by growth */
	assert_int_equal(f.model.rows[0].grown_bytes, 4000);
	assert_int_equal(f.model.rows[0].grown_blocks, 40);
	assert_true(f.model.rows[0].allocs_per_second == 40);
	assert_int_equal(row_of(&f, 0)->grown_bytes, -1000);
	assert_true(top_model_a_minute(&f.model, 3000) == 180000);

	look(&f); /* nothing has happened: growth stays, its rate halves, no allocation is under way
		   */
	assert_int_equal(f.model.rows[0].grown_bytes, 4000);
	assert_true(f.model.rows[0].allocs_per_second == 0 && f.model.allocs_per_second == 0);
	assert_true(top_model_a_minute(&f.model, 3000) == 90000);
	teardown(&f);
}

/* M2: whatever the rows are. */
static void test_baseline(void **state)
{
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_GROWTH);
	allocate(&f, 1, 4000, 40);
	look(&f);
	top_model_set_baseline(&f.model);
	assert_int_equal(f.model.grown_bytes, 0);
	assert_int_equal(row_of(&f, 1)->grown_bytes, 0);
	assert_true(top_model_a_minute(&f.model, 100) == 0); /* no time has passed */
	allocate(&f, 1, 50, 1);
	allocate(&f, 6, 7, 1);
	look(&f);
	assert_int_equal(row_of(&f, 1)->grown_bytes, 50);
	assert_int_equal(top_model_set_by(&f.model, DHAT_BY_OBJECT), 0);
	assert_int_equal(row_of(&f, 1)->grown_bytes + row_of(&f, 6)->grown_bytes,
			 row_of(&f, 1) == row_of(&f, 6) ? 2 * 57 : 57);
	assert_int_equal(f.model.grown_bytes, 57);
	teardown(&f);
}

/* The sample's marks: what was allocated since is growth, block by block, whatever was before. */
static void test_since_a_mark(void **state)
{
	struct fixture f;
	_cleanup_free_ char *totals = NULL, *heading = NULL;

	setup(&f, DHAT_BY_STACK, TOP_GROWTH);
	assert_int_equal(top_model_set_since(&f.model, "early"), 0);
	assert_int_equal(f.model.since, 1);
	assert_int_equal(f.model.grown_bytes, 900100);
	assert_int_equal(row_of(&f, 0)->grown_bytes, 900000);
	assert_int_equal(row_of(&f, 1)->grown_bytes, 0);
	assert_true(top_model_baseline_seconds(&f.model) == 60);
	totals = top_text_totals(&f.model, 80);
	heading = top_text_heading(&f.model, 80);
	assert_non_null(strstr(totals, "; +879 KiB since early, +879 KiB a minute"));
	assert_non_null(strstr(heading, " SINCE "));
	f.view.snapshot->points[0]->since_bytes[0] += 50;
	look(&f);
	assert_int_equal(row_of(&f, 0)->grown_bytes, 900050);
	/* one that is not there yet, and never is */
	assert_int_equal(top_model_set_since(&f.model, "none"), 0);
	assert_int_equal(f.model.since, 0);
	assert_int_equal(row_of(&f, 0)->grown_bytes, 0);
	assert_int_equal(top_model_set_since(&f.model, "late"), 0);
	assert_int_equal(row_of(&f, 0)->grown_bytes, 400000);
	top_model_set_baseline(&f.model);
	assert_int_equal(f.model.since, 0);
	assert_int_equal(f.model.grown_bytes, 0);
	teardown(&f);
}

/* All stacks come anew, with other names perhaps: what they had is known. */
static void test_names_anew(void **state)
{
	struct dhat_snapshot *first;
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_GROWTH);
	allocate(&f, 1, 4000, 40);
	look(&f);
	top_model_move(&f.model, 1);
	first = f.view.snapshot;
	f.view.snapshot = sample_snapshot();
	for (size_t i = 0; i < f.view.snapshot->point_count; i++)
		f.view.snapshot->points[i]->number = i + 1;
	f.view.snapshot->end->totals->end_ns += 2 * SECOND;
	allocate(&f, 1, 4100, 41);
	f.view.has_grown = true;
	dhat_snapshot_free(first); /* as a view does */
	assert_int_equal(top_model_take(&f.model, &f.view), 0);
	assert_int_equal(row_of(&f, 1)->grown_bytes, 4100);
	assert_true(row_of(&f, 1)->allocs_per_second == 1);
	assert_int_equal(f.model.selected, 1);
	assert_int_equal(f.model.history.count, 3);
	teardown(&f);
}

/* All of a stack that is new has grown; another watch begins anew. */
static void test_new_stacks_and_another_watch(void **state)
{
	struct fixture f;
	size_t all;

	setup(&f, DHAT_BY_STACK, TOP_GROWTH);
	all = f.view.snapshot->point_count;
	f.view.snapshot->point_count = 1; /* as if the others were not there yet */
	f.view.is_another = true;
	look(&f);
	f.view.is_another = false;
	f.view.snapshot->point_count = all;
	f.view.has_grown = true;
	look(&f);
	assert_int_equal(row_of(&f, 0)->grown_bytes, 0);
	assert_int_equal(row_of(&f, 4)->grown_bytes, 4096);
	assert_true(row_of(&f, 4)->allocs_per_second == 1);
	f.view.is_another = true;
	look(&f);
	assert_int_equal(row_of(&f, 4)->grown_bytes, 0);
	assert_true(row_of(&f, 4)->allocs_per_second == 0);
	assert_int_equal(f.model.history.count, 1);
	teardown(&f);
}

static void test_order(void **state)
{
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_LIVE);
	allocate(&f, 4, 10, 3000);
	lose(&f, 4, 100);
	look(&f);
	for (enum top_key key = TOP_LIVE; key < TOP_KEY_COUNT; key++) {
		enum top_key parsed;

		assert_int_equal(top_key_parse(top_key_name(key), &parsed), 0);
		assert_int_equal(parsed, key);
		top_model_sort(&f.model, key);
		assert_ptr_equal(&f.model.rows[0], row_of(&f, key == TOP_LIVE	 ? 0
							      : key == TOP_TOTAL ? 1
										 : 4));
	}
	assert_int_equal(top_key_parse("size", &(enum top_key){ 0 }), -EINVAL);
	teardown(&f);
}

/* As of the last scan, of which only what has something lost is told; before it there is no column.
 */
static void test_lost(void **state)
{
	_cleanup_free_ char *without = NULL, *with = NULL, *row = NULL, *totals = NULL;
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_LIVE);
	without = top_text_heading(&f.model, 200);
	assert_null(strstr(without, "LOST"));
	lose(&f, 4, 2048);
	look(&f);
	with = top_text_heading(&f.model, 200);
	assert_non_null(strstr(with, "LOST"));
	assert_int_equal(row_of(&f, 4)->lost_bytes, 2048);
	assert_int_equal(row_of(&f, 0)->lost_bytes, 0);
	row = top_text_row(&f.model, row_of(&f, 4), 200);
	assert_non_null(strstr(row, " 2.0 KiB "));
	totals = top_text_totals(&f.model, 200);
	assert_non_null(strstr(totals, "; 2.0 KiB lost, seen "));
	/* a number that no point has changes nothing */
	f.view.snapshot->end->last_holds->points[0] = 4000;
	look(&f);
	assert_int_equal(row_of(&f, 4)->lost_bytes, 0);
	teardown(&f);
}

/* ---- filter, selection, opening ------------------------------------------------------------ */

static void test_filter(void **state)
{
	struct fixture f;
	size_t all;

	setup(&f, DHAT_BY_STACK, TOP_LIVE);
	all = f.model.row_count;
	assert_int_equal(top_model_set_pattern(&f.model, "Cache::insert"), 0);
	assert_in_range(f.model.row_count, 1, all - 1);
	assert_true(f.model.shown_bytes < f.model.last.live_bytes);
	assert_int_equal(top_model_set_pattern(&f.model, "nothing of that name"), 0);
	assert_int_equal(f.model.row_count, 0);
	assert_int_equal(f.model.selected, 0);
	top_model_move(&f.model, 1);
	assert_int_equal(top_model_set_pattern(&f.model, ""), 0);
	assert_int_equal(f.model.row_count, all);

	/* beside what the command line says */
	assert_int_equal(dhat_filter_add(&f.filter, DHAT_FILTER_EXCLUDE, "Cache::insert"), 0);
	assert_int_equal(top_model_set_pattern(&f.model, "Cache::insert"), 0);
	assert_int_equal(f.model.row_count, 0);
	teardown(&f);
}

static void test_selection(void **state)
{
	const struct dhat_rendered_point *chosen;
	struct fixture f;

	setup(&f, DHAT_BY_STACK, TOP_LIVE);
	assert_int_equal(f.model.selected, 0);
	allocate(&f, 4, 1 << 30, 1);
	look(&f); /* nobody has chosen: whatever is first */
	assert_int_equal(f.model.selected, 0);
	assert_ptr_equal(&f.model.rows[0], row_of(&f, 4));

	top_model_move(&f.model, 1);
	assert_int_equal(f.model.selected, 1);
	chosen = f.model.rows[1].point;
	allocate(&f, 1, 1l << 31, 1);
	look(&f);
	assert_ptr_equal(f.model.rows[f.model.selected].point, chosen);
	assert_int_equal(f.model.selected, 2);
	top_model_move(&f.model, 1000);
	assert_int_equal(f.model.selected, f.model.row_count - 1);
	top_model_move(&f.model, -1000);
	assert_int_equal(f.model.selected, 0);
	top_model_move(&f.model, 2);
	assert_int_equal(top_model_set_by(&f.model, DHAT_BY_FUNCTION), 0);
	assert_ptr_equal(f.model.rows[f.model.selected].point, row_of(&f, 0)->point);
	top_model_select_first(&f.model);
	assert_int_equal(f.model.selected, 0);
	teardown(&f);
}

static void test_opened_row_has_its_stacks(void **state)
{
	struct fixture f;

	setup(&f, DHAT_BY_OBJECT, TOP_LIVE);
	for (size_t i = 0; i < f.model.row_count; i++) {
		_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *stacks = NULL;
		uint64_t bytes = 0;

		assert_int_equal(top_model_open(&f.model, &f.model.rows[i], &stacks), 0);
		assert_true(stacks->point_count > 0);
		assert_int_equal(stacks->style.by, DHAT_BY_STACK);
		for (size_t j = 0; j < stacks->point_count; j++)
			bytes += stacks->points[j]->live_bytes;
		assert_int_equal(bytes, f.model.rows[i].live_bytes);
	}
	teardown(&f);
}

/* ---- history ------------------------------------------------------------------------------- */

static void test_history_keeps_its_peaks(void **state)
{
	struct top_history history = { 0 };
	uint64_t highest = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		top_history_add(&history, i == 31337 ? 5000 : i % 1000);
		assert_in_range(history.count, 1, TOP_HISTORY);
	}
	assert_true(history.count >= TOP_HISTORY / 2 - 1);
	for (size_t i = 0; i < history.count; i++)
		highest = highest > history.live_bytes[i] ? highest : history.live_bytes[i];
	assert_int_equal(highest, 5000);
	/* the peak stands where it was */
	assert_int_equal(history.live_bytes[31337 / history.stride], 5000);
}

static void test_curve(void **state)
{
	struct top_history history = { .live_bytes = { 1024, 2048, 4096, 8192 }, .count = 4 };
	_cleanup_free_ char *curve = top_text_history(&history, 80), *narrow = NULL, *level = NULL;

	assert_string_equal(curve, "▁▂▄█  1.0 KiB to 8.0 KiB");
	narrow = top_text_history(&history, strlen("  1.0 KiB to 8.0 KiB") + 2);
	assert_string_equal(narrow, "▂█  1.0 KiB to 8.0 KiB");
	history = (struct top_history){ .live_bytes = { 1 << 20, (1 << 20) + 100 }, .count = 2 };
	level = top_text_history(&history, 80);
	assert_true(!strncmp(level, "██", strlen("██"))); /* a ten-thousandth is level */
}

/* ---- texts --------------------------------------------------------------------------------- */

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void test_titles(void **state)
{
	_cleanup_free_ char *title = NULL, *totals = NULL, *rows = NULL;
	struct fixture f;

	setup(&f, DHAT_BY_LINE, TOP_GROWTH);
	allocate(&f, 0, 1 << 20, 60);
	look(&f);
	title = top_text_title(&f.model);
	assert_string_equal(title, "service (pid 4711), watched for 1 min 30 s");
	totals = top_text_totals(&f.model, 0);
	assert_true(has(totals, "Live 2.0 MiB in 1,070 blocks; +1.0 MiB since "));
	assert_true(has(totals, ", +60.0 MiB a minute; 770 B of it from before the attach; peak "));
	rows = top_text_rows(&f.model);
	assert_true(has(rows, "by growth; 60 allocations a second, 0 frees"));
	free(rows);
	assert_int_equal(top_model_set_pattern(&f.model, "Cache"), 0);
	rows = top_text_rows(&f.model);
	assert_true(has(rows, " by growth, filter Cache: 2.0 MiB live; 60 allocations"));
	teardown(&f);
}

/* At each width: no line is wider, and what it is sorted by is there. */
static void test_widths(void **state)
{
	static const char *const titles[TOP_KEY_COUNT] = { "LIVE",   "GROWTH", "ALLOCS/S",
							   "BLOCKS", "TOTAL",  "LOST" };
	struct fixture f;

	setup(&f, DHAT_BY_LINE, TOP_LIVE);
	for (enum dhat_by by = DHAT_BY_STACK; by <= DHAT_BY_OBJECT; by++) {
		assert_int_equal(top_model_set_by(&f.model, by), 0);
		for (enum top_key key = TOP_LIVE; key < TOP_KEY_COUNT; key++) {
			top_model_sort(&f.model, key);
			for (size_t width = 80; width <= 200; width += 5) {
				_cleanup_free_ char *heading = top_text_heading(&f.model, width);

				assert_true(dhat_text_width(heading) <= width);
				assert_true(has(heading, titles[key]));
				for (size_t i = 0; i < f.model.row_count; i++) {
					_cleanup_free_ char *row =
						top_text_row(&f.model, &f.model.rows[i], width);

					assert_true(dhat_text_width(row) <= width);
				}
			}
		}
	}
	teardown(&f);
}

static void test_rows_read(void **state)
{
	static const struct {
		enum dhat_by by;
		const char *end;
	} cases[] = {
		{ DHAT_BY_STACK, " Cache::insert(int) ← main" },
		{ DHAT_BY_FUNCTION, " Cache::insert(int)  src/cache.cc" },
		{ DHAT_BY_LINE, " Cache::insert(int)  src/cache.cc:12" },
		{ DHAT_BY_FILE, " src/cache.cc" },
		{ DHAT_BY_OBJECT, " /usr/bin/service" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *row = NULL;
		struct fixture f;

		setup(&f, cases[i].by, TOP_LIVE);
		row = top_text_row(&f.model, row_of(&f, 0), 0);
		if (strlen(row) < strlen(cases[i].end) ||
		    strcmp(row + strlen(row) - strlen(cases[i].end), cases[i].end))
			fail_msg("\"%s\" does not end in \"%s\"", row, cases[i].end);
		teardown(&f);
	}
}

/* What a target calls its functions does not reach the terminal. */
static void test_hostile_names(void **state)
{
	struct fixture f;

	setup(&f, DHAT_BY_LINE, TOP_LIVE);
	for (size_t i = 0; i < f.view.snapshot->frame_count; i++)
		for (size_t j = 0; j < f.view.snapshot->frames[i]->n_locations; j++) {
			Dhat__Location *location = f.view.snapshot->frames[i]->locations[j];

			free(location->function);
			location->function = strdup("evil\x1b]0;title\x07\n\x9b"
						    "2J");
		}
	for (enum dhat_by by = DHAT_BY_STACK; by <= DHAT_BY_OBJECT; by++) {
		assert_int_equal(top_model_set_by(&f.model, by), 0);
		for (size_t i = 0; i < f.model.row_count; i++) {
			_cleanup_free_ char *row = top_text_row(&f.model, &f.model.rows[i], 120);

			for (const char *at = row; *at; at++)
				assert_true((unsigned char)*at >= ' ' && *at != 0x7f);
		}
	}
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_add_up),
		cmocka_unit_test(test_growth_and_rates),
		cmocka_unit_test(test_baseline),
		cmocka_unit_test(test_since_a_mark),
		cmocka_unit_test(test_names_anew),
		cmocka_unit_test(test_new_stacks_and_another_watch),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_opened_row_has_its_stacks),
		cmocka_unit_test(test_history_keeps_its_peaks),
		cmocka_unit_test(test_curve),
		cmocka_unit_test(test_titles),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_rows_read),
		cmocka_unit_test(test_hostile_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
