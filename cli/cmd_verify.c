/* dhatctl verify: is what an earlier profile kept gone? */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "comparing.h"
#include "filtering.h"
#include "input.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include "proto/profile/snapshot_merge.h"
#include "proto/profile/verdict.h"
#include "proto/profile/verification.h"
#include "rows.h"
#include "view.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)
DEFINE_CLEANUP_PTR(struct dhat_verification *, dhat_verification_free)

struct verify {
	struct common common;
	uint32_t pid;
	const char *paths[2]; /* the second NULL: the process now */
	size_t path_count;
	struct dhat_verify_options options;
	struct dhat_filter filter;
};

enum { KEY_TOLERANCE = 0x100 };

static const struct argp_option options[] = {
	{ "top", 'n', "N", 0, "Judge the N that kept most (default 10)", 2 },
	{ "tolerance", KEY_TOLERANCE, "PERCENT", 0,
	  "What differs by no more than this is the same (default 10)", 2 },
	{ 0 },
};

static int parse_number(struct argp_state *state, const char *option, const char *arg,
			uint64_t most, uint64_t *ret)
{
	if (dhat_parse_size(arg, ret) == 0 && *ret <= most)
		return 0;
	argp_error(state, "%s %s: not a number up to %" PRIu64, option, arg, most);
	return EINVAL;
}

static error_t take_word(struct verify *verify, char *arg, struct argp_state *state)
{
	if (command_takes_pid_word(&verify->pid, arg))
		return 0;
	if (verify->path_count < 2) {
		verify->paths[verify->path_count++] = arg;
		return 0;
	}
	argp_error(state, "%s: two profiles are compared, not more", arg);
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct verify *verify = state->input;
	uint64_t number;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &verify->pid, &verify->filter, &verify->common });
		return 0;
	case 'n':
		if (parse_number(state, "--top", arg, 1000000, &number))
			return EINVAL;
		verify->options.top = number;
		return 0;
	case KEY_TOLERANCE:
		if (parse_number(state, "--tolerance", arg, 99, &number))
			return EINVAL;
		verify->options.tolerance_percent = number;
		return 0;
	case ARGP_KEY_ARG:
		return take_word(verify, arg, state);
	case ARGP_KEY_END:
		if (verify->path_count == 2 ? !verify->pid : verify->path_count == 1)
			return 0;
		argp_error(state, "what is to be verified? dhatctl verify OLD.dhat, against what "
				  "the process is now, or OLD.dhat NEW.dhat");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp }, { .argp = &dhat_filter_argp }, { .argp = &common_argp }, { 0 }
};
const struct argp cmd_verify_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "OLD.dhat [NEW.dhat | PID]",
	.doc = "What kept most in an earlier profile, judged on a process as it is now or on "
	       "another "
	       "profile: gone, smaller, the same, or worse. Stacks are matched by the names of the "
	       "program's own functions. The exit status is 16 if something is the same or worse.",
	.children = children,
};

/* ---- for people ---------------------------------------------------------------------------- */

static void print_side(struct screen *screen, const char *title,
		       const struct dhat_snapshot *snapshot)
{
	view_verdict(screen, snapshot->end->verdict, title);
	view_targets(screen, title, snapshot);
}

static void print_heading(struct screen *screen, const struct verify *verify,
			  const struct dhat_verification *verification)
{
	char text[256];

	print_side(screen, "Before: ", verification->before);
	print_side(screen, "After:  ", verification->after);
	if (!dhat_snapshot_is_of(verification->before, verification->after->head->target))
		screen_paragraph(screen, 0, "The two are of different programs.");
	if (verification->is_by_rate)
		screen_paragraph(screen, 0,
				 "The watches lasted differently long: smaller or worse is what is "
				 "so in bytes and in bytes a minute of the watch.");
	snprintf(text, sizeof(text), "The same is what differs by %u%% at most (--tolerance).",
		 verify->options.tolerance_percent);
	screen_paragraph(screen, 0, text);
}

