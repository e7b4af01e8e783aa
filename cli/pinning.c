#include "pinning.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "filtering.h"
#include "pages.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/verdict.h"
#include "ranking.h"
#include "rows.h"
#include "view.h"

#define INDENT 6		 /* of a row's lines */
#define MOST_HIGHEST 3		 /* rows that are named of the highest blocks */
#define WORTH_BYTES (256u << 10) /* malloc gives back what is more than 128 KiB at its end */

/* Whose blocks: sorted by them, the answers' and the list's first. */
enum whose { BY_BESIDE, BY_HIGHEST };

static uint64_t weight_of(const struct dhat_rendered_point *point, enum whose whose)
{
	return whose == BY_HIGHEST ? point->pages.highest_blocks : point->pages.beside_bytes;
}

static int compare(const void *a_, const void *b_, void *whose)
{
	const struct dhat_rendered_point *a = *(struct dhat_rendered_point *const *)a_;
	const struct dhat_rendered_point *b = *(struct dhat_rendered_point *const *)b_;
	uint64_t x = weight_of(a, *(enum whose *)whose), y = weight_of(b, *(enum whose *)whose);

	if (x != y)
		return x > y ? -1 : 1;
	return a->number < b->number ? -1 : 1;
}

/* Returns how many have any. */
static size_t sort(struct dhat_rendering *table, enum whose whose)
{
	size_t count = 0;

	qsort_r(table->points, table->point_count, sizeof(*table->points), compare, &whose);
	while (count < table->point_count && weight_of(table->points[count], whose))
		count++;
	return count;
}

/* ---- the answer -------------------------------------------------------------------------- */

static void say(struct screen *screen, const char *text)
{
	fputs("  ", screen->file);
	screen_paragraph(screen, 2, text);
}

static bool is_worth_naming(const Dhat__Pages *pages)
{
	return pages->highest_blocks && pages->highest_gain_bytes >= WORTH_BYTES &&
	       pages->highest_gain_bytes >= pages->resident_bytes / 100;
}

/* The few blocks at the end of a heap. */
static void print_highest(struct screen *screen, const struct pinning *pinning)
{
	const Dhat__Pages *pages = pinning->table->snapshot->end->pages;
	size_t count = sort(pinning->table, BY_HIGHEST), left = pages->highest_blocks;
	char text[256], gain[DHAT_UNIT_CHARS], own[DHAT_UNIT_CHARS];

	if (!is_worth_naming(pages))
		return;
	snprintf(text, sizeof(text),
		 "%s would go back if %s (%s) went, or moved: %s highest in a heap of glibc's, "
		 "which shrinks from its end only",
		 dhat_format_size(pages->highest_gain_bytes, gain),
		 view_counted(pages->highest_blocks, "block"),
		 dhat_format_size(pages->highest_bytes, own),
		 pages->highest_blocks == 1 ? "it lies" : "they lie");
	say(screen, text);
	for (size_t i = 0; i < count && i < MOST_HIGHEST; i++) {
		const struct dhat_rendered_point *point = pinning->table->points[i];

		fprintf(screen->file, "    %s (%s) from\n",
			view_counted(point->pages.highest_blocks, "block"),
			dhat_format_size(point->pages.highest_bytes, own));
		rows_print_stack(screen, pinning->table, point);
		left -= point->pages.highest_blocks;
	}
	if (count > MOST_HIGHEST && left)
		fprintf(screen->file, "    and %s of others\n", view_counted(left, "block"));
}

/* What gives back whole pages that are free. */
static void print_trimming(struct screen *screen, const Dhat__Pages *pages)
{
	uint64_t bytes = pages->below_bytes + pages->above_bytes;
	char text[256], size[DHAT_UNIT_CHARS];

	if (bytes < WORTH_BYTES || bytes < pages->resident_bytes / 20 || !pages->knows_all_blocks)
		return;
	if (pages->is_glibc)
		snprintf(text, sizeof(text),
			 "%s would go back at once if the program called malloc_trim(0)",
			 dhat_format_size(bytes, size));
	else
		snprintf(text, sizeof(text),
			 "%s are whole pages without a live block: free in a slab that has one, or "
			 "kept for what comes next; how long, the allocator's settings say",
			 dhat_format_size(bytes, size));
	say(screen, text);
}

/* The row with the most beside it. */
static void print_most(struct screen *screen, const struct dhat_rendered_point *point)
{
	const struct dhat_point_pages *pages = &point->pages;
	char text[256], alone[DHAT_UNIT_CHARS], live[DHAT_UNIT_CHARS];

	if (pages->alone_bytes < WORTH_BYTES)
		return;
	snprintf(text, sizeof(text),
		 "%s in whole pages would be free if the %s (%s) of the first row below went, or "
		 "moved",
		 dhat_format_size(pages->alone_bytes, alone),
		 view_counted(point->live_blocks, "block"),
		 dhat_format_size(point->live_bytes, live));
	say(screen, text);
}

/* ---- figures ----------------------------------------------------------------------------- */

