#include "comparing.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "difference_file.h"
#include "progress.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/difference.h"
#include "proto/profile/redact.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/verdict.h"
#include "rows.h"
#include "view.h"

struct pair {
	const struct dhat_snapshot *before, *after;
	const struct comparing_file *file; /* NULL: none */
	double seconds;			   /* between the two */
	bool is_one_watch;
};

/* ---- figures ------------------------------------------------------------------------------- */

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

static uint64_t live_of(const struct dhat_rendering *table)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < table->point_count; i++)
		sum += table->points[i]->live_bytes;
	return sum;
}

static struct dhat_interval interval_of(const struct dhat_rendering *table)
{
	struct dhat_evidence evidence = { 0 };

	for (size_t i = 0; i < table->point_count; i++)
		dhat_evidence_add(&evidence, &table->points[i]->evidence);
	return dhat_interval_of(table->snapshot->head->sample_bytes, &evidence, DHAT_ESTIMATED_LIVE,
				live_of(table));
}

/* Of all: may as much be live as before? */
static bool is_noise(const struct dhat_difference *difference)
{
	struct dhat_interval before = interval_of(difference->before),
			     after = interval_of(difference->after);

	return (dhat_interval_is_wide(&before) || dhat_interval_is_wide(&after)) &&
	       before.low <= after.high && after.low <= before.high;
}

static void add_interval(struct json_object *object, const char *name,
			 const struct dhat_rendering *table,
			 const struct dhat_rendered_point *point)
{
	struct dhat_interval interval = { 0, dhat_estimate_unseen(
						     table->snapshot->head->sample_bytes) };
	struct json_object *pair = json_object_new_array();

	if (point)
		interval = dhat_rendered_interval(table, point, DHAT_ESTIMATED_LIVE);
	json_object_array_add(pair, json_object_new_uint64(interval.low));
	json_object_array_add(pair, json_object_new_uint64(interval.high));
	json_object_object_add(object, name, pair);
}

/* ---- for people ---------------------------------------------------------------------------- */

/* Files of other programs do not say when they were made. */
static bool has_times(const Dhat__SnapshotHead *before, const Dhat__SnapshotHead *after)
{
	return before->taken_unix_ns && after->taken_unix_ns;
}

static void print_heading(struct screen *screen, const struct pair *pair)
{
	char span[128], duration[DHAT_UNIT_CHARS], text[256];

	view_verdict(screen, pair->before->end->verdict, "Before: ");
	view_verdict(screen, pair->after->end->verdict, "");
	view_targets(screen, "", pair->after);
	if (pair->before->lacks) {
		snprintf(text, sizeof(text), "Before: %s", pair->before->lacks);
		screen_paragraph(screen, 2, text);
	}
	if (has_times(pair->before->head, pair->after->head)) {
		view_span(pair->before->head->taken_unix_ns, pair->after->head->taken_unix_ns, span,
			  sizeof(span));
		snprintf(text, sizeof(text), "compared %s (%s)", span,
			 dhat_format_duration(pair->seconds * 1e9, duration));
		screen_paragraph(screen, 0, text);
	}
	if (!pair->is_one_watch)
		screen_paragraph(
			screen, 0,
			"The two are not of one watch: what was there before an attach has "
			"no stacks, and is left out.");
	fputc('\n', screen->file);
}

static void print_headline(struct screen *screen, const struct dhat_difference *difference,
			   const struct pair *pair)
{
	uint64_t before = live_of(difference->before), after = live_of(difference->after);
	int64_t bytes = (int64_t)(after - before);
	char text[256], was[DHAT_UNIT_CHARS], is[DHAT_UNIT_CHARS], start[96];

	if (!bytes) {
		screen_print(screen, MARK_BOLD, "As much is live as before");
		fputs(".\n", screen->file);
		return;
	}
	snprintf(start, sizeof(start), "%s %s by ", "What is live has",
		 bytes > 0 ? "grown" : "shrunk");
	fputs(start, screen->file);
	screen_print(screen, MARK_BOLD, "%s", view_size(magnitude(bytes)));
	snprintf(text, sizeof(text), "%s: from %s to %s",
		 view_rate(magnitude(bytes), pair->seconds), dhat_format_size(before, was),
		 dhat_format_size(after, is));
	if (is_noise(difference))
		strcat(text, "; within the noise of the sample");
	screen_continue(screen, 2, strlen(start) + strlen(view_size(magnitude(bytes))), text);
}