/* "2.6 MiB (2,713,600 bytes) in 6,400 blocks (18.7 MiB a minute)" */
static char *side_text(const struct dhat_verification *verification,
		       const struct dhat_snapshot *snapshot,
		       const struct dhat_rendered_point *point)
{
	uint64_t bytes = point ? point->live_bytes : 0;
	char rate[DHAT_UNIT_CHARS], *text = NULL;
	int n;

	if (verification->is_by_rate && bytes)
		n = asprintf(&text, "%s in %s, %s a minute", view_size(bytes),
			     view_counted(point->live_blocks, "block"),
			     dhat_format_size(dhat_live_rate(snapshot, bytes), rate));
	else
		n = asprintf(&text, "%s in %s", view_size(bytes),
			     view_counted(point ? point->live_blocks : 0, "block"));
	return n < 0 ? NULL : text;
}

/* What is gone may have been mended, or was not asked for this time. */
static char *now_text(const struct dhat_verification *verification,
		      const struct dhat_verified *suspect)
{
	char *text = NULL;
	int n;

	if (suspect->fate != DHAT_GONE)
		return side_text(verification, verification->after, suspect->change.after);
	if (suspect->is_exercised)
		n = asprintf(&text, "nothing: %s allocated, all freed",
			     view_counted(suspect->change.after->total_blocks, "block"));
	else
		n = asprintf(&text, "nothing, and nothing was allocated there: has this code run?");
	return n < 0 ? NULL : text;
}

static void print_suspect(struct screen *screen, const struct dhat_verification *verification,
			  size_t index)
{
	const struct dhat_verified *suspect = &verification->suspects[index];
	const char *word = dhat_fate_word(suspect->fate);
	_cleanup_free_ char *was = side_text(verification, verification->before,
					     suspect->change.before),
			    *is = now_text(verification, suspect), *text = NULL;

	fprintf(screen->file, "\n%4zu. ", index + 1);
	screen_print(screen, suspect->fate >= DHAT_SAME ? MARK_BAD : MARK_BOLD, "%s", word);
	if (asprintf(&text, ": was %s", was ?: "?") < 0)
		text = NULL;
	screen_continue(screen, 6, 6 + strlen(word), text ?: "");
	fputs("      now ", screen->file);
	screen_paragraph(screen, 10, is ?: "?");
	rows_print_stack(screen, verification->before_table, suspect->change.before);
}

static void print(const struct verify *verify, const struct dhat_verification *verification)
{
	struct screen screen;

	screen_init(&screen, stdout);
	print_heading(&screen, verify, verification);
	for (size_t i = 0; i < verification->count; i++)
		print_suspect(&screen, verification, i);
	fputc('\n', stdout);
	if (!verification->count)
		fputs("Nothing was live: there is nothing to verify.\n", stdout);
	for (int i = 0; i < DHAT_FATE_COUNT && verification->count; i++)
		printf("%s%zu %s", i ? ", " : "", verification->fates[i], dhat_fate_word(i));
	fputs(verification->count ? "\n" : "", stdout);
	filtering_print(&screen, &verify->filter);
}

/* ---- for programs -------------------------------------------------------------------------- */

static struct json_object *side_as_json(const struct dhat_snapshot *snapshot)
{
	const Dhat__SnapshotHead *head = snapshot->head;
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "pid", json_object_new_int64(head->target->pid));
	json_object_object_add(object, "taken_unix_ns",
			       json_object_new_uint64(head->taken_unix_ns));
	json_object_object_add(object, "observed_ns",
			       json_object_new_uint64(head->target->observed_ns));
	json_object_object_add(
		object, "verdict",
		json_object_new_string(dhat_verdict_word(dhat_verdict_of(snapshot->end->verdict))));
	return object;
}

static struct json_object *figures_as_json(const struct dhat_snapshot *snapshot,
					   const struct dhat_rendered_point *point)
{
	struct json_object *object = json_object_new_object();
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "live_bytes", point ? point->live_bytes : 0 },
		{ "live_blocks", point ? point->live_blocks : 0 },
		{ "total_bytes", point ? point->total_bytes : 0 },
		{ "total_blocks", point ? point->total_blocks : 0 },
		{ "live_bytes_a_minute", point ? dhat_live_rate(snapshot, point->live_bytes) : 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	return object;
}

