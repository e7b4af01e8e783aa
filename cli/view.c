#include "view.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/trim.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"
#include "shorten.h"

#define TEXTS 4
#define INDENT 6	   /* of a stack's lines */
#define ADDRESS_COLUMNS 18 /* 16 digits, 2 blanks */

const char *view_size(uint64_t bytes)
{
	static char texts[TEXTS][3 * DHAT_UNIT_CHARS];
	static unsigned next;
	char size[DHAT_UNIT_CHARS], count[DHAT_UNIT_CHARS], *text = texts[next++ % TEXTS];

	dhat_format_count(bytes, count);
	if (bytes < 1024)
		snprintf(text, sizeof(texts[0]), "%s byte%s", count, bytes == 1 ? "" : "s");
	else
		snprintf(text, sizeof(texts[0]), "%s (%s bytes)", dhat_format_size(bytes, size),
			 count);
	return text;
}

const char *view_count(uint64_t count)
{
	static char texts[TEXTS][DHAT_UNIT_CHARS];
	static unsigned next;

	return dhat_format_count(count, texts[next++ % TEXTS]);
}

static bool is_same_day(const struct tm *a, const struct tm *b)
{
	return a->tm_yday == b->tm_yday && a->tm_year == b->tm_year;
}

const char *view_moment(uint64_t unix_ns)
{
	static char text[64];
	time_t then = unix_ns / 1000000000, now = time(NULL);
	struct tm then_tm, now_tm;

	localtime_r(&then, &then_tm);
	localtime_r(&now, &now_tm);
	strftime(text, sizeof(text),
		 is_same_day(&then_tm, &now_tm) ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &then_tm);
	return text;
}

/* "from 22:13:21 to 22:14:49" */
static void view_span(struct screen *screen, uint64_t from_unix_ns, uint64_t to_unix_ns)
{
	time_t from = from_unix_ns / 1000000000, to = to_unix_ns / 1000000000;
	struct tm from_tm, to_tm;
	char text[64];

	localtime_r(&from, &from_tm);
	localtime_r(&to, &to_tm);
	strftime(text, sizeof(text), "%H:%M:%S", &to_tm);
	fprintf(screen->file, "from %s ", view_moment(from_unix_ns));
	fprintf(screen->file, "to %s",
		is_same_day(&from_tm, &to_tm) ? text : view_moment(to_unix_ns));
}

void view_verdict(struct screen *screen, const Dhat__Verdict *verdict, const char *indent)
{
	bool is_partial = dhat_verdict_of(verdict) == DHAT_PARTIAL;
	const char *word = is_partial ? "PARTIAL" : "INEXACT"; /* of the same width */

	if (verdict->exact)
		return;
	for (size_t i = 0; i < verdict->n_reasons; i++) {
		fputs(indent, screen->file);
		screen_print(screen, MARK_BAD, "%s%s", i ? "       " : word, i ? " " : ":");
		fputc(' ', screen->file);
		screen_paragraph(screen, strlen(indent) + strlen("INEXACT: "), verdict->reasons[i]);
	}
	if (!verdict->n_reasons)
		screen_print(screen, MARK_BAD, "%s%s\n", indent, word);
}

void view_target(struct screen *screen, const Dhat__Target *target)
{
	char text[DHAT_UNIT_CHARS], tail[256];
	size_t wanted = dhat_text_width(target->command), room;

	snprintf(tail, sizeof(tail), " (pid %" PRIu32 "), %s for %s, since %s", target->pid,
		 target->from_start ? "watched from its start" : "watched",
		 dhat_format_duration(target->observed_ns, text),
		 view_moment(target->observed_since_unix_ns));
	room = screen_room(screen, wanted, strlen(tail));
	screen_column(screen, target->command, room);
	fputs(tail, screen->file);
	if (*target->state && strcmp(target->state, DHAT_STATE_ATTACHED)) {
		fputs("; ", screen->file);
		screen_mark(screen, MARK_BOLD);
		screen_text(screen, target->state);
		screen_mark(screen, MARK_NONE);
		if (*target->state_detail) {
			fputs(": ", screen->file);
			screen_text(screen, target->state_detail);
		}
	}
	fputc('\n', screen->file);
}

