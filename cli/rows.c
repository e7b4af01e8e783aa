#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "births.h"
#include "histograms.h"
#include "pages.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/function_name.h"
#include "view.h"

#define INDENT 6	   /* of a row's lines */
#define ADDRESS_COLUMNS 18 /* 16 digits, 2 blanks */

/* ---- lines --------------------------------------------------------------------------------- */

/* How a name is shown in so many columns; 0: no bound. The caller frees; NULL: no memory. */
static char *fit_name(const struct dhat_rendering *table, const char *name, size_t columns)
{
	_cleanup_free_ char *clean = dhat_text_clean(name);

	if (!clean || !columns || table->style.has_whole_names)
		return take_ptr(clean);
	return dhat_fitting_name(clean, columns);
}

/* "/usr/include/c++/12/bits/stl_vector.h:1281" as "…/bits/stl_vector.h:1281": folders go, from the
 * left. */
static void print_path(struct screen *screen, const char *path, size_t columns)
{
	_cleanup_free_ char *clean = dhat_text_clean(path);
	const char *rest = clean, *slash;

	if (!clean)
		return;
	while (columns && dhat_text_width(rest) + (rest > clean ? 2 : 0) > columns &&
	       (slash = strchr(rest, '/')))
		rest = slash + 1;
	fprintf(screen->file, "%s%s", rest > clean + 1 ? "…/" : "",
		rest > clean + 1 ? rest : clean);
}

/* Columns that are left behind `used`; 0: no bound. */
static size_t room_behind(const struct screen *screen, size_t used)
{
	if (!screen->width)
		return 0;
	return screen->width > used ? screen->width - used : 1;
}

/* The columns of names, behind which the places stand below each other: as wide as the widest, but
 * not too far right. */
static size_t name_columns(const struct screen *screen, const struct dhat_rendering *table,
			   size_t others, const struct dhat_rendered_point *const *points,
			   size_t count)
{
	size_t widest = 0, width, limit = 60;

	if (screen->width)
		limit = screen->width > others ? (screen->width - others) * 6 / 10 : 1;
	for (size_t i = 0; i < count; i++) {
		const struct dhat_rendered_point *point = points[i];

		for (uint32_t j = 0; j < point->line_count; j++) {
			_cleanup_free_ char *name = NULL, *shown = NULL;
			const char *place;

			dhat_table_line_split(table->lines[point->lines[j]], &name, &place);
			if (!name || !place)
				continue;
			shown = fit_name(table, name, screen->width ? limit : 0);
			width = shown ? dhat_text_width(shown) : 0;
			widest = width > widest ? width : widest;
		}
	}
	return widest < limit ? widest : limit;
}

/* name_end: the column behind the name; where the place fits it stands in `column`. */
static void print_place(struct screen *screen, const char *place, size_t name_end, size_t column)
{
	size_t room = room_behind(screen, column > name_end ? column : name_end + 2);
	const char *slash = strrchr(place, '/');
	size_t least = slash ? 1 + dhat_text_width(slash) : dhat_text_width(place);

	if (room && room < least) { /* too little even for the file alone: a line of its own */
		fprintf(screen->file, "\n%*s", INDENT + 2, "");
		room = room_behind(screen, INDENT + 2);
	} else {
		fprintf(screen->file, "%*s", (int)(column > name_end ? column - name_end : 2), "");
	}
	screen_mark(screen, MARK_DIM);
	print_path(screen, place, room);
	screen_mark(screen, MARK_NONE);
}

