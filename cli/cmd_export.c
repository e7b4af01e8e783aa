/* dhatctl export: a .dhat file in another form; needs no daemon. */
#include <errno.h>

#include "command.h"
#include "filtering.h"
#include "input.h"
#include "proto/base/cleanup.h"
#include "proto/base/say.h"
#include "proto/export/export.h"
#include "proto/profile/redact.h"
#include "written.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct export_options {
	struct common common;
	const char *input_path, *output_path;
	struct format_options format;
	struct trim_options trim;
	struct dhat_filter filter;
	bool is_redacted;
};

enum { KEY_REDACT = 0x100 };

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Where to; - is the standard output (the default)", 2 },
	{ "redact", KEY_REDACT, 0, 0,
	  "Leave out host, command line, paths, names of functions and notes; say so in the file",
	  2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct export_options *export_options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &export_options->format, &export_options->trim,
						&export_options->filter, &export_options->common });
		return 0;
	case 'o':
		export_options->output_path = arg;
		return 0;
	case KEY_REDACT:
		export_options->is_redacted = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&export_options->trim, arg))
			return 0;
		if (export_options->input_path) {
			argp_error(state, "%s: one file at a time", arg);
			return EINVAL;
		}
		export_options->input_path = arg;
		return 0;
	case ARGP_KEY_END:
		if (export_options->input_path)
			return 0;
		argp_error(state, "which file? dhatctl export FILE.dhat -o FILE.json");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &format_argp },
					      { .argp = &trim_argp },
					      { .argp = &dhat_filter_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_export_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "FILE.dhat",
	.doc = "Turn a file made by `dhatctl snapshot -o FILE.dhat' into DHAT JSON for Valgrind's "
	       "dh_view.html, or into what pprof, speedscope or flamegraph.pl read.",
	.children = children,
};

/* Stacks are chosen by names, so before these go. */
static int prepare(struct export_options *wanted, struct dhat_snapshot *snapshot,
		   struct dhat_error *err)
{
	int r = filtering_reduce(&wanted->filter, wanted->output_path, wanted->format.exporter,
				 snapshot, err);

	if (r < 0 || !wanted->is_redacted)
		return r;
	r = dhat_redact(snapshot);
	if (r == 0) /* which takes all notes away, and this one holds no name */
		r = dhat_filter_note(&wanted->filter, snapshot);
	return r < 0 ? dhat_error_errno(err, -r, "cannot redact the profile") : 0;
}

/* For readers of what it becomes; no name is in it. */
static int note_lacks(struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	int r = snapshot->lacks ? dhat_snapshot_add_note(snapshot, snapshot->lacks) : 0;

	return r < 0 ? dhat_error_errno(err, -r, "cannot export the profile") : 0;
}

static int run(struct export_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	const struct dhat_export_options export = { .trim_rules = wanted->trim.rules,
						    .metric = wanted->format.metric };
	int r = command_refuse_terminal(wanted->output_path, err);

	if (r == 0)
		r = input_read(wanted->input_path, &snapshot, err);
	if (r == 0)
		r = prepare(wanted, snapshot, err);
	if (r == 0)
		r = note_lacks(snapshot, err);
	if (r == 0)
		r = written_save(snapshot, wanted->output_path, wanted->format.exporter, &export,
				 err);
	if (r < 0)
		return r;
	if (wanted->is_redacted)
		dhat_say("dhatctl", "redacted: host, command line, paths, names, notes and reasons "
				    "are left out; build ids and offsets are not");
	return written_report(&wanted->common, wanted->trim.rules, wanted->output_path, snapshot,
			      &wanted->filter, err);
}

int cmd_export(int argc, char **argv, struct dhat_error *err)
{
	struct export_options wanted = { .output_path = "-" };
	int r = command_parse(&cmd_export_argp, argc, argv, &wanted, &wanted.common, err);

	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	dhat_filter_deinit(&wanted.filter);
	return r;
}
