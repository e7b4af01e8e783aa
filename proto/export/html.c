/* html: a report for people: one file that any browser opens, without a network.
 *
 * The page is html/report.html, with the other files of html/ and the data in the places that it
 * names. Data are JSON in a script element of a type that is not run, and no "<" stands in
 * them: a name cannot end the element, whatever it is. Arguments of the command line are left out,
 * as in all that is handed on.
 *
 * So that 100,000 stacks fit into 20 MB, texts are there once, and stacks are sorted: each says how
 * many outer frames it has from the one before it. A column has one figure of each stack; those
 * that can be added up over stacks are offered as metrics by the page. A new figure is a line in
 * `columns' below. What there is of time (timeline, marks, suspects) is html_history.c's.
 */
#include "html.h"
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/own_code.h"
#include "proto/profile/rendering.h"
#include "proto/profile/trim.h"
#include "proto/profile/verdict.h"

/* A file as a string; the Makefile knows that this object is made of them. */
#define EMBED(name, path)                                                                          \
	__asm__(".pushsection .rodata\n"                                                           \
		".global " #name "\n" #name ":\n"                                                  \
		".incbin \"" path "\"\n"                                                           \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char name[]
EMBED(html_document, "proto/export/html/report.html");
EMBED(html_style, "proto/export/html/report.css");
EMBED(html_profile, "proto/export/html/profile.js");
EMBED(html_text, "proto/export/html/text.js");
EMBED(html_tree, "proto/export/html/tree.js");
EMBED(html_view, "proto/export/html/view.js");
EMBED(html_drawing, "proto/export/html/drawing.js");
EMBED(html_graph, "proto/export/html/graph.js");
EMBED(html_search, "proto/export/html/search.js");
EMBED(html_table, "proto/export/html/table.js");
EMBED(html_scales, "proto/export/html/scales.js");
EMBED(html_timeline, "proto/export/html/timeline.js");
EMBED(html_head, "proto/export/html/head.js");
EMBED(html_report, "proto/export/html/report.js");

#define NS_PER_MS ((uint64_t)1000000)

/* The first DHAT_METRIC_COUNT are the metrics, in their order. */
static const struct {
	const char *key, *label, *unit;
	size_t offset; /* in a rendered point */
	int64_t divisor;
	bool is_sum;
} columns[] = {
#define POINT(field) offsetof(struct dhat_rendered_point, field)
	{ "live-bytes", "Live", "bytes", POINT(live_bytes), 1, true },
	{ "live-blocks", "Live", "blocks", POINT(live_blocks), 1, true },
	{ "peak-bytes", "At the peak", "bytes", POINT(peak_bytes), 1, true },
	{ "peak-blocks", "At the peak", "blocks", POINT(peak_blocks), 1, true },
	{ "total-bytes", "Allocated in all", "bytes", POINT(total_bytes), 1, true },
	{ "total-blocks", "Allocated in all", "blocks", POINT(total_blocks), 1, true },
	{ "max_bytes", "At its own maximum", "bytes", POINT(max_bytes), 1, false },
	{ "lifetimes_us", "Lifetimes", "us", POINT(lifetimes_us), 1, false },
	{ "first_ms", "First allocation", "ms", POINT(first_ns), NS_PER_MS, false },
	{ "last_ms", "Latest allocation", "ms", POINT(last_ns), NS_PER_MS, false },
#undef POINT
};

struct writer {
	struct html_page page;
	struct interned strings; /* of the frames */
};

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* ---- text ---------------------------------------------------------------------------------- */

int html_put_string(const struct html_page *page, const char *text)
{
	struct json_object *string = dhat_json_string(text);
	const char *json =
		string ? json_object_to_json_string_ext(string, JSON_C_TO_STRING_NOSLASHESCAPE)
		       : NULL;
	int r = json ? 0 : -ENOMEM;

	for (; json && *json; json++)
		if (*json == '<')
			fputs("\\u003c", page->file);
		else
			fputc(*json, page->file);
	json_object_put(string);
	return r;
}

static int put_text_field(const struct html_page *page, const char *key, const char *text)
{
	fprintf(page->file, ",\n\"%s\":", key);
	return html_put_string(page, text);
}

static int put_list(const struct html_page *page, const char *key, char *const *texts, size_t count)
{
	int r = 0;

	fprintf(page->file, ",\n\"%s\":[", key);
	for (size_t i = 0; r == 0 && i < count; i++) {
		fputs(i ? ",\n" : "", page->file);
		r = html_put_string(page, texts[i]);
	}
	fputc(']', page->file);
	return r;
}

/* ---- the head ------------------------------------------------------------------------------ */

static int put_losses(const struct html_page *page)
{
	const Dhat__SnapshotEnd *end = page->rendering->snapshot->end;
	const char *before = "";
	int r = 0;

	fputs(",\n\"losses\":[", page->file);
	for (size_t i = 0; r == 0 && i < end->n_counters; i++) {
		const Dhat__Counter *counter = end->counters[i];

		if (!counter->is_loss || !counter->value)
			continue;
		fprintf(page->file, "%s{\"value\":%" PRIu64 ",\"name\":", before, counter->value);
		before = ",\n";
		r = html_put_string(page, counter->name);
		if (r == 0)
			r = put_text_field(page, "meaning", counter->meaning);
		fputc('}', page->file);
	}
	fputc(']', page->file);
	return r;
}

static void put_pids(const struct html_page *page)
{
	const struct dhat_snapshot *snapshot = page->rendering->snapshot;

	fprintf(page->file, ",\n\"pid\":%" PRIu32 ",\"pids\":[", snapshot->head->target->pid);
	for (size_t i = 0; i < snapshot->pid_count; i++)
		fprintf(page->file, "%s%" PRIu32, i ? "," : "", snapshot->pids[i]);
	fputc(']', page->file);
}

static void put_trimmed(const struct html_page *page)
{
	const char *before = "";

	fputs(",\n\"trimmed\":[", page->file);
	for (unsigned bit = 1; dhat_trim_word(bit); bit <<= 1) {
		if (!(page->rendering->trim_rules & bit))
			continue;
		fprintf(page->file, "%s\"%s\"", before, dhat_trim_word(bit));
		before = ",";
	}
	fputc(']', page->file);
}

static int put_target(const struct html_page *page)
{
	const Dhat__SnapshotHead *head = page->rendering->snapshot->head;
	const Dhat__Target *target = head->target;
	char name[DHAT_PROGRAM_CHARS];
	int r;

	dhat_program_name(target->command, target->executable, name);
	r = put_text_field(page, "program", name);
	if (r == 0)
		r = put_text_field(page, "born", head->born);
	if (r == 0)
		r = put_text_field(page, "executable", target->executable);
	if (r == 0 && page->rendering->snapshot->lacks)
		r = put_text_field(page, "lacks", page->rendering->snapshot->lacks);
	if (r == 0)
		r = put_text_field(page, "host", head->host);
	if (r == 0)
		r = put_text_field(page, "kernel", head->kernel);
	if (r == 0)
		r = put_text_field(page, "state", target->state);
	if (r == 0)
		r = put_text_field(page, "state_detail", target->state_detail);
	if (r == 0)
		r = put_list(page, "allocators", target->allocators, target->n_allocators);
	fprintf(page->file,
		",\n\"since_ms\":%" PRIu64 ",\"observed_ms\":%" PRIu64 ",\"from_start\":%s",
		target->observed_since_unix_ns / NS_PER_MS, target->observed_ns / NS_PER_MS,
		target->from_start ? "true" : "false");
	put_pids(page);
	return r;
}

static int put_verdict(const struct html_page *page)
{
	const Dhat__SnapshotEnd *end = page->rendering->snapshot->end;
	int r;

	fprintf(page->file, ",\n\"verdict\":\"%s\"",
		dhat_verdict_word(dhat_verdict_of(end->verdict)));
	r = put_list(page, "reasons", end->verdict->reasons, end->verdict->n_reasons);
	if (r == 0)
		r = put_losses(page);
	if (r == 0)
		r = put_list(page, "notes", end->notes, end->n_notes);
	fprintf(page->file, ",\n\"peak_ms\":%" PRIu64, end->totals->peak_ns / NS_PER_MS);
	return r;
}

/* ---- frames and stacks --------------------------------------------------------------------- */

/* "NAME\tPLACE\tLINE\tOWN"; a note that is no frame has no tab. Cleaned text has none, either. */
static char *frame_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	bool has_file = location && *location->file;
	_cleanup_free_ char *name = dhat_frame_name(frame, location);
	_cleanup_free_ char *place = dhat_text_clean(has_file ? location->file : frame->object);
	char *line;

	if (!name || !place ||
	    asprintf(&line, "%s\t%s\t%u\t%d", name, place, has_file ? location->line : 0,
		     dhat_is_own_code(frame, location)) < 0)
		return NULL;
	return line;
}

