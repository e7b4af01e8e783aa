/* dhatctl top: what grows, looked at again and again. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "listing.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/export/intervals.h"
#include "proto/profile/filter_options.h"
#include "proto/profile/verdict.h"
#include "proto/wire/words.h"
#include "rows.h"
#include "top_live.h"
#include "top_text.h"
#include "view.h"

#define SECOND_NS 1000000000ull
#define LEAST_EVERY 0.1
#define MOST_EVERY 3600

struct top {
	struct common common;
	uint32_t pid;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
	enum top_key key;
	double every;
	bool is_batch;
	uint64_t count; /* of frames; 0: no bound */
};

enum { KEY_SORT = 0x100, KEY_EVERY, KEY_BATCH };

static const struct argp_option options[] = {
	{ "every", KEY_EVERY, "SECONDS", 0, "Look so often (default 1; from 0.1 on)", 1 },
	{ "sort", KEY_SORT, "KEY", 0,
	  "Sort by live bytes, growth (the default), allocs (a second), live blocks, total bytes, "
	  "or "
	  "what `dhatctl holds' called lost last",
	  1 },
	{ "batch", KEY_BATCH, 0, 0,
	  "Print a list each time, with no screen; so it does where the output is no terminal", 1 },
	{ "count", 'c', "N", 0, "With --batch: print N of them (default: until the process ends)",
	  1 },
	{ 0 },
};

static error_t parse_every(struct top *top, const char *arg, struct argp_state *state)
{
	char *end;

	top->every = strtod(arg, &end);
	if (end != arg && !*end && top->every >= LEAST_EVERY && top->every <= MOST_EVERY)
		return 0;
	argp_error(state, "--every %s: not a number of seconds from %.1f to %d", arg, LEAST_EVERY,
		   MOST_EVERY);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct top *top = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &top->pid, &top->list, &top->trim,
						       &top->filter, &top->common });
		return 0;
	case KEY_EVERY:
		return parse_every(top, arg, state);
	case KEY_SORT:
		if (top_key_parse(arg, &top->key) == 0)
			return 0;
		argp_error(state,
			   "--sort %s: there are live, growth, allocs, blocks, total and lost",
			   arg);
		return EINVAL;
	case KEY_BATCH:
		top->is_batch = true;
		return 0;
	case 'c':
		if (dhat_parse_size(arg, &top->count) == 0 && top->count)
			return 0;
		argp_error(state, "--count %s: not a number", arg);
		return EINVAL;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&top->trim, arg) ||
		    command_takes_pid_word(&top->pid, arg))
			return 0;
		argp_error(state, "%s: not an option, and no process id", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp },	       { .argp = &listing_argp }, { .argp = &trim_argp },
	{ .argp = &dhat_filter_argp }, { .argp = &common_argp },  { 0 }
};
const struct argp cmd_top_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID]",
	.doc = "What of the live heap grows, looked at each second: lines of source, unless --by "
	       "says "
	       "otherwise, with what they hold, how that has grown since the view began, and how "
	       "fast. The key ? tells what others do.",
	.children = children,
};

/* ---- in a pipe ----------------------------------------------------------------------------- */

static struct json_object *row_as_json(const struct top_model *model, const struct top_row *row)
{
	const struct dhat_rendering *table = model->table;
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "live_bytes", json_object_new_uint64(row->live_bytes));
	json_object_object_add(object, "live_blocks", json_object_new_uint64(row->live_blocks));
	json_object_object_add(object, "total_bytes", json_object_new_uint64(row->total_bytes));
	json_object_object_add(object, "total_blocks", json_object_new_uint64(row->total_blocks));
	json_object_object_add(object, "grown_bytes", json_object_new_int64(row->grown_bytes));
	json_object_object_add(object, "grown_blocks", json_object_new_int64(row->grown_blocks));
	json_object_object_add(object, "allocs_per_second",
			       json_object_new_double(row->allocs_per_second));
	intervals_add_point_json(object, model->snapshot, row->point);
	if (model->snapshot->end->last_holds) /* else nobody has looked */
		json_object_object_add(object, "lost_bytes",
				       json_object_new_uint64(row->lost_bytes));
	json_object_object_add(object, "lines", rows_lines_as_json(table, row->point));
	return object;
}

