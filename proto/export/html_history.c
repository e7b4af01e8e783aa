/* What a report says of time: the timeline, the marks with a figure of each stack since them, and
 * the suspects. A difference has none of them. */
#include "html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/profile/suspect_text.h"

#define NS_PER_US ((uint64_t)1000)
#define NS_PER_S ((uint64_t)1000000000)
#define SHOWN_SUSPECTS 3
#define MOMENT_CHARS 64
#define DAY_NS (24 * 3600 * NS_PER_S)

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* In UTC, as the page has all moments; "14:03:22 UTC" without its date. since_ns: since the
 * observation began. */
static const char *format_moment(const struct html_page *page, uint64_t since_ns, bool has_date,
				 char text[static MOMENT_CHARS])
{
	const Dhat__Target *target = page->rendering->snapshot->head->target;
	time_t seconds = (time_t)((target->observed_since_unix_ns + since_ns) / NS_PER_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	if (has_date)
		strftime(text, MOMENT_CHARS, "%Y-%m-%d %H:%M:%S UTC", &tm);
	else
		strftime(text, MOMENT_CHARS, "%H:%M:%S UTC", &tm);
	return text;
}

/* ---- the timeline -------------------------------------------------------------------------- */

static void put_series(const struct html_page *page, const char *key, const uint64_t *values,
		       size_t count)
{
	fprintf(page->file, ",\n\"%s\":[", key);
	for (size_t i = 0; i < count; i++)
		fprintf(page->file, "%s%" PRIu64, i ? "," : "", values[i]);
	fputc(']', page->file);
}

/* Of the whole process, whichever stacks are in the report: as its peak, which is told with it. */
static void put_timeline(const struct html_page *page)
{
	const Dhat__SnapshotEnd *end = page->rendering->snapshot->end;
	const Dhat__Timeline *timeline = end->timeline;

	if (!timeline || !timeline->slot_ns)
		return;
	fprintf(page->file,
		",\n\"timeline\":{\"start_us\":%" PRIu64 ",\"slot_us\":%" PRIu64
		",\"end_us\":%" PRIu64 ",\"peak_us\":%" PRIu64 ",\"peak_bytes\":%" PRIu64,
		timeline->start_ns / NS_PER_US, timeline->slot_ns / NS_PER_US,
		end->totals->end_ns / NS_PER_US, end->totals->peak_ns / NS_PER_US,
		end->totals->peak_bytes);
	put_series(page, "live_bytes", timeline->live_bytes, timeline->n_live_bytes);
	put_series(page, "most_bytes", timeline->most_bytes, timeline->n_most_bytes);
	put_series(page, "live_blocks", timeline->live_blocks, timeline->n_live_blocks);
	put_series(page, "allocations", timeline->allocations, timeline->n_allocations);
	put_series(page, "rss_bytes", timeline->rss_bytes, timeline->n_rss_bytes);
	fputc('}', page->file);
}

/* ---- marks --------------------------------------------------------------------------------- */

static int put_marks(const struct html_page *page)
{
	const Dhat__SnapshotHead *head = page->rendering->snapshot->head;
	int r = 0;

	fputs(",\n\"marks\":[", page->file);
	for (size_t i = 0; r == 0 && i < head->n_marks; i++) {
		fprintf(page->file, "%s{\"us\":%" PRIu64 ",\"name\":", i ? ",\n" : "",
			head->marks[i]->ns / NS_PER_US);
		r = html_put_string(page, head->marks[i]->name);
		fputc('}', page->file);
	}
	fputc(']', page->file);
	return r;
}

/* Of each row, by the number of its point. */
static void sum_up(const struct html_page *page, size_t mark, struct dhat_born *sums)
{
	const struct dhat_rendering *rendering = page->rendering;
	const struct dhat_births births = { .since = mark + 1 };

	for (size_t i = 0; i < rendering->point_count; i++)
		sums[i] = (struct dhat_born){ 0 };
	for (size_t i = 0; i < rendering->snapshot->point_count; i++) {
		struct dhat_born born = dhat_point_born(rendering->snapshot->points[i], &births);
		struct dhat_born *sum = &sums[rendering->point_of[i]->number];

		sum->bytes += born.bytes;
		sum->blocks += born.blocks;
	}
}

static uint64_t figure_of(const struct html_page *page, const struct dhat_born *sums, size_t row,
			  bool is_bytes)
{
	const struct dhat_born *sum = &sums[page->order[row]->number];

	return is_bytes ? sum->bytes : sum->blocks;
}

/* "Since deploy, 14:03:22 UTC" */
static int put_label(const struct html_page *page, const Dhat__Mark *mark)
{
	bool has_days = page->rendering->snapshot->head->target->observed_ns >= DAY_NS;
	char label[DHAT_MARK_MAX_CHARS + MOMENT_CHARS + 16], moment[MOMENT_CHARS];

	snprintf(label, sizeof(label), "Since %s, %s", mark->name,
		 format_moment(page, mark->ns, has_days, moment));
	return html_put_string(page, label);
}

/* Most stacks have nothing since a mark: only the others are told, each with how many rows it
 * stands behind the one before. */
static int put_column(const struct html_page *page, size_t mark, const struct dhat_born *sums,
		      bool is_bytes)
{
	const char *unit = is_bytes ? "bytes" : "blocks", *comma = "";
	size_t count = page->rendering->point_count, before = 0;
	int r;

	fprintf(page->file, ",\n{\"key\":\"since-%zu-%s\",\"mark\":%zu,\"label\":", mark, unit,
		mark);
	r = put_label(page, page->rendering->snapshot->head->marks[mark]);
	fprintf(page->file, ",\"unit\":\"%s\",\"is_sum\":true,\"rows\":[", unit);
	for (size_t row = 0; row < count; row++) {
		if (!figure_of(page, sums, row, is_bytes))
			continue;
		fprintf(page->file, "%s%zu", comma, row - before);
		before = row;
		comma = ",";
	}
	fputs("],\"values\":[", page->file);
	comma = "";
	for (size_t row = 0; row < count; row++) {
		uint64_t value = figure_of(page, sums, row, is_bytes);

		if (!value)
			continue;
		fprintf(page->file, "%s%" PRIu64, comma, value);
		comma = ",";
	}
	fputs("]}", page->file);
	return r;
}

int html_put_mark_columns(const struct html_page *page)
{
	const struct dhat_rendering *rendering = page->rendering;
	_cleanup_free_ struct dhat_born *sums = NULL;
	int r = 0;

	if (page->is_difference || !rendering->snapshot->head->n_marks)
		return 0;
	sums = calloc(rendering->point_count + 1, sizeof(*sums));
	if (!sums)
		return -ENOMEM;
	for (size_t mark = 0; r == 0 && mark < rendering->snapshot->head->n_marks; mark++) {
		sum_up(page, mark, sums);
		r = put_column(page, mark, sums, true);
		if (r == 0)
			r = put_column(page, mark, sums, false);
	}
	return r;
}

/* ---- suspects ------------------------------------------------------------------------------ */

/* Of the stacks that a line stands for the one of which most is live. */
static size_t row_of(const struct html_page *page, const struct dhat_rendering *by_line,
		     const struct dhat_rendered_point *line)
{
	const struct dhat_rendering *rendering = page->rendering;
	const struct dhat_rendered_point *most = NULL;
	size_t row = 0;

	for (size_t i = 0; i < rendering->snapshot->point_count; i++) {
		const struct dhat_rendered_point *stack = rendering->point_of[i];

		if (by_line->point_of[i] == line && (!most || stack->live_bytes > most->live_bytes))
			most = stack;
	}
	while (page->order[row] != most)
		row++;
	return row;
}

static int put_suspect(const struct html_page *page, const struct dhat_rendering *by_line,
		       const struct dhat_suspect *suspect)
{
	const struct dhat_rendered_point *point = suspect->point;
	char why[DHAT_WHY_CHARS], word[DHAT_WORD_CHARS], moment[MOMENT_CHARS];
	int r;

	dhat_suspect_why(by_line->snapshot, suspect,
			 format_moment(page, suspect->suspicion.since_ns, true, moment), why);
	fprintf(page->file,
		"{\"row\":%zu,\"course\":\"%s\",\"word\":\"%s\",\"live_bytes\":%" PRIu64
		",\"live_blocks\":%" PRIu64 ",\"stacks\":%" PRIu32 ",\"why\":",
		row_of(page, by_line, point),
		suspect->suspicion.lost_blocks ? "lost"
					       : dhat_course_name(suspect->suspicion.course),
		dhat_suspect_word(suspect, word), point->live_bytes, point->live_blocks,
		point->part_count);
	r = html_put_string(page, why);
	fputc('}', page->file);
	return r;
}

static int put_judged(const struct html_page *page, const struct dhat_rendering *by_line,
		      const struct dhat_suspects *suspects)
{
	char headline[DHAT_WHY_CHARS];
	int r;

	dhat_suspects_headline(by_line, suspects, headline);
	fputs(",\n\"growth\":", page->file);
	r = html_put_string(page, headline);
	fprintf(page->file, ",\n\"suspect_count\":%zu,\n\"suspects\":[", suspects->suspect_count);
	for (size_t i = 0; r == 0 && i < suspects->suspect_count && i < SHOWN_SUSPECTS; i++) {
		fputs(i ? ",\n" : "", page->file);
		r = put_suspect(page, by_line, &suspects->list[i]);
	}
	fputc(']', page->file);
	return r;
}

/* By line, as `dhatctl explain' has them. */
static int put_suspects(const struct html_page *page)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *by_line = NULL;
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	const struct dhat_table_options options = { .style.by = DHAT_BY_LINE };
	int r;

	if (!dhat_history_slots(page->rendering->snapshot))
		return 0;
	r = dhat_table_new(page->rendering->snapshot, &options, &by_line);
	if (r == 0)
		r = dhat_suspects_find(by_line, &suspects);
	return r < 0 ? r : put_judged(page, by_line, &suspects);
}

int html_put_history(const struct html_page *page)
{
	int r;

	if (page->is_difference)
		return 0;
	put_timeline(page);
	r = put_marks(page);
	return r < 0 ? r : put_suspects(page);
}