static void print_change(struct screen *screen, const struct dhat_difference *difference,
			 const struct dhat_change *change, size_t number, const struct pair *pair)
{
	const struct dhat_rendered_point *point = change->after ?: change->before;
	int64_t bytes = dhat_change_bytes(change), blocks = dhat_change_blocks(change);
	char figure[64], text[256];

	snprintf(figure, sizeof(figure), "%c%s", bytes < 0 ? '-' : '+',
		 view_size(magnitude(bytes)));
	fprintf(screen->file, "\n%4zu. ", number);
	screen_print(screen, MARK_BOLD, "%s", figure);
	snprintf(text, sizeof(text), " in %s%s%s",
		 blocks < 0   ? "-"
		 : blocks > 0 ? "+"
			      : "",
		 view_counted(magnitude(blocks), "block"),
		 view_rate(magnitude(bytes), pair->seconds));
	screen_continue(screen, 6, 6 + strlen(figure), text);
	if (!change->before)
		snprintf(text, sizeof(text), "new");
	else if (!change->after || !change->after->live_bytes)
		snprintf(text, sizeof(text), "gone");
	else
		snprintf(text, sizeof(text), "%s in %s now", view_size(change->after->live_bytes),
			 view_counted(change->after->live_blocks, "block"));
	if (dhat_change_is_noise(difference, change))
		strcat(text, "; within the noise of the sample");
	fprintf(screen->file, "%6s", "");
	screen_paragraph(screen, 6, text);
	rows_print_stack(screen, change->after ? difference->after : difference->before, point);
}

static void print_list(struct screen *screen, const struct report *report,
		       const struct dhat_difference *difference, size_t count, bool have_grown,
		       const struct pair *pair)
{
	size_t shown = count < report->list.top ? count : report->list.top;

	if (!shown)
		return;
	fprintf(screen->file, "\n%s that have %s", dhat_by_title(report->list.style.by),
		have_grown ? "grown most" : "shrunk most");
	if (shown < count)
		fprintf(screen->file, ", %s of %s (--top)", view_count(shown), view_count(count));
	fputs(":\n", screen->file);
	for (size_t i = 0; i < shown; i++)
		print_change(screen, difference,
			     &difference->list[have_grown ? i : difference->count - 1 - i], i + 1,
			     pair);
}

