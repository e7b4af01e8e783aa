#include "filter_options.h"

#include <errno.h>

enum { KEY_FILTER = 0x400, KEY_EXCLUDE, KEY_SUPPRESSIONS };

static const struct argp_option options[] = {
	{ "filter", KEY_FILTER, "PATTERN", 0,
	  "Only stacks with a function, source file or object that matches: a part of its name, * "
	  "for anything, ^ and $ for its ends; may be given several times",
	  3 },
	{ "exclude", KEY_EXCLUDE, "PATTERN", 0, "No stacks that match", 3 },
	{ "suppressions", KEY_SUPPRESSIONS, "FILE", 0,
	  "No stacks that match a line `leak:PATTERN' of FILE, as LeakSanitizer reads it", 3 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct dhat_filter *filter = state->input;
	struct dhat_error err = { 0 };
	int r;

	switch (key) {
	case KEY_FILTER:
	case KEY_EXCLUDE:
		if (!*arg) {
			argp_error(state, "an empty pattern matches everything");
			return EINVAL;
		}
		return -dhat_filter_add(
			filter, key == KEY_FILTER ? DHAT_FILTER_ONLY : DHAT_FILTER_EXCLUDE, arg);
	case KEY_SUPPRESSIONS:
		r = dhat_filter_add_suppressions(filter, arg, &err);
		if (r < 0)
			argp_error(state, "%s", err.message);
		return -r;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp dhat_filter_argp = { .options = options, .parser = parse_option };
