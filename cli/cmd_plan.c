/* dhatctl plan: a dry run of an attach. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
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
static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PID]",
	.doc = "What an attach would find and do, without attaching: the allocators of the "
	       "process, "
	       "where the probes would sit, what could go wrong, and what it would cost. The exit "
	       "status is 0 if it is safe to attach, and 6 if not.",
	.children = children,
};

static void print_hazards(struct screen *screen, const Dhat__Plan *plan)
{
	for (size_t i = 0; i < plan->n_hazards; i++) {
		const Dhat__Hazard *hazard = plan->hazards[i];

		printf("  %-10s ", i ? "" : "hazards");
		screen_mark(screen, hazard->is_blocking ? MARK_BAD : MARK_BOLD);
		screen_text(screen, hazard->name);
		screen_mark(screen, MARK_NONE);
		fputs(hazard->is_blocking ? " (in the way): " : ": ", stdout);
		screen_text(screen, hazard->detail);
		fputc('\n', stdout);
	}
}

static void print_cost(struct screen *screen, const Dhat__Plan *plan)
{
	if (plan->allocs_per_second >= 0)
		printf("  %-10s about %s allocations a second\n", "rate",
		       view_count((uint64_t)(plan->allocs_per_second + 0.5)));
	if (plan->cost_percent >= 0)
		printf("  %-10s about %.*f %% of one core, in the process itself\n", "cost",
		       plan->cost_percent < 10, plan->cost_percent);
	if (*plan->cost_basis) {
		printf("  %-10s ", "basis");
		screen_paragraph(screen, 13, plan->cost_basis);
	}
}

static void print(const struct plan *asked, const Dhat__Plan *plan)
{
	struct screen screen;

	screen_init(&screen, stdout);
	if (plan->target) {
		screen_text(&screen, plan->target->command);
		printf(" (pid %" PRIu32 ")\n", plan->target->pid);
	} else {
		printf("process %" PRIu32 "\n", asked->pid);
	}
	fputs("  ", stdout);
	screen_mark(&screen, plan->is_safe ? MARK_BOLD : MARK_BAD);
	screen_text(&screen, plan->verdict);
	screen_mark(&screen, MARK_NONE);
	fputc('\n', stdout);
	print_hazards(&screen, plan);
	if (plan->target)
		view_list(&screen, "allocators", plan->target->allocators,
			  plan->target->n_allocators);
	print_cost(&screen, plan);
	view_probes(&screen, plan->probes, plan->n_probes);
}

static int call(const struct plan *plan, struct dhat_error *err)
{
	Dhat__AttachOptions wire = DHAT__ATTACH_OPTIONS__INIT;
	Dhat__PlanRequest body = DHAT__PLAN_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	Dhat__Response *response;
	bool is_safe;
	int r;

	command_fill_attach_options(&plan->options, &wire);
	body.pid = plan->pid;
	body.options = &wire;
	request.body_case = DHAT__REQUEST__BODY_PLAN;
	request.plan = &body;
	r = client_call(plan->common.socket_path, &request, DHAT__RESPONSE__BODY_PLAN, &response,
			err);
	if (r < 0)
		return r;
	is_safe = response->plan->is_safe;
	if (plan->common.as_json) {
		struct json_object *object = dhat_json_message(&response->plan->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		fputc('\n', stdout);
		json_object_put(object);
	} else {
		print(plan, response->plan);
	}
	dhat__response__free_unpacked(response, NULL);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot print the result");
	/* said already, on the standard output */
	return is_safe ? 0 : dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE, "%s", "");
}

int cmd_plan(int argc, char **argv, struct dhat_error *err)
{
	struct plan plan = { 0 };
	int r;

	r = command_parse(&argp, argc, argv, &plan, &plan.common, err);
	if (r == 0 && !plan.common.is_done)
		r = call(&plan, err);
	dhat_attach_options_deinit(&plan.options);
	return r;
}