static void print(const struct report *report, struct dhat_difference *difference,
		  const struct pair *pair)
{
	size_t shrunk, grown = dhat_difference_sort(difference, &shrunk);
	struct screen screen;

	screen_init(&screen, stdout);
	print_heading(&screen, pair);
	print_headline(&screen, difference, pair);
	print_list(&screen, report, difference, grown, true, pair);
	print_list(&screen, report, difference, shrunk, false, pair);
	filtering_print(&screen, report->filter);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *change_as_json(const struct dhat_difference *difference,
					  const struct dhat_change *change)
{
	const struct dhat_rendering *table = change->after ? difference->after : difference->before;
	const struct dhat_rendered_point *point = change->after ?: change->before;
	struct json_object *object = json_object_new_object();
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "live_bytes_before", change->before ? change->before->live_bytes : 0 },
		{ "live_blocks_before", change->before ? change->before->live_blocks : 0 },
		{ "live_bytes_after", change->after ? change->after->live_bytes : 0 },
		{ "live_blocks_after", change->after ? change->after->live_blocks : 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	json_object_object_add(object, "bytes", json_object_new_int64(dhat_change_bytes(change)));
	json_object_object_add(object, "blocks", json_object_new_int64(dhat_change_blocks(change)));
	if (dhat_sample_bytes_of_both(difference->before->snapshot, difference->after->snapshot)) {
		add_interval(object, "live_bytes_before_interval", difference->before,
			     change->before);
		add_interval(object, "live_bytes_after_interval", difference->after, change->after);
		json_object_object_add(
			object, "is_noise",
			json_object_new_boolean(dhat_change_is_noise(difference, change)));
	}
	json_object_object_add(object, "lines", rows_lines_as_json(table, point));
	return object;
}

static struct json_object *side_as_json(const struct dhat_snapshot *snapshot,
					const struct dhat_rendering *table)
{
	struct json_object *object = json_object_new_object();
	const Dhat__SnapshotHead *head = snapshot->head;

	json_object_object_add(object, "pid", json_object_new_int64(head->target->pid));
	json_object_object_add(object, "taken_unix_ns",
			       json_object_new_uint64(head->taken_unix_ns));
	json_object_object_add(
		object, "verdict",
		json_object_new_string(dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict))));
	json_object_object_add(object, "live_bytes", json_object_new_uint64(live_of(table)));
	return object;
}

static int print_json(const struct report *report, struct dhat_difference *difference,
		      const struct pair *pair)
{
	struct json_object *object = json_object_new_object(), *changes = json_object_new_array();
	size_t shrunk;
	int r;

	dhat_difference_sort(difference, &shrunk);
	for (size_t i = 0; i < difference->count; i++)
		json_object_array_add(changes, change_as_json(difference, &difference->list[i]));
	json_object_object_add(object, "before", side_as_json(pair->before, difference->before));
	json_object_object_add(object, "after", side_as_json(pair->after, difference->after));
	json_object_object_add(object, "seconds", json_object_new_double(pair->seconds));
	json_object_object_add(object, "is_one_watch", json_object_new_boolean(pair->is_one_watch));
	json_object_object_add(object, "by",
			       json_object_new_string(dhat_by_name(report->list.style.by)));
	json_object_object_add(object, "left_out", filtering_as_json(report->filter));
	if (pair->file)
		json_object_object_add(object, "file", dhat_json_string(pair->file->path));
	json_object_object_add(object, "changes", changes);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int make_table(const struct report *report, const struct pair *pair,
		      const struct dhat_snapshot *snapshot, const struct listing *list,
		      struct dhat_rendering **ret)
{
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options wanted = { .style = list->style,
					     .trim_rules = report->trim_rules,
					     .depth = list->depth,
					     .is_shown = is_shown };
	int r = is_shown ? dhat_filter_apply(report->filter, snapshot, is_shown) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < snapshot->point_count; i++)
		is_shown[i] &= pair->is_one_watch || !dhat_point_is_before(snapshot->points[i]);
	/* what one of them may not have would make all stacks different */
	wanted.style.without_offsets = pair->before->lacks || pair->after->lacks;
	return r < 0 ? r : dhat_table_new(snapshot, &wanted, ret);
}

/* What has changed, and the tables it borrows from. */
struct changes {
	struct dhat_rendering *before, *after;
	struct dhat_difference *difference;
};

static void changes_deinit(struct changes *changes)
{
	dhat_difference_free(changes->difference);
	dhat_rendering_free(changes->after);
	dhat_rendering_free(changes->before);
}

static int compare(const struct report *report, const struct pair *pair, const struct listing *list,
		   struct changes *ret)
{
	int r;

	progress_begin("comparing", NULL);
	r = make_table(report, pair, pair->before, list, &ret->before);
	if (r == 0)
		r = make_table(report, pair, pair->after, list, &ret->after);
	if (r == 0)
		r = dhat_difference_new(ret->before, ret->after, &ret->difference);
	progress_end();
	return r;
}