static void print_part(struct screen *screen, const char *name, uint64_t bytes, uint64_t sum,
		       const char *meaning)
{
	char size[DHAT_UNIT_CHARS];

	if (!bytes)
		return;
	fprintf(screen->file, "%10s %5.1f%%  ", dhat_format_size(bytes, size),
		sum ? 100.0 * bytes / sum : 100.0);
	screen_column(screen, name, 18);
	fputs("  ", screen->file);
	screen_mark(screen, MARK_DIM);
	screen_paragraph(screen, 39, meaning);
	screen_mark(screen, MARK_NONE);
}

static void print_parts(struct screen *screen, const struct dhat_snapshot *snapshot)
{
	const Dhat__Pages *pages = snapshot->end->pages;
	uint64_t sum = pages->resident_bytes;
	bool is_known = pages->knows_all_blocks;
	char text[256];

	snprintf(text, sizeof(text), "The allocator has %s in memory%s%s%s:", view_size(sum),
		 *view_rss(snapshot) ? " (the process: " : "", view_rss(snapshot),
		 *view_rss(snapshot) ? ")" : "");
	fputc('\n', screen->file);
	screen_paragraph(screen, 0, text);
	print_part(screen, "live blocks", pages->live_bytes, sum, "as asked for");
	print_part(screen, "beside them", pages->beside_bytes, sum,
		   is_known ? "on the same pages: free, heads, rounding"
			    : "on the same pages: free, heads, blocks from before the attach");
	print_part(screen, "below them", pages->below_bytes, sum,
		   is_known ? "whole pages that are free, below the highest block of a mapping"
			    : "whole pages, free or of blocks from before the attach, below the "
			      "highest block of a mapping that is known");
	print_part(screen, "above them", pages->above_bytes, sum,
		   is_known ? "whole pages that are free, above it: kept for what comes next"
			    : "the same, above it");
}

static void print_elsewhere(struct screen *screen, const struct dhat_rendering *by_line)
{
	struct dhat_point_pages sum = { 0 };
	const struct dhat_snapshot *snapshot = by_line->snapshot;
	char text[256], swapped[DHAT_UNIT_CHARS], untouched[DHAT_UNIT_CHARS];

	for (size_t i = 0; i < snapshot->point_count; i++)
		dhat_point_pages_add(&sum, snapshot->points[i]);
	if (!sum.swapped_bytes && !sum.untouched_bytes)
		return;
	snprintf(text, sizeof(text),
		 "Of live blocks %s more are swapped out, and %s not in memory: never touched, or "
		 "given back",
		 dhat_format_size(sum.swapped_bytes, swapped),
		 dhat_format_size(sum.untouched_bytes, untouched));
	screen_paragraph(screen, 0, text);
}

/* ---- the list ---------------------------------------------------------------------------- */

/* "1 to 10 min: 12 MiB, a day and more: 3 MiB": who has kept it so long. */
static void print_ages(struct screen *screen, const struct dhat_point_pages *pages)
{
	char text[512] = "beside blocks ", size[DHAT_UNIT_CHARS];
	size_t used = strlen(text);
	bool has_one = false;

	for (uint8_t i = DHAT_PAGE_AGES; i--;) {
		if (pages->beside_ages[i] < pages->beside_bytes / 100 || !pages->beside_ages[i])
			continue;
		used += snprintf(text + used, sizeof(text) - used, "%s%s%s: %s",
				 has_one ? ", " : "", dhat_page_age_name(i),
				 i == DHAT_PAGE_AGE_BEFORE ? "" : " old",
				 dhat_format_size(pages->beside_ages[i], size));
		has_one = true;
	}
	fprintf(screen->file, "%*s", INDENT, "");
	screen_paragraph(screen, INDENT, text);
}

static void print_row(struct screen *screen, const struct pinning *pinning, size_t i)
{
	const struct dhat_rendered_point *point = pinning->table->points[i];
	const struct dhat_point_pages *pages = &point->pages;
	char text[256], beside[DHAT_UNIT_CHARS], other[DHAT_UNIT_CHARS];
	const char *size = dhat_format_size(pages->beside_bytes, beside);

	fprintf(screen->file, "\n%4zu. ", i + 1);
	screen_print(screen, MARK_BOLD, "%s", size);
	snprintf(text, sizeof(text), " beside %s in %s",
		 dhat_format_size(pages->resident_bytes, other),
		 view_counted(point->live_blocks, "block"));
	screen_continue(screen, INDENT, INDENT + strlen(size), text);
	snprintf(text, sizeof(text), "%s would go back with them: pages with no other live block",
		 dhat_format_size(pages->alone_bytes, other));
	fprintf(screen->file, "%*s", INDENT, "");
	screen_paragraph(screen, INDENT, text);
	print_ages(screen, pages);
	rows_print_stack(screen, pinning->table, point);
}

