#include "top_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/function_name.h"
#include "proto/profile/own_code.h"
#include "proto/wire/words.h"
#include "view.h"

/* A text that grows; what could not be written is noticed at the end. */
struct text {
	char *at;
	size_t size;
	FILE *file;
};

static FILE *text_begin(struct text *text)
{
	*text = (struct text){ 0 };
	text->file = open_memstream(&text->at, &text->size);
	return text->file;
}

static char *text_end(struct text *text)
{
	bool failed = ferror(text->file);

	if (fclose(text->file) || failed) {
		free(text->at);
		return NULL;
	}
	return text->at;
}

/* ---- figures ------------------------------------------------------------------------------- */

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

/* "+1.2 MiB", "-3 B", "0" */
static const char *signed_size(int64_t bytes, char text[DHAT_UNIT_CHARS + 1])
{
	char size[DHAT_UNIT_CHARS];

	if (!bytes)
		return strcpy(text, "0");
	*text = bytes < 0 ? '-' : '+';
	strcpy(text + 1, dhat_format_size(magnitude(bytes), size));
	return text;
}

static void put_live(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_size(row->live_bytes, text);
}

/* The ends of what a sample tells; of what is exact they are not shown. */
static struct dhat_interval interval_of(const struct top_model *model, const struct top_row *row)
{
	return dhat_rendered_interval(model->table, row->point, DHAT_ESTIMATED_LIVE);
}

static void put_least(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_size(interval_of(model, row).low, text);
}

static void put_most(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_size(interval_of(model, row).high, text);
}

static void put_growth(const struct top_model *model, const struct top_row *row, char *text)
{
	signed_size(row->grown_bytes, text);
}

static void put_a_minute(const struct top_model *model, const struct top_row *row, char *text)
{
	signed_size((int64_t)top_model_a_minute(model, row->grown_bytes), text);
}

static void put_allocs(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_count((uint64_t)(row->allocs_per_second + 0.5), text);
}

static void put_blocks(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_count(row->live_blocks, text);
}

static void put_total(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_size(row->total_bytes, text);
}

static void put_lost(const struct top_model *model, const struct top_row *row, char *text)
{
	if (!model->snapshot->end->last_holds)
		strcpy(text, "?"); /* nobody has looked */
	else if (!row->lost_bytes)
		strcpy(text, "0");
	else
		dhat_format_size(row->lost_bytes, text);
}

/* How long ago the latest allocation was. */
static void put_last(const struct top_model *model, const struct top_row *row, char *text)
{
	dhat_format_duration(
		model->last.end_ns > row->last_ns ? model->last.end_ns - row->last_ns : 0, text);
}

static const struct column {
	const char *title;
	int width;
	int key; /* enum top_key; -1: rows are not sorted by it */
	void (*put)(const struct top_model *model, const struct top_row *row, char *text);
} figures[] = {
	/* the most wanted first */
	{ "LIVE", 8, TOP_LIVE, put_live },
	{ "AT LEAST", 8, -1, put_least },
	{ "AT MOST", 8, -1, put_most },
	{ "GROWTH", 9, TOP_GROWTH, put_growth },
	{ "LOST", 8, TOP_LOST, put_lost },
	{ "A MINUTE", 9, -1, put_a_minute },
	{ "ALLOCS/S", 9, TOP_ALLOCS, put_allocs },
	{ "BLOCKS", 10, TOP_BLOCKS, put_blocks },
	{ "TOTAL", 8, TOP_TOTAL, put_total },
	{ "LATEST", 11, -1, put_last },
};

#define LEAST_NAME 38 /* columns that are left for names before a figure goes */

/* Which figures are shown; *used: their columns, and the blanks behind each. */
static unsigned choose(const struct top_model *model, size_t columns, size_t *used)
{
	unsigned chosen = 0;

	*used = 0;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (figures[i].key == (int)model->options.key) {
			chosen = 1u << i;
			*used = figures[i].width + 1;
		}
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		size_t wider = *used + figures[i].width + 1;

		if (chosen & 1u << i || (columns && wider + LEAST_NAME > columns))
			continue;
		if (figures[i].key == TOP_LOST && !model->snapshot->end->last_holds)
			continue; /* nobody has looked */
		if ((figures[i].put == put_least || figures[i].put == put_most) &&
		    !model->snapshot->head->sample_bytes)
			continue;
		chosen |= 1u << i;
		*used = wider;
	}
	return chosen;
}

