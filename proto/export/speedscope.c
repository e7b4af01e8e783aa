/* speedscope: speedscope's own file format, which of all that it reads is the only one that keeps
 * several numbers of a stack, units, inlined functions and a line for each frame.
 *
 * https://www.speedscope.app/file-format-schema.json: stacks are numbers of shared frames,
 * outermost first, and a profile has a list of them beside a list of weights. Without startValue
 * and endValue the picture stays blank, and a single negative weight makes the reader refuse the
 * whole file. Each metric is a profile; the one that is shown first is options->metric. A
 * difference has two of each: what has grown, and what has shrunk, both with weights above 0.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/text.h"
#include "proto/export/intervals.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/rendering.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* "FUNCTION\tFILE\tLINE\tCOLUMN"; cleaned text has no tab */
static char *frame_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	_cleanup_free_ char *name = dhat_frame_name(frame, location);
	_cleanup_free_ char *file =
		dhat_text_clean(location && *location->file ? location->file : frame->object);
	bool has_line = location && *location->file;
	char *line;

	if (!name || !file ||
	    asprintf(&line, "%s\t%s\t%u\t%u", name, file, has_line ? location->line : 0,
		     has_line ? location->column : 0) < 0)
		return NULL;
	return line;
}

static int put_frame(char *line, FILE *file)
{
	const char *name = strsep(&line, "\t"), *path = strsep(&line, "\t"),
		   *number = strsep(&line, "\t"), *column = line;
	/* numbers, whatever a file of others has in their places */
	unsigned long line_number = strtoul(number ?: "0", NULL, 10),
		      column_number = strtoul(column ?: "0", NULL, 10);
	int r;

	fputs("{\"name\":", file);
	r = dhat_json_put_string(file, name);
	if (r == 0 && path && *path) {
		fputs(",\"file\":", file);
		r = dhat_json_put_string(file, path);
	}
	if (line_number)
		fprintf(file, ",\"line\":%lu", line_number);
	if (column_number)
		fprintf(file, ",\"col\":%lu", column_number);
	fputc('}', file);
	return r;
}

static int put_frames(const struct dhat_rendering *rendering, FILE *file)
{
	int r = 0;

	fputs("\"shared\":{\"frames\":[", file);
	for (size_t i = 0; r == 0 && i < rendering->line_count; i++) {
		_cleanup_free_ char *line = strdup(rendering->lines[i]);

		fputs(i ? ",\n" : "\n", file);
		r = line ? put_frame(line, file) : -ENOMEM;
	}
	fputs("]},\n", file);
	return r;
}

static void put_stack(const struct dhat_rendered_point *point, FILE *file)
{
	for (uint32_t i = point->line_count; i; i--)
		fprintf(file, "%s%" PRIu32, i == point->line_count ? "" : ",", point->lines[i - 1]);
}

/* What of a difference goes into a profile; of what is none all figures are above 0. */
enum side { GROWN, SHRUNK };

/* 0: the point is not of that side. */
static uint64_t weight_of(const struct dhat_rendered_point *point, enum dhat_metric metric,
			  bool is_difference, enum side side)
{
	uint64_t value = dhat_metric_of(point, metric);

	if (!is_difference)
		return value;
	if (((int64_t)value < 0) != (side == SHRUNK))
		return 0;
	return side == SHRUNK ? -value : value;
}

static void put_stacks(const struct dhat_rendering *rendering, enum dhat_metric metric,
		       bool is_difference, enum side side, FILE *file)
{
	const char *before = "";

	for (size_t i = 0; i < rendering->point_count; i++) {
		if (!weight_of(rendering->points[i], metric, is_difference, side))
			continue;
		fprintf(file, "%s[", before);
		put_stack(rendering->points[i], file);
		fputc(']', file);
		before = ",\n";
	}
}

/* Points without a weight are left out: they would be bars of no width. */
static void put_profile(const struct dhat_rendering *rendering, enum dhat_metric metric,
			bool is_difference, enum side side, FILE *file)
{
	const char *before = "", *suffix = side == SHRUNK ? " shrunk" : " grown";
	uint64_t sum = 0;

	fprintf(file, "{\"type\":\"sampled\",\"name\":\"%s%s\",\"unit\":\"%s\",\"samples\":[",
		dhat_metric_name(metric), is_difference ? suffix : "",
		dhat_metric_is_bytes(metric) ? "bytes" : "none");
	put_stacks(rendering, metric, is_difference, side, file);
	fputs("],\"weights\":[", file);
	for (size_t i = 0; i < rendering->point_count; i++) {
		uint64_t weight = weight_of(rendering->points[i], metric, is_difference, side);

		if (!weight)
			continue;
		fprintf(file, "%s%" PRIu64, before, weight);
		before = ",";
		sum += weight;
	}
	fprintf(file, "],\"startValue\":0,\"endValue\":%" PRIu64 "}", sum);
}

static void put_profiles(const struct dhat_rendering *rendering, bool is_difference, FILE *file)
{
	for (int metric = 0; metric < DHAT_METRIC_COUNT; metric++) {
		fputs(metric ? ",\n" : "\n", file);
		put_profile(rendering, metric, is_difference, GROWN, file);
		if (!is_difference)
			continue;
		fputs(",\n", file);
		put_profile(rendering, metric, is_difference, SHRUNK, file);
	}
}

static int put_file(const struct dhat_rendering *rendering,
		    const struct dhat_export_options *options, FILE *file)
{
	const Dhat__SnapshotHead *head = rendering->snapshot->head;
	_cleanup_free_ char *name = NULL;
	_cleanup_free_ char *estimates =
		options->is_difference ? NULL : intervals_sentence(rendering->snapshot);
	int r;

	if (asprintf(&name, "%s, pid %" PRIu32 "%s%s", head->target->executable, head->target->pid,
		     estimates ? "; " : "", estimates ?: "") < 0)
		name = NULL;
	fputs("{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n\"exporter\":"
	      "\"dhatd " DHAT_VERSION "\",\"name\":",
	      file);
	r = name ? dhat_json_put_string(file, name) : -ENOMEM;
	fprintf(file, ",\"activeProfileIndex\":%d,\n",
		(options->is_difference ? 2 : 1) * (int)options->metric);
	if (r == 0)
		r = put_frames(rendering, file);
	fputs("\"profiles\":[", file);
	if (r == 0)
		put_profiles(rendering, options->is_difference, file);
	fputs("]}\n", file);
	return r;
}

static int write_speedscope(const struct dhat_snapshot *snapshot,
			    const struct dhat_export_options *options, FILE *file,
			    struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	int r;

	r = dhat_rendering_new(snapshot, frame_line, options->trim_rules, &rendering);
	if (r == 0)
		r = put_file(rendering, options, file);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile for speedscope") : 0;
}

const struct dhat_exporter dhat_speedscope_exporter = {
	.name = "speedscope",
	.suffix = ".speedscope.json",
	.holds_differences = true,
	.write = write_speedscope,
};
