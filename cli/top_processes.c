/* The processes in `dhatctl top': which of them grow, what attaching to one would cost, and that.
 */
#include "top_private.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/screen.h"
#include "proto/base/text.h"
#include "proto/base/units.h"
#include "proto/profile/plan_text.h"

#define SHOWN 1000
#define HEADING "    PID USER          RSS     SWAP  A MINUTE  ALLOCATOR  PROGRAM"

/* ---- asking -------------------------------------------------------------------------------- */

static void end_other(struct live *live)
{
	client_free(live->other);
	live->other = NULL;
}

void top_processes_deinit(struct live *live)
{
	end_other(live);
	if (live->processes)
		dhat__response__free_unpacked(live->processes, NULL);
	if (live->plan)
		dhat__response__free_unpacked(live->plan, NULL);
	live->processes = live->plan = NULL;
}

/* What goes wrong is told, and asked again. */
static int ask(struct live *live, Dhat__Request *request)
{
	struct dhat_error why = { 0 };
	int r = client_new(live->options->socket_path, &live->other, &why);

	if (r == 0)
		r = client_ask(live->other, request, &why);
	if (r < 0) {
		end_other(live);
		top_tell(live, "%s", why.message);
	}
	return r == -ENOMEM ? r : 0;
}

static int ask_processes(struct live *live)
{
	Dhat__ProcessesRequest body = DHAT__PROCESSES_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;

	body.duration_ns = live->options->every_ns;
	body.top = SHOWN;
	request.body_case = DHAT__REQUEST__BODY_PROCESSES;
	request.processes = &body;
	return ask(live, &request);
}

static int ask_plan(struct live *live)
{
	Dhat__PlanRequest body = DHAT__PLAN_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;

	body.pid = live->chosen_pid;
	request.body_case = DHAT__REQUEST__BODY_PLAN;
	request.plan = &body;
	return ask(live, &request);
}

/* One thing at a time. An answer that nobody waits for any more is taken, and forgotten. */
int top_processes_ask(struct live *live)
{
	if (live->other || live->is_attaching)
		return 0;
	if (live->shown.page == TOP_PROCESSES && !live->message_end_ns)
		return ask_processes(live);
	if (live->shown.page == TOP_PLAN && !live->plan && !live->message_end_ns)
		return ask_plan(live);
	return 0;
}

static void keep(Dhat__Response **place, Dhat__Response *response)
{
	if (*place)
		dhat__response__free_unpacked(*place, NULL);
	*place = response;
}

/* The view begins anew, with another process; what it shows, and how, stays. */
static void begin_watching(struct live *live)
{
	struct top_options options = live->model.options;

	top_end_asking(live);
	live->pid = live->chosen_pid;
	live->lost = (struct dhat_error){ 0 };
	live->next_ns = 0;
	live->is_attaching = true;	  /* until there is something to show */
	live->shown.page = TOP_PROCESSES; /* T1: the others are of what is watched */
	live->shown.is_frozen = false;
	dhat_view_deinit(&live->view);
	live->view = (struct dhat_view){ 0 };
	top_model_deinit(&live->model);
	top_model_init(&live->model, &options);
	dhat_snapshot_free(take_ptr(live->past));
}

/* ---- the list ------------------------------------------------------------------------------ */

static const Dhat__Processes *list_of(const struct live *live)
{
	return live->processes ? live->processes->processes : NULL;
}

/* Only those whose name has what was typed stay. */
static void filter(const struct live *live, Dhat__Processes *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n_list; i++) {
		if (strstr(list->list[i]->program, live->wanted))
			list->list[kept++] = list->list[i];
		else
			dhat__process__free_unpacked(list->list[i], NULL);
	}
	list->n_list = kept;
}

static size_t selected(const struct live *live)
{
	const Dhat__Processes *list = list_of(live);

	for (size_t i = 0; list && i < list->n_list; i++)
		if (list->list[i]->pid == live->chosen_pid)
			return i;
	return 0;
}

int top_processes_filter(struct live *live)
{
	snprintf(live->wanted, sizeof(live->wanted), "%s", live->typed);
	if (live->processes)
		filter(live, live->processes->processes);
	return top_make_page(live);
}

int top_processes_receive(struct live *live)
{
	Dhat__Response *response = NULL;
	struct dhat_error why = { 0 };
	int r = client_receive(live->other, &response, &why);

	end_other(live);
	if (r < 0) {
		live->is_attaching = false;
		if (live->shown.page == TOP_PLAN)
			live->shown.page = TOP_PROCESSES;
		top_tell(live, "%s", why.message);
		return r == -ENOMEM ? r : top_make_page(live);
	}
	if (response->body_case == DHAT__RESPONSE__BODY_PROCESSES) {
		filter(live, response->processes);
		keep(&live->processes, response);
	} else if (response->body_case == DHAT__RESPONSE__BODY_PLAN) {
		keep(&live->plan, response);
	} else {
		dhat__response__free_unpacked(response, NULL);
		begin_watching(live);
	}
	return top_make_page(live);
}

