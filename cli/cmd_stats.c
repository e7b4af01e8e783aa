/* dhatctl stats: what is live, and from where. */
#include <errno.h>

#include "born_file.h"
#include "choice.h"
#include "client.h"
#include "command.h"
#include "comparing.h"
#include "filtering.h"
#include "input.h"
#include "listing.h"
#include "programs.h"
#include "proto/base/cleanup.h"
#include "proto/base/texts.h"
#include "proto/base/units.h"
#include "report.h"

DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct stats {
	struct common common;
	uint32_t pid;
	char **paths; /* .dhat files instead of a daemon; NULL: none. Ends with NULL */
	bool is_all;  /* of all targets */
	enum ranking_key key;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
	bool without_names, has_key, has_ages, has_sizes, has_pages, is_temporary;
	uint64_t older_ns;	 /* 0: of any age */
	const char *since;	 /* a mark, or a file */
	const char *output_path; /* NULL: nothing is written */
	struct format_options format;
};

enum {
	KEY_SORT = 0x100,
	KEY_NO_NAMES,
	KEY_ADDRESSES,
	KEY_ALL,
	KEY_SINCE,
	KEY_OLDER,
	KEY_AGES,
	KEY_SIZES,
	KEY_TEMPORARY,
	KEY_PAGES
};

static const struct argp_option options[] = {
	{ "all", KEY_ALL, 0, 0,
	  "All attached processes; those of one program are put together, as several files are",
	  1 },
	{ "since", KEY_SINCE, "MARK|OLD.dhat", 0,
	  "Of what was allocated since a mark and still lives; with a file: what has grown since, "
	  "as `dhatctl diff' says it",
	  2 },
	{ "older", KEY_OLDER, "TIME", 0,
	  "Of what is at least so old and still lives: 90s, 5m, 2h, 1d", 2 },
	{ "ages", KEY_AGES, 0, 0,
	  "Show of each row how old its blocks are, and how long those had lived that were freed",
	  2 },
	{ "sizes", KEY_SIZES, 0, 0, "Show how large the live blocks are, of all and of each row",
	  2 },
	{ "pages", KEY_PAGES, 0, 0,
	  "Show of each row what of it is in memory, swapped out, or neither; and what "
	  "else is on its pages",
	  2 },
	{ "sort", KEY_SORT, "KEY", 0,
	  "Sort by bytes: live (now), total (ever), peak (at t-gmax), max (each one's own "
	  "maximum), growth (a minute, of what is never freed); by the mean age of live blocks; or "
	  "by survival (the share of what was allocated that lives; and how many marks it "
	  "outlived)",
	  2 },
	{ "temporary", KEY_TEMPORARY, 0, 0,
	  "Sort by temporary blocks: freed by their thread before it allocated anything else, "
	  "within a second",
	  2 },
	{ "output", 'o', "FILE", 0,
	  "With --since or --older: write that to a file, too, by whole stacks; - is the standard "
	  "output, and there is no list then",
	  2 },
	{ "addresses", KEY_ADDRESSES, 0, 0, "Show the frames' addresses", 2 },
	{ "no-names", KEY_NO_NAMES, 0, 0, "Do not look up names: objects and offsets only", 2 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct stats *stats = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &stats->pid, &stats->list, &stats->trim,
						&stats->filter, &stats->format, &stats->common });
		return 0;
	case 'o':
		stats->output_path = arg;
		return 0;
	case KEY_ALL:
		stats->is_all = true;
		return 0;
	case KEY_SINCE:
		stats->since = arg;
		if (*arg)
			return 0;
		argp_error(state, "--since: which mark, or which file?");
		return EINVAL;
	case KEY_OLDER:
		if (dhat_parse_duration(arg, &stats->older_ns) == 0)
			return 0;
		argp_error(state, "--older %s: a time is a number with s, m, h or d", arg);
		return EINVAL;
	case KEY_AGES:
		stats->has_ages = true;
		return 0;
	case KEY_SIZES:
		stats->has_sizes = true;
		return 0;
	case KEY_PAGES:
		stats->has_pages = true;
		return 0;
	case KEY_SORT:
		stats->has_key = true;
		if (ranking_parse_key(arg, &stats->key) == 0)
			return 0;
		argp_error(state,
			   "--sort %s: there are live, total, peak, max, growth, age and survival",
			   arg);
		return EINVAL;
	case KEY_TEMPORARY:
		stats->is_temporary = true;
		return 0;
	case KEY_ADDRESSES:
		stats->list.style.has_addresses = true;
		return 0;
	case KEY_NO_NAMES:
		stats->without_names = true;
		return 0;
	case ARGP_KEY_ARG:
		if (command_takes_trim_word(&stats->trim, arg))
			return 0;
		if (command_takes_pid_word(&stats->pid, arg))
			return 0;
		return -texts_add(&stats->paths, arg);
	case ARGP_KEY_END:
		if (!!stats->paths + stats->is_all + !!stats->pid > 1)
			argp_error(state, "one process, --all of them, or files?");
		else if (stats->since && stats->older_ns)
			argp_error(state, "--since a mark, or --older than a time?");
		else if (stats->is_temporary && (stats->has_key || stats->since || stats->older_ns))
			argp_error(state,
				   "--temporary has an order of its own, and is of all blocks "
				   "since the watch began");
		else if (stats->output_path && !stats->since && !stats->older_ns)
			argp_error(
				state,
				"-o: which blocks, --since a mark or --older than a time? All of "
				"a profile is written by `dhatctl snapshot -o FILE'");
		else if ((stats->since || stats->older_ns) && stats->has_key)
			argp_error(state, "--%s sorts by what is live, and has no --sort",
				   stats->since ? "since" : "older");
		else
			return 0;
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
const struct argp cmd_stats_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat...]",
	.doc = "What is live, how much, since when and from where: totals, the peak, and the "
	       "stacks "
	       "with the most bytes; of a running dhatd, or of a file made by `dhatctl snapshot'.",
	.children = children,
};

