/* dhatctl repair: breakpoints that a killed tracer left are removed. */
#include <errno.h>
#include <unistd.h>

#include "beside.h"
#include "command.h"
#include "proto/base/units.h"

struct repair {
	struct common common;
	uint32_t pid;
};

static const struct argp_option options[] = {
	{ "pid", 'p', "N", 0, "The process", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct repair *repair = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &repair->common });
		return 0;
	case 'p':
	case ARGP_KEY_ARG:
		if (repair->pid || dhat_parse_pid(arg, &repair->pid) < 0) {
			argp_error(state, "%s: %s", arg,
				   repair->pid ? "one process at a time" : "not a process id");
			return EINVAL;
		}
		return 0;
	case ARGP_KEY_END:
		if (repair->pid)
			return 0;
		argp_error(state, "which process? give --pid N");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
const struct argp cmd_repair_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID]",
	.doc = "Remove breakpoints from a process's code that serve nobody any more: what a tracer "
	       "leaves that is killed while it lets go. Needs root and no dhatd: it runs `dhatd "
	       "repair'. Probes that are in use stay.",
	.children = children,
};

int cmd_repair(int argc, char **argv, struct dhat_error *err)
{
	struct repair repair = { 0 };
	char dhatd[BESIDE_CHARS], pid[24];
	int r = command_parse(&cmd_repair_argp, argc, argv, &repair, &repair.common, err);

	if (r < 0 || repair.common.is_done)
		return r;
	beside_find_dhatd(dhatd);
	snprintf(pid, sizeof(pid), "%u", repair.pid);
	execlp(dhatd, dhatd, "repair", "--pid", pid, repair.common.as_json ? "--json" : NULL, NULL);
	return dhat_error_errno(err, errno, "cannot run %s", dhatd);
}