static int put_frame(struct writer *writer, char *line)
{
	const char *name = strsep(&line, "\t"), *place = strsep(&line, "\t"),
		   *number = strsep(&line, "\t");
	uint32_t name_index, place_index;
	int r = interned_add(&writer->strings, name, &name_index);

	if (r == 0)
		r = interned_add(&writer->strings, place ?: "", &place_index);
	/* a number, whatever a file of others has in that place */
	if (r == 0)
		fprintf(writer->page.file, "%" PRIu32 ",%" PRIu32 ",%lu,%d", name_index,
			place_index, strtoul(number ?: "0", NULL, 10), line && !strcmp(line, "1"));
	return r;
}

/* Frame n of the stacks is the rendering's line n. */
static int put_frames(struct writer *writer)
{
	const struct html_page *page = &writer->page;
	const struct dhat_rendering *rendering = page->rendering;
	int r = 0;

	fputs(",\n\"frames\":[", page->file);
	for (size_t i = 0; r == 0 && i < rendering->line_count; i++) {
		_cleanup_free_ char *line = strdup(rendering->lines[i]);

		fputs(i ? ",\n" : "", page->file);
		r = line ? put_frame(writer, line) : -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < html_root_count(page); i++) {
		_cleanup_free_ char *name = html_root_name(page, i), *line = NULL;

		if (!name || asprintf(&line, "%s\t\t0\t0", name) < 0)
			return -ENOMEM;
		fputs(",\n", page->file);
		r = put_frame(writer, line);
	}
	fputc(']', page->file);
	return r < 0 ? r : put_list(page, "strings", writer->strings.list, writer->strings.count);
}

