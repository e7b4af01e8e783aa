/* dhatctl snapshot: a profile into a file. */
#include <errno.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "filtering.h"
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
	struct dhat_filter filter;
	bool without_names, must_be_exact, with_holds;
};

enum { KEY_NO_NAMES = 0x100, KEY_EXACT, KEY_HOLDS };

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0,
	  "Where to (default: NAME-PID-TIME.dhat, here); - is the standard output", 2 },
	{ "exact", KEY_EXACT, 0, 0,
	  "Fail, with exit code 13, if the numbers are not exact (partial ones are not, either)",
	  2 },
	{ "holds", KEY_HOLDS, 0, 0,
	  "Look first at who holds the live blocks, for `dhatctl holds FILE.dhat'", 2 },
	{ "no-names", KEY_NO_NAMES, 0, 0, "Do not look up names: objects and offsets only", 2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct snapshot_options *snapshot_options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &snapshot_options->pid, &snapshot_options->format,
						&snapshot_options->trim, &snapshot_options->filter,
						&snapshot_options->common });
		return 0;
	case 'o':
		snapshot_options->output_path = arg;
		return 0;
	case KEY_NO_NAMES:
		snapshot_options->without_names = true;
		return 0;
	case KEY_HOLDS:
		snapshot_options->with_holds = true;
		return 0;
	case KEY_EXACT:
		snapshot_options->must_be_exact = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&snapshot_options->trim, arg))
			return 0;
		if (command_takes_pid_word(&snapshot_options->pid, arg))
			return 0;
		argp_error(state, "%s: not an option; a file is given by -o", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	{ .argp = &pid_argp },	       { .argp = &format_argp }, { .argp = &trim_argp },
	{ .argp = &dhat_filter_argp }, { .argp = &common_argp }, { 0 }
};
const struct argp cmd_snapshot_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID]",
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

static int find_exporter(struct snapshot_options *options_, struct dhat_error *err)
{
	if (options_->format.exporter)
		return 0;
	if (options_->output_path)
		return dhat_exporter_of_path(options_->output_path, &options_->format.exporter,
					     err);
	options_->format.exporter = &dhat_lossless_exporter;
	return 0;
}

static int save(struct snapshot_options *options_, struct dhat_snapshot *snapshot,
		struct dhat_error *err)
{
	const struct dhat_export_options export = { .trim_rules = options_->trim.rules,
						    .metric = options_->format.metric };
	_cleanup_free_ char *named = NULL;
	const char *path = options_->output_path;
	int r = filtering_reduce(&options_->filter, path ?: "", options_->format.exporter, snapshot,
				 err);

	if (r < 0)
		return r;
	if (!path)
		path = named = written_name(snapshot, options_->format.exporter);
	if (!path)
		return dhat_error_errno(err, ENOMEM, "cannot write the snapshot");
	r = written_save(snapshot, path, options_->format.exporter, &export, err);
	return r < 0 ? r
		     : written_report(&options_->common, options_->trim.rules, path, snapshot,
				      &options_->filter, err);
}

static int run(struct snapshot_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	Dhat__SnapshotRequest asked = DHAT__SNAPSHOT_REQUEST__INIT;
	int r = find_exporter(wanted, err);

	if (r == 0 && wanted->output_path)
		r = command_refuse_terminal(wanted->output_path, err);
	if (r == 0 && !wanted->pid)
		r = choice_check(wanted->common.socket_path, "snapshot", err);
	if (r < 0)
		return r;
	asked.pid = wanted->pid;
	asked.without_names = wanted->without_names;
	/* it keeps all that is known; no other format has a place for ages */
	asked.with_holds = wanted->with_holds;
	asked.with_ages = wanted->format.exporter == &dhat_lossless_exporter;
	asked.with_pages = asked.with_ages || wanted->format.exporter == &dhat_pprof_exporter ||
			   wanted->format.exporter == &dhat_html_exporter;
	r = client_snapshot(wanted->common.socket_path, &asked, &snapshot, err);
	if (r == 0 && wanted->must_be_exact)
		r = insist(snapshot->end->verdict, err);
	return r < 0 ? r : save(wanted, snapshot, err);
}

int cmd_snapshot(int argc, char **argv, struct dhat_error *err)
{
	struct snapshot_options wanted = { 0 };
	int r = command_parse(&cmd_snapshot_argp, argc, argv, &wanted, &wanted.common, err);

	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	dhat_filter_deinit(&wanted.filter);
	return r;
}