/* ---- snapshots ----------------------------------------------------------------------------- */

static int read_files(const struct stats *stats, struct programs *programs, struct dhat_error *err)
{
	int r = 0;

	for (char **path = stats->paths; r == 0 && *path; path++) {
		struct dhat_snapshot *snapshot = NULL;

		r = input_read(*path, &snapshot, err);
		if (snapshot)
			r = programs_add(programs, snapshot, err);
	}
	return r;
}

static int collect(const struct stats *stats, struct programs *programs, struct dhat_error *err)
{
	Dhat__SnapshotRequest wanted = DHAT__SNAPSHOT_REQUEST__INIT;
	int r;

	if (stats->paths)
		return read_files(stats, programs, err);
	wanted.without_names = stats->without_names;
	wanted.with_ages = stats->has_ages || stats->has_sizes || stats->older_ns;
	wanted.older_ns = stats->older_ns;
	wanted.with_pages = stats->has_pages;
	if (stats->is_all)
		return programs_fetch_all(programs, stats->common.socket_path, &wanted, err);
	r = stats->pid ? 0 : choice_check(stats->common.socket_path, "stats", err);
	return r < 0 ? r
		     : programs_fetch(programs, stats->common.socket_path, &wanted, &stats->pid, 1,
				      err);
}

static int refuse_several(const struct programs *programs, const char *what, struct dhat_error *err)
{
	if (programs->count == 1)
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "%s is of one program, and these are %zu: name a process", what,
			      programs->count);
}

static int compare(const struct report *report, const struct stats *stats,
		   const struct programs *programs, const struct comparing_file *file,
		   struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *before = NULL;
	bool is_one_file = stats->paths && stats->paths[0] && !stats->paths[1];
	int r = refuse_several(programs, "a comparison by --since", err);

	if (r == 0)
		r = input_read(stats->since, &before, err);
	return r < 0 ? r
		     : comparing_print(report, &(struct compared){ before, stats->since },
				       &(struct compared){ programs->list[0],
							   is_one_file ? stats->paths[0] : NULL },
				       file, err);
}

static int print(const struct report *report, const struct stats *stats,
		 const struct programs *programs, struct dhat_error *err)
{
	bool is_list = stats->common.as_json &&
		       (stats->is_all || (stats->paths && stats->paths[0] && stats->paths[1]));
	int r = 0;

	for (size_t i = 0; r == 0 && i < programs->count; i++)
		r = report_check(report, programs->list[i], err);
	if (r < 0)
		return r;
	fputs(is_list ? "[\n" : "", stdout);
	for (size_t i = 0; r == 0 && i < programs->count; i++) {
		if (i)
			fputs(is_list ? ",\n" : "\n", stdout);
		r = report_print(report, programs->list[i], err);
	}
	fputs(is_list ? "\n]\n" : stats->common.as_json ? "\n" : "", stdout);
	return r;
}

static int run(struct stats *stats, struct dhat_error *err)
{
	bool is_mark = stats->since && births_is_mark(stats->since);
	const struct report report = {
		.rows = { .key = stats->is_temporary ? RANK_BY_TEMPORARY : stats->key,
			  .top = stats->list.top },
		.list = stats->list,
		.trim_rules = stats->trim.rules,
		.filter = &stats->filter,
		.as_json = stats->common.as_json,
		.without_names = stats->without_names,
		.since = is_mark ? stats->since : NULL,
		.older_ns = stats->older_ns,
		.has_ages = stats->has_ages,
		.has_sizes = stats->has_sizes,
		.has_pages = stats->has_pages,
		.path = stats->paths ? stats->paths[0] : NULL,
	};
	_cleanup_(programs_deinit) struct programs programs = { 0 };
	struct comparing_file file;
	int r = comparing_file_choose(stats->output_path, &stats->format, &file, err);

	if (r == 0)
		r = collect(stats, &programs, err);
	if (r < 0)
		return r;
	if (stats->since && !is_mark)
		return compare(&report, stats, &programs, file.path ? &file : NULL, err);
	if (file.path)
		r = refuse_several(&programs, "-o: a file", err);
	if (r < 0 || file.path)
		return r < 0 ? r : born_file_print(&report, programs.list[0], &file, err);
	return print(&report, stats, &programs, err);
}

int cmd_stats(int argc, char **argv, struct dhat_error *err)
{
	struct stats stats = { .key = RANK_BY_LIVE, .list = listing_default };
	int r;

	r = command_parse(&cmd_stats_argp, argc, argv, &stats, &stats.common, err);
	if (r == 0 && !stats.common.is_done)
		r = run(&stats, err);
	dhat_filter_deinit(&stats.filter);
	texts_free(stats.paths);
	return r;
}
