/* dhatctl suspects: what leaks, and what only looks as if it did. */
#include <errno.h>
#include <string.h>

#include "command.h"
#include "filtering.h"
#include "input.h"
#include "listing.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/export/intervals.h"
#include "proto/profile/verdict.h"
#include "rows.h"
#include "subject.h"
#include "suspicion.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

struct suspects_options {
	struct common common;
	struct subject subject;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct suspects_options *wanted = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &wanted->subject.pid, &wanted->subject,
						       &wanted->list, &wanted->trim,
						       &wanted->filter, &wanted->common });
		return 0;
	case ARGP_KEY_ARG:
		return command_takes_trim_word(&wanted->trim, arg)
			       ? 0
			       : subject_parse(&wanted->subject, key, arg, state);
	default:
		return subject_parse(&wanted->subject, key, arg, state);
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &subject_argp },
					      { .argp = &listing_argp },
					      { .argp = &trim_argp },
					      { .argp = &dhat_filter_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_suspects_argp = {
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat]",
	.doc = "What leaks, how fast and since when, and why that is said: lines of source (or "
	       "stacks, functions … by --by), leaks first, then what grows and may be a cache that "
	       "fills, then what is level, was allocated once, or goes up and down.",
	.children = children,
};

/* ---- for people ---------------------------------------------------------------------------- */

static void print_suspect(struct screen *screen, const struct dhat_rendering *table,
			  const struct dhat_suspect *suspect, size_t number)
{
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	bool is_bad = suspicion->course == DHAT_LEAKS || suspicion->lost_blocks;
	struct dhat_interval interval;
	char why[SUSPICION_CHARS], word[DHAT_WORD_CHARS], start[DHAT_WORD_CHARS + 2] = "",
										  text[256];

	suspicion_why(table->snapshot, suspect, why);
	fprintf(screen->file, "\n%4zu. ", number);
	if (*dhat_suspect_word(suspect, word)) {
		snprintf(start, sizeof(start), "%s: ", word);
		screen_print(screen, is_bad ? MARK_BAD : MARK_BOLD, "%s", start);
	}
	screen_continue(screen, 6, 6 + strlen(start), why);
	interval = dhat_rendered_interval(table, suspect->point, DHAT_ESTIMATED_LIVE);
	snprintf(text, sizeof(text), "%s live in %s%s", view_size(suspect->point->live_bytes),
		 view_counted(suspect->point->live_blocks, "block"), view_interval(&interval));
	if (suspect->point->part_count > 1)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %s",
			 view_counted(suspect->point->part_count, "stack"));
	fprintf(screen->file, "%6s", "");
	screen_paragraph(screen, 6, text);
	rows_print_stack(screen, table, suspect->point);
}

static void print(const struct suspects_options *wanted, const struct dhat_rendering *table,
		  const struct dhat_suspects *suspects)
{
	char headline[SUSPICION_CHARS];
	struct screen screen;

	screen_init(&screen, stdout);
	view_verdict(&screen, table->snapshot->end->verdict, "");
	view_targets(&screen, "", table->snapshot);
	view_timeline(&screen, table->snapshot);
	dhat_suspects_headline(table, suspects, headline);
	fputc('\n', stdout);
	screen_print(&screen, MARK_BOLD, "%s", headline);
	fprintf(stdout, "%s\n", suspects->count ? ":" : ".");
	for (size_t i = 0; i < suspects->count && i < wanted->list.top; i++) {
		if (i && i == suspects->suspect_count)
			fputs("\nNot suspected:\n", stdout);
		print_suspect(&screen, table, &suspects->list[i], i + 1);
	}
	if (suspects->count > wanted->list.top)
		fprintf(stdout, "\n%zu more (--top)\n", suspects->count - wanted->list.top);
	filtering_print(&screen, &wanted->filter);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *row_as_json(const struct dhat_rendering *table,
				       const struct dhat_suspect *suspect)
{
	struct json_object *object = suspicion_as_json(table->snapshot, suspect);

	intervals_add_point_json(object, table->snapshot, suspect->point);
	json_object_object_add(object, "lines", rows_lines_as_json(table, suspect->point));
	return object;
}

static int print_json(const struct suspects_options *wanted, const struct dhat_rendering *table,
		      const struct dhat_suspects *suspects)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	struct json_object *object = json_object_new_object();
	struct json_object *suspected = json_object_new_array(), *others = json_object_new_array();
	const char *verdict = dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict));
	int r;

	for (size_t i = 0; i < suspects->count && i < wanted->list.top; i++)
		json_object_array_add(i < suspects->suspect_count ? suspected : others,
				      row_as_json(table, &suspects->list[i]));
	json_object_object_add(object, "pid", json_object_new_int64(snapshot->head->target->pid));
	json_object_object_add(object, "taken_unix_ns",
			       json_object_new_uint64(snapshot->head->taken_unix_ns));
	json_object_object_add(object, "observed_ns",
			       json_object_new_uint64(snapshot->head->target->observed_ns));
	json_object_object_add(object, "verdict", json_object_new_string(verdict));
	json_object_object_add(object, "by", json_object_new_string(dhat_by_name(table->style.by)));
	json_object_object_add(object, "left_out", filtering_as_json(&wanted->filter));
	json_object_object_add(object, "suspects", suspected);
	json_object_object_add(object, "others", others);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int report(struct suspects_options *wanted, const struct dhat_snapshot *snapshot)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL;
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	const struct dhat_table_options options = { .style = wanted->list.style,
						    .trim_rules = wanted->trim.rules,
						    .depth = wanted->list.depth,
						    .is_shown = is_shown };
	int r = is_shown ? dhat_filter_apply(&wanted->filter, snapshot, is_shown) : -ENOMEM;

	if (r == 0)
		r = dhat_table_new(snapshot, &options, &table);
	if (r == 0)
		r = dhat_suspects_find(table, &suspects);
	if (r == 0 && wanted->common.as_json)
		return print_json(wanted, table, &suspects);
	if (r == 0)
		print(wanted, table, &suspects);
	return r;
}

static int run(struct suspects_options *wanted, struct dhat_error *err)
{
	_cleanup_(programs_deinit) struct programs programs = { 0 };
	bool is_list = wanted->common.as_json && wanted->subject.is_all;
	int r = subject_fetch_all(&wanted->subject, &wanted->common, "suspects", &programs, err);

	for (size_t i = 0; r == 0 && i < programs.count; i++)
		r = input_check_history(programs.list[i], err);
	if (r < 0)
		return r;
	fputs(is_list ? "[\n" : "", stdout);
	for (size_t i = 0; r == 0 && i < programs.count; i++) {
		if (i)
			fputs(is_list ? ",\n" : "\n", stdout);
		r = report(wanted, programs.list[i]);
	}
	fputs(is_list ? "]\n" : "", stdout);
	return r < 0 ? dhat_error_errno(err, -r, "cannot judge what grows") : 0;
}

int cmd_suspects(int argc, char **argv, struct dhat_error *err)
{
	struct suspects_options wanted = { .list = listing_default };
	int r;

	wanted.list.style.by = DHAT_BY_LINE;
	r = command_parse(&cmd_suspects_argp, argc, argv, &wanted, &wanted.common, err);
	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	dhat_filter_deinit(&wanted.filter);
	return r;
}