/* ---- names --------------------------------------------------------------------------------- */

/* "…/bits/stl_vector.h:1281": folders go, from the left. */
static const char *fit_path(const char *path, size_t columns, bool *is_cut)
{
	const char *rest = path, *slash;

	*is_cut = false;
	while (columns && dhat_text_width(rest) + (*is_cut ? 2 : 0) > columns &&
	       (slash = strchr(rest, '/'))) {
		rest = slash + 1;
		*is_cut = true;
	}
	return rest;
}

static void put_path(FILE *file, const char *path, size_t columns)
{
	_cleanup_free_ char *clean = dhat_text_clean(path);
	bool is_cut;
	const char *rest = clean ? fit_path(clean, columns, &is_cut) : NULL;

	if (rest)
		fprintf(file, "%s%s", is_cut ? "…/" : "", rest);
}

static char *fit_name(const struct dhat_line_style *style, const char *name, size_t columns)
{
	_cleanup_free_ char *clean = dhat_text_clean(name);

	if (!clean || !columns || style->has_whole_names)
		return take_ptr(clean);
	return dhat_fitting_name(clean, columns);
}

/* "load_session  targets/demo_service.c:51": of the place at least the file, the name gets the
 * rest.
 */
static void put_function(FILE *file, const struct dhat_line_style *style, const char *name,
			 const char *place, size_t columns)
{
	size_t least = place ? dhat_text_width(dhat_text_base_name(place)) + 4 : 0, room = 0, used;
	_cleanup_free_ char *shown = NULL;

	if (columns)
		room = columns > least + 8 ? columns - least : columns;
	shown = fit_name(style, name, room);
	if (!shown)
		return;
	fputs(shown, file);
	used = dhat_text_width(shown) + 2;
	if (!place || (columns && used >= columns))
		return;
	fputs("  ", file);
	put_path(file, place, columns ? columns - used : 0);
}

/* The names of a stack from the innermost of one's own code on, as many as fit: "parse ← load". */
struct chain {
	FILE *file;
	const struct dhat_line_style *style;
	size_t columns, used, count;
};

static bool chain_add(struct chain *chain, const char *function)
{
	size_t room = chain->columns ? chain->columns - chain->used : 0;
	_cleanup_free_ char *name = dhat_short_name(function), *shown = NULL;
	size_t width;

	if (chain->count)
		room = room > 3 ? room - 3 : room;
	shown = name ? fit_name(chain->style, name, room) : NULL;
	width = shown ? dhat_text_width(shown) + (chain->count ? 3 : 0) : 0;
	if (!shown || (chain->count && chain->columns && chain->used + width > chain->columns))
		return false;
	fprintf(chain->file, "%s%s", chain->count ? " ← " : "", shown);
	chain->used += width;
	chain->count++;
	return !chain->columns || chain->used + 4 < chain->columns;
}

static size_t own_frame(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point)
{
	for (size_t i = 0; i < point->n_frames; i++) {
		const Dhat__Frame *frame = snapshot->frames[point->frames[i] - 1];

		if (!frame->n_locations && dhat_is_own_code(frame, NULL))
			return i;
		for (size_t j = 0; j < frame->n_locations; j++)
			if (dhat_is_own_code(frame, frame->locations[j]))
				return i;
	}
	return 0;
}

static void put_stack(FILE *file, const struct top_model *model,
		      const struct dhat_rendered_point *row, size_t columns)
{
	const struct dhat_snapshot *snapshot = model->snapshot;
	const Dhat__ProgramPoint *point = row->part;
	struct chain chain = { file, &model->options.table.style, columns, 0, 0 };
	bool has_begun = false;

	for (size_t i = own_frame(snapshot, point); i < point->n_frames; i++) {
		const Dhat__Frame *frame = snapshot->frames[point->frames[i] - 1];
		char unnamed[64];

		snprintf(unnamed, sizeof(unnamed), "0x%" PRIx64, frame->address);
		if (!frame->n_locations && !chain_add(&chain, unnamed))
			return;
		for (size_t j = 0; j < frame->n_locations; j++) {
			const Dhat__Location *location = frame->locations[j];

			has_begun |= frame->n_locations == 1 || dhat_is_own_code(frame, location);
			if (has_begun &&
			    !chain_add(&chain, *location->function ? location->function : unnamed))
				return;
		}
		has_begun = true;
	}
	if (!chain.count) /* "[stack lost]" */
		put_path(file, model->table->lines[row->lines[0]], columns);
}

