#include "command.h"

#include <errno.h>
#include <stdlib.h>

#include "../proto/units.h"

const struct command commands[] = {
	{ "stats", "what is live, and from where: totals, peak, the stacks with the most",
	  cmd_stats },
	{ "status", "targets, probes, rates, counters, verdict", cmd_status },
	{ "snapshot", "fetch a profile into a file, for DHAT's viewer or for later", cmd_snapshot },
	{ "export", "turn a .dhat file into DHAT JSON", cmd_export },
	{ "attach", "have dhatd watch another process", cmd_attach },
	{ "detach", "have dhatd leave a process alone; its profile stays", cmd_detach },
	{ 0 },
};

static const struct argp_option common_options[] = {
	{ "socket", 's', "PATH", 0,
	  "Where dhatd answers (default: $" CLI_SOCKET_VARIABLE ", else " CLI_DEFAULT_SOCKET ")",
	  8 },
	{ "json", 'j', 0, 0, "Print JSON, for programs", 8 },
	{ "help", '?', 0, 0, "Give this help list", -1 },
	{ 0 },
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common *common = state->input;

	switch (key) {
	case 's':
		common->socket_path = arg;
		return 0;
	case 'j':
		common->as_json = true;
		return 0;
	case '?':
		argp_state_help(state, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
		common->is_done = true;
		return ECANCELED;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = common_options, .parser = parse_common };

static const struct argp_option pid_options[] = {
	{ "pid", 'p', "N", 0, "The target; needed where several are attached", 1 },
	{ 0 },
};

static error_t parse_pid(int key, char *arg, struct argp_state *state)
{
	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	if (dhat_parse_pid(arg, state->input) < 0) {
		argp_error(state, "--pid %s: not a process id", arg);
		return EINVAL;
	}
	return 0;
}

const struct argp pid_argp = { .options = pid_options, .parser = parse_pid };

void command_give_inputs(struct argp_state *state, void *const *inputs)
{
	for (size_t i = 0; state->root_argp->children[i].argp; i++)
		state->child_inputs[i] = inputs[i];
}

int command_parse(const struct argp *argp, int argc, char **argv, void *input,
		  struct common *common, struct dhat_error *err)
{
	const char *variable = getenv(CLI_SOCKET_VARIABLE);
	int r;

	common->socket_path = variable && *variable ? variable : CLI_DEFAULT_SOCKET;
	/* no lines about GNU's habits below each help */
	setenv("ARGP_HELP_FMT", "no-dup-args-note", 0);
	/* argp's own --help would exit from inside */
	r = argp_parse(argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, input);
	if (r == 0 || common->is_done)
		return 0;
	if (err)
		err->code = DHAT_EXIT_USAGE; /* argp has said what is wrong */
	return -r;
}