static int print_both(const struct report *report, const struct pair *pair)
{
	_cleanup_(changes_deinit) struct changes changes = { 0 };
	int r = compare(report, pair, &report->list, &changes);

	if (r < 0)
		return r;
	if (report->as_json)
		return print_json(report, changes.difference, pair);
	print(report, changes.difference, pair);
	return 0;
}

/* A file has whole stacks, whatever is listed. */
static int write_file(const struct report *report, const struct pair *pair,
		      struct difference_counts *ret, struct dhat_error *err)
{
	const struct listing whole = { .style.has_whole_names = true };
	const struct comparing_file *file = pair->file;
	const struct dhat_export_options export = { .trim_rules = report->trim_rules,
						    .metric = file->metric };
	_cleanup_(changes_deinit) struct changes changes = { 0 };
	int r = compare(report, pair, &whole, &changes);

	if (r < 0)
		return dhat_error_errno(err, -r, "cannot compare the profiles");
	return difference_file_write(changes.difference, file->path, file->exporter, export, ret,
				     err);
}

/* The list is printed behind it, so that nothing is said of a file that could not be written. */
static int save(const struct report *report, const struct pair *pair, struct dhat_error *err)
{
	struct difference_counts counts;
	int r = write_file(report, pair, &counts, err);

	if (r < 0 || !strcmp(pair->file->path, "-"))
		return r;
	r = print_both(report, pair);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot compare the profiles");
	if (!report->as_json) {
		struct screen screen;

		screen_init(&screen, stdout);
		difference_file_print(&screen, &counts, pair->file->path, pair->file->exporter);
	}
	return 0;
}

int comparing_file_choose(const char *path, const struct format_options *format,
			  struct comparing_file *ret, struct dhat_error *err)
{
	int r = path ? command_refuse_terminal(path, err) : 0;

	*ret = (struct comparing_file){ path, format->exporter, format->metric };
	if (r < 0 || !path || ret->exporter)
		return r;
	return dhat_exporter_of_path(path, &ret->exporter, err);
}

int comparing_check(const struct compared *before, const struct compared *after,
		    struct dhat_error *err)
{
	static const char now[] = "the process's profile";
	const Dhat__SnapshotHead *old = before->snapshot->head, *new = after->snapshot->head;
	bool is_redacted = dhat_is_redacted(before->snapshot);

	if (has_times(old, new) && new->taken_unix_ns < old->taken_unix_ns)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s is older than %s: give the older one first",
				      after->name ?: now, before->name);
	if (is_redacted != dhat_is_redacted(after->snapshot))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s is redacted and has no names by which its stacks could be "
				      "found in %s: give the file that it was made of",
				      is_redacted ? before->name : after->name ?: now,
				      is_redacted ? after->name ?: now : before->name);
	return 0;
}

int comparing_print(const struct report *report, const struct compared *before,
		    const struct compared *after, const struct comparing_file *file,
		    struct dhat_error *err)
{
	const Dhat__SnapshotHead *old = before->snapshot->head, *new = after->snapshot->head;
	struct pair pair;
	int r = before->snapshot->lacks ? report_check(report, before->snapshot, err) : 0;

	if (r == 0 && after->snapshot->lacks)
		r = report_check(report, after->snapshot, err);
	if (r == 0)
		r = comparing_check(before, after, err);
	if (r < 0)
		return r;
	pair = (struct pair){
		.before = before->snapshot,
		.after = after->snapshot,
		.file = file,
		.seconds =
			has_times(old, new) ? (new->taken_unix_ns - old->taken_unix_ns) / 1e9 : 0,
		.is_one_watch = dhat_snapshot_is_same_watch(before->snapshot, after->snapshot),
	};
	if (file)
		return save(report, &pair, err);
	r = print_both(report, &pair);
	return r < 0 ? dhat_error_errno(err, -r, "cannot compare the profiles") : 0;
}
