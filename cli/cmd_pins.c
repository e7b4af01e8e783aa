/* dhatctl pins: what keeps resident memory resident: a leak, a cache, or fragmentation. */
#include <errno.h>

#include "command.h"
#include "filtering.h"
#include "listing.h"
#include "pages.h"
#include "pinning.h"
#include "proto/base/cleanup.h"
#include "subject.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

struct pins_options {
	struct common common;
	struct subject subject;
	struct listing list;
	struct trim_options trim;
	struct dhat_filter filter;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct pins_options *wanted = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state,
				    (void *[]){ &wanted->subject.pid, &wanted->list, &wanted->trim,
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

static const struct argp_child children[] = {
	{ .argp = &pid_argp },	       { .argp = &listing_argp }, { .argp = &trim_argp },
	{ .argp = &dhat_filter_argp }, { .argp = &common_argp },  { 0 }
};
const struct argp cmd_pins_argp = {
	.parser = parse_option,
	.args_doc = "[PID | FILE.dhat]",
	.doc = "Why resident memory stays: a leak, a cache, or fragmentation. Page by page: what "
	       "is live of it, what is free beside live blocks and whose they are, what would go "
	       "back if which blocks went.",
	.children = children,
};

static int report(struct pins_options *wanted, const struct dhat_snapshot *snapshot)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *table = NULL, *by_line = NULL;
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	struct dhat_table_options options = { .style = { .by = DHAT_BY_LINE } };
	int r = is_shown ? dhat_filter_apply(&wanted->filter, snapshot, is_shown) : -ENOMEM;

	/* the answer is of all, whatever the list is of */
	if (r == 0)
		r = dhat_table_new(snapshot, &options, &by_line);
	if (r == 0)
		r = dhat_suspects_find(by_line, &suspects);
	options = (struct dhat_table_options){ .style = wanted->list.style,
					       .trim_rules = wanted->trim.rules,
					       .depth = wanted->list.depth,
					       .is_shown = is_shown };
	if (r == 0)
		r = dhat_table_new(snapshot, &options, &table);
	if (r < 0)
		return r;
	return pinning_print(&(struct pinning){ .by_line = by_line,
						.suspects = &suspects,
						.table = table,
						.filter = &wanted->filter,
						.top = wanted->list.top },
			     wanted->common.as_json);
}

static int run(struct pins_options *wanted, struct dhat_error *err)
{
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	int r = subject_fetch(&wanted->subject, &wanted->common, "pins", &snapshot, err);

	if (r == 0)
		r = pages_check(snapshot, wanted->subject.path, err);
	if (r < 0)
		return r;
	r = report(wanted, snapshot);
	return r < 0 ? dhat_error_errno(err, -r, "cannot tell what keeps the memory") : 0;
}

int cmd_pins(int argc, char **argv, struct dhat_error *err)
{
	struct pins_options wanted = { .subject = { .with_pages = true }, .list = listing_default };
	int r;

	wanted.list.style.by = DHAT_BY_LINE;
	r = command_parse(&cmd_pins_argp, argc, argv, &wanted, &wanted.common, err);
	if (r == 0 && !wanted.common.is_done)
		r = run(&wanted, err);
	dhat_filter_deinit(&wanted.filter);
	return r;
}
