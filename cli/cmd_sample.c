/* dhatctl sample: a target of which all blocks were recorded is sampled from now on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bpf/dhat_sample.h"
#include "choice.h"
#include "command.h"
#include "proto/base/units.h"

struct sampling {
	struct common common;
	uint32_t pid;
	uint64_t bytes;
};

/* A number alone is the process's, once the size is known; a size has a unit. */
static error_t take_word(struct sampling *sampling, const char *arg, struct argp_state *state)
{
	uint64_t size;

	if (command_takes_pid_word(&sampling->pid, arg))
		return 0;
	if (sampling->bytes || dhat_parse_size(arg, &size) < 0 || size < DHAT_SAMPLE_LEAST_BYTES ||
	    size > DHAT_SAMPLE_MOST_BYTES) {
		argp_error(state, "%s: one size from 1KiB to 1GiB is needed, as 512KiB", arg);
		return EINVAL;
	}
	sampling->bytes = size;
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct sampling *sampling = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &sampling->pid, &sampling->common });
		return 0;
	case ARGP_KEY_ARG:
		return take_word(sampling, arg, state);
	case ARGP_KEY_END:
		if (sampling->bytes)
			return 0;
		argp_error(state, "of how many bytes is one block to be recorded? As 512KiB");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_sample_argp = {
	.parser = parse_option,
	.args_doc = "BYTES [PID]",
	.doc = "From now on record a sample of the blocks that a target allocates, one for each "
	       "BYTES "
	       "(512KiB), where all were recorded until now: what was counted stays exact, and so "
	       "do "
	       "its live blocks; what comes is an estimate, and each figure has its interval. "
	       "There "
	       "is no way back.",
	.children = children,
};

static int run(const struct sampling *sampling, struct dhat_error *err)
{
	Dhat__SampleRequest body = DHAT__SAMPLE_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	int r = sampling->pid ? 0 : choice_check(sampling->common.socket_path, "sample BYTES", err);

	if (r < 0)
		return r;
	body.pid = sampling->pid;
	body.sample_bytes = sampling->bytes;
	request.body_case = DHAT__REQUEST__BODY_SAMPLE;
	request.sample = &body;
	return command_call_and_print(&sampling->common, &request, err);
}

int cmd_sample(int argc, char **argv, struct dhat_error *err)
{
	struct sampling sampling = { 0 };
	int r = command_parse(&cmd_sample_argp, argc, argv, &sampling, &sampling.common, err);

	return r < 0 || sampling.common.is_done ? r : run(&sampling, err);
}
