#include "judged.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/program.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/own_code.h"

#define SHOWN_FRAMES 10 /* of a guilty stack */

/* ---- sentences, all of them clean ---------------------------------------------------------- */

/* "2.6 MiB (2,713,600 bytes)", "1 block". */
static const char *figure_text(enum dhat_metric metric, uint64_t value,
			       char text[3 * DHAT_UNIT_CHARS])
{
	const char *noun = dhat_metric_is_bytes(metric) ? "byte" : "block";
	char count[DHAT_UNIT_CHARS], size[DHAT_UNIT_CHARS];

	dhat_format_count(value, count);
	if (dhat_metric_is_bytes(metric) && value >= 1024)
		snprintf(text, 3 * DHAT_UNIT_CHARS, "%s (%s bytes)", dhat_format_size(value, size),
			 count);
	else
		snprintf(text, 3 * DHAT_UNIT_CHARS, "%s %s%s", count, noun, value == 1 ? "" : "s");
	return text;
}

#define ESTIMATE_CHARS (3 * DHAT_UNIT_CHARS + DHAT_INTERVAL_CHARS)

/* With its interval, where it is a number of bytes and has one: " (2.1 MiB to 3.2 MiB)". */
static void estimate_text(enum dhat_metric metric, uint64_t value,
			  const struct dhat_interval *interval, char ret[ESTIMATE_CHARS])
{
	char figure[3 * DHAT_UNIT_CHARS], text[DHAT_INTERVAL_CHARS];
	bool is_told = dhat_metric_is_bytes(metric) && dhat_interval_is_wide(interval);

	snprintf(ret, ESTIMATE_CHARS, "%s%s%s", figure_text(metric, value, figure),
		 is_told ? ", by a sample " : "",
		 is_told ? dhat_interval_text(interval, text) : "");
}

char *judged_reason(const struct dhat_ruling *ruling)
{
	const struct dhat_assertion *assertion = ruling->assertion;
	_cleanup_free_ char *condition = dhat_text_clean(assertion->text);
	char now[ESTIMATE_CHARS], before[ESTIMATE_CHARS], by[3 * DHAT_UNIT_CHARS];
	bool has_grown = ruling->now >= ruling->baseline;
	const char *unmatched = assertion->pattern && !ruling->match_count
					? "; no stack has a name that matches"
					: "";
	char *text = NULL;
	int n;

	if (!condition)
		return NULL;
	estimate_text(assertion->metric, ruling->now, &ruling->now_interval, now);
	estimate_text(assertion->metric, ruling->baseline, &ruling->baseline_interval, before);
	figure_text(assertion->metric,
		    has_grown ? ruling->now - ruling->baseline : ruling->baseline - ruling->now,
		    by);
	if (ruling->is_undecided)
		n = asprintf(&text, "%s: cannot be decided: %s", condition, ruling->why);
	else if (assertion->is_growth && ruling->now != ruling->baseline)
		n = asprintf(&text, "%s: %s by %s, from %s to %s%s", condition,
			     has_grown ? "grown" : "shrunk", by, before, now, unmatched);
	else if (dhat_assertion_needs_baseline(assertion))
		n = asprintf(&text, "%s: %s; the baseline has %s%s", condition, now, before,
			     unmatched);
	else
		n = asprintf(&text, "%s: %s%s", condition, now, unmatched);
	return n < 0 ? NULL : text;
}

char *judged_verdict(const struct dhat_judgement *judgement)
{
	const Dhat__Verdict *verdict = judgement->snapshot->end->verdict;
	_cleanup_free_ char *text = NULL;

	if (judgement->digest->verdict == DHAT_EXACT)
		return NULL;
	if (asprintf(&text, "the numbers are %s: %s%s",
		     dhat_verdict_word(judgement->digest->verdict),
		     verdict->n_reasons ? verdict->reasons[0] : "no reason is known",
		     verdict->n_reasons > 1 ? " (and more)" : "") < 0) {
		text = NULL;
		return NULL;
	}
	return dhat_text_clean(text);
}

/* "load_session at targets/demo_service.c:51" */
static char *frame_text(const Dhat__Frame *frame, const Dhat__Location *location)
{
	const struct dhat_line_style style = { .by = DHAT_BY_LINE };
	_cleanup_free_ char *line = dhat_table_line(frame, location, &style), *name = NULL,
			    *text = NULL;
	const char *place;

	if (!line)
		return NULL;
	dhat_table_line_split(line, &name, &place);
	if (!name || asprintf(&text, "%s%s%s", name, place ? " at " : "", place ?: "") < 0) {
		text = NULL;
		return NULL;
	}
	return dhat_text_clean(text);
}

/* A row's lines: those of its first stack, which has lines of source where the row has none. Of a
 * recursion one is enough. */
