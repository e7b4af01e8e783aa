/* dhatctl diff: what has grown between two profiles, and what has shrunk. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "born_file.h"
#include "choice.h"
#include "client.h"
#include "command.h"
#include "comparing.h"
#include "input.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct diff {
	struct common common;
	uint32_t pid;
	/* files, the second NULL: the process now; or marks, and a file, NULL: the process now */
	const char *words[3];
	size_t word_count;
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

static error_t take_word(struct diff *diff, char *arg, struct argp_state *state)
{
	if (command_takes_trim_word(&diff->trim, arg) || command_takes_pid_word(&diff->pid, arg))
		return 0;
	if (diff->word_count < ARRAY_SIZE(diff->words)) {
		diff->words[diff->word_count++] = arg;
		return 0;
	}
	argp_error(state, "%s: two profiles or marks are compared, not more", arg);
	return EINVAL;
}

static bool is_of_marks(const struct diff *diff)
{
	return diff->word_count >= 2 && births_is_mark(diff->words[0]) &&
	       births_is_mark(diff->words[1]);
}

static error_t check(const struct diff *diff, struct argp_state *state)
{
	const char *word = diff->words[0];

	if (diff->word_count == 1 && births_is_mark(word) && access(word, F_OK) < 0) {
		argp_error(state,
			   "%s is no file; of a mark: dhatctl stats --since %s, or dhatctl diff %s "
			   "LATER_MARK",
			   word, word, word);
		return EINVAL;
	}
	if (is_of_marks(diff) ? !diff->words[2] || !diff->pid
			      : diff->word_count == 1 || (diff->word_count == 2 && !diff->pid))
		return 0;
	argp_error(state, "compare what? dhatctl diff OLD.dhat NEW.dhat, dhatctl diff OLD.dhat PID "
			  "for what it is now, or dhatctl diff MARK MARK [PID | FILE.dhat]");
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
		return check(diff, state);
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
const struct argp cmd_diff_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "OLD.dhat [NEW.dhat | PID]\nMARK MARK [PID | FILE.dhat]",
	.doc = "What of the live heap has grown between two profiles, by how much and how fast, "
	       "and "
	       "what has shrunk: of two files made by `dhatctl snapshot', or of one and the "
	       "process "
	       "as it is now. Stacks are matched by their names, so that two runs can be compared. "
	       "With -o as a file, too. Of two marks (`dhatctl mark'): what was allocated between "
	       "them and still lives.",
	.children = children,
};

static int fetch(const struct diff *diff, struct dhat_snapshot **ret, struct dhat_error *err)
{
	char command[512]; /* as it was typed */
	int r = 0;

	snprintf(command, sizeof(command), "diff %s%s%s", diff->words[0], diff->words[1] ? " " : "",
		 diff->words[1] ?: "");
	if (!diff->pid)
		r = choice_check(diff->common.socket_path, command, err);
	return r < 0 ? r : client_profile(diff->common.socket_path, diff->pid, ret, err);
}

static int compare(const struct diff *diff, const struct report *report,
		   const struct comparing_file *file, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = NULL, *after = NULL;
	int r = input_read(diff->words[0], &before, err);

	if (r == 0)
		r = diff->words[1] ? input_read(diff->words[1], &after, err)
				   : fetch(diff, &after, err);
	if (r < 0)
		return r;
	return comparing_print(report, &(struct compared){ before, diff->words[0] },
			       &(struct compared){ after, diff->words[1] }, file, err);
}

static int list_between(const struct diff *diff, struct report *report,
			const struct comparing_file *file, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = diff->words[2] ? input_read(diff->words[2], &snapshot, err)
			       : fetch(diff, &snapshot, err);

	if (r < 0)
		return r;
	report->since = diff->words[0];
	report->before = diff->words[1];
	return born_file_print(report, snapshot, file, err);
}

static int run(struct diff *diff, struct dhat_error *err)
{
	struct report report = {
		.rows = { .top = diff->list.top },
		.list = diff->list,
		.trim_rules = diff->trim.rules,
		.filter = &diff->filter,
		.as_json = diff->common.as_json,
	};
	struct comparing_file file;
	int r = comparing_file_choose(diff->output_path, &diff->format, &file, err);

	if (r < 0)
		return r;
	return is_of_marks(diff) ? list_between(diff, &report, file.path ? &file : NULL, err)
				 : compare(diff, &report, file.path ? &file : NULL, err);
}

int cmd_diff(int argc, char **argv, struct dhat_error *err)
{
	struct diff diff = { .list = listing_default };
	int r = command_parse(&cmd_diff_argp, argc, argv, &diff, &diff.common, err);

	if (r == 0 && !diff.common.is_done)
		r = run(&diff, err);
	dhat_filter_deinit(&diff.filter);
	return r;
}