static uint32_t outer(const struct dhat_rendered_point *point, uint32_t depth)
{
	return point->lines[point->line_count - 1 - depth];
}

/* How many outer frames both have. */
static uint32_t shared_by(const struct dhat_rendered_point *a, const struct dhat_rendered_point *b)
{
	uint32_t least = a->line_count < b->line_count ? a->line_count : b->line_count, depth = 0;

	while (depth < least && outer(a, depth) == outer(b, depth))
		depth++;
	return depth;
}

static int compare_stacks(const void *a_, const void *b_)
{
	const struct dhat_rendered_point *a = *(const struct dhat_rendered_point *const *)a_,
					 *b = *(const struct dhat_rendered_point *const *)b_;
	uint32_t depth = shared_by(a, b);

	if (depth == a->line_count || depth == b->line_count)
		return (a->line_count > b->line_count) - (a->line_count < b->line_count);
	return outer(a, depth) < outer(b, depth) ? -1 : 1;
}

/* For each: frames it has from the one before, how many more, and these, outermost first. */
static void put_stacks(const struct html_page *page)
{
	fputs(",\n\"stacks\":[", page->file);
	for (size_t i = 0; i < page->rendering->point_count; i++) {
		const struct dhat_rendered_point *point = page->order[i];
		uint32_t shared = i ? shared_by(page->order[i - 1], point) : 0;

		fprintf(page->file, "%s%" PRIu32 ",%" PRIu32, i ? ",\n" : "", shared,
			point->line_count - shared);
		for (uint32_t depth = shared; depth < point->line_count; depth++)
			fprintf(page->file, ",%" PRIu32, outer(point, depth));
	}
	fputc(']', page->file);
}

