/* dhatctl snapshot: a profile into a file. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/export/export.h"
#include "proto/profile/verdict.h"
#include "written.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct snapshot_options {
	struct common common;
	uint32_t pid;
	const char *output_path;
	struct format_options format;
	struct trim_options trim;
	bool without_names, must_be_exact;
};

enum { KEY_NO_NAMES = 0x100, KEY_EXACT };

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Where to; - is the standard output", 2 },
	{ "exact", KEY_EXACT, 0, 0,
	  "Fail, with exit code 13, if the numbers are not exact (partial ones are not, either)",
	  2 },
	{ "no-names", KEY_NO_NAMES, 0, 0, "Do not look up names: objects and offsets only", 2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct snapshot_options *snapshot_options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(
			state, (void *[]){ &snapshot_options->pid, &snapshot_options->format,
					   &snapshot_options->trim, &snapshot_options->common });
		return 0;
	case 'o':
		snapshot_options->output_path = arg;
		return 0;
	case KEY_NO_NAMES:
		snapshot_options->without_names = true;
		return 0;
	case KEY_EXACT:
		snapshot_options->must_be_exact = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&snapshot_options->trim, arg))
			return 0;
		argp_error(state, "%s: not an option; a file is given by -o", arg);
		return EINVAL;
	case ARGP_KEY_END:
		/* a profile on a terminal helps nobody */
		if (snapshot_options->output_path || !isatty(STDOUT_FILENO))
			return 0;
		argp_error(state, "where to? give -o FILE.json or -o FILE.dhat (`dhatctl stats' "
				  "prints for people)");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &format_argp },
					      { .argp = &trim_argp },
					      { .argp = &common_argp },
					      { 0 } };
static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.doc = "Fetch the profile of a target into a file, whole or not at all: DHAT JSON for "
	       "Valgrind's dh_view.html, .dhat, which keeps everything, or another format by the "
	       "file's suffix.",
	.children = children,
};

/* Keeps --exact's promise before anything is written. */
static int insist(const Dhat__Verdict *verdict, struct dhat_error *err)
{
	bool is_partial = dhat_verdict_of(verdict) == DHAT_PARTIAL;

	if (verdict->exact)
		return 0;
	return dhat_error_set(err, ERANGE, DHAT_EXIT_INEXACT,
			      "the numbers are %s: %s%s; nothing was written",
			      is_partial ? "partial" : "not exact",
			      verdict->n_reasons ? verdict->reasons[0] : "no reason is known",
			      verdict->n_reasons > 1 ? " (and more: see `dhatctl status')" : "");
}

int cmd_snapshot(int argc, char **argv, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	struct snapshot_options snapshot_options = { 0 };
	struct dhat_export_options export;
	int r;

	r = command_parse(&argp, argc, argv, &snapshot_options, &snapshot_options.common, err);
	if (r < 0 || snapshot_options.common.is_done)
		return r;
	if (!snapshot_options.output_path)
		snapshot_options.output_path = "-";
	if (!snapshot_options.format.exporter)
		r = dhat_exporter_of_path(snapshot_options.output_path,
					  &snapshot_options.format.exporter, err);
	if (r < 0)
		return r;
	r = client_snapshot(snapshot_options.common.socket_path, snapshot_options.pid,
			    snapshot_options.without_names, &snapshot, err);
	if (r == 0 && snapshot_options.must_be_exact)
		r = insist(snapshot->end->verdict, err);
	export = (struct dhat_export_options){ .trim_rules = snapshot_options.trim.rules,
					       .metric = snapshot_options.format.metric };
	if (r == 0)
		r = dhat_save(snapshot, snapshot_options.output_path,
			      snapshot_options.format.exporter, &export, err);
	if (r < 0)
		return r;
	return written_report(&snapshot_options.common, snapshot_options.trim.rules,
			      snapshot_options.output_path, snapshot, err);
}