static void put_name(FILE *file, const struct top_model *model, const struct top_row *row,
		     size_t columns)
{
	const struct dhat_rendered_point *point = row->point;
	const char *line = model->table->lines[point->lines[point->line_count - 1]], *place;
	_cleanup_free_ char *name = NULL;

	if (model->options.table.style.by == DHAT_BY_STACK) {
		put_stack(file, model, point, columns);
		return;
	}
	dhat_table_line_split(line, &name, &place);
	if (!name)
		return;
	if (place)
		put_function(file, &model->options.table.style, name, place, columns);
	else
		put_path(file, name, columns);
}

/* ---- lines --------------------------------------------------------------------------------- */

char *top_text_title(const struct top_model *model)
{
	const Dhat__Target *target = model->snapshot->head->target;
	_cleanup_free_ char *name = NULL;
	char program[DHAT_PROGRAM_CHARS], duration[DHAT_UNIT_CHARS];
	struct text text;

	name = dhat_text_clean(dhat_program_name(target->command, target->executable, program));
	if (!name || !text_begin(&text))
		return NULL;
	fprintf(text.file, "%s (pid %" PRIu32 "), watched for %s", name, target->pid,
		dhat_format_duration(target->observed_ns, duration));
	if (strcmp(target->state, DHAT_STATE_ATTACHED)) {
		_cleanup_free_ char *detail = dhat_text_clean(target->state_detail);

		fprintf(text.file, ", %s%s%s", target->state, detail && *detail ? ": " : "",
			detail ?: "");
	}
	return text_end(&text);
}

/* "; 397 KiB lost, 2 min ago" */
static void put_lost_sum(FILE *file, const struct top_model *model)
{
	const Dhat__LastHolds *last = model->snapshot->end->last_holds;
	char size[DHAT_UNIT_CHARS], age[DHAT_UNIT_CHARS];

	if (!last)
		return;
	dhat_format_duration(
		model->last.end_ns > last->taken_ns ? model->last.end_ns - last->taken_ns : 0, age);
	if (last->lost && last->lost->blocks)
		fprintf(file, "; %s lost, seen %s ago", dhat_format_size(last->lost->bytes, size),
			age);
	else if (!last->is_refused)
		fprintf(file, "; nothing lost, seen %s ago", age);
}

/* ", 40.1 MiB to 44.1 MiB at 95%", of a sample. */
static void put_interval(FILE *file, const struct top_model *model)
{
	struct dhat_interval interval;
	struct dhat_evidence evidence;
	char text[DHAT_INTERVAL_CHARS];

	dhat_evidence_of_snapshot(model->snapshot, &evidence);
	interval = dhat_interval_of(model->snapshot->head->sample_bytes, &evidence,
				    DHAT_ESTIMATED_LIVE, model->last.live_bytes);
	if (dhat_interval_is_wide(&interval))
		fprintf(file, ", %s at 95%%", dhat_interval_text(&interval, text));
}

char *top_text_totals(const struct top_model *model, size_t columns)
{
	char size[DHAT_UNIT_CHARS], grown[DHAT_UNIT_CHARS + 1], rate[DHAT_UNIT_CHARS + 1];
	uint64_t since = model->snapshot->head->target->observed_since_unix_ns;
	bool is_wide = !columns || columns >= 120;
	struct text text;

	if (!text_begin(&text))
		return NULL;
	fprintf(text.file, "Live %s in %s", dhat_format_size(model->last.live_bytes, size),
		view_counted(model->last.live_blocks, "block"));
	put_interval(text.file, model);
	fprintf(text.file, "; %s since %s", signed_size(model->grown_bytes, grown),
		model->since ? model->snapshot->head->marks[model->since - 1]->name
			     : view_moment(since + model->baseline_ns));
	if (top_model_a_minute(model, model->grown_bytes) != 0)
		fprintf(text.file, ", %s a minute",
			signed_size((int64_t)top_model_a_minute(model, model->grown_bytes), rate));
	if (is_wide && model->before_bytes)
		fprintf(text.file, "; %s of it from before the attach",
			dhat_format_size(model->before_bytes, size));
	put_lost_sum(text.file, model);
	if (is_wide)
		fprintf(text.file, "; peak %s", dhat_format_size(model->last.peak_bytes, size));
	return text_end(&text);
}

