/* dhatctl attach, dhatctl detach. */
#include <errno.h>

#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/qualifiers.h"
#include "proto/base/screen.h"
#include "proto/base/units.h"
#include "proto/wire/attach_options.h"

struct attach {
	struct common common;
	struct dhat_attach_options options;
	uint32_t pid;
};

static const struct argp_option options[] = {
	{ "pid", 'p', "N", 0, "The process", 1 },
	{ 0 },
};

/* attach and detach: the process as an option or as the only word */
static error_t parse_pid(int key, char *arg, struct argp_state *state, uint32_t *pid)
{
	switch (key) {
	case 'p':
	case ARGP_KEY_ARG:
		if (*pid) {
			argp_error(state, "%s: one process at a time", arg);
			return EINVAL;
		}
		if (dhat_parse_pid(arg, pid) < 0) {
			argp_error(state, "%s: not a process id", arg);
			return EINVAL;
		}
		return 0;
	case ARGP_KEY_END:
		if (*pid)
			return 0;
		argp_error(state, "which process? give --pid N");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_attach(int key, char *arg, struct argp_state *state)
{
	struct attach *attach = state->input;

	if (key == ARGP_KEY_INIT) {
		command_give_inputs(state, (void *[]){ &attach->options, &attach->common });
		return 0;
	}
	return parse_pid(key, arg, state, &attach->pid);
}

static error_t parse_detach(int key, char *arg, struct argp_state *state)
{
	struct attach *attach = state->input;

	if (key == ARGP_KEY_INIT) {
		command_give_inputs(state, (void *[]){ &attach->common });
		return 0;
	}
	return parse_pid(key, arg, state, &attach->pid);
}

static const struct argp_child attach_children[] = { { .argp = &dhat_attach_argp },
						     { .argp = &common_argp },
						     { 0 } };
const struct argp cmd_attach_argp = {
	.options = options,
	.parser = parse_attach,
	.args_doc = "[PID]",
	.doc = "Have the running dhatd watch another process, too.",
	.children = attach_children,
};

static const struct argp_child detach_children[] = { { .argp = &common_argp }, { 0 } };
const struct argp cmd_detach_argp = {
	.options = options,
	.parser = parse_detach,
	.args_doc = "[PID]",
	.doc = "Have dhatd remove its probes from a process. Its profile can be fetched until "
	       "dhatd "
	       "ends or watches the process again.",
	.children = detach_children,
};

void command_fill_attach_options(const struct dhat_attach_options *from, Dhat__AttachOptions *to)
{
	to->ring_bytes = from->ring_bytes;
	if (from->link)
		to->link = without_qualifiers(from->link);
	to->custom = from->custom;
	while (from->custom && from->custom[to->n_custom])
		to->n_custom++;
	to->follow_fork = from->follow_fork;
	to->follow_exec = from->follow_exec;
	to->anonymous_memory = from->anonymous_memory;
	to->skip_inventory = from->skip_inventory;
	to->with_lifetimes = from->with_lifetimes;
	to->sample_bytes = from->sample_bytes;
	to->no_return_probes = from->no_return_probes;
	if (from->sites)
		to->sites = without_qualifiers(from->sites);
	to->max_memory_bytes = from->max_memory_bytes;
}

int cmd_attach(int argc, char **argv, struct dhat_error *err)
{
	Dhat__AttachOptions wire = DHAT__ATTACH_OPTIONS__INIT;
	Dhat__AttachRequest body = DHAT__ATTACH_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	struct attach attach = { 0 };
	int r;

	r = command_parse(&cmd_attach_argp, argc, argv, &attach, &attach.common, err);
	if (r == 0 && !attach.common.is_done) {
		command_fill_attach_options(&attach.options, &wire);
		body.pid = attach.pid;
		body.options = &wire;
		request.body_case = DHAT__REQUEST__BODY_ATTACH;
		request.attach = &body;
		r = command_call_and_print(&attach.common, &request, err);
	}
	dhat_attach_options_deinit(&attach.options);
	return r;
}

int cmd_detach(int argc, char **argv, struct dhat_error *err)
{
	Dhat__DetachRequest body = DHAT__DETACH_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	struct attach attach = { 0 };
	int r;

	r = command_parse(&cmd_detach_argp, argc, argv, &attach, &attach.common, err);
	if (r < 0 || attach.common.is_done)
		return r;
	body.pid = attach.pid;
	request.body_case = DHAT__REQUEST__BODY_DETACH;
	request.detach = &body;
	return command_call_and_print(&attach.common, &request, err);
}
