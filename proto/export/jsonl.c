/* jsonl: JSON lines for a store of logs: one object for the whole, then one for each program point.
 *
 * Keys are stable. Each line stands for itself: it repeats the host, the pid and the time.
 * "stack_id" is made of the names of a stack and not of addresses, so that it is the same after a
 * restart. Of a difference the objects are "difference" and "change", and their figures have signs.
 */
#include "export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/text.h"
#include "proto/export/intervals.h"
#include "proto/profile/frame_text.h"
#include "proto/profile/held.h"
#include "proto/profile/rendering.h"
#include "proto/profile/verdict.h"
#include "steps.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* "function (file:line)" or "function (object)" */
static char *frame_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	_cleanup_free_ char *name = dhat_frame_name(frame, location), *line = NULL;
	int n;

	if (!name)
		return NULL;
	if (location && *location->file)
		n = asprintf(&line, "%s (%s:%u)", name, location->file, location->line);
	else if (location && *location->function && *frame->object)
		n = asprintf(&line, "%s (%s)", name, frame->object);
	else
		return take_ptr(name);
	return n < 0 ? NULL : take_ptr(line);
}

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull;
	} while (*text++);
	return hash;
}

static uint64_t stack_id(const struct dhat_rendering *rendering,
			 const struct dhat_rendered_point *point)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (uint32_t i = 0; i < point->line_count; i++)
		hash = hash_text(hash, rendering->lines[point->lines[i]]);
	return hash;
}

static int put_origin(const Dhat__SnapshotHead *head, const char *type, FILE *file)
{
	time_t seconds = head->taken_unix_ns / 1000000000;
	char text[64];
	struct tm tm;
	int r;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(file, "{\"type\":\"%s\",\"time\":\"%s\",\"host\":", type, text);
	r = dhat_json_put_string(file, head->host);
	fprintf(file, ",\"pid\":%" PRIu32 ",\"executable\":", head->target->pid);
	return r < 0 ? r : dhat_json_put_string(file, head->target->executable);
}

static void put_series(const char *key, const uint64_t *values, size_t count, FILE *file)
{
	fprintf(file, ",\"%s\":[", key);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%s%" PRIu64, i ? "," : "", values[i]);
	fputc(']', file);
}

/* As dhat.proto has it. */
static void put_timeline(const Dhat__Timeline *timeline, FILE *file)
{
	if (!timeline)
		return;
	fprintf(file, ",\"timeline\":{\"start_ns\":%" PRIu64 ",\"slot_ns\":%" PRIu64,
		timeline->start_ns, timeline->slot_ns);
	put_series("live_bytes", timeline->live_bytes, timeline->n_live_bytes, file);
	put_series("most_bytes", timeline->most_bytes, timeline->n_most_bytes, file);
	put_series("live_blocks", timeline->live_blocks, timeline->n_live_blocks, file);
	put_series("allocations", timeline->allocations, timeline->n_allocations, file);
	put_series("frees", timeline->frees, timeline->n_frees, file);
	put_series("rss_bytes", timeline->rss_bytes, timeline->n_rss_bytes, file);
	fputc('}', file);
}

static void put_holding(const char *key, const Dhat__HoldsSum *sum, FILE *file)
{
	fprintf(file, ",\"%s_bytes\":%" PRIu64 ",\"%s_blocks\":%" PRIu64, key, sum ? sum->bytes : 0,
		key, sum ? sum->blocks : 0);
}

/* Of all, as of a scan that was so long before; and why nothing is called lost, if that is not. */
static int put_holds(const struct dhat_snapshot *snapshot, FILE *file)
{
	const Dhat__Holds *holds = snapshot->end->holds;
	int r = 0;

	if (!holds)
		return 0;
	put_holding("held", holds->held, file);
	put_holding("unknown", holds->unknown, file);
	put_holding("lost", holds->lost, file);
	put_holding("unseen", holds->unseen, file);
	fprintf(file, ",\"scan_age_ns\":%" PRIu64 ",\"not_called_lost\":[",
		dhat_held_age_ns(snapshot));
	for (size_t i = 0; i < holds->n_refusals && r == 0; i++) {
		fputs(i ? "," : "", file);
		r = dhat_json_put_string(file, holds->refusals[i]);
	}
	fputc(']', file);
	return r;
}

static void put_held(const struct dhat_held *held, FILE *file)
{
	fprintf(file,
		",\"held_bytes\":%" PRIu64 ",\"held_blocks\":%" PRIu64 ",\"unknown_bytes\":%" PRIu64
		",\"unknown_blocks\":%" PRIu64 ",\"lost_bytes\":%" PRIu64
		",\"lost_blocks\":%" PRIu64 ",\"unseen_bytes\":%" PRIu64
		",\"unseen_blocks\":%" PRIu64,
		held->held_bytes, held->held_blocks, held->unknown_bytes, held->unknown_blocks,
		held->lost_bytes, held->lost_blocks, held->unseen_bytes, held->unseen_blocks);
}

/* What those who read it back (proto/import/jsonl.h) want to know beyond the figures: of how many
 * points they have to have found, and of which watch it is. */
