/* dhatctl plan: a dry run of an attach. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/plan_text.h"
#include "proto/wire/attach_options.h"
#include "view.h"

struct plan {
	struct common common;
	struct dhat_attach_options options;
	uint32_t pid;
};

static const struct argp_option options[] = {
	{ "pid", 'p', "N", 0, "The process", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct plan *plan = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &plan->options, &plan->common });
		return 0;
	case 'p':
	case ARGP_KEY_ARG:
		if (plan->pid || dhat_parse_pid(arg, &plan->pid) < 0) {
			argp_error(state, "%s: %s", arg,
				   plan->pid ? "one process at a time" : "not a process id");
			return EINVAL;
		}
		return 0;
	case ARGP_KEY_END:
		if (plan->pid)
			return 0;
		argp_error(state, "which process? give --pid N");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &dhat_attach_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_plan_argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID]",
	.doc = "What an attach would find and do, without attaching: the allocators of the "
	       "process, "
	       "where the probes would sit, what could go wrong, and what it would cost. The exit "
	       "status is 0 if it is safe to attach, else the one that an attach would have.",
	.children = children,
};

static int call(const struct plan *plan, struct dhat_error *err)
{
	Dhat__AttachOptions wire = DHAT__ATTACH_OPTIONS__INIT;
	Dhat__PlanRequest body = DHAT__PLAN_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	struct dhat_error why = { 0 };
	Dhat__Response *response;
	int exit_code, r;

	command_fill_attach_options(&plan->options, &wire);
	body.pid = plan->pid;
	body.options = &wire;
	request.body_case = DHAT__REQUEST__BODY_PLAN;
	request.plan = &body;
	r = client_call(plan->common.socket_path, &request, DHAT__RESPONSE__BODY_PLAN, &response,
			&why);
	if (r < 0 && why.code == DHAT_EXIT_NO_DAEMON)
		return dhat_error_set(err, -r, why.code,
				      "no dhatd answers at %s; `sudo dhatd plan --pid %" PRIu32
				      "' needs none",
				      plan->common.socket_path, plan->pid);
	if (r < 0)
		return dhat_error_set(err, -r, why.code, "%s", why.message);
	exit_code = response->plan->is_safe ? 0 : DHAT_EXIT_UNSUITABLE;
	if (response->plan->exit_code) /* an older dhatd does not tell */
		exit_code = response->plan->exit_code;
	if (plan->common.as_json) {
		struct json_object *object = dhat_json_message(&response->plan->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		fputc('\n', stdout);
		json_object_put(object);
	} else {
		plan_text_print(stdout, response->plan, plan->pid);
	}
	dhat__response__free_unpacked(response, NULL);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot print the result");
	/* said already, on the standard output */
	return exit_code ? dhat_error_set(err, ENOTSUP, exit_code, "%s", "") : 0;
}

int cmd_plan(int argc, char **argv, struct dhat_error *err)
{
	struct plan plan = { 0 };
	int r;

	r = command_parse(&cmd_plan_argp, argc, argv, &plan, &plan.common, err);
	if (r == 0 && !plan.common.is_done)
		r = call(&plan, err);
	dhat_attach_options_deinit(&plan.options);
	return r;
}
