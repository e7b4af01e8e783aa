/* dhatctl status: what dhatd watches, and how well. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/plan_text.h"
#include "view.h"

struct status {
	struct common common;
	uint32_t pid;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct status *status = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		command_give_inputs(state, (void *[]){ &status->pid, &status->common });
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: not an option", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &common_argp },
					      { 0 } };
static const struct argp argp = {
	.parser = parse_option,
	.doc = "What dhatd watches: each target with its verdict, live and peak bytes, rates, "
	       "counters of losses, and its probes with the places where they sit.",
	.children = children,
};

static void print_verdict(struct screen *screen, const Dhat__Verdict *verdict)
{
	if (verdict && !verdict->exact)
		view_verdict(screen, verdict, "  ");
	else
		screen_print(screen, MARK_BOLD, "  exact\n");
}

static void print_figures(const Dhat__TargetStatus *target)
{
	const Dhat__Totals *totals = target->totals;
	char text[DHAT_UNIT_CHARS], more[DHAT_UNIT_CHARS];
	bool is_attached = !target->target || !strcmp(target->target->state, "attached");

	if (totals) {
		printf("  live       %s in %s blocks\n", view_size(totals->live_bytes),
		       view_count(totals->live_blocks));
		printf("  peak       %s in %s blocks, %s ago\n", view_size(totals->peak_bytes),
		       view_count(totals->peak_blocks),
		       dhat_format_duration(totals->end_ns - totals->peak_ns, text));
		printf("  total      %s in %s blocks\n", view_size(totals->total_bytes),
		       view_count(totals->total_blocks));
	}
	if (is_attached)
		printf("  rate       %s allocations and %s frees a second\n",
		       view_count((uint64_t)(target->allocs_per_second + 0.5)),
		       view_count((uint64_t)(target->frees_per_second + 0.5)));
	if (target->ring_bytes)
		printf("  ring       %.0f%% of %s in use\n",
		       100.0 * target->ring_used_bytes / target->ring_bytes,
		       dhat_format_size(target->ring_bytes, text));
	if (!is_attached)
		return;
	printf("  tables     %" PRIu32 " ready, %" PRIu32 " being built; %s for %s of code\n",
	       target->tables_ready, target->tables_pending,
	       dhat_format_size(target->table_bytes, text),
	       dhat_format_size(target->code_bytes, more));
}

/* Counters at zero say nothing. */
static void print_counters(struct screen *screen, const Dhat__TargetStatus *target, bool are_losses)
{
	bool has_title = false;

	for (size_t i = 0; i < target->n_counters; i++) {
		const Dhat__Counter *counter = target->counters[i];

		if (!counter->value || counter->is_loss != are_losses)
			continue;
		if (!has_title)
			screen_print(screen, are_losses ? MARK_BAD : MARK_NONE, "  %s\n",
				     are_losses ? "losses" : "counters");
		has_title = true;
		printf("%17s  ", view_count(counter->value));
		screen_column(screen, counter->name, 18);
		fputs("  ", stdout);
		screen_paragraph(screen, 39, counter->meaning);
	}
}

static void print_target(struct screen *screen, const Dhat__TargetStatus *status)
{
	static const Dhat__Target nobody = DHAT__TARGET__INIT;
	const Dhat__Target *target = status->target ? status->target : &nobody;

	fputc('\n', stdout);
	view_target(screen, target);
	print_verdict(screen, status->verdict);
	print_figures(status);
	print_counters(screen, status, true);
	plan_text_list(screen, "allocators", target->allocators, target->n_allocators);
	plan_text_list(screen, "notes", status->notes, status->n_notes);
	plan_text_probes(screen, status->probes, status->n_probes);
	print_counters(screen, status, false);
}

static void print(const struct status *options, const Dhat__Status *status)
{
	char size[DHAT_UNIT_CHARS], line[512];
	struct screen screen;

	screen_init(&screen, stdout);
	snprintf(line, sizeof(line),
		 "dhatd %s (pid %" PRIu32 ") on Linux %s: %s, %.1f s of CPU; %zu target%s",
		 status->tool_version, status->daemon_pid, status->kernel,
		 dhat_format_size(status->daemon_rss_bytes, size), status->daemon_cpu_seconds,
		 status->n_targets, status->n_targets == 1 ? "" : "s");
	screen_paragraph(&screen, 0, line);
	for (size_t i = 0; i < status->n_targets; i++)
		print_target(&screen, status->targets[i]);
}

/* Only the target asked for stays. */
static int select_target(Dhat__Status *status, uint32_t pid, struct dhat_error *err)
{
	size_t kept = 0;

	for (size_t i = 0; pid && i < status->n_targets; i++) {
		Dhat__TargetStatus *target = status->targets[i];

		if (target->target && target->target->pid == pid)
			status->targets[kept++] = target;
		else
			dhat__target_status__free_unpacked(target, NULL);
	}
	if (!pid)
		return 0;
	status->n_targets = kept;
	if (kept)
		return 0;
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
			      "process %" PRIu32 " is none of dhatd's targets: `dhatctl attach "
			      "--pid %" PRIu32 "' adds it",
			      pid, pid);
}

int cmd_status(int argc, char **argv, struct dhat_error *err)
{
	Dhat__StatusRequest body = DHAT__STATUS_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	struct status options = { 0 };
	Dhat__Response *response;
	int r;

	r = command_parse(&argp, argc, argv, &options, &options.common, err);
	if (r < 0 || options.common.is_done)
		return r;
	request.body_case = DHAT__REQUEST__BODY_STATUS;
	request.status = &body;
	r = client_call(options.common.socket_path, &request, DHAT__RESPONSE__BODY_STATUS,
			&response, err);
	if (r < 0)
		return r;
	r = select_target(response->status, options.pid, err);
	if (r == 0 && options.common.as_json) {
		struct json_object *object = dhat_json_message(&response->status->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		fputc('\n', stdout);
		json_object_put(object);
	} else if (r == 0) {
		print(&options, response->status);
	}
	dhat__response__free_unpacked(response, NULL);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
