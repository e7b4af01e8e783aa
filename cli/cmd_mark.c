/* dhatctl mark: moments since which what is allocated, and lives, is kept; and which there are. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/qualifiers.h"
#include "proto/base/say.h"
#include "proto/base/units.h"
#include "proto/profile/mark.h"
#include "view.h"

struct marking {
	struct common common;
	uint32_t pid;
	bool is_all;
	const char *name;
	const char *removed; /* the other, if one is to go */
};

enum { KEY_ALL = 0x100, KEY_REMOVE };

static const struct argp_option options[] = {
	{ "all", KEY_ALL, 0, 0, "Mark all that are attached", 1 },
	{ "remove", KEY_REMOVE, "NAME", 0,
	  "Let go of a mark: what was kept since then is not any more", 2 },
	{ 0 },
};

static error_t take_word(struct marking *marking, char *arg, struct argp_state *state)
{
	if (command_takes_pid_word(&marking->pid, arg))
		return 0;
	if (marking->name || marking->removed) {
		argp_error(state, "%s: one mark at a time", arg);
		return EINVAL;
	}
	marking->name = arg;
	return 0;
}

static error_t check(const struct marking *marking, struct argp_state *state)
{
	const char *name = marking->name ?: marking->removed;

	if (marking->name && marking->removed)
		argp_error(state, "%s, or --remove %s?", marking->name, marking->removed);
	else if (marking->pid && marking->is_all)
		argp_error(state, "one process, or --all of them?");
	else if (name && !dhat_is_mark_name(name))
		argp_error(state, "%s: a mark's name has " DHAT_MARK_NAMES, name);
	else
		return 0;
	return EINVAL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct marking *marking = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &marking->pid, &marking->common });
		return 0;
	case KEY_ALL:
		marking->is_all = true;
		return 0;
	case KEY_REMOVE:
		marking->removed = arg;
		return 0;
	case ARGP_KEY_ARG:
		return take_word(marking, arg, state);
	case ARGP_KEY_END:
		return check(marking, state);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_mark_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[NAME] [PID]",
	.doc = "From now on dhatd also keeps what is allocated since this moment and lives: "
	       "`dhatctl stats --since NAME' lists it, `dhatctl diff NAME NAME' what was allocated "
	       "between two marks. Without a name: which marks there are.",
	.children = children,
};

/* ---- lists --------------------------------------------------------------------------------- */

/* "deploy  22:13:51, 39.0 s ago: 34 KiB (34,816 bytes) live in 300 blocks" */
static void print_mark(struct screen *screen, const Dhat__Target *target, const Dhat__Mark *mark)
{
	char text[256], ago[DHAT_UNIT_CHARS];
	uint64_t age_ns = target->observed_ns > mark->ns ? target->observed_ns - mark->ns : 0;

	fputs("  ", screen->file);
	screen_text(screen, mark->name);
	snprintf(text, sizeof(text), "  %s, %s %s: %s live in %s",
		 view_moment(target->observed_since_unix_ns + mark->ns),
		 dhat_format_duration(age_ns, ago), view_ago(target), view_size(mark->live_bytes),
		 view_counted(mark->live_blocks, "block"));
	screen_continue(screen, 4, 2 + strlen(mark->name), text);
}

static void print_target(struct screen *screen, const Dhat__TargetStatus *status)
{
	view_target(screen, status->target);
	for (size_t i = 0; i < status->n_marks; i++)
		print_mark(screen, status->target, status->marks[i]);
	if (!status->n_marks)
		fputs("  no marks\n", screen->file);
}

static struct json_object *target_as_json(const Dhat__TargetStatus *status)
{
	struct json_object *object = json_object_new_object(), *marks = json_object_new_array();

	for (size_t i = 0; i < status->n_marks; i++)
		json_object_array_add(marks, dhat_json_message(&status->marks[i]->base));
	json_object_object_add(object, "pid", json_object_new_int64(status->target->pid));
	json_object_object_add(object, "observed_since_unix_ns",
			       json_object_new_uint64(status->target->observed_since_unix_ns));
	json_object_object_add(object, "observed_ns",
			       json_object_new_uint64(status->target->observed_ns));
	json_object_object_add(object, "marks", marks);
	return object;
}

static int print_list(const struct marking *marking, const Dhat__Status *status)
{
	struct json_object *list = json_object_new_array();
	struct screen screen;
	int r = 0;

	screen_init(&screen, stdout);
	for (size_t i = 0; i < status->n_targets; i++)
		if (marking->common.as_json)
			json_object_array_add(list, target_as_json(status->targets[i]));
		else
			print_target(&screen, status->targets[i]);
	if (marking->common.as_json) {
		r = dhat_json_put(stdout, list);
		fputc('\n', stdout);
	}
	json_object_put(list);
	return r;
}

static int list(const struct marking *marking, struct dhat_error *err)
{
	Dhat__Response *response = NULL;
	int r = choice_status(marking->common.socket_path, marking->pid, &response, err);

	if (r < 0)
		return r;
	if (!response->status->n_targets && !marking->common.as_json)
		dhat_say("dhatctl", "nothing is attached: dhatctl attach --pid N");
	r = print_list(marking, response->status);
	dhat__response__free_unpacked(response, NULL);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the marks") : 0;
}

/* ---- marks --------------------------------------------------------------------------------- */

static int change(const struct marking *marking, uint32_t pid, struct dhat_error *err)
{
	Dhat__MarkRequest body = DHAT__MARK_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;

	body.pid = pid;
	body.name = without_qualifiers(marking->name ?: marking->removed);
	body.is_removed = marking->removed != NULL;
	request.body_case = DHAT__REQUEST__BODY_MARK;
	request.mark = &body;
	return command_call_and_print(&marking->common, &request, err);
}

/* One that cannot be marked keeps none of the others from it; what is said is of the first. */
static int change_all(const struct marking *marking, struct dhat_error *err)
{
	_cleanup_free_ uint32_t *pids = NULL;
	size_t count = 0;
	int r = choice_all(marking->common.socket_path, &pids, &count, err);

	for (size_t i = 0; i < count; i++) {
		int error = change(marking, pids[i], err);

		r = r < 0 ? r : error;
	}
	return r;
}

static int run(const struct marking *marking, struct dhat_error *err)
{
	int r = 0;

	if (!marking->name && !marking->removed)
		return list(marking, err);
	if (marking->is_all)
		return change_all(marking, err);
	if (!marking->pid)
		r = choice_check(marking->common.socket_path, "mark NAME", err);
	return r < 0 ? r : change(marking, marking->pid, err);
}

int cmd_mark(int argc, char **argv, struct dhat_error *err)
{
	struct marking marking = { 0 };
	int r = command_parse(&cmd_mark_argp, argc, argv, &marking, &marking.common, err);

	return r < 0 || marking.common.is_done ? r : run(&marking, err);
}
