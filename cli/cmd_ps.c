/* dhatctl ps: which processes grow. */
#include <errno.h>
#include <unistd.h>

#include "beside.h"
#include "command.h"

struct ps {
	struct common common;
	char *seconds, *top;
};

enum { KEY_FOR = 0x600 };

static const struct argp_option options[] = {
	{ "for", KEY_FOR, "SECONDS", 0, "Watch so long (default 2; from 0.1 to 3600)", 1 },
	{ "top", 'n', "N", 0, "Tell of the N that grow most (default 20)", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct ps *ps = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &ps->common });
		return 0;
	case KEY_FOR:
		ps->seconds = arg;
		return 0;
	case 'n':
		ps->top = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: not an option; `dhatctl plan %s' looks at one process", arg,
			   arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
const struct argp cmd_ps_argp = {
	.options = options,
	.parser = parse_option,
	.doc = "Which processes grow, and how fast: resident memory, swap, growth a minute, "
	       "allocator. "
	       "Nothing is attached to, and no dhatd has to answer: it runs `dhatd ps', which has "
	       "the "
	       "rights of who types it.",
	.children = children,
};

int cmd_ps(int argc, char **argv, struct dhat_error *err)
{
	struct ps ps = { 0 };
	char dhatd[BESIDE_CHARS], *words[8];
	size_t count = 0;
	int r = command_parse(&cmd_ps_argp, argc, argv, &ps, &ps.common, err);

	if (r < 0 || ps.common.is_done)
		return r;
	beside_find_dhatd(dhatd);
	words[count++] = dhatd;
	words[count++] = "ps";
	if (ps.seconds) {
		words[count++] = "--for";
		words[count++] = ps.seconds;
	}
	if (ps.top) {
		words[count++] = "--top";
		words[count++] = ps.top;
	}
	if (ps.common.as_json)
		words[count++] = "--json";
	words[count] = NULL;
	execvp(dhatd, words);
	return dhat_error_errno(err, errno, "cannot run %s", dhatd);
}
