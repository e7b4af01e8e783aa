/* dhatctl diff: what has grown between two profiles, and what has shrunk. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "difference_file.h"
#include "filtering.h"
#include "input.h"
#include "listing.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/difference.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/verdict.h"
#include "rows.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

struct diff {
	struct common common;
	uint32_t pid;
	const char *paths[2]; /* the second NULL: the process now */
	size_t path_count;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
	struct format_options format;
	const char *output_path; /* NULL: nothing is written */
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0,
	  "Write the difference to a file, too, by whole stacks; - is the standard output, and "
	  "there is no list then",
	  2 },
	{ 0 },
};

struct pair {
	struct dhat_snapshot *before, *after;
	double seconds; /* between the two */
	bool is_one_watch;
};

static error_t take_word(struct diff *diff, char *arg, struct argp_state *state)
{
	if (command_takes_trim_word(&diff->trim, arg) || command_takes_pid_word(&diff->pid, arg))
		return 0;
	if (diff->path_count < 2) {
		diff->paths[diff->path_count++] = arg;
		return 0;
	}
	argp_error(state, "%s: two profiles are compared, not more", arg);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct diff *diff = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &diff->pid, &diff->list, &diff->trim, &diff->filter,
						&diff->format, &diff->common });
		return 0;
	case 'o':
		diff->output_path = arg;
		return 0;
	case ARGP_KEY_ARG:
		return take_word(diff, arg, state);
	case ARGP_KEY_END:
		if (diff->path_count == 2 ? !diff->pid : diff->path_count == 1)
			return 0;
		argp_error(state, "compare what? dhatctl diff OLD.dhat NEW.dhat, or dhatctl diff "
				  "OLD.dhat PID for what it is now");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &listing_argp },
					      { .argp = &trim_argp },
					      { .argp = &dhat_filter_argp },
					      { .argp = &format_argp },
					      { .argp = &common_argp },
					      { 0 } };
static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "OLD.dhat [NEW.dhat | PID]",
	.doc = "What of the live heap has grown between two profiles, by how much and how fast, "
	       "and "
	       "what has shrunk: of two files made by `dhatctl snapshot', or of one and the "
	       "process "
	       "as it is now. Stacks are matched by their names, so that two runs can be compared. "
	       "With -o as a file, too.",
	.children = children,
};

/* ---- figures ------------------------------------------------------------------------------- */

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

/* ", 34 KiB a minute"; "" where there is no time between the two. */
static void add_rate(char *text, size_t size, const struct pair *pair, int64_t bytes)
{
	size_t used = strlen(text);
	char rate[DHAT_UNIT_CHARS];

	if (pair->seconds < 1 || used >= size)
		return;
	snprintf(text + used, size - used, ", %s a minute",
		 dhat_format_size((uint64_t)((double)magnitude(bytes) * 60 / pair->seconds), rate));
}

static uint64_t live_of(const struct dhat_rendering *table)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < table->point_count; i++)
		sum += table->points[i]->live_bytes;
	return sum;
}

/* ---- for people ---------------------------------------------------------------------------- */

static void print_heading(struct screen *screen, const struct pair *pair)
{
	char span[128], duration[DHAT_UNIT_CHARS], text[256];

	view_verdict(screen, pair->before->end->verdict, "Before: ");
	view_verdict(screen, pair->after->end->verdict, "");
	view_targets(screen, pair->after);
	view_span(pair->before->head->taken_unix_ns, pair->after->head->taken_unix_ns, span,
		  sizeof(span));
	snprintf(text, sizeof(text), "compared %s (%s)", span,
		 dhat_format_duration(pair->seconds * 1e9, duration));
	screen_paragraph(screen, 0, text);
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
	text[0] = 0;
	add_rate(text, sizeof(text), pair, bytes);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ": from %s to %s",
		 dhat_format_size(before, was), dhat_format_size(after, is));
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
	snprintf(text, sizeof(text), " in %s%s",
		 blocks < 0   ? "-"
		 : blocks > 0 ? "+"
			      : "",
		 view_counted(magnitude(blocks), "block"));
	add_rate(text, sizeof(text), pair, bytes);
	screen_continue(screen, 6, 6 + strlen(figure), text);
	if (!change->before)
		snprintf(text, sizeof(text), "new");
	else if (!change->after || !change->after->live_bytes)
		snprintf(text, sizeof(text), "gone");
	else
		snprintf(text, sizeof(text), "%s in %s now", view_size(change->after->live_bytes),
			 view_counted(change->after->live_blocks, "block"));
	fprintf(screen->file, "%6s", "");
	screen_paragraph(screen, 6, text);
	rows_print_stack(screen, change->after ? difference->after : difference->before, point);
}