static void put_extent(const struct dhat_rendering *rendering, FILE *file)
{
	const struct dhat_snapshot *snapshot = rendering->snapshot;
	const Dhat__Target *target = snapshot->head->target;

	fprintf(file,
		",\"points\":%zu,\"taken_unix_ns\":%" PRIu64 ",\"observed_since_unix_ns\":%" PRIu64
		",\"from_start\":%s,\"peak_ns\":%" PRIu64,
		rendering->point_count, snapshot->head->taken_unix_ns,
		target->observed_since_unix_ns, target->from_start ? "true" : "false",
		snapshot->end->totals->peak_ns);
}

static int put_totals(const struct dhat_rendering *rendering, bool is_difference, FILE *file)
{
	const struct dhat_snapshot *snapshot = rendering->snapshot;
	const Dhat__Totals *totals = snapshot->end->totals;
	const Dhat__Verdict *verdict = snapshot->end->verdict;
	int r;

	r = put_origin(snapshot->head, is_difference ? "difference" : "totals", file);
	fprintf(file,
		",\"verdict\":\"%s\",\"observed_ns\":%" PRIu64 ",\"total_bytes\":%" PRId64
		",\"total_blocks\":%" PRId64 ",\"peak_bytes\":%" PRId64 ",\"peak_blocks\":%" PRId64
		",\"live_bytes\":%" PRId64 ",\"live_blocks\":%" PRId64 ",\"reasons\":[",
		dhat_verdict_word(dhat_verdict_of(verdict)), snapshot->head->target->observed_ns,
		(int64_t)totals->total_bytes, (int64_t)totals->total_blocks,
		(int64_t)totals->peak_bytes, (int64_t)totals->peak_blocks,
		(int64_t)totals->live_bytes, (int64_t)totals->live_blocks);
	for (size_t i = 0; r == 0 && i < verdict->n_reasons; i++) {
		fputs(i ? "," : "", file);
		r = dhat_json_put_string(file, verdict->reasons[i]);
	}
	fputc(']', file);
	put_extent(rendering, file);
	if (r == 0 && !is_difference)
		r = put_holds(snapshot, file);
	if (r == 0 && snapshot->lacks) {
		fputs(",\"lacks\":", file);
		r = dhat_json_put_string(file, snapshot->lacks);
	}
	if (r == 0 && *snapshot->head->born) {
		fputs(",\"born\":", file);
		r = dhat_json_put_string(file, snapshot->head->born);
	}
	if (snapshot->head->sample_bytes)
		fprintf(file, ",\"sample_bytes\":%" PRIu64, snapshot->head->sample_bytes);
	if (r == 0 && !is_difference)
		r = intervals_put_totals(file, snapshot);
	if (r == 0)
		r = steps_put(file, snapshot->head);
	put_timeline(snapshot->end->timeline, file);
	fputs("}\n", file);
	return r;
}

static int put_point(const struct dhat_rendering *rendering,
		     const struct dhat_rendered_point *point, bool is_difference, FILE *file)
{
	int r;

	r = put_origin(rendering->snapshot->head, is_difference ? "change" : "point", file);
	fprintf(file,
		",\"stack_id\":\"%016" PRIx64 "\",\"total_bytes\":%" PRId64
		",\"total_blocks\":%" PRId64 ",\"lifetimes_us\":%" PRIu64 ",\"max_bytes\":%" PRId64
		",\"max_blocks\":%" PRId64 ",\"max_is_known\":%s,\"peak_bytes\":%" PRId64
		",\"peak_blocks\":%" PRId64 ",\"live_bytes\":%" PRId64 ",\"live_blocks\":%" PRId64
		",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64 ",\"longest_freed_us\":%" PRIu64
		",\"growth_bytes_per_minute\":%.0f",
		stack_id(rendering, point), (int64_t)point->total_bytes,
		(int64_t)point->total_blocks, point->lifetimes_us, (int64_t)point->max_bytes,
		(int64_t)point->max_blocks, dhat_rendered_max_is_known(point) ? "true" : "false",
		(int64_t)point->peak_bytes, (int64_t)point->peak_blocks, (int64_t)point->live_bytes,
		(int64_t)point->live_blocks, point->first_ns, point->last_ns,
		point->longest_freed_us, point->growth);
	if (rendering->snapshot->end->holds && !is_difference)
		put_held(&point->held, file);
	if (!is_difference)
		r = r < 0 ? r : intervals_put_point(file, rendering->snapshot, point);
	put_series("low_bytes", point->lows, dhat_history_slots(rendering->snapshot), file);
	fputs(",\"stack\":[", file);
	for (uint32_t i = 0; r == 0 && i < point->line_count; i++) {
		fputs(i ? "," : "", file);
		r = dhat_json_put_string(file, rendering->lines[point->lines[i]]);
	}
	fputs("]}\n", file);
	return r;
}

static int write_jsonl(const struct dhat_snapshot *snapshot,
		       const struct dhat_export_options *options, FILE *file,
		       struct dhat_error *err)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *rendering = NULL;
	int r;

	r = dhat_rendering_new(snapshot, frame_line, options->trim_rules, &rendering);
	if (r == 0)
		r = put_totals(rendering, options->is_difference, file);
	for (size_t i = 0; r == 0 && i < rendering->point_count; i++)
		r = put_point(rendering, rendering->points[i], options->is_difference, file);
	return r < 0 ? dhat_error_errno(err, -r, "cannot write the profile as JSON lines") : 0;
}

const struct dhat_exporter dhat_jsonl_exporter = {
	.name = "jsonl",
	.suffix = ".jsonl",
	.holds_differences = true,
	.write = write_jsonl,
};