static void print_line(struct screen *screen, const struct dhat_rendering *table, const char *line,
		       size_t columns)
{
	size_t others = INDENT + (table->style.has_addresses ? ADDRESS_COLUMNS : 0);
	_cleanup_free_ char *name = NULL, *shown = NULL;
	const char *place;

	dhat_table_line_split(line, &name, &place);
	if (!name)
		return;
	fprintf(screen->file, "%*s", INDENT, "");
	if (!place) {
		print_path(screen, name, *line == '\t' ? room_behind(screen, INDENT) : 0);
		fputc('\n', screen->file);
		return;
	}
	if (table->style.has_addresses)
		fprintf(screen->file, "%16.*s  ", (int)strcspn(line, "\t"), line);
	shown = fit_name(table, name, screen->width ? columns : 0);
	if (!shown)
		return;
	fputs(shown, screen->file);
	print_place(screen, place, others + dhat_text_width(shown), others + columns + 2);
	fputc('\n', screen->file);
}

/* ---- figures ------------------------------------------------------------------------------- */

/* "1,000 allocated from 22:13:21 to 22:14:49, none freed" */
static void print_history(struct screen *screen, size_t column, const struct dhat_rendering *table,
			  const struct dhat_rendered_point *point)
{
	uint64_t since = table->snapshot->head->target->observed_since_unix_ns;
	uint64_t total = point->total_blocks, live = point->live_blocks;
	uint64_t freed = total > live ? total - live : 0;
	char text[256], span[128];

	if (!total) {
		snprintf(text, sizeof(text), "from before the watch");
	} else if (table->snapshot->lacks && !point->last_ns) { /* when, above all */
		snprintf(text, sizeof(text), "%s allocated, %s freed", view_count(total),
			 !freed		  ? "none"
			 : freed == total ? "all"
					  : view_count(freed));
	} else if (total == 1) {
		snprintf(text, sizeof(text), "allocated at %s, %s",
			 view_moment(since + point->first_ns), freed ? "freed" : "never freed");
	} else {
		view_span(since + point->first_ns, since + point->last_ns, span, sizeof(span));
		if (!freed || freed == total)
			snprintf(text, sizeof(text), "%s allocated %s, %s freed", view_count(total),
				 span, freed ? "all" : "none");
		else
			snprintf(text, sizeof(text), "%s allocated %s, %s freed (%.1f%%)",
				 view_count(total), span, view_count(freed), 100.0 * freed / total);
	}
	screen_paragraph(screen, column, text);
}

/* What percentages are of: what was allocated since the attach. 0: there is no sum. */
static uint64_t sum_of(const struct dhat_rendering *table, enum ranking_key key)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	const Dhat__Totals *totals = snapshot->end->totals;
	Dhat__ProgramPoint before;

	dhat_snapshot_before(snapshot, &before);
	switch (key) {
	case RANK_BY_TOTAL:
		return totals->total_bytes;
	case RANK_BY_PEAK:
		return totals->peak_bytes > before.peak_bytes
			       ? totals->peak_bytes - before.peak_bytes
			       : 0;
	case RANK_BY_MAX:
	case RANK_BY_GROWTH:
	case RANK_BY_TEMPORARY:
		return 0; /* maxima of different times; not all grow; no bytes */
	case RANK_BY_BORN:
		return dhat_all_born(snapshot, &table->births).bytes;
	default:
		return totals->live_bytes > before.live_bytes
			       ? totals->live_bytes - before.live_bytes
			       : 0;
	}
}

/* Of bytes that were born in a span: how fast. */
static const char *rate_of(const struct dhat_rendering *table, uint64_t bytes)
{
	if (!dhat_has_births(&table->births))
		return "";
	return view_rate(bytes, births_seconds(table->snapshot, &table->births));
}

static bool has_before(const struct dhat_snapshot *snapshot)
{
	Dhat__ProgramPoint before;

	dhat_snapshot_before(snapshot, &before);
	return before.max_blocks || before.live_blocks || before.peak_blocks;
}

/* ---- intervals ----------------------------------------------------------------------------- */

#define INTERVAL_CHARS (DHAT_INTERVAL_CHARS + 12)