static struct json_object *suspect_as_json(const struct dhat_verification *verification,
					   const struct dhat_verified *suspect)
{
	const struct dhat_rendering *table = verification->before_table;
	const struct dhat_rendered_point *point = suspect->change.before;
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "fate",
			       json_object_new_string(dhat_fate_word(suspect->fate)));
	json_object_object_add(object, "is_exercised",
			       json_object_new_boolean(suspect->is_exercised));
	json_object_object_add(object, "before",
			       figures_as_json(verification->before, suspect->change.before));
	json_object_object_add(object, "after",
			       figures_as_json(verification->after, suspect->change.after));
	json_object_object_add(object, "stack", rows_lines_as_json(table, point));
	return object;
}

static int print_json(const struct verify *verify, const struct dhat_verification *verification)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	int r;

	for (size_t i = 0; i < verification->count; i++)
		json_object_array_add(list,
				      suspect_as_json(verification, &verification->suspects[i]));
	json_object_object_add(object, "before", side_as_json(verification->before));
	json_object_object_add(object, "after", side_as_json(verification->after));
	json_object_object_add(object, "is_one_watch",
			       json_object_new_boolean(verification->is_one_watch));
	json_object_object_add(object, "is_by_rate",
			       json_object_new_boolean(verification->is_by_rate));
	json_object_object_add(object, "tolerance_percent",
			       json_object_new_int64(verify->options.tolerance_percent));
	json_object_object_add(object, "left_out", filtering_as_json(&verify->filter));
	json_object_object_add(object, "suspects", list);
	r = dhat_json_put(stdout, object);
	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int report(struct verify *verify, const struct dhat_snapshot *before,
		  const struct dhat_snapshot *after, enum dhat_exit *ret_code)
{
	_cleanup_(dhat_verification_free_ptr) struct dhat_verification *verification = NULL;
	int r = dhat_verification_new(before, after, &verify->filter, &verify->options,
				      &verification);

	if (r == 0 && verify->common.as_json)
		r = print_json(verify, verification);
	else if (r == 0)
		print(verify, verification);
	if (r == 0 && verification->fates[DHAT_SAME] + verification->fates[DHAT_WORSE])
		*ret_code = DHAT_EXIT_NOT_BETTER;
	return r;
}

static int fetch(const struct verify *verify, struct dhat_snapshot **ret, struct dhat_error *err)
{
	char command[512]; /* as it was typed */
	int r = 0;

	if (verify->paths[1])
		return input_read(verify->paths[1], ret, err);
	snprintf(command, sizeof(command), "verify %s", verify->paths[0]);
	if (!verify->pid)
		r = choice_check(verify->common.socket_path, command, err);
	return r < 0 ? r : client_profile(verify->common.socket_path, verify->pid, ret, err);
}

static int run(struct verify *verify, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = NULL, *after = NULL;
	enum dhat_exit code = DHAT_EXIT_OK;
	int r = input_read(verify->paths[0], &before, err);

	if (r == 0)
		r = fetch(verify, &after, err);
	if (r == 0)
		r = input_check_suspects(before, err);
	if (r == 0)
		r = input_check_suspects(after, err);
	if (r == 0)
		r = comparing_check(&(struct compared){ before, verify->paths[0] },
				    &(struct compared){ after, verify->paths[1] }, err);
	if (r < 0)
		return r;
	r = report(verify, before, after, &code);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot compare the profiles");
	err->code = code; /* it has been said why */
	return 0;
}

int cmd_verify(int argc, char **argv, struct dhat_error *err)
{
	struct verify verify = { .options = { .top = 10, .tolerance_percent = 10 } };
	int r = command_parse(&cmd_verify_argp, argc, argv, &verify, &verify.common, err);

	if (r == 0 && !verify.common.is_done)
		r = run(&verify, err);
	dhat_filter_deinit(&verify.filter);
	return r;
}
