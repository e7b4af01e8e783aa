#include "listing.h"

#include <errno.h>

#include "proto/base/units.h"

const struct listing listing_default = { .top = 10, .depth = 12 };

enum { KEY_BY = 0x400, KEY_DEPTH, KEY_WHOLE_NAMES };

static const struct argp_option options[] = {
	{ "by", KEY_BY, "WHAT", 0,
	  "List stacks (the default; of top: line), or sums by function, line, file or object: of "
	  "the innermost frame that is the program's own; or by thread: what all of the stacks "
	  "that "
	  "threads of a name allocate at hold",
	  2 },
	{ "top", 'n', "N", 0, "List N of them (default 10; 0: none)", 2 },
	{ "depth", KEY_DEPTH, "N", 0,
	  "Show N frames of each stack, and as one what is equal in these (default 12; 0: all)",
	  2 },
	{ "whole-names", KEY_WHOLE_NAMES, 0, 0,
	  "Show template arguments, parameters and return types, too", 2 },
	{ 0 },
};

static int parse_number(struct argp_state *state, const char *option, const char *arg, size_t *ret)
{
	uint64_t number;

	if (dhat_parse_size(arg, &number) < 0) {
		argp_error(state, "%s %s: not a number", option, arg);
		return EINVAL;
	}
	*ret = number;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct listing *listing = state->input;

	switch (key) {
	case KEY_BY:
		if (dhat_by_parse(arg, &listing->style.by) == 0)
			return 0;
		argp_error(state,
			   "--by %s: there are stack, function, line, file, object and thread",
			   arg);
		return EINVAL;
	case 'n':
		return parse_number(state, "--top", arg, &listing->top);
	case KEY_DEPTH:
		listing->has_depth = true;
		return parse_number(state, "--depth", arg, &listing->depth);
	case KEY_WHOLE_NAMES:
		listing->style.has_whole_names = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp listing_argp = { .options = options, .parser = parse_option };