/* One of Valgrind's closing lines; numbers end in the same columns. */
static void view_total(struct screen *screen, const char *name, uint64_t bytes, uint64_t blocks,
		       int byte_columns, int block_columns)
{
	char size[DHAT_UNIT_CHARS];

	fprintf(screen->file, "%-10s %*s bytes in %*s blocks", name, byte_columns,
		view_count(bytes), block_columns, view_count(blocks));
	if (bytes >= 1024)
		fprintf(screen->file, "  %8s", dhat_format_size(bytes, size));
}

static int greatest_width(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t greatest = a > b ? a : b;

	return (int)strlen(view_count(greatest > c ? greatest : c));
}

void view_totals(struct screen *screen, const Dhat__Totals *totals)
{
	int bytes = greatest_width(totals->total_bytes, totals->peak_bytes, totals->live_bytes);
	int blocks = greatest_width(totals->total_blocks, totals->peak_blocks, totals->live_blocks);
	char text[DHAT_UNIT_CHARS];

	view_total(screen, "Total:", totals->total_bytes, totals->total_blocks, bytes, blocks);
	fputc('\n', screen->file);
	view_total(screen, "At t-gmax:", totals->peak_bytes, totals->peak_blocks, bytes, blocks);
	fprintf(screen->file, "  %s before t-end",
		dhat_format_duration(totals->end_ns - totals->peak_ns, text));
	fputc('\n', screen->file);
	view_total(screen, "At t-end:", totals->live_bytes, totals->live_blocks, bytes, blocks);
	fputc('\n', screen->file);
}

/* ---- stacks -------------------------------------------------------------------------------- */

