#include "top_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "proto/profile/history.h"
#include "rows.h"
#include "top_text.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

#define STACKS_SHOWN 50 /* of an opened row, the largest */
#define PAST_COLUMNS 36 /* before the bars */

/* ---- stacks -------------------------------------------------------------------------------- */

static int split_lines(char *text, char ***ret)
{
	char *line;
	int r = 0;

	while (r == 0 && (line = strsep(&text, "\n")))
		r = texts_add(ret, line);
	return r;
}

static void print_stacks(FILE *file, const struct live *live, struct dhat_rendering *table)
{
	const struct top_model *model = &live->model;
	const struct rows_options options = { .key = RANK_BY_LIVE, .top = STACKS_SHOWN };
	const struct top_row *row = &model->rows[model->selected];
	struct screen screen = { .file = file, .width = top_screen_columns() };
	struct dhat_interval interval =
		dhat_rendered_interval(model->table, row->point, DHAT_ESTIMATED_LIVE);
	char text[320], size[DHAT_UNIT_CHARS], grown[128] = "no growth";

	if (row->grown_bytes || row->grown_blocks)
		snprintf(grown, sizeof(grown), "%s%s in %+" PRId64 " blocks",
			 row->grown_bytes < 0 ? "-" : "+",
			 dhat_format_size(row->grown_bytes < 0 ? -(uint64_t)row->grown_bytes
							       : (uint64_t)row->grown_bytes,
					  size),
			 row->grown_blocks);
	snprintf(text, sizeof(text), "%s live in %s%s; %s since %s; %s allocations a second",
		 dhat_format_size(row->live_bytes, size), view_counted(row->live_blocks, "block"),
		 view_interval(&interval), grown,
		 view_moment(model->snapshot->head->target->observed_since_unix_ns +
			     model->baseline_ns),
		 view_count((uint64_t)(row->allocs_per_second + 0.5)));
	screen_paragraph(&screen, 0, text);
	rows_print(&screen, table, &options);
	if (!table->points[0]->live_bytes) /* the list has none then */
		rows_print_stack(&screen, table, table->points[0]);
}

static int stacks_page(struct live *live, FILE *file)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	int r;

	if (!live->model.row_count)
		return 0;
	r = top_model_open(&live->model, &live->model.rows[live->model.selected], &table);
	if (r == 0 && table->point_count)
		print_stacks(file, live, table);
	return r;
}

/* ---- over time ----------------------------------------------------------------------------- */

static bool reads_as(const struct dhat_rendering *table, const struct dhat_rendered_point *point,
		     const struct dhat_rendering *other, const struct dhat_rendered_point *wanted)
{
	if (point->line_count != wanted->line_count)
		return false;
	for (uint32_t i = 0; i < point->line_count; i++)
		if (strcmp(table->lines[point->lines[i]], other->lines[wanted->lines[i]]) != 0)
			return false;
	return true;
}

static void print_past(struct screen *screen, const struct dhat_snapshot *past,
		       const struct dhat_rendered_point *point)
{
	uint64_t since = past->head->target->observed_since_unix_ns, most = 1, before = 0;
	size_t room = screen->width > PAST_COLUMNS ? screen->width - PAST_COLUMNS : 0;

	for (uint32_t i = 0; i < dhat_history_slots(past); i++)
		most = point->lows[i] > most ? point->lows[i] : most;
	fprintf(screen->file, "%8s  %10s  %11s\n", "FROM", "AT LEAST", "CHANGE");
	for (uint32_t i = 0; i < dhat_history_slots(past); i++) {
		int64_t change = (int64_t)(point->lows[i] - before);
		char size[DHAT_UNIT_CHARS], changed[DHAT_UNIT_CHARS];
		size_t bar = (size_t)((double)point->lows[i] / (double)most * (double)room + 0.5);

		dhat_format_size(change < 0 ? -(uint64_t)change : (uint64_t)change, changed);
		fprintf(screen->file, "%8s  %10s  %s%*s  ",
			view_moment(since + dhat_history_slot_begin(past, i)),
			dhat_format_size(point->lows[i], size),
			!change	     ? " "
			: change < 0 ? "-"
				     : "+",
			10, change ? changed : "");
		while (bar--)
			fputs("█", screen->file);
		fputc('\n', screen->file);
		before = point->lows[i];
	}
}