static void put_stack(FILE *file, const struct dhat_judgement *judgement,
		      const struct dhat_digest_row *row, bool is_whole)
{
	struct dhat_own_frame own = { 0 };
	_cleanup_free_ char *last = NULL;
	size_t count = 0;

	while ((is_whole || !last) && dhat_own_next(judgement->snapshot, row->point->part, &own)) {
		_cleanup_free_ char *text = frame_text(own.frame, own.location);

		if (!text || (last && !strcmp(last, text)))
			continue;
		if (count++ == SHOWN_FRAMES) {
			fputs("\ncalled by others (see `dhatctl stats')", file);
			return;
		}
		fprintf(file, last ? "\ncalled by %s" : " in %s", text);
		free(last);
		last = take_ptr(text);
	}
	if (!last)
		fprintf(file, " in %s", row->names[0]);
}

char *judged_guilty(const struct dhat_judgement *judgement, const struct dhat_ruling *ruling,
		    size_t index, bool is_whole)
{
	static const char *const states[DHAT_FIGURE_COUNT] = {
		[DHAT_LIVE_BYTES] = "live",
		[DHAT_LIVE_BLOCKS] = "live",
		[DHAT_PEAK_BYTES] = "at the peak",
		[DHAT_PEAK_BLOCKS] = "at the peak",
		[DHAT_TOTAL_BYTES] = "allocated",
		[DHAT_TOTAL_BLOCKS] = "allocated",
		[DHAT_LOST_BYTES] = "lost",
		[DHAT_LOST_BLOCKS] = "lost",
		[DHAT_BESIDE_BYTES] = "free beside blocks",
		[DHAT_FREE_BYTES] = "free",
	};
	const struct dhat_guilty *guilty = &ruling->guilty[index];
	enum dhat_metric metric = ruling->assertion->metric;
	char figure[3 * DHAT_UNIT_CHARS], *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	fprintf(file, "%s %s", figure_text(metric, guilty->now, figure), states[metric]);
	if (dhat_assertion_needs_baseline(ruling->assertion) && !guilty->baseline)
		fputs(", none in the baseline,", file);
	else if (dhat_assertion_needs_baseline(ruling->assertion))
		fprintf(file, ", %s more than in the baseline,",
			figure_text(metric, guilty->now - guilty->baseline, figure));
	put_stack(file, judgement, guilty->row, is_whole);
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- for people ---------------------------------------------------------------------------- */

/* "Judged: service (pid 12), watched from its start for 3.2 s" */
static void print_heading(struct screen *screen, const struct dhat_judgement *judgement)
{
	const Dhat__Target *target = judgement->snapshot->head->target;
	const char *bad = judgement->is_trusted ? "" : "FAILS ";
	_cleanup_free_ char *verdict = judged_verdict(judgement);
	char duration[DHAT_UNIT_CHARS], text[256];
	size_t used;

	used = snprintf(text, sizeof(text), "Judged: %s (pid %" PRIu32 "), watched%s",
			judgement->digest->program, target->pid,
			target->from_start ? " from its start" : "");
	if (target->observed_ns && used < sizeof(text)) /* else it is not known */
		snprintf(text + used, sizeof(text) - used, " for %s",
			 dhat_format_duration(target->observed_ns, duration));
	screen_paragraph(screen, 0, text);
	if (!verdict)
		return;
	fputs("  ", screen->file);
	screen_print(screen, MARK_BAD, "%s", bad);
	screen_continue(screen, 8, 2 + strlen(bad), verdict);
}

static void print_guilty(struct screen *screen, const struct dhat_judgement *judgement,
			 const struct dhat_ruling *ruling)
{
	for (size_t i = 0; i < ruling->guilty_count; i++) {
		_cleanup_free_ char *text = judged_guilty(judgement, ruling, i, true);
		char *rest = text, *line;

		fprintf(screen->file, "%9zu. ", i + 1);
		for (bool is_first = true; (line = strsep(&rest, "\n")); is_first = false) {
			fprintf(screen->file, "%*s", is_first ? 0 : 11, "");
			screen_paragraph(screen, 11, line);
		}
	}
}

static bool asks_for_scan(const struct dhat_judgement *judgement)
{
	for (size_t i = 0; i < judgement->count; i++)
		if (dhat_assertion_needs_scan(judgement->rulings[i].assertion))
			return true;
	return false;
}

/* What is in none of the figures, or of when they are. */
static void print_notes(struct screen *screen, const struct dhat_judgement *judgement)
{
	char count[DHAT_UNIT_CHARS], figure[3 * DHAT_UNIT_CHARS], text[256];
	Dhat__ProgramPoint before;

	dhat_snapshot_before(judgement->snapshot, &before);
	if (before.live_blocks) {
		snprintf(text, sizeof(text), "%s in %s block%s from before the attach: not counted",
			 figure_text(DHAT_LIVE_BYTES, before.live_bytes, figure),
			 dhat_format_count(before.live_blocks, count),
			 before.live_blocks == 1 ? "" : "s");
		fputs("  Note: ", screen->file);
		screen_paragraph(screen, 8, text);
	}
	if (judgement->snapshot->end->holds && asks_for_scan(judgement)) {
		snprintf(text, sizeof(text), "what is lost is as of a scan %s before the profile",
			 dhat_format_duration(dhat_held_age_ns(judgement->snapshot), count));
		fputs("  Note: ", screen->file);
		screen_paragraph(screen, 8, text);
	}
	if (judgement->hidden_stacks) {
		snprintf(text, sizeof(text), "%s live in %s stack%s left out, as asked for",
			 figure_text(DHAT_LIVE_BYTES, judgement->hidden_bytes, figure),
			 dhat_format_count(judgement->hidden_stacks, count),
			 judgement->hidden_stacks == 1 ? "" : "s");
		fputs("  Note: ", screen->file);
		screen_paragraph(screen, 8, text);
	}
}

static void print_sum(FILE *file, const struct dhat_judgement *judgement)
{
	size_t failures = dhat_judgement_failures(judgement);
	size_t undecided = dhat_judgement_undecided(judgement);
	const char *noun = judgement->count == 1 ? "assertion" : "assertions";

	if (failures)
		fprintf(file, "%zu of %zu %s %s not hold\n", failures, judgement->count, noun,
			failures == 1 ? "does" : "do");
	if (undecided)
		fprintf(file, "%zu of %zu %s cannot be decided\n", undecided, judgement->count,
			noun);
}

void judged_print(struct screen *screen, const struct dhat_judgement *judgement)
{

	print_heading(screen, judgement);
	for (size_t i = 0; i < judgement->count; i++) {
		const struct dhat_ruling *ruling = &judgement->rulings[i];
		_cleanup_free_ char *reason = judged_reason(ruling);

		fputs("  ", screen->file);
		screen_print(screen, ruling->holds ? MARK_NONE : MARK_BAD, "%s",
			     ruling->holds ? "ok   " : "FAILS");
		fputc(' ', screen->file);
		screen_paragraph(screen, 8, reason ?: "?");
		print_guilty(screen, judgement, ruling);
	}
	print_notes(screen, judgement);
	print_sum(screen->file, judgement);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *guilty_as_json(const struct dhat_guilty *guilty)
{
	struct json_object *object = json_object_new_object(), *names = json_object_new_array();

	for (size_t i = 0; i < guilty->row->name_count; i++)
		json_object_array_add(names, json_object_new_string(guilty->row->names[i]));
	json_object_object_add(object, "now", json_object_new_uint64(guilty->now));
	json_object_object_add(object, "baseline", json_object_new_uint64(guilty->baseline));
	json_object_object_add(object, "stack", names);
	return object;
}

/* Of a sample only. What is not known to be less than anything has no upper end. */
static void add_interval(struct json_object *object, const char *name,
			 const struct dhat_interval *interval)
{
	struct json_object *pair;

	if (!dhat_interval_is_wide(interval))
		return;
	pair = json_object_new_array();
	json_object_array_add(pair, json_object_new_uint64(interval->low));
	json_object_array_add(
		pair, interval->high == UINT64_MAX ? NULL : json_object_new_uint64(interval->high));
	json_object_object_add(object, name, pair);
}

static struct json_object *ruling_as_json(const struct dhat_ruling *ruling)
{
	struct json_object *object = json_object_new_object(), *stacks = json_object_new_array();

	for (size_t i = 0; i < ruling->guilty_count; i++)
		json_object_array_add(stacks, guilty_as_json(&ruling->guilty[i]));
	json_object_object_add(object, "assertion", dhat_json_string(ruling->assertion->text));
	json_object_object_add(object, "holds", json_object_new_boolean(ruling->holds));
	if (ruling->is_undecided) {
		json_object_object_add(object, "is_undecided", json_object_new_boolean(true));
		json_object_object_add(object, "why", dhat_json_string(ruling->why));
		json_object_put(stacks);
		return object;
	}
	json_object_object_add(object, "now", json_object_new_uint64(ruling->now));
	add_interval(object, "now_interval", &ruling->now_interval);
	add_interval(object, "baseline_interval", &ruling->baseline_interval);
	if (dhat_assertion_needs_baseline(ruling->assertion))
		json_object_object_add(object, "baseline",
				       json_object_new_uint64(ruling->baseline));
	json_object_object_add(object, "matched_stacks",
			       json_object_new_uint64(ruling->match_count));
	json_object_object_add(object, "guilty", stacks);
	return object;
}

struct json_object *judged_as_json(const struct dhat_judgement *judgement)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	const Dhat__SnapshotEnd *end = judgement->snapshot->end;

	for (size_t i = 0; i < judgement->count; i++)
		json_object_array_add(list, ruling_as_json(&judgement->rulings[i]));
	json_object_object_add(object, "program",
			       json_object_new_string(judgement->digest->program));
	json_object_object_add(object, "pid",
			       json_object_new_int64(judgement->snapshot->head->target->pid));
	json_object_object_add(object, "verdict", dhat_json_message(&end->verdict->base));
	json_object_object_add(object, "is_trusted",
			       json_object_new_boolean(judgement->is_trusted));
	json_object_object_add(object, "left_out_live_bytes",
			       json_object_new_uint64(judgement->hidden_bytes));
	json_object_object_add(object, "left_out_stacks",
			       json_object_new_uint64(judgement->hidden_stacks));
	json_object_object_add(object, "failures",
			       json_object_new_uint64(dhat_judgement_failures(judgement)));
	json_object_object_add(object, "assertions", list);
	return object;
}