static void print_list(struct screen *screen, const struct pinning *pinning)
{
	size_t count = sort(pinning->table, BY_BESIDE);
	size_t shown = count < pinning->top ? count : pinning->top;
	char text[256];
	int used;

	if (!shown)
		return;
	used = snprintf(text, sizeof(text),
			"%s whose live blocks have the most beside them on their pages",
			dhat_by_title(pinning->table->style.by));
	if (count > shown)
		used += snprintf(text + used, sizeof(text) - used, ", %s of %s (--top)",
				 view_count(shown), view_count(count));
	snprintf(text + used, sizeof(text) - used, ":");
	fputc('\n', screen->file);
	screen_paragraph(screen, 0, text);
	for (size_t i = 0; i < shown; i++)
		print_row(screen, pinning, i);
}

static void print(const struct pinning *pinning)
{
	const struct dhat_snapshot *snapshot = pinning->table->snapshot;
	const Dhat__Pages *pages = snapshot->end->pages;
	char text[DHAT_KEEPING_CHARS];
	enum dhat_keeping keeping;
	struct screen screen;
	double growth;

	screen_init(&screen, stdout);
	view_verdict(&screen, snapshot->end->verdict, "");
	view_targets(&screen, "", snapshot);
	keeping = dhat_keeping_judge(pinning->by_line, pinning->suspects, &growth);
	dhat_keeping_say(keeping, pages, growth, text);
	fputc('\n', stdout);
	screen_mark(&screen, MARK_BOLD);
	screen_paragraph(&screen, 0, text);
	screen_mark(&screen, MARK_NONE);
	if (keeping == DHAT_KEEPS_LEAK || keeping == DHAT_KEEPS_GROWING)
		say(&screen, "which, since when, and why that is said: dhatctl suspects");
	print_trimming(&screen, pages);
	if (keeping == DHAT_KEEPS_FRAGMENTS && sort(pinning->table, BY_BESIDE))
		print_most(&screen, pinning->table->points[0]);
	print_highest(&screen, pinning);
	print_parts(&screen, snapshot);
	print_elsewhere(&screen, pinning->by_line);
	print_list(&screen, pinning);
	filtering_print(&screen, pinning->filter);
}

/* ---- for programs ------------------------------------------------------------------------ */

static void add(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *pages_as_json(const Dhat__Pages *pages)
{
	struct json_object *object = json_object_new_object();

	add(object, "resident_bytes", pages->resident_bytes);
	add(object, "swapped_bytes", pages->swapped_bytes);
	add(object, "live_bytes", pages->live_bytes);
	add(object, "beside_bytes", pages->beside_bytes);
	add(object, "below_bytes", pages->below_bytes);
	add(object, "above_bytes", pages->above_bytes);
	add(object, "highest_blocks", pages->highest_blocks);
	add(object, "highest_bytes", pages->highest_bytes);
	add(object, "highest_gain_bytes", pages->highest_gain_bytes);
	json_object_object_add(object, "knows_all_blocks",
			       json_object_new_boolean(pages->knows_all_blocks));
	return object;
}

static struct json_object *row_as_json(const struct dhat_rendering *table,
				       const struct dhat_rendered_point *point)
{
	struct json_object *object = json_object_new_object();

	add(object, "live_bytes", point->live_bytes);
	add(object, "live_blocks", point->live_blocks);
	pages_add_json(object, &point->pages);
	json_object_object_add(object, "lines", rows_lines_as_json(table, point));
	return object;
}

static int print_json(const struct pinning *pinning)
{
	const struct dhat_rendering *table = pinning->table;
	const struct dhat_snapshot *snapshot = table->snapshot;
	const char *verdict = dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict));
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array();
	char text[DHAT_KEEPING_CHARS];
	enum dhat_keeping keeping;
	double growth;
	int r;

	keeping = dhat_keeping_judge(pinning->by_line, pinning->suspects, &growth);
	dhat_keeping_say(keeping, snapshot->end->pages, growth, text);
	add(object, "pid", snapshot->head->target->pid);
	add(object, "taken_unix_ns", snapshot->head->taken_unix_ns);
	json_object_object_add(object, "verdict", json_object_new_string(verdict));
	json_object_object_add(object, "keeps", json_object_new_string(dhat_keeping_name(keeping)));
	json_object_object_add(object, "says", json_object_new_string(text));
	json_object_object_add(object, "growth_bytes_per_minute",
			       json_object_new_int64((int64_t)growth));
	add(object, "rss_bytes", view_rss_bytes(snapshot));
	json_object_object_add(object, "pages", pages_as_json(snapshot->end->pages));
	json_object_object_add(object, "by", json_object_new_string(dhat_by_name(table->style.by)));
	json_object_object_add(object, "left_out", filtering_as_json(pinning->filter));
	sort(pinning->table, BY_BESIDE);
	for (size_t i = 0; i < table->point_count; i++)
		if (table->points[i]->live_blocks)
			json_object_array_add(rows, row_as_json(table, table->points[i]));
	json_object_object_add(object, "rows", rows);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

int pinning_print(const struct pinning *pinning, bool as_json)
{
	if (as_json)
		return print_json(pinning);
	print(pinning);
	return 0;
}