void top_processes_move(struct live *live, long by)
{
	const Dhat__Processes *list = list_of(live);
	size_t at = selected(live);

	if (!list || !list->n_list)
		return;
	if (by < 0)
		at -= (size_t)-by < at ? (size_t)-by : at;
	else
		at = (size_t)by < list->n_list - 1 - at ? at + (size_t)by : list->n_list - 1;
	live->chosen_pid = by == -TOP_FAR ? 0 : list->list[at]->pid;
	live->shown.selected_line = at;
	live->is_dirty = true;
}

static const char *user_of(uint32_t uid, char ret[32])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(ret, 32, "%s", user->pw_name);
	else
		snprintf(ret, 32, "%" PRIu32, uid);
	return ret;
}

static void print_process(struct screen *screen, const Dhat__Processes *list,
			  const Dhat__Process *process)
{
	_cleanup_free_ char *program = dhat_text_clean(process->program);
	double a_minute = (double)process->grown_bytes * 60e9 /
			  (double)(list->duration_ns ? list->duration_ns : 1);
	char user[32], rss[DHAT_UNIT_CHARS], swap[DHAT_UNIT_CHARS], grown[DHAT_UNIT_CHARS] = "0";

	if (process->grown_bytes)
		dhat_format_size((uint64_t)(a_minute < 0 ? -a_minute : a_minute), grown);
	fprintf(screen->file, "%7" PRIu32 " ", process->pid);
	screen_column(screen, user_of(process->uid, user), 8);
	fprintf(screen->file, " %8s %8s %*s%s  ", dhat_format_size(process->rss_bytes, rss),
		dhat_format_size(process->swap_bytes, swap), 9 - (int)strlen(grown),
		process->grown_bytes > 0   ? "+"
		: process->grown_bytes < 0 ? "-"
					   : "",
		grown);
	screen_column(screen, process->allocator, 10);
	fprintf(screen->file, " %s%s\n", program ?: "", process->is_watched ? ", watched" : "");
}

void top_processes_page(struct live *live, FILE *file)
{
	const Dhat__Processes *list = list_of(live);
	struct screen screen = { .file = file, .width = top_screen_columns(), .has_utf8 = true };

	live->shown.title = "Processes, by how their memory grows (anonymous memory, and swap)";
	live->shown.heading = HEADING;
	if (!list) {
		fputs("The processes are being watched\n", file);
		return;
	}
	for (size_t i = 0; i < list->n_list; i++)
		print_process(&screen, list, list->list[i]);
	live->shown.selected_line = list->n_list ? selected(live) : SIZE_MAX;
}

/* ---- one of them --------------------------------------------------------------------------- */

int top_processes_choose(struct live *live)
{
	const Dhat__Processes *list = list_of(live);
	const Dhat__Process *process;

	if (!list || !list->n_list)
		return 0;
	process = list->list[selected(live)];
	live->chosen_pid = process->pid;
	if (process->is_watched) {
		if (live->view.snapshot && live->pid == process->pid)
			return top_turn_to(live, TOP_LIST);
		begin_watching(live);
		return 0;
	}
	end_other(live);
	keep(&live->plan, NULL);
	live->message_end_ns = 0;
	return top_turn_to(live, TOP_PLAN);
}

void top_plan_page(struct live *live, FILE *file)
{
	struct screen screen = { .file = file, .width = top_screen_columns(), .has_utf8 = true };

	live->shown.heading = NULL;
	live->shown.title = "What attaching to it would find, and cost";
	if (!live->plan) {
		fprintf(file,
			"dhatd looks at process %" PRIu32 ", and measures how often it allocates\n",
			live->chosen_pid);
		return;
	}
	plan_text_summary(&screen, live->plan->plan, live->chosen_pid);
}

int top_processes_attach(struct live *live)
{
	Dhat__AttachOptions options = DHAT__ATTACH_OPTIONS__INIT;
	Dhat__AttachRequest body = DHAT__ATTACH_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;
	int r;

	if (!live->plan || live->other)
		return 0;
	if (!live->plan->plan->is_safe) {
		top_tell(live, "It is not attached to, for the reason above");
		return 0;
	}
	body.pid = live->chosen_pid;
	body.options = &options;
	request.body_case = DHAT__REQUEST__BODY_ATTACH;
	request.attach = &body;
	r = ask(live, &request);
	live->is_attaching = live->other != NULL;
	if (live->is_attaching)
		top_tell(live, "Attaching to %" PRIu32 " …", live->chosen_pid);
	return r;
}
