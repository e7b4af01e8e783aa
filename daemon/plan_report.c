#include "plan_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/serve/message.h"
#include "daemon/serve/plan.h"
#include "daemon/target/discover.h"
#include "daemon/target/identity.h"
#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "proto/base/json.h"
#include "proto/base/say.h"
#include "proto/base/screen.h"
#include "proto/profile/plan_text.h"

DEFINE_CLEANUP_PTR(struct worker *, worker_free)

/* ---- one process --------------------------------------------------------------------------- */

static int print_json(struct json_object *object)
{
	int r = object ? dhat_json_put(stdout, object) : -ENOMEM;

	fputc('\n', stdout);
	json_object_put(object);
	return r;
}

/* *ret: the exit status of an attach. */
static int report_process(const struct dhatd_options *options, struct worker *worker, pid_t pid,
			  int *ret, struct dhat_error *err)
{
	_cleanup_(plan_deinit) struct plan plan = { 0 };
	Dhat__Plan *message;
	int error = plan_make(pid, &options->target, worker, NULL, &plan, err);

	if (error)
		return error;
	message = message_plan(&plan);
	if (!message)
		return -ENOMEM;
	*ret = message->exit_code;
	if (options->as_json)
		error = print_json(dhat_json_message(&message->base));
	else
		plan_text_print(stdout, message, pid);
	dhat__plan__free_unpacked(message, NULL);
	return error;
}

static int report_processes(const struct dhatd_options *options, int *ret, struct dhat_error *err)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	int error = worker_new(NULL, &worker, err);

	for (size_t i = 0; i < options->pid_count && error == 0; i++) {
		int status = DHAT_EXIT_OK;

		error = report_process(options, worker, options->pids[i], &status, err);
		*ret = *ret ?: status;
	}
	return error;
}

/* ---- those that match ------------------------------------------------------------------------ */

/* Why it would not be attached to; "": it would. */
struct listed {
	pid_t pid;
	char name[DHAT_PROGRAM_CHARS];
	char reason[512];
	int code; /* of an attach */
};

static void look_at(const struct matched *matched, struct listed *ret)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	_cleanup_(identity_deinit) struct target_identity identity = { 0 };
	struct dhat_error err = { 0 };

	*ret = (struct listed){ .pid = matched->pid, .name = "?" };
	if (identity_read(matched->pid, &identity, NULL) == 0)
		dhat_program_name(identity.command, identity.executable, ret->name);
	if (matched->answer == MATCH_OWN_ANCESTOR)
		snprintf(ret->reason, sizeof(ret->reason),
			 "left out: this dhatd was started by it");
	else if (matched->answer == MATCH_OWN_KIND)
		snprintf(ret->reason, sizeof(ret->reason), "left out: a dhatd");
	else if (preflight_process(&preflight, matched->pid) == 0 &&
		 preflight_verdict(&preflight, &err)) {
		snprintf(ret->reason, sizeof(ret->reason), "%s", err.message);
		ret->code = err.code;
	}
}

static int print_list_json(const struct listed *list, size_t count, size_t matching,
			   size_t max_targets)
{
	struct json_object *object = json_object_new_object(), *rows = json_object_new_array();

	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_new_object();

		json_object_object_add(row, "pid", json_object_new_int(list[i].pid));
		json_object_object_add(row, "name", dhat_json_string(list[i].name));
		json_object_object_add(row, "reason", dhat_json_string(list[i].reason));
		json_object_array_add(rows, row);
	}
	json_object_object_add(object, "matching", json_object_new_int64(matching));
	json_object_object_add(object, "max_targets", json_object_new_int64(max_targets));
	json_object_object_add(object, "processes", rows);
	return print_json(object);
}

static void print_list(const struct listed *list, size_t count, size_t matching, size_t max_targets,
		       const char *what)
{
	struct screen screen;

	screen_init(&screen, stdout);
	printf("%zu process%s match%s ", matching, matching == 1 ? "" : "es",
	       matching == 1 ? "es" : "");
	screen_text(&screen, what);
	fputc('\n', stdout);
	for (size_t i = 0; i < count; i++) {
		printf("  %7d  ", (int)list[i].pid);
		if (!list[i].reason[0]) {
			screen_text(&screen, list[i].name);
			fputc('\n', stdout);
			continue;
		}
		screen_column(&screen, list[i].name, 16);
		fputs("  ", stdout);
		screen_paragraph(&screen, 29, list[i].reason);
	}
	if (matching > max_targets)
		printf("more than %zu: an attach wants --max-targets %zu\n", max_targets, matching);
}

static int report_matches(const struct dhatd_options *options, int *ret, struct dhat_error *err)
{
	size_t max_targets = options->max_targets ?: DISCOVER_MAX_TARGETS;
	_cleanup_(match_deinit) struct match match = { 0 };
	_cleanup_free_ struct matched *matched = NULL;
	_cleanup_free_ struct listed *list = NULL;
	size_t count = 0, matching = 0;
	char what[256];
	int error = match_init(&options->match, &match, err);

	if (error == 0)
		error = match_list(&match, &matched, &count);
	if (error)
		return error;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		look_at(&matched[i], &list[i]);
		matching += matched[i].answer == MATCH_YES;
		*ret = *ret ?: list[i].code;
	}
	if (matching > max_targets)
		*ret = DHAT_EXIT_USAGE;
	else if (matching == 0)
		*ret = DHAT_EXIT_NO_PROCESS;
	match_describe(&options->match, what, sizeof(what));
	if (options->as_json)
		return print_list_json(list, count, matching, max_targets);
	print_list(list, count, matching, max_targets, what);
	return 0;
}

int plan_report(const struct dhatd_options *options)
{
	struct dhat_error err = { 0 };
	int status = DHAT_EXIT_OK, error = 0;

	if (match_is_asked(&options->match) && geteuid() != 0)
		dhat_say("dhatd", "only this user's processes can be seen: run it as root (sudo)");
	if (match_is_asked(&options->match))
		error = report_matches(options, &status, &err);
	if (error == 0 && options->pid_count)
		error = report_processes(options, &status, &err);
	if (!error)
		return status;
	dhat_say("dhatd", "%s", err.message[0] ? err.message : strerror(-error));
	return err.code ? err.code : DHAT_EXIT_FAILED;
}