/* Of a rate: that of what has grown in all, by the minute. */
static struct dhat_interval growth_interval(const struct dhat_snapshot *snapshot,
					    const struct dhat_rendered_point *point)
{
	const Dhat__PointSlots *slots = snapshot->end->history;
	double minutes = slots ? (double)slots->slot_ns * slots->count / 6e10 : 0;
	struct dhat_interval interval;

	if (!snapshot->head->sample_bytes || minutes <= 0 || point->growth <= 0)
		return (struct dhat_interval){ 0, 0 };
	interval = dhat_interval_of_part(snapshot->head->sample_bytes,
					 (uint64_t)(point->growth * minutes));
	return (struct dhat_interval){ (uint64_t)((double)interval.low / minutes),
				       (uint64_t)((double)interval.high / minutes) };
}

/* Of what a row is sorted by; of what is no sample nothing is to be said. */
static struct dhat_interval interval_of(const struct dhat_rendering *table,
					const struct dhat_rendered_point *point,
					enum ranking_key key)
{
	uint64_t sample_bytes = table->snapshot->head->sample_bytes;

	switch (key) {
	case RANK_BY_TOTAL:
		return dhat_rendered_interval(table, point, DHAT_ESTIMATED_TOTAL);
	case RANK_BY_PEAK:
		return dhat_rendered_interval(table, point, DHAT_ESTIMATED_PEAK);
	case RANK_BY_MAX:
	case RANK_BY_BORN:
		return dhat_interval_of_part(sample_bytes, ranking_bytes(point, key));
	case RANK_BY_GROWTH:
		return growth_interval(table->snapshot, point);
	default:
		return dhat_rendered_interval(table, point, DHAT_ESTIMATED_LIVE);
	}
}

/* ", 58.1 MiB to 76.0 MiB at 95%,", or nothing. */
static const char *interval_words(const struct dhat_interval *interval, char ret[INTERVAL_CHARS])
{
	char text[DHAT_INTERVAL_CHARS];

	*ret = '\0';
	if (dhat_interval_is_wide(interval))
		snprintf(ret, INTERVAL_CHARS, ", %s at 95%%,", dhat_interval_text(interval, text));
	return ret;
}

/* ---- the headline -------------------------------------------------------------------------- */

/* "  from FUNCTION at PLACE" */
static void print_origin(struct screen *screen, const struct dhat_rendering *table,
			 const char *line)
{
	_cleanup_free_ char *name = NULL, *shown = NULL;
	size_t used = strlen("  from ");
	const char *place;

	dhat_table_line_split(line, &name, &place);
	if (name)
		shown = fit_name(
			table, name,
			room_behind(screen,
				    used + (place ? strlen(" at ") + dhat_text_width(place) : 0)));
	if (!shown)
		return;
	fputs("  from ", screen->file);
	screen_print(screen, MARK_BOLD, "%s", shown);
	used += dhat_text_width(shown);
	if (place && screen->width &&
	    used + strlen(" at ") + dhat_text_width(place) > screen->width)
		fputs("\n   at ", screen->file);
	else if (place)
		fputs(" at ", screen->file);
	if (place)
		screen_text(screen, place);
	fputc('\n', screen->file);
}

/* "Most of what is live: ", or "Most of what was allocated since early and lives: " */
static void format_start(const struct dhat_rendering *by_line, bool is_most, char *ret, size_t size)
{
	char name[BIRTHS_CHARS];

	if (dhat_has_births(&by_line->births))
		snprintf(ret, size, "%s of what was allocated %s and lives: ",
			 is_most ? "Most" : "Largest part",
			 births_name(by_line->snapshot, &by_line->births, name));
	else
		snprintf(ret, size, "%s of what is live: ", is_most ? "Most" : "Largest part");
}

static void print_nothing(struct screen *screen, const struct dhat_rendering *by_line, uint64_t sum)
{
	char name[BIRTHS_CHARS];

	screen_print(screen, MARK_BOLD, "Nothing is live");
	if (sum)
		fputs(" in the stacks that were chosen.\n", screen->file);
	else if (dhat_has_births(&by_line->births))
		fprintf(screen->file, " of what was allocated %s.\n",
			births_name(by_line->snapshot, &by_line->births, name));
	else
		fputs(" of what was allocated since the watch began.\n", screen->file);
}