static void print_row_past(struct live *live, FILE *file, const struct dhat_rendering *table)
{
	const struct top_row *row = &live->model.rows[live->model.selected];
	struct screen screen = { .file = file, .width = top_screen_columns() };
	char size[DHAT_UNIT_CHARS], text[256];
	_cleanup_free_ char *name =
		top_text_name(&live->model, row, screen.width > 8 ? screen.width : 8);

	for (size_t i = 0; i < table->point_count; i++) {
		const struct dhat_rendered_point *point = table->points[i];

		if (!reads_as(table, point, live->model.table, row->point))
			continue;
		fprintf(file, "%s\n", name ?: "");
		snprintf(text, sizeof(text),
			 "What was live of it at least, in each of %u spans of %s; t looks again. "
			 "What is never freed is in all that follow: it grows by %s%s a minute",
			 dhat_history_slots(live->past),
			 dhat_format_duration(live->past->end->history->slot_ns, size),
			 point->growth < 0 ? "-" : "",
			 dhat_format_size(
				 (uint64_t)(point->growth < 0 ? -point->growth : point->growth),
				 (char[DHAT_UNIT_CHARS]){ 0 }));
		screen_paragraph(&screen, 0, text);
		print_past(&screen, live->past, point);
		return;
	}
	fputs("Nothing of it was allocated when this was fetched: t looks again\n", file);
}

/* Of the selected row, found in the whole profile by what it reads. */
static int past_page(struct live *live, FILE *file)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	int r;

	if (!live->past) {
		fputs("What was live over time is being fetched\n", file);
		return 0;
	}
	if (!live->model.row_count)
		return 0;
	if (!dhat_history_slots(live->past)) {
		fputs("There is no history yet: t looks again\n", file);
		return 0;
	}
	r = dhat_table_new(live->past, &live->model.options.table, &table);
	if (r == 0)
		print_row_past(live, file, table);
	return r;
}

/* ---- help ---------------------------------------------------------------------------------- */

static void help_page(const struct live *live, FILE *file)
{
	static const char text[] =
		"Keys\n"
		"  arrows, j k, Page, Home, End   select a row; Home: whatever is first\n"
		"  Enter         the stacks of the selected row, with figures of each\n"
		"  t             what was live of the selected row, over the time of the watch\n"
		"  p             all processes, and which of them grow: to watch another one\n"
		"  s S           sort by the next, the previous figure\n"
		"  g G           group by stack, function, line, file, object, thread\n"
		"  /             show only stacks with a function, file or object that matches;\n"
		"                * stands for anything; an empty one shows all\n"
		"  b             count growth from now on\n"
		"  m             make a mark (top-1, top-2 …): growth is what is allocated from\n"
		"                now on and lives, block by block\n"
		"  d             the same since the next mark that there is, then as before\n"
		"  space         freeze, and go on\n"
		"  w             write the profile as it is now into a .dhat file, here\n"
		"  r             look all names up anew (of code made at run time)\n"
		"  q             back, or leave\n"
		"\n"
		"Figures\n"
		"  LIVE, BLOCKS  what is allocated and not freed\n"
		"  GROWTH        of LIVE since the view began, or since b; A MINUTE: its mean\n"
		"  ALLOCS/S      allocations a second, since the last look\n"
		"  TOTAL         ever allocated, freed or not; LATEST: how long ago the last was\n"
		"  The curve is what was live since the view began; its bounds stand behind it.\n";
	struct screen screen = { .file = file, .width = top_screen_columns() };
	const Dhat__Verdict *verdict =
		live->view.snapshot ? live->view.snapshot->end->verdict : NULL;

	if (verdict && verdict->exact)
		fputs("The numbers are exact: each call of each allocator was seen.\n", file);
	if (verdict)
		view_verdict(&screen, verdict, "");
	fputs(text, file);
}

/* ---- any ----------------------------------------------------------------------------------- */

static int put_page(struct live *live, FILE *file)
{
	switch (live->shown.page) {
	case TOP_STACKS:
		return stacks_page(live, file);
	case TOP_TIMELINE:
		return past_page(live, file);
	case TOP_PROCESSES:
		top_processes_page(live, file);
		return 0;
	case TOP_PLAN:
		top_plan_page(live, file);
		return 0;
	default:
		help_page(live, file);
		return 0;
	}
}

/* Anew, after an answer, and where the terminal has another size. */
int top_make_page(struct live *live)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *file;
	int r = 0;

	texts_free(live->lines);
	live->lines = NULL;
	live->shown.lines = NULL;
	live->shown.line_count = 0;
	live->shown.selected_line = SIZE_MAX;
	live->is_dirty = true;
	if (live->shown.page == TOP_LIST)
		return 0;
	file = open_memstream(&text, &size);
	if (!file)
		return -ENOMEM;
	r = put_page(live, file);
	if (fclose(file))
		r = -ENOMEM;
	if (r == 0)
		r = split_lines(text, &live->lines);
	live->shown.lines = live->lines;
	while (live->lines && live->lines[live->shown.line_count])
		live->shown.line_count++;
	return r;
}

int top_turn_to(struct live *live, enum top_page page)
{
	live->shown.page = page;
	live->shown.first = 0;
	return top_make_page(live);
}