/* Functions that only hand memory on: a person wants to know who asked for it. */
static bool is_plumbing(const char *function)
{
	static const char *const prefixes[] = {
		"[",	  "???",      "std::",	 "__gnu_cxx::", "operator new", "alloc::",
		"core::", "<alloc::", "<core::", "hashbrown::", "__rust",	"__rdl",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (!strncmp(function, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return false;
}

/* The line that names a stack best: its innermost function that is no plumbing. */
static const char *telling_line(const struct dhat_rendering *rendering,
				const struct dhat_rendered_point *point)
{
	const char *best = rendering->lines[point->lines[0]];
	char **functions = calloc(point->line_count, sizeof(*functions));
	bool *keep = calloc(point->line_count, sizeof(*keep));
	const char *place;

	for (uint32_t i = 0; functions && i < point->line_count; i++)
		ranking_split_line(rendering->lines[point->lines[i]], &functions[i], &place);
	if (functions && keep)
		dhat_trim_stack((const char *const *)functions, point->line_count,
				DHAT_TRIM_ALLOCATOR | DHAT_TRIM_TOKIO, keep);
	for (uint32_t i = 0; functions && keep && i < point->line_count; i++) {
		if (!keep[i] || !functions[i] || is_plumbing(functions[i]))
			continue;
		best = rendering->lines[point->lines[i]];
		break;
	}
	for (uint32_t i = 0; functions && i < point->line_count; i++)
		free(functions[i]);
	free(functions);
	free(keep);
	return best;
}

/* The parts of a line as they are shown. */
static void split_for_show(const char *line, char **ret_function, const char **ret_place)
{
	_cleanup_free_ char *function = NULL;

	ranking_split_line(line, &function, ret_place);
	*ret_function = function ? shorten_function(function) : NULL;
}

/* Arguments go first when there is too little room. */
static void print_function(struct screen *screen, const char *function, size_t columns)
{
	_cleanup_free_ char *shorter = NULL;

	if (dhat_text_width(function) > columns)
		shorter = shorten_arguments(function);
	screen_column(screen, shorter ? shorter : function, columns);
}

/* "  from FUNCTION at PLACE" */
static void view_origin(struct screen *screen, const char *line)
{
	_cleanup_free_ char *function = NULL;
	const char *place;
	size_t others;

	split_for_show(line, &function, &place);
	if (!function)
		return;
	others = strlen("  from ") + (place ? strlen(" at ") + dhat_text_width(place) : 0);
	fputs("  from ", screen->file);
	screen_mark(screen, MARK_BOLD);
	print_function(screen, function, screen_room(screen, dhat_text_width(function), others));
	screen_mark(screen, MARK_NONE);
	if (place) {
		fputs(" at ", screen->file);
		screen_text(screen, place);
	}
	fputc('\n', screen->file);
}

/* "1,000 allocated from 22:13:21 to 22:14:49, none freed" */
static void view_history(struct screen *screen, const struct dhat_rendering *rendering,
			 const struct dhat_rendered_point *point)
{
	uint64_t since = rendering->snapshot->head->target->observed_since_unix_ns;
	uint64_t total = point->total_blocks, live = point->live_blocks;
	uint64_t freed = total > live ? total - live : 0;

	if (!total) {
		fputs("from before the watch", screen->file);
		return;
	}
	if (total == 1) {
		fprintf(screen->file, "allocated at %s, %s", view_moment(since + point->first_ns),
			freed ? "freed" : "never freed");
		return;
	}
	fprintf(screen->file, "%s allocated ", view_count(total));
	view_span(screen, since + point->first_ns, since + point->last_ns);
	if (!freed)
		fputs(", none freed", screen->file);
	else if (freed == total)
		fputs(", all freed", screen->file);
	else
		fprintf(screen->file, ", %s freed (%.1f%%)", view_count(freed),
			100.0 * freed / total);
}

void view_headline(struct screen *screen, struct dhat_rendering *rendering)
{
	const Dhat__Totals *totals = rendering->snapshot->end->totals;
	const struct dhat_rendered_point *most = NULL;
	size_t count = ranking_sort(rendering, RANK_BY_LIVE);

	for (size_t i = 0; i < count && !most; i++) {
		if (rendering->points[i]->total_blocks)
			most = rendering->points[i];
	}
	if (!most) {
		screen_print(screen, MARK_BOLD, "Nothing is live");
		fputs(" of what was allocated since the watch began.\n", screen->file);
		return;
	}
	fputs(most->live_bytes > totals->live_bytes / 2 ? "Most of what is live: "
							: "Largest part of what is live: ",
	      screen->file);
	screen_print(screen, MARK_BOLD, "%s", view_size(most->live_bytes));
	fprintf(screen->file, " in %s block%s, %.1f%%\n", view_count(most->live_blocks),
		most->live_blocks == 1 ? "" : "s",
		100.0 * most->live_bytes / (totals->live_bytes ? totals->live_bytes : 1));
	view_origin(screen, telling_line(rendering, most));
	fputs("  ", screen->file);
	view_history(screen, rendering, most);
	fputc('\n', screen->file);
}

/* Where the column of places begins: behind the longest function, but not too far right. */
static size_t function_columns(const struct screen *screen, const struct dhat_rendering *rendering,
			       const struct view_points *options, size_t count)
{
	size_t others = INDENT + (options->has_addresses ? ADDRESS_COLUMNS : 0);
	size_t widest = 0, width, limit = 60;

	if (screen->width)
		limit = screen->width > others ? (screen->width - others) * 6 / 10 : 0;

	for (size_t i = 0; i < count; i++) {
		const struct dhat_rendered_point *point = rendering->points[i];

		for (uint32_t j = 0; j < point->line_count; j++) {
			_cleanup_free_ char *function = NULL;
			const char *place;

			if (options->depth && j >= options->depth)
				break;
			split_for_show(rendering->lines[point->lines[j]], &function, &place);
			width = function && place ? dhat_text_width(function) : 0;
			widest = width > widest ? width : widest;
		}
	}
	return widest < limit ? widest : limit;
}

static void view_frame(struct screen *screen, const char *line, size_t columns,
		       const struct view_points *options)
{
	_cleanup_free_ char *function = NULL;
	const char *place;
	size_t room;

	split_for_show(line, &function, &place);
	if (!function)
		return;
	fputs("      ", screen->file);
	if (!place) {
		screen_text(screen, function);
		fputc('\n', screen->file);
		return;
	}
	if (options->has_addresses)
		fprintf(screen->file, "%16.*s  ", (int)strcspn(line, "\t"), line);
	/* into a pipe: the whole name, however long */
	if (!screen->width && dhat_text_width(function) > columns)
		columns = dhat_text_width(function);
	print_function(screen, function, columns);
	fputs("  ", screen->file);
	room = screen_room(screen, dhat_text_width(place),
			   INDENT + columns + 2 + (options->has_addresses ? ADDRESS_COLUMNS : 0));
	screen_mark(screen, MARK_DIM);
	screen_column(screen, place, room);
	screen_mark(screen, MARK_NONE);
	fputc('\n', screen->file);
}

static uint64_t sum_of(const Dhat__Totals *totals, enum ranking_key key)
{
	switch (key) {
	case RANK_BY_TOTAL:
		return totals->total_bytes;
	case RANK_BY_PEAK:
		return totals->peak_bytes;
	case RANK_BY_MAX:
		return 0; /* maxima of different times: no sum */
	default:
		return totals->live_bytes;
	}
}

static void view_point(struct screen *screen, const struct dhat_rendering *rendering, size_t i,
		       const struct view_points *options)
{
	static const char *const verbs[] = { "live", "allocated", "at the peak", "at its maximum" };
	const struct dhat_rendered_point *point = rendering->points[i];
	uint64_t sum = sum_of(rendering->snapshot->end->totals, options->key);
	uint64_t bytes = ranking_bytes(point, options->key);
	uint64_t blocks = ranking_blocks(point, options->key);
	char text[DHAT_UNIT_CHARS];

	fprintf(screen->file, "%4zu. ", i + 1);
	if (options->key == RANK_BY_MAX && !dhat_rendered_max_is_known(point))
		fputs("at most ", screen->file);
	screen_print(screen, MARK_BOLD, "%s", view_size(bytes));
	fprintf(screen->file, " %s in %s block%s", verbs[options->key], view_count(blocks),
		blocks == 1 ? "" : "s");
	if (sum)
		fprintf(screen->file, ", %.1f%%", 100.0 * bytes / sum);
	fputs("\n      ", screen->file);
	view_history(screen, rendering, point);
	if (options->key != RANK_BY_LIVE)
		fprintf(screen->file, "\n      %s live now", view_size(point->live_bytes));
	if (options->key == RANK_BY_TOTAL && point->total_blocks)
		fprintf(screen->file, "; a block lives %s on average",
			dhat_format_duration(1000.0 * point->lifetimes_us / point->total_blocks,
					     text));
	fputc('\n', screen->file);
}

void view_points(struct screen *screen, struct dhat_rendering *rendering,
		 const struct view_points *options)
{
	size_t count = ranking_sort(rendering, options->key), columns;

	count = count < options->top ? count : options->top;
	columns = function_columns(screen, rendering, options, count);
	for (size_t i = 0; i < count; i++) {
		const struct dhat_rendered_point *point = rendering->points[i];

		fputc('\n', screen->file);
		view_point(screen, rendering, i, options);
		for (uint32_t j = 0; j < point->line_count; j++) {
			if (options->depth && j >= options->depth) {
				fprintf(screen->file, "      … %" PRIu32 " more (--depth)\n",
					point->line_count - j);
				break;
			}
			view_frame(screen, rendering->lines[point->lines[j]], columns, options);
		}
	}
}