/* With the size behind it, on a line of its own if need be; returns the columns used of that. */
static size_t print_start(struct screen *screen, char *start, const char *size)
{
	size_t used = strlen(start);

	if (screen->width && used + strlen(size) > screen->width) {
		start[used - 1] = '\0'; /* the blank */
		screen_paragraph(screen, 2, start);
		used = 2;
		fputs("  ", screen->file);
	} else {
		fputs(start, screen->file);
	}
	screen_print(screen, MARK_BOLD, "%s", size);
	return used + strlen(size);
}

void rows_headline(struct screen *screen, struct dhat_rendering *by_line)
{
	bool has_births = dhat_has_births(&by_line->births);
	enum ranking_key key = has_births ? RANK_BY_BORN : RANK_BY_LIVE;
	uint64_t sum = sum_of(by_line, key), bytes;
	const struct dhat_rendered_point *most;
	bool are_several;
	size_t used;
	char start[BIRTHS_CHARS + 64], text[512], words[INTERVAL_CHARS];
	struct dhat_interval interval;

	if (!ranking_sort(by_line, key)) {
		print_nothing(screen, by_line, sum);
		return;
	}
	most = by_line->points[0];
	bytes = ranking_bytes(most, key);
	/* how many of them have such births is not known */
	are_several = most->part_count > 1 && !has_births;
	format_start(by_line, bytes > sum / 2, start, sizeof(start));
	used = print_start(screen, start, view_size(bytes));
	interval = interval_of(by_line, most, key);
	snprintf(text, sizeof(text), "%s in %s%s%s%s, %.1f%%%s%s", interval_words(&interval, words),
		 view_counted(ranking_blocks(most, key), "block"), are_several ? " from " : "",
		 are_several ? view_count(most->part_count) : "", are_several ? " stacks" : "",
		 100.0 * bytes / (sum ? sum : 1),
		 !has_births && has_before(by_line->snapshot)
			 ? " of what was allocated since the attach"
			 : "",
		 rate_of(by_line, bytes));
	screen_continue(screen, 2, used, text);
	for (uint32_t i = 0; i < most->line_count; i++)
		print_origin(screen, by_line, by_line->lines[most->lines[i]]);
	fputs("  ", screen->file);
	print_history(screen, 2, by_line, most);
}

/* ---- the list ------------------------------------------------------------------------------ */

/* "29,502 of 30,000 blocks were temporary, 98.3%" */
static void print_temporary(struct screen *screen, const struct dhat_rendering *table, size_t i)
{
	const struct dhat_rendered_point *point = table->points[i];
	const char *count = view_count(point->temporary_blocks);
	char text[256];

	fprintf(screen->file, "%4zu. ", i + 1);
	screen_print(screen, MARK_BOLD, "%s", count);
	snprintf(text, sizeof(text), " of %s %s temporary, %.1f%%",
		 view_counted(point->total_blocks, "block"),
		 point->temporary_blocks == 1 ? "was" : "were",
		 100.0 * point->temporary_blocks / point->total_blocks);
	screen_continue(screen, INDENT, INDENT + strlen(count), text);
	fprintf(screen->file, "%*s", INDENT, "");
	print_history(screen, INDENT, table, point);
}

/* Behind the figures of a row, what it was sorted by. */
static void add_precedence(char *text, size_t size, const struct dhat_rendered_point *point,
			   enum ranking_key key)
{
	char duration[DHAT_UNIT_CHARS];
	size_t used = strlen(text);

	if (key == RANK_BY_AGE)
		snprintf(text + used, size - used, ", %s old on average",
			 dhat_format_duration(dhat_rendered_mean_age_us(point) * 1000, duration));
	if (key == RANK_BY_SURVIVAL)
		snprintf(text + used, size - used, ": %.1f%% of what was ever allocated",
			 100.0 * ranking_survival(point));
}