/* An object a line: programs read line by line what does not end. */
static int print_json(const struct top *top, const struct top_model *model)
{
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array();
	const Dhat__SnapshotHead *head = model->snapshot->head;
	const Dhat__Verdict *verdict = model->snapshot->end->verdict;
	const char *text;

	for (size_t i = 0; i < model->row_count && i < top->list.top; i++)
		json_object_array_add(rows, row_as_json(model, &model->rows[i]));
	json_object_object_add(object, "pid", json_object_new_int64(head->target->pid));
	json_object_object_add(object, "state", dhat_json_string(head->target->state));
	json_object_object_add(object, "taken_unix_ns",
			       json_object_new_uint64(head->taken_unix_ns));
	json_object_object_add(object, "verdict",
			       json_object_new_string(dhat_verdict_word(dhat_verdict_of(verdict))));
	json_object_object_add(object, "live_bytes",
			       json_object_new_uint64(model->last.live_bytes));
	json_object_object_add(object, "live_blocks",
			       json_object_new_uint64(model->last.live_blocks));
	intervals_add_totals_json(object, model->snapshot);
	json_object_object_add(object, "before_bytes", json_object_new_uint64(model->before_bytes));
	json_object_object_add(object, "grown_bytes", json_object_new_int64(model->grown_bytes));
	json_object_object_add(object, "grown_for_seconds",
			       json_object_new_double(top_model_baseline_seconds(model)));
	json_object_object_add(object, "allocs_per_second",
			       json_object_new_double(model->allocs_per_second));
	json_object_object_add(object, "frees_per_second",
			       json_object_new_double(model->frees_per_second));
	json_object_object_add(object, "by",
			       json_object_new_string(dhat_by_name(top->list.style.by)));
	json_object_object_add(object, "row_count", json_object_new_uint64(model->row_count));
	json_object_object_add(object, "rows", rows);
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		puts(text);
	json_object_put(object);
	return text ? 0 : -ENOMEM;
}

static void print_own(char *text)
{
	puts(text ?: "");
	free(text);
}

/* Of a line that is no row of the table, what the screen has no room for is on the next. */
static void print_whole(struct screen *screen, char *text)
{
	screen_paragraph(screen, 2, text ?: "");
	free(text);
}

static void print_frame(const struct top *top, const struct top_model *model, bool is_first)
{
	const Dhat__SnapshotHead *head = model->snapshot->head;
	_cleanup_free_ char *title = top_text_title(model);
	char *text = NULL;
	struct screen screen;

	screen_init(&screen, stdout);
	if (!is_first)
		putchar('\n');
	if (asprintf(&text, "%s  %s; %s", view_moment(head->taken_unix_ns), title ?: "",
		     dhat_verdict_word(dhat_verdict_of(model->snapshot->end->verdict))) < 0)
		text = NULL;
	print_whole(&screen, text);
	print_whole(&screen, top_text_totals(model, screen.width));
	print_whole(&screen, top_text_rows(model));
	if (!top->list.top)
		return;
	print_own(top_text_heading(model, screen.width));
	for (size_t i = 0; i < model->row_count && i < top->list.top; i++)
		print_own(top_text_row(model, &model->rows[i], screen.width));
}

static int print_one(const struct top *top, struct dhat_view *view, struct top_model *model,
		     bool is_first, struct dhat_error *err)
{
	int r = client_view(top->common.socket_path, top->pid, view, err);

	if (r < 0)
		return r;
	r = top_model_take(model, view);
	if (r == 0 && top->common.as_json)
		r = print_json(top, model);
	else if (r == 0)
		print_frame(top, model, is_first);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the list") : 0;
}

static void pause_for(double seconds)
{
	const struct timespec interval = { .tv_sec = (time_t)seconds,
					   .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9) };

	nanosleep(&interval, NULL);
}

/* Nobody reads any more, or nothing will change. */
static bool is_over(const struct dhat_view *view)
{
	return fflush(stdout) || ferror(stdout) ||
	       strcmp(view->snapshot->head->target->state, DHAT_STATE_ATTACHED) != 0;
}

static int run_batch(struct top *top, const struct top_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_view_deinit) struct dhat_view view = { 0 };
	_cleanup_(top_model_deinit) struct top_model model;
	int r = 0;

	top_model_init(&model, wanted);
	for (uint64_t i = 0; r == 0 && (!top->count || i < top->count); i++) {
		if (i)
			pause_for(top->every);
		r = print_one(top, &view, &model, i == 0, err);
		if (r == 0)
			top->pid = view.snapshot->head->target->pid; /* and no other that comes */
		if (r == 0 && is_over(&view))
			break;
	}
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int run(struct top *top, struct dhat_error *err)
{
	const struct top_options wanted = {
		.table = { .style = top->list.style,
			   .trim_rules = top->trim.rules,
			   .depth = top->list.depth },
		.filter = &top->filter,
		.key = top->key,
	};
	const struct top_live_options live = {
		.socket_path = top->common.socket_path,
		.pid = top->pid,
		.every_ns = (uint64_t)(top->every * SECOND_NS),
		.model = wanted,
	};
	int r = top->pid ? 0 : choice_check(top->common.socket_path, "top", err);

	if (r < 0)
		return r;
	if (top->is_batch || top->common.as_json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return run_batch(top, &wanted, err);
	return top_live_run(&live, err);
}

int cmd_top(int argc, char **argv, struct dhat_error *err)
{
	struct top top = { .list = listing_default, .key = TOP_GROWTH, .every = 1 };
	int r;

	top.list.style.by = DHAT_BY_LINE;
	r = command_parse(&cmd_top_argp, argc, argv, &top, &top.common, err);
	if (r == 0 && !top.common.is_done)
		r = run(&top, err);
	dhat_filter_deinit(&top.filter);
	return r;
}