/* What was typed, and that the command line has some, too. */
static void put_filter(FILE *file, const struct top_model *model)
{
	_cleanup_free_ char *pattern = dhat_text_clean(model->pattern ?: "");
	char size[DHAT_UNIT_CHARS];

	if (!pattern || (!model->pattern && !model->options.filter->count))
		return;
	fprintf(file, ", %s%s: %s live", *pattern ? "filter " : "filtered", pattern,
		dhat_format_size(model->shown_bytes, size));
}

char *top_text_rows(const struct top_model *model)
{
	static const char *const orders[TOP_KEY_COUNT] = { "live bytes",	   "growth",
							   "allocations a second", "live blocks",
							   "bytes ever allocated", "lost bytes" };
	struct text text;

	if (!text_begin(&text))
		return NULL;
	fprintf(text.file, "%s by %s",
		view_counted(model->row_count, dhat_by_name(model->options.table.style.by)),
		model->since && model->options.key == TOP_GROWTH ? "what is live since the mark"
								 : orders[model->options.key]);
	put_filter(text.file, model);
	if (model->seconds > 0)
		fprintf(text.file, "; %s allocations a second, %s frees",
			view_count((uint64_t)(model->allocs_per_second + 0.5)),
			view_count((uint64_t)(model->frees_per_second + 0.5)));
	return text_end(&text);
}

char *top_text_heading(const struct top_model *model, size_t columns)
{
	size_t used;
	unsigned chosen = choose(model, columns, &used);
	struct text text;

	if (!text_begin(&text))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		if (chosen & 1u << i)
			fprintf(text.file, "%*s ", figures[i].width,
				model->since && figures[i].key == TOP_GROWTH ? "SINCE"
									     : figures[i].title);
	fputs(" WHERE", text.file);
	return text_end(&text);
}

char *top_text_name(const struct top_model *model, const struct top_row *row, size_t columns)
{
	struct text text;

	if (!text_begin(&text))
		return NULL;
	put_name(text.file, model, row, columns);
	return text_end(&text);
}

char *top_text_row(const struct top_model *model, const struct top_row *row, size_t columns)
{
	size_t used;
	unsigned chosen = choose(model, columns, &used);
	char figure[DHAT_UNIT_CHARS + 1];
	struct text text;

	if (!text_begin(&text))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (!(chosen & 1u << i))
			continue;
		figures[i].put(model, row, figure);
		fprintf(text.file, "%*s ", figures[i].width, figure);
	}
	fputc(' ', text.file);
	used++;
	put_name(text.file, model, row, columns ? (columns > used + 8 ? columns - used : 8) : 0);
	return text_end(&text);
}

/* The lowest and the highest of what is shown; at least a hundredth apart, so that what is level
 * looks level. */
static void find_range(const struct top_history *history, uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < history->count; i++) {
		low = low < history->live_bytes[i] ? low : history->live_bytes[i];
		high = high > history->live_bytes[i] ? high : history->live_bytes[i];
	}
	if (low > high - high / 100)
		low = high - high / 100;
	*ret_low = low;
	*ret_high = high;
}

static uint64_t most_of(const struct top_history *history, size_t from, size_t to)
{
	uint64_t most = history->live_bytes[from];

	while (++from < to)
		if (most < history->live_bytes[from])
			most = history->live_bytes[from];
	return most;
}

char *top_text_history(const struct top_history *history, size_t columns)
{
	static const char *const heights[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	const unsigned steps = ARRAY_SIZE(heights) - 1;
	char low_text[DHAT_UNIT_CHARS], high_text[DHAT_UNIT_CHARS], label[3 * DHAT_UNIT_CHARS];
	uint64_t low, high;
	size_t shown;
	struct text text;

	if (!text_begin(&text))
		return NULL;
	find_range(history, &low, &high);
	snprintf(label, sizeof(label), "  %s to %s", dhat_format_size(low, low_text),
		 dhat_format_size(high, high_text));
	columns = columns > strlen(label) ? columns - strlen(label) : 0;
	shown = history->count < columns ? history->count : columns;
	for (size_t column = 0; column < shown; column++) {
		uint64_t most = most_of(history, column * history->count / shown,
					(column + 1) * history->count / shown);

		fputs(heights[high > low ? (size_t)((double)(most > low ? most - low : 0) * steps /
							    (high - low) +
						    0.5)
					 : 0],
		      text.file);
	}
	fputs(label, text.file);
	return text_end(&text);
}