static void print_figures(struct screen *screen, const struct dhat_rendering *table, size_t i,
			  uint64_t sum, const struct rows_options *options)
{
	static const char *const verbs[] = {
		"live", "allocated", "at the peak", "at its maximum", "more a minute, live", "live",
		"live", "",	     "live"
	};
	const struct dhat_rendered_point *point = table->points[i];
	const char *size = view_size(ranking_bytes(point, options->key));
	struct dhat_interval interval = interval_of(table, point, options->key);
	char text[384], words[INTERVAL_CHARS], duration[DHAT_UNIT_CHARS];
	bool is_bound = options->key == RANK_BY_MAX && !dhat_rendered_max_is_known(point);
	size_t used;

	fprintf(screen->file, "%4zu. %s", i + 1, is_bound ? "at most " : "");
	screen_print(screen, MARK_BOLD, "%s", size);
	used = INDENT + (is_bound ? strlen("at most ") : 0) + strlen(size);
	snprintf(text, sizeof(text), " %s%s in %s", verbs[options->key],
		 interval_words(&interval, words),
		 view_counted(ranking_blocks(point, options->key), "block"));
	if (sum && options->key != RANK_BY_AGE && options->key != RANK_BY_SURVIVAL)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %.1f%%",
			 100.0 * ranking_bytes(point, options->key) / sum);
	add_precedence(text, sizeof(text), point, options->key);
	if (options->key == RANK_BY_BORN)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s",
			 rate_of(table, point->born.bytes));
	else if (point->part_count > 1)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s",
			 view_counted(point->part_count, "stack"));
	screen_continue(screen, INDENT, used, text);
	fprintf(screen->file, "%*s", INDENT, "");
	print_history(screen, INDENT, table, point);
	if (options->key == RANK_BY_LIVE || options->key == RANK_BY_AGE ||
	    options->key == RANK_BY_SURVIVAL)
		return;
	if (options->key == RANK_BY_BORN && point->born.bytes == point->live_bytes)
		return;
	snprintf(text, sizeof(text), "%s live %s", view_size(point->live_bytes),
		 options->key == RANK_BY_BORN ? "in all" : "now");
	if (options->key == RANK_BY_TOTAL && point->total_blocks)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "; a block lives %s on average",
			 dhat_format_duration(1000.0 * point->lifetimes_us / point->total_blocks,
					      duration));
	fprintf(screen->file, "%*s", INDENT, "");
	screen_paragraph(screen, INDENT, text);
}

static void print_row(struct screen *screen, const struct dhat_rendering *table,
		      const struct dhat_rendered_point *point, size_t columns)
{
	for (uint32_t i = 0; i < point->line_count; i++)
		print_line(screen, table, table->lines[point->lines[i]], columns);
	if (point->hidden_count && point->part_count == 1)
		fprintf(screen->file, "%*s… %" PRIu32 " more (--depth)\n", INDENT, "",
			point->hidden_count);
	else if (point->hidden_count)
		fprintf(screen->file, "%*s… and on, in %s stacks (--depth)\n", INDENT, "",
			view_count(point->part_count));
}

void rows_print_stack(struct screen *screen, const struct dhat_rendering *table,
		      const struct dhat_rendered_point *point)
{
	size_t others = INDENT + (table->style.has_addresses ? ADDRESS_COLUMNS : 0);

	print_row(screen, table, point, name_columns(screen, table, others, &point, 1));
}

struct json_object *rows_lines_as_json(const struct dhat_rendering *table,
				       const struct dhat_rendered_point *point)
{
	struct json_object *lines = json_object_new_array();

	for (uint32_t i = 0; i < point->line_count; i++) {
		_cleanup_free_ char *name = NULL, *line = NULL;
		const char *place;

		dhat_table_line_split(table->lines[point->lines[i]], &name, &place);
		if (asprintf(&line, "%s%s%s%s", name ?: "", place ? " (" : "", place ?: "",
			     place ? ")" : "") < 0)
			line = NULL;
		json_object_array_add(lines, dhat_json_string(line ?: ""));
	}
	return lines;
}