/* ---- figures ------------------------------------------------------------------------------- */

static void put_values(const struct html_page *page, size_t column)
{
	for (size_t i = 0; i < page->rendering->point_count; i++) {
		const char *point = (const char *)page->order[i];

		fprintf(page->file, "%s%" PRId64, i ? "," : "",
			*(const int64_t *)(point + columns[column].offset) /
				columns[column].divisor);
	}
}

/* Of what is only a bound (max_bytes), the other one. */
static void put_least_max(const struct html_page *page)
{
	fputs(",\n{\"key\":\"least_max_bytes\",\"label\":\"At its own maximum, at least\","
	      "\"unit\":\"bytes\",\"is_sum\":false,\"values\":[",
	      page->file);
	for (size_t i = 0; i < page->rendering->point_count; i++)
		fprintf(page->file, "%s%" PRIu64, i ? "," : "",
			dhat_rendered_max_is_known(page->order[i])
				? page->order[i]->max_bytes
				: dhat_rendered_least_max(page->order[i]));
	fputs("]}", page->file);
}

static int put_columns(const struct html_page *page)
{
	int r;

	fputs(",\n\"columns\":[", page->file);
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (page->is_difference && !columns[i].is_sum)
			continue; /* maxima and lifetimes have no difference */
		fprintf(page->file,
			"%s{\"key\":\"%s\",\"label\":\"%s\",\"unit\":\"%s\",\"is_sum\":%s,"
			"\"values\":[",
			i ? ",\n" : "", columns[i].key, columns[i].label, columns[i].unit,
			columns[i].is_sum ? "true" : "false");
		put_values(page, i);
		fputs("]}", page->file);
	}
	if (!page->is_difference)
		put_least_max(page);
	html_put_scan_columns(page);
	r = html_put_mark_columns(page);
	fputc(']', page->file);
	return r;
}

/* Of a sample: for each metric of bytes the low and the high ends, by row; and that of all. */
static void put_ends(const struct html_page *page, enum dhat_metric metric, const char *key)
{
	const struct dhat_snapshot *snapshot = page->rendering->snapshot;
	bool is_high = !strcmp(key, "high");

	fprintf(page->file, ",\"%s\":[", key);
	for (size_t i = 0; i < page->rendering->point_count; i++) {
		const struct dhat_rendered_point *point = page->order[i];
		struct dhat_interval interval =
			dhat_metric_interval(snapshot->head->sample_bytes, &point->evidence, metric,
					     dhat_metric_of(point, metric));

		fprintf(page->file, "%s%" PRIu64, i ? "," : "",
			is_high ? interval.high : interval.low);
	}
	fputc(']', page->file);
}

static void put_intervals(const struct html_page *page)
{
	const struct dhat_snapshot *snapshot = page->rendering->snapshot;
	struct dhat_evidence evidence;
	const char *before = "";

	fputs(",\n\"intervals\":{", page->file);
	dhat_evidence_of_snapshot(snapshot, &evidence);
	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		struct dhat_interval all;
		uint64_t sum = 0;

		if (!snapshot->head->sample_bytes || page->is_difference ||
		    !dhat_metric_is_bytes(metric))
			continue;
		for (size_t i = 0; i < page->rendering->point_count; i++)
			sum += dhat_metric_of(page->order[i], metric);
		all = dhat_metric_interval(snapshot->head->sample_bytes, &evidence, metric, sum);
		fprintf(page->file, "%s\"%s\":{\"all\":[%" PRIu64 ",%" PRIu64 "]", before,
			columns[metric].key, all.low, all.high);
		put_ends(page, metric, "low");
		put_ends(page, metric, "high");
		fputc('}', page->file);
		before = ",\n";
	}
	fputc('}', page->file);
}

