/* dhatctl status: what dhatd watches, and how well. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "choice.h"
#include "client.h"
#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/units.h"
#include "proto/profile/plan_text.h"
#include "proto/wire/words.h"
#include "view.h"

#define TEXT_COLUMN 13 /* behind a title */

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
		if (command_takes_pid_word(&status->pid, arg))
			return 0;
		argp_error(state, "%s: not an option, nor a process id", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { .argp = &pid_argp },
					      { .argp = &common_argp },
					      { 0 } };
const struct argp cmd_status_argp = {
	.parser = parse_option,
	.args_doc = "[PID]",
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

/* A title, and behind it text that is fitted to the screen. */
__attribute__((format(printf, 3, 4))) static void
print_row(struct screen *screen, const char *title, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(screen->file, "  %-10s ", title);
	screen_paragraph(screen, TEXT_COLUMN, text);
}

static const char *interval_words(uint64_t sample_bytes, const struct dhat_evidence *evidence,
				  enum dhat_estimated which, uint64_t bytes)
{
	struct dhat_interval interval = dhat_interval_of(sample_bytes, evidence, which, bytes);

	return view_interval(&interval);
}

static void print_totals(struct screen *screen, const Dhat__Target *target,
			 const Dhat__Totals *totals, uint64_t sample_bytes)
{
	char text[DHAT_UNIT_CHARS];
	struct dhat_evidence evidence;

	dhat_evidence_of_totals(sample_bytes, totals, &evidence);
	print_row(screen, "live", "%s in %s%s", view_size(totals->live_bytes),
		  view_counted(totals->live_blocks, "block"),
		  interval_words(sample_bytes, &evidence, DHAT_ESTIMATED_LIVE, totals->live_bytes));
	print_row(screen, "peak", "%s in %s, %s %s%s", view_size(totals->peak_bytes),
		  view_counted(totals->peak_blocks, "block"),
		  dhat_format_duration(totals->end_ns - totals->peak_ns, text), view_ago(target),
		  interval_words(sample_bytes, &evidence, DHAT_ESTIMATED_PEAK, totals->peak_bytes));
	print_row(
		screen, "total", "%s in %s%s", view_size(totals->total_bytes),
		view_counted(totals->total_blocks, "block"),
		interval_words(sample_bytes, &evidence, DHAT_ESTIMATED_TOTAL, totals->total_bytes));
	if (sample_bytes)
		print_row(screen, "sample",
			  "1 block per %s; what was drawn, and what is in the "
			  "sample, is by the counters",
			  dhat_format_size(sample_bytes, text));
}

/* An older dhatd tells of neither: 0. */
static void print_cost(struct screen *screen, const Dhat__TargetStatus *target)
{
	char used[64] = "", price[96] = "";

	if (target->cpu_percent == 0)
		return;
	if (target->cpu_percent > 0)
		snprintf(used, sizeof(used), ", of the %.1f%% that the process uses",
			 target->cpu_percent);
	if (target->alloc_cost_ns > 0)
		snprintf(price, sizeof(price), "; taken for %.1f us an allocation, %.1f us a free",
			 target->alloc_cost_ns / 1000, target->free_cost_ns / 1000);
	print_row(screen, "cost", "about %.1f%% of a core%s%s", target->cost_percent, used, price);
}

static void print_figures(struct screen *screen, const Dhat__TargetStatus *target)
{
	char text[DHAT_UNIT_CHARS], more[DHAT_UNIT_CHARS];

	if (target->totals)
		print_totals(screen, target->target, target->totals, target->sample_bytes);
	/* of one that has ended nothing goes on */
	if (target->target && strcmp(target->target->state, DHAT_STATE_ATTACHED))
		return;
	print_row(screen, "rate", "%s allocations and %s frees a second",
		  view_count((uint64_t)(target->allocs_per_second + 0.5)),
		  view_count((uint64_t)(target->frees_per_second + 0.5)));
	print_cost(screen, target);
	if (target->ring_bytes)
		print_row(screen, "ring", "%.0f%% of %s in use",
			  100.0 * target->ring_used_bytes / target->ring_bytes,
			  dhat_format_size(target->ring_bytes, text));
	print_row(screen, "tables", "%" PRIu32 " ready, %" PRIu32 " being built; %s for %s of code",
		  target->tables_ready, target->tables_pending,
		  dhat_format_size(target->table_bytes, text),
		  dhat_format_size(target->code_bytes, more));
}

/* An older dhatd does not tell. Of one that has ended the kernel holds nothing. */
static void print_memory(struct screen *screen, const Dhat__TargetStatus *target)
{
	char used[DHAT_UNIT_CHARS], limit[DHAT_UNIT_CHARS], accounts[DHAT_UNIT_CHARS],
		kernel[DHAT_UNIT_CHARS], tables[DHAT_UNIT_CHARS], copies[DHAT_UNIT_CHARS],
		rest[160] = "", now[96] = "";

	if (!target->memory_limit_bytes)
		return;
	if (target->memory_kernel_bytes)
		snprintf(
			rest, sizeof(rest),
			", %s in the kernel with the ring, %s unwind tables, which processes share",
			dhat_format_size(target->memory_kernel_bytes, kernel),
			dhat_format_size(target->memory_table_bytes, tables));
	if (target->memory_copy_bytes)
		snprintf(now, sizeof(now), "; and %s just now for who asks",
			 dhat_format_size(target->memory_copy_bytes, copies));
	print_row(screen, "memory", "%s of %s (--max-memory): %s for blocks and stacks%s%s",
		  dhat_format_size(target->memory_bytes, used),
		  dhat_format_size(target->memory_limit_bytes, limit),
		  dhat_format_size(target->memory_accounts_bytes, accounts), rest, now);
}

/* The latest, by name and time: `dhatctl mark' tells the rest. */
#define MARKS_SHOWN 5 /* of up to 63 columns each */

static void print_marks(struct screen *screen, const Dhat__TargetStatus *status)
{
	size_t count = status->target ? status->n_marks : 0, used = 0;
	size_t first = count > MARKS_SHOWN ? count - MARKS_SHOWN : 0;
	char text[512] = "";

	for (size_t i = first; i < count && used < sizeof(text); i++)
		used += snprintf(
			text + used, sizeof(text) - used, "%s%s %s", used ? ", " : "",
			status->marks[i]->name,
			view_moment(status->target->observed_since_unix_ns + status->marks[i]->ns));
	if (first)
		print_row(screen, "marks", "%s; %zu before them: dhatctl mark", text, first);
	else if (count)
		print_row(screen, "marks", "%s", text);
}

/* "sampled since 10:31:07: watching it took …" */
static void print_steps(struct screen *screen, const Dhat__TargetStatus *status)
{
	char text[DHAT_UNIT_CHARS];

	for (size_t i = 0; i < status->n_steps; i++) {
		const Dhat__Step *step = status->steps[i];

		if (step->sample_bytes)
			print_row(screen, "since", "%s %s, 1 block per %s: %s",
				  view_moment(step->unix_ns), step->word,
				  dhat_format_size(step->sample_bytes, text), step->reason);
		else
			print_row(screen, "since", "%s %s: %s", view_moment(step->unix_ns),
				  step->word, step->reason);
	}
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
	print_figures(screen, status);
	print_memory(screen, status);
	print_marks(screen, status);
	print_steps(screen, status);
	print_counters(screen, status, true);
	plan_text_list(screen, "allocators", target->allocators, target->n_allocators);
	plan_text_list(screen, "notes", status->notes, status->n_notes);
	plan_text_probes(screen, status->probes, status->n_probes);
	print_counters(screen, status, false);
}

static void print_left(struct screen *screen, const Dhat__Push *push)
{
	char text[DHAT_UNIT_CHARS];

	screen_print(screen, MARK_BOLD, "pushes no more to %s\n",
		     *push->url ? push->url : "somewhere");
	print_row(screen, "left", "%s, %s on disk, in %s", view_counted(push->waiting, "profile"),
		  dhat_format_size(push->waiting_bytes, text), push->folder);
	print_row(screen, "next", "%s",
		  "they are sent when that is a destination again: the same URL, form and tenant; "
		  "remove the folder if nobody wants them");
}

/* What is wrong first. */
static void print_push(struct screen *screen, const Dhat__Push *push)
{
	char text[DHAT_UNIT_CHARS];

	fputc('\n', stdout);
	if (push->is_left) {
		print_left(screen, push);
		return;
	}
	screen_print(screen, MARK_BOLD, "pushes to %s (%s%s%s)\n", push->url, push->form,
		     *push->tenant ? ", tenant " : "", push->tenant);
	if (*push->trouble) {
		print_row(screen, "trouble", "%s", push->trouble);
		print_row(screen, "next try", "%s%s", push->next_try_in_ns ? "in " : "now",
			  push->next_try_in_ns ? dhat_format_duration(push->next_try_in_ns, text)
					       : "");
	}
	print_row(screen, "arrived", "%s; %s failed", view_counted(push->pushed, "profile"),
		  view_counted(push->failed, "attempt"));
	print_row(screen, "waiting", "%s, %s on disk", view_counted(push->waiting, "profile"),
		  dhat_format_size(push->waiting_bytes, text));
	if (push->refused)
		print_row(screen, "refused", "%s", view_counted(push->refused, "profile"));
	if (push->dropped)
		print_row(screen, "dropped", "%s: more waited than --push-spool",
			  view_counted(push->dropped, "profile"));
}

/* Only what is wrong: of those where nothing is the processes tell. */
static void print_watch(struct screen *screen, const Dhat__Watch *watch)
{
	char line[256];

	if (!watch->is_searching)
		snprintf(line, sizeof(line),
			 "[watch %s] could not be begun: nothing new is watched; dhatd's log says "
			 "why",
			 watch->name);
	else if (watch->left_out)
		snprintf(line, sizeof(line),
			 "[watch %s] leaves out %s that %s, too: max-targets (%" PRIu32
			 ") is reached",
			 watch->name, view_counted(watch->left_out, "process"),
			 watch->left_out == 1 ? "matches" : "match", watch->attached);
	else
		return;
	screen_paragraph(screen, 0, line);
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
	for (size_t i = 0; i < status->n_attaching; i++)
		printf("attaching to %" PRIu32 " ...\n", status->attaching[i]);
	if (status->is_starting && !status->n_attaching)
		puts("starting ...");
	for (size_t i = 0; i < status->n_watches && !options->pid; i++)
		print_watch(&screen, status->watches[i]);
	for (size_t i = 0; i < status->n_targets; i++)
		print_target(&screen, status->targets[i]);
	for (size_t i = 0; i < status->n_pushes && !options->pid; i++)
		print_push(&screen, status->pushes[i]);
}

int cmd_status(int argc, char **argv, struct dhat_error *err)
{
	struct status options = { 0 };
	Dhat__Response *response;
	int r;

	r = command_parse(&cmd_status_argp, argc, argv, &options, &options.common, err);
	if (r < 0 || options.common.is_done)
		return r;
	r = choice_status(options.common.socket_path, options.pid, &response, err);
	if (r < 0)
		return r;
	if (options.common.as_json) {
		struct json_object *object = dhat_json_message(&response->status->base);

		r = object ? dhat_json_put(stdout, object) : -ENOMEM;
		fputc('\n', stdout);
		json_object_put(object);
	} else {
		print(&options, response->status);
	}
	dhat__response__free_unpacked(response, NULL);
	return r < 0 ? dhat_error_errno(err, -r, "cannot print the result") : 0;
}