static void print_list(struct screen *screen, const struct diff *diff,
		       const struct dhat_difference *difference, size_t count, bool have_grown,
		       const struct pair *pair)
{
	static const char *const whats[] = { "Stacks", "Functions", "Lines", "Files", "Objects" };
	size_t shown = count < diff->list.top ? count : diff->list.top;

	if (!shown)
		return;
	fprintf(screen->file, "\n%s that have %s", whats[diff->list.style.by],
		have_grown ? "grown most" : "shrunk most");
	if (shown < count)
		fprintf(screen->file, ", %s of %s (--top)", view_count(shown), view_count(count));
	fputs(":\n", screen->file);
	for (size_t i = 0; i < shown; i++)
		print_change(screen, difference,
			     &difference->list[have_grown ? i : difference->count - 1 - i], i + 1,
			     pair);
}

static void print(const struct diff *diff, struct dhat_difference *difference,
		  const struct pair *pair)
{
	size_t shrunk, grown = dhat_difference_sort(difference, &shrunk);
	struct screen screen;

	screen_init(&screen, stdout);
	print_heading(&screen, pair);
	print_headline(&screen, difference, pair);
	print_list(&screen, diff, difference, grown, true, pair);
	print_list(&screen, diff, difference, shrunk, false, pair);
	filtering_print(&screen, &diff->filter);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *change_as_json(const struct dhat_difference *difference,
					  const struct dhat_change *change)
{
	const struct dhat_rendering *table = change->after ? difference->after : difference->before;
	const struct dhat_rendered_point *point = change->after ?: change->before;
	struct json_object *object = json_object_new_object(), *lines = json_object_new_array();
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
	for (uint32_t i = 0; i < point->line_count; i++) {
		_cleanup_free_ char *name = NULL, *line = NULL;
		const char *place;

		dhat_table_line_split(table->lines[point->lines[i]], &name, &place);
		if (asprintf(&line, "%s%s%s%s", name ?: "", place ? " (" : "", place ?: "",
			     place ? ")" : "") < 0)
			line = NULL;
		json_object_array_add(lines, dhat_json_string(line ?: ""));
	}
	json_object_object_add(object, "lines", lines);
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

static int print_json(const struct diff *diff, struct dhat_difference *difference,
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
			       json_object_new_string(dhat_by_name(diff->list.style.by)));
	json_object_object_add(object, "left_out", filtering_as_json(&diff->filter));
	if (diff->output_path)
		json_object_object_add(object, "file", dhat_json_string(diff->output_path));
	json_object_object_add(object, "changes", changes);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int make_table(struct diff *diff, const struct dhat_snapshot *snapshot, bool has_before,
		      const struct listing *list, struct dhat_rendering **ret)
{
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	const struct dhat_table_options wanted = { .style = list->style,
						   .trim_rules = diff->trim.rules,
						   .depth = list->depth,
						   .is_shown = is_shown };
	int r = is_shown ? dhat_filter_apply(&diff->filter, snapshot, is_shown) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < snapshot->point_count; i++)
		is_shown[i] &= has_before || !dhat_point_is_before(snapshot->points[i]);
	return r < 0 ? r : dhat_table_new(snapshot, &wanted, ret);
}

/* What has changed, and the tables it borrows from. */
struct compared {
	struct dhat_rendering *before, *after;
	struct dhat_difference *difference;
};

static void compared_deinit(struct compared *compared)
{
	dhat_difference_free(compared->difference);
	dhat_rendering_free(compared->after);
	dhat_rendering_free(compared->before);
}

static int compare(struct diff *diff, const struct pair *pair, const struct listing *list,
		   struct compared *ret)
{
	int r = make_table(diff, pair->before, pair->is_one_watch, list, &ret->before);

	if (r == 0)
		r = make_table(diff, pair->after, pair->is_one_watch, list, &ret->after);
	return r < 0 ? r : dhat_difference_new(ret->before, ret->after, &ret->difference);
}

static int report(struct diff *diff, const struct pair *pair)
{
	_cleanup_(compared_deinit) struct compared compared = { 0 };
	int r = compare(diff, pair, &diff->list, &compared);

	if (r < 0)
		return r;
	if (diff->common.as_json)
		return print_json(diff, compared.difference, pair);
	print(diff, compared.difference, pair);
	return 0;
}

/* A file has whole stacks, whatever is listed. The list is printed behind it, so that nothing is
 * said of a file that could not be written. */
static int save(struct diff *diff, const struct pair *pair, struct dhat_error *err)
{
	const struct listing whole = { .style.has_whole_names = true };
	const struct dhat_export_options export = { .trim_rules = diff->trim.rules,
						    .metric = diff->format.metric };
	_cleanup_(compared_deinit) struct compared compared = { 0 };
	int r = compare(diff, pair, &whole, &compared);

	if (r < 0)
		return dhat_error_errno(err, -r, "cannot compare the profiles");
	r = difference_file_write(compared.difference, diff->output_path, diff->format.exporter,
				  export, err);
	if (r < 0 || !strcmp(diff->output_path, "-"))
		return r;
	r = report(diff, pair);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot compare the profiles");
	if (!diff->common.as_json) {
		struct screen screen;

		screen_init(&screen, stdout);
		difference_file_print(&screen, compared.difference, diff->output_path,
				      diff->format.exporter);
	}
	return 0;
}

static int fetch(const struct diff *diff, struct dhat_snapshot **ret, struct dhat_error *err)
{
	int r = diff->pid ? 0 : choice_check(diff->common.socket_path, "diff", err);

	return r < 0 ? r : client_snapshot(diff->common.socket_path, diff->pid, false, ret, err);
}

/* Before anything is read: a wrong name is the first thing to be told of. */
static int find_exporter(struct diff *diff, struct dhat_error *err)
{
	int r = command_refuse_terminal(diff->output_path, err);

	if (r < 0 || diff->format.exporter)
		return r;
	return dhat_exporter_of_path(diff->output_path, &diff->format.exporter, err);
}

static int run(struct diff *diff, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = NULL, *after = NULL;
	struct pair pair;
	int r = diff->output_path ? find_exporter(diff, err) : 0;

	if (r == 0)
		r = input_read(diff->paths[0], &before, err);
	if (r == 0)
		r = diff->paths[1] ? input_read(diff->paths[1], &after, err)
				   : fetch(diff, &after, err);
	if (r < 0)
		return r;
	if (after->head->taken_unix_ns < before->head->taken_unix_ns)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "%s is older than %s: give the older one first",
				      diff->paths[1] ?: "the process's profile", diff->paths[0]);
	pair = (struct pair){
		.before = before,
		.after = after,
		.seconds = (after->head->taken_unix_ns - before->head->taken_unix_ns) / 1e9,
		.is_one_watch = dhat_snapshot_is_same_watch(before, after),
	};
	if (diff->output_path)
		return save(diff, &pair, err);
	r = report(diff, &pair);
	return r < 0 ? dhat_error_errno(err, -r, "cannot compare the profiles") : 0;
}

int cmd_diff(int argc, char **argv, struct dhat_error *err)
{
	struct diff diff = { .list = listing_default };
	int r = command_parse(&argp, argc, argv, &diff, &diff.common, err);

	if (r == 0 && !diff.common.is_done)
		r = run(&diff, err);
	dhat_filter_deinit(&diff.filter);
	return r;
}