/* ---- the page ------------------------------------------------------------------------------ */

static int put_data(struct writer *writer, enum dhat_metric shown)
{
	const struct html_page *page = &writer->page;
	int r;

	fprintf(page->file,
		"{\"version\":1,\"tool\":\"dhatd " DHAT_VERSION
		"\",\"shown\":%d,\"is_difference\":%s,\"before_label\":\"" DHAT_LABEL_BEFORE "\"",
		shown, page->is_difference ? "true" : "false");
	r = put_target(page);
	if (r == 0)
		r = put_verdict(page);
	if (r == 0)
		r = html_put_history(page);
	if (r < 0)
		return r;
	put_trimmed(page);
	put_stacks(page);
	r = html_put_holders(page);
	if (r < 0)
		return r;
	r = put_columns(page);
	put_intervals(page);
	if (r == 0)
		r = put_frames(writer);
	fputs("}\n", page->file);
	return r;
}

static int put_page(struct writer *writer, const struct dhat_export_options *options)
{
	/* in the page's order */
	static const struct {
		const char *mark, *text; /* text NULL: the data */
	} places[] = {
		{ "{{report.css}}", html_style },   { "{{data}}", NULL },
		{ "{{profile.js}}", html_profile }, { "{{text.js}}", html_text },
		{ "{{tree.js}}", html_tree },	    { "{{view.js}}", html_view },
		{ "{{drawing.js}}", html_drawing }, { "{{graph.js}}", html_graph },
		{ "{{search.js}}", html_search },   { "{{table.js}}", html_table },
		{ "{{scales.js}}", html_scales },   { "{{timeline.js}}", html_timeline },
		{ "{{head.js}}", html_head },	    { "{{report.js}}", html_report },
	};
	struct html_page *page = &writer->page;
	const char *rest = html_document;
	int r = 0;

	page->is_difference = options->is_difference;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
		const char *mark = strstr(rest, places[i].mark);

		fwrite(rest, 1, mark - rest, page->file);
		if (places[i].text)
			fputs(places[i].text, page->file);
		else
			r = put_data(writer, options->metric);
		rest = mark + strlen(places[i].mark);
	}
	fputs(rest, page->file);
	return r;
}

static int writer_init(struct writer *writer, const struct dhat_rendering *rendering, FILE *file)
{
	struct html_page *page = &writer->page;

	*writer = (struct writer){ .page = { .rendering = rendering, .file = file } };
	page->order = malloc((rendering->point_count + 1) * sizeof(void *));
	if (!page->order)
		return -ENOMEM;
	for (size_t i = 0; i < rendering->point_count; i++)
		page->order[i] = rendering->points[i];
	qsort(page->order, rendering->point_count, sizeof(void *), compare_stacks);
	return 0;
}

static void writer_deinit(struct writer *writer)
{
	interned_deinit(&writer->strings);
	free(writer->page.order);
}

static int write_html(const struct dhat_snapshot *snapshot,
		      const struct dhat_export_options *options, FILE *file, struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	struct writer writer;
	int r;

	r = dhat_rendering_new(snapshot, frame_line, options->trim_rules, &rendering);
	if (r == 0) {
		r = writer_init(&writer, rendering, file);
		if (r == 0)
			r = put_page(&writer, options);
		writer_deinit(&writer);
	}
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile as a page") : 0;
}

const struct dhat_exporter dhat_html_exporter = {
	.name = "html",
	.suffix = ".html",
	.holds_differences = true,
	.write = write_html,
};