/* "; percentages are of 2.8 MiB allocated since the attach" */
static void add_whole(char *text, size_t size, const struct dhat_rendering *table, uint64_t sum,
		      enum ranking_key key)
{
	bool is_part = (key == RANK_BY_LIVE || key == RANK_BY_PEAK) && has_before(table->snapshot);
	char whole[DHAT_UNIT_CHARS];

	if (sum && (is_part || key == RANK_BY_BORN))
		snprintf(text + strlen(text), size - strlen(text), "; percentages are of %s%s",
			 dhat_format_size(sum, whole),
			 is_part ? " allocated since the attach" : "");
}

static void print_title(struct screen *screen, const struct dhat_rendering *table, size_t count,
			uint64_t sum, const struct rows_options *options)
{
	static const char *const titles[] = { "live bytes",
					      "bytes ever allocated",
					      "bytes at the peak (t-gmax)",
					      "bytes at their maximum",
					      "growth (of what is never freed) by the minute",
					      "mean age of live blocks",
					      "share of blocks that live",
					      "temporary blocks",
					      "live bytes allocated " };
	bool is_highest = options->key == RANK_BY_AGE || options->key == RANK_BY_SURVIVAL;
	char text[512], name[BIRTHS_CHARS] = "";

	if (options->key == RANK_BY_BORN)
		births_name(table->snapshot, &table->births, name);
	snprintf(text, sizeof(text), "%s with the %s %s%s", dhat_by_title(table->style.by),
		 is_highest ? "highest" : "most", titles[options->key], name);
	if (count > options->top)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s of %s (--top)",
			 view_count(options->top), view_count(count));
	add_whole(text, sizeof(text), table, sum, options->key);
	strcat(text, ":");
	fputc('\n', screen->file);
	screen_paragraph(screen, 0, text);
}

void rows_print(struct screen *screen, struct dhat_rendering *table,
		const struct rows_options *options)
{
	size_t count = ranking_sort(table, options->key), shown, columns;
	size_t others = INDENT + (table->style.has_addresses ? ADDRESS_COLUMNS : 0);
	uint64_t sum = sum_of(table, options->key);

	if (!options->top || !count)
		return;
	shown = count < options->top ? count : options->top;
	print_title(screen, table, count, sum, options);
	columns = name_columns(screen, table, others,
			       (const struct dhat_rendered_point *const *)table->points, shown);
	for (size_t i = 0; i < shown; i++) {
		fputc('\n', screen->file);
		if (options->key == RANK_BY_TEMPORARY)
			print_temporary(screen, table, i);
		else
			print_figures(screen, table, i, sum, options);
		print_row(screen, table, table->points[i], columns);
		if (options->held)
			held_print_row(screen, options->held, table->points[i]);
		if (options->has_pages)
			pages_print(screen, &table->points[i]->pages);
		if (options->has_ages)
			histograms_print_ages(screen, table, table->points[i]);
		if (options->survivors)
			survivors_print(screen, options->survivors, table->points[i]);
		if (options->has_sizes)
			histograms_print_sizes(screen, table, table->points[i]);
	}
}

#define HINT_SHARE 10 /* the largest stack has less than a tenth of what the headline tells */

void rows_hint(struct screen *screen, const struct dhat_rendering *table,
	       const struct dhat_rendering *by_line)
{
	char text[256];

	if (table->style.by != DHAT_BY_STACK || !table->point_count || !by_line->point_count ||
	    table->points[0]->live_bytes >= by_line->points[0]->live_bytes / HINT_SHARE)
		return;
	snprintf(text, sizeof(text),
		 "%s lead to the line at the top: --by line lists sums, --depth 3 puts together "
		 "what begins alike",
		 view_counted(by_line->points[0]->part_count, "stack"));
	fputs("\nHint: ", screen->file);
	screen_paragraph(screen, 6, text);
}
