#include "requests.h"

#include "daemon/holds/holds.h"
#include "daemon/source/uprobes.h"
#include "daemon/target/processes.h"
#include "message.h"
#include "own.h"
#include "plan.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/units.h"
#include "push_message.h"
#include "rss.h"
#include "snapshot.h"
#include "watch_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)
DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct holds *, holds_unref)

static int reply_done(struct control_reply *reply, const char *text, struct dhat_error *err)
{
	Dhat__Done done = DHAT__DONE__INIT;
	Dhat__Response response = DHAT__RESPONSE__INIT;

	done.message = without_qualifiers(text);
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_DONE;
	response.done = &done;
	return control_reply(reply, &response, err);
}

/* ---- status ---------------------------------------------------------------------------------- */

static int fill_statuses(struct targets *targets, Dhat__Status *status, struct dhat_error *err)
{
	struct target **list = NULL;
	size_t count = 0;
	int error = targets_list(targets, &list, &count);

	if (error == 0)
		status->targets = calloc(count + 1, sizeof(Dhat__TargetStatus *));
	if (error == 0 && !status->targets)
		error = -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct target_copy *copy = NULL;

		if (error == 0)
			error = target_copy(list[i], false, &copy, err);
		if (error == 0) {
			status->targets[status->n_targets] = message_target_status(copy);
			if (status->targets[status->n_targets])
				status->n_targets++;
			else
				error = -ENOMEM;
		}
		target_copy_free(copy);
		target_unref(list[i]);
	}
	free(list);
	return error;
}

static int answer_status(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	struct requests_context *requests = context;
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Status status = DHAT__STATUS__INIT;
	_cleanup_free_ pid_t *attaching = NULL;
	struct utsname kernel = { 0 };
	/* first: who is in neither list would seem not to be there */
	bool is_starting = false;
	int error =
		targets_attaching(requests->targets, &attaching, &status.n_attaching, &is_starting);

	_Static_assert(sizeof(*attaching) == sizeof(*status.attaching), "numbers of processes");
	status.attaching = (uint32_t *)attaching;
	status.is_starting = is_starting;
	if (error == 0)
		error = fill_statuses(requests->targets, &status, err);
	if (error == 0)
		error = push_message_add(requests->pusher, &status);
	if (error == 0)
		error = watch_message_add(requests->targets, &status);
	uname(&kernel);
	status.tool_version = (char *)DHAT_VERSION;
	status.kernel = kernel.release;
	status.daemon_pid = getpid();
	status.daemon_rss_bytes = own_rss_bytes();
	status.daemon_cpu_seconds = own_cpu_seconds();
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_STATUS;
	response.status = &status;
	if (error == 0)
		error = control_reply(reply, &response, err);
	for (size_t i = 0; i < status.n_targets; i++)
		dhat__target_status__free_unpacked(status.targets[i], NULL);
	free(status.targets);
	push_message_free(&status);
	watch_message_free(&status);
	return error;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

struct emitter {
	struct control_reply *reply;
	struct dhat_error *err;
};

static int emit_part(void *context, const Dhat__SnapshotPart *part)
{
	struct emitter *emitter = context;
	Dhat__Response response = DHAT__RESPONSE__INIT;

	response.is_last = part->part_case == DHAT__SNAPSHOT_PART__PART_END;
	response.body_case = DHAT__RESPONSE__BODY_SNAPSHOT;
	response.snapshot = without_qualifiers(part);
	return control_reply(emitter->reply, &response, emitter->err);
}

static int copy_for(const Dhat__SnapshotRequest *asked, struct target *target,
		    struct target_copy **ret, struct dhat_error *err)
{
	struct target_view seen;

	if (!asked->view && (asked->with_ages || asked->with_pages))
		return target_copy_with_ages(target, asked->older_ns, asked->with_pages, ret, err);
	if (!asked->view)
		return target_copy(target, true, ret, err);
	seen = (struct target_view){
		.observed_since_unix_ns = asked->view->since_unix_ns,
		.generation = asked->view->generation,
		.known_points = asked->view->known_points,
		.with_marks = asked->with_marks,
	};
	return target_copy_view(target, &seen, ret, err);
}

static int emit_progress(void *emitter_, const char *text)
{
	struct emitter *emitter = emitter_;
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Progress progress = DHAT__PROGRESS__INIT;

	progress.text = without_qualifiers(text);
	response.body_case = DHAT__RESPONSE__BODY_PROGRESS;
	response.progress = &progress;
	return control_reply(emitter->reply, &response, emitter->err);
}

static int find_holds(const struct requests_context *requests, struct target *target,
		      const Dhat__SnapshotRequest *asked, struct emitter *emitter,
		      struct holds **ret)
{
	const struct holds_asking asking = {
		.target = target,
		.worker = requests->worker,
		.symbolizer = requests->symbolizer,
		.book = requests->book,
		.stop = control_peer_gone(emitter->reply),
		.since = asked->holds_since,
		.why = asked->why_address,
		.with_stop = asked->with_stop,
		.progress = emit_progress,
		.context = emitter,
	};

	if (asked->with_stop && !control_peer_is_owner(emitter->reply))
		return dhat_error_set(emitter->err, EPERM, DHAT_EXIT_NOT_PERMITTED,
				      "not permitted: members of the group may look, only root and "
				      "the user who started dhatd may stop a process for it; "
				      "without --stop it is looked at while it runs");
	return holds_find(&asking, ret, emitter->err);
}

static int answer_snapshot(void *context, const Dhat__Request *request, struct control_reply *reply,
			   struct dhat_error *err)
{
	struct requests_context *requests = context;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	_cleanup_(holds_unref_ptr) struct holds *holds = NULL;
	struct emitter emitter = { reply, err };
	const Dhat__SnapshotRequest *wanted = request->snapshot;
	int error = targets_find(requests->targets, wanted->pid, &target, err);

	if (error == 0 && wanted->with_holds && !wanted->view)
		error = find_holds(requests, target, wanted, &emitter, &holds);
	if (error == 0)
		error = copy_for(wanted, target, &copy, err);
	if (error)
		return error;
	if (!holds)
		holds = holds_book_last(requests->book, copy->identity.pid,
					copy->observed_since_unix_ns);
	return snapshot_write(copy, holds, requests->symbolizer, request->snapshot->without_names,
			      emit_part, &emitter, err);
}

/* ---- attach and detach ----------------------------------------------------------------------- */

/* asked may be NULL. *ret borrows from it; *ret_custom is the caller's to free. */
static int read_options(const struct requests_context *requests, const Dhat__AttachOptions *asked,
			struct target_options *ret, char ***ret_custom)
{
	char **custom;

	ret->max_memory_bytes = requests->max_memory_bytes;
	if (!asked)
		return 0;
	custom = calloc(asked->n_custom + 1, sizeof(*custom));
	if (!custom)
		return -ENOMEM;
	for (size_t i = 0; i < asked->n_custom; i++)
		custom[i] = asked->custom[i];
	*ret_custom = custom;
	*ret = (struct target_options){
		.ring_bytes = asked->ring_bytes,
		.link = asked->link,
		.custom = custom,
		.follow_fork = asked->follow_fork,
		.follow_exec = asked->follow_exec,
		.anonymous_memory = asked->anonymous_memory,
		.skip_inventory = asked->skip_inventory,
		.with_lifetimes = asked->with_lifetimes,
		.sample_bytes = asked->sample_bytes,
		.no_return_probes = asked->no_return_probes,
		.sites = uprobes_sites_of_name(asked->sites),
		.max_memory_bytes = asked->max_memory_bytes ?: requests->max_memory_bytes,
	};
	return 0;
}

static int answer_attach(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	struct requests_context *requests = context;
	_cleanup_free_ char **custom = NULL;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	struct target_options options = { 0 };
	char text[2048];
	size_t size;
	int error = read_options(requests, request->attach->options, &options, &custom);

	if (error == 0)
		error = targets_attach(requests->targets, request->attach->pid, &options, &target,
				       err);
	if (error)
		return error;
	size = snprintf(text, sizeof(text), "attached to process %u", request->attach->pid);
	target_copy(target, false, &copy, NULL); /* attached is attached, whatever comes of this */
	for (char **reason = copy ? copy->reasons : NULL;
	     copy && (copy->verdict == DHAT_PARTIAL || copy->verdict == DHAT_SAMPLED) && *reason;
	     reason++)
		if (size < sizeof(text))
			size += snprintf(text + size, sizeof(text) - size, "; %s%s%s",
					 reason == copy->reasons ? dhat_verdict_word(copy->verdict)
								 : "",
					 reason == copy->reasons ? ": " : "", *reason);
	return reply_done(reply, text, err);
}

/* A dry run may look at what only root and the owner of dhatd may attach to. */
static int answer_plan(void *context, const Dhat__Request *request, struct control_reply *reply,
		       struct dhat_error *err)
{
	struct requests_context *requests = context;
	_cleanup_free_ char **custom = NULL;
	_cleanup_(plan_deinit) struct plan plan = { 0 };
	struct target_options options = { 0 };
	Dhat__Response response = DHAT__RESPONSE__INIT;
	int error = read_options(requests, request->plan->options, &options, &custom);

	if (error == 0)
		error = plan_make(request->plan->pid, &options, requests->worker, requests->targets,
				  &plan, err);
	if (error)
		return error;
	response.plan = message_plan(&plan);
	if (!response.plan)
		return -ENOMEM;
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_PLAN;
	error = control_reply(reply, &response, err);
	dhat__plan__free_unpacked(response.plan, NULL);
	return error;
}

static int answer_detach(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	struct requests_context *requests = context;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	char text[96];
	int error = targets_find(requests->targets, request->detach->pid, &target, err);

	if (error == 0)
		error = targets_detach(requests->targets, target_pid(target), err);
	if (error)
		return error;
	snprintf(text, sizeof(text), "detached from process %d; its profile stays until dhatd ends",
		 (int)target_pid(target));
	return reply_done(reply, text, err);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static int answer_mark(void *context, const Dhat__Request *request, struct control_reply *reply,
		       struct dhat_error *err)
{
	struct requests_context *requests = context;
	const Dhat__MarkRequest *mark = request->mark;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	char text[256];
	int error = targets_find(requests->targets, mark->pid, &target, err);

	if (error == 0)
		error = mark->is_removed ? target_unmark(target, mark->name, err)
					 : target_mark(target, mark->name, err);
	if (error)
		return error;
	snprintf(text, sizeof(text),
		 mark->is_removed ? "process %d has no mark %s any more"
				  : "process %d is marked %s",
		 (int)target_pid(target), mark->name);
	return reply_done(reply, text, err);
}

/* ---- a sample that begins later -------------------------------------------------------------- */

static int answer_sample(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	struct requests_context *requests = context;
	const Dhat__SampleRequest *sample = request->sample;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	char text[160], size[DHAT_UNIT_CHARS];
	int error = targets_find(requests->targets, sample->pid, &target, err);

	if (error == 0)
		error = target_sample(target, sample->sample_bytes, "asked for by dhatctl sample",
				      err);
	if (error)
		return error;
	snprintf(text, sizeof(text),
		 "process %d is sampled from now on, 1 block per %s; what was counted until now "
		 "stays exact",
		 (int)target_pid(target), dhat_format_size(sample->sample_bytes, size));
	return reply_done(reply, text, err);
}

/* ---- resident memory ------------------------------------------------------------------------- */

static int answer_rss(void *context, const Dhat__Request *request, struct control_reply *reply,
		      struct dhat_error *err)
{
	struct requests_context *requests = context;
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Rss *table = NULL;
	int error = targets_find(requests->targets, request->rss->pid, &target, err);

	if (error == 0)
		error = target_copy(target, true, &copy, err);
	if (error == 0)
		error = rss_explain(copy, control_peer_gone(reply), &table, err);
	if (error)
		return error;
	table->target = message_target(copy); /* the table is good without, too */
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_RSS;
	response.rss = table;
	error = control_reply(reply, &response, err);
	dhat__rss__free_unpacked(table, NULL);
	return error;
}

/* ---- processes ------------------------------------------------------------------------------- */

#define WATCH_MOST_NS 2000000000ull
#define PROCESSES_MOST 1000

static bool is_watched(struct target *const *targets, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (target_pid(targets[i]) == pid && target_state_of(targets[i]) == TARGET_ATTACHED)
			return true;
	return false;
}

static int mark_watched(struct targets *targets, Dhat__Processes *processes)
{
	struct target **list = NULL;
	size_t count = 0;
	int error = targets_list(targets, &list, &count);

	for (size_t i = 0; error == 0 && i < processes->n_list; i++)
		processes->list[i]->is_watched =
			is_watched(list, count, (pid_t)processes->list[i]->pid);
	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
	return error;
}

/* By dhatd's rights: so the owner is told of others' processes what only root may see. */
static int answer_processes(void *context, const Dhat__Request *request,
			    struct control_reply *reply, struct dhat_error *err)
{
	struct requests_context *requests = context;
	const Dhat__ProcessesRequest *wanted = request->processes;
	_cleanup_(processes_deinit) struct processes processes = { 0 };
	Dhat__Response response = DHAT__RESPONSE__INIT;
	size_t top = wanted->top < PROCESSES_MOST ? wanted->top : PROCESSES_MOST;
	int error = processes_watch(wanted->duration_ns < WATCH_MOST_NS ? wanted->duration_ns
									: WATCH_MOST_NS,
				    &processes, err);

	if (error == 0)
		error = processes_describe(&processes, top);
	if (error)
		return error;
	response.processes = message_processes(&processes, top);
	if (!response.processes)
		return -ENOMEM;
	error = mark_watched(requests->targets, response.processes);
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_PROCESSES;
	if (error == 0)
		error = control_reply(reply, &response, err);
	dhat__processes__free_unpacked(response.processes, NULL);
	return error;
}

const struct control_entry requests_table[] = {
	{ DHAT__REQUEST__BODY_STATUS, CONTROL_READ, answer_status },
	{ DHAT__REQUEST__BODY_SNAPSHOT, CONTROL_READ, answer_snapshot },
	{ DHAT__REQUEST__BODY_ATTACH, CONTROL_MANAGE, answer_attach },
	{ DHAT__REQUEST__BODY_DETACH, CONTROL_MANAGE, answer_detach },
	{ DHAT__REQUEST__BODY_MARK, CONTROL_MANAGE, answer_mark },
	{ DHAT__REQUEST__BODY_SAMPLE, CONTROL_MANAGE, answer_sample },
	{ DHAT__REQUEST__BODY_RSS, CONTROL_READ, answer_rss },
	{ DHAT__REQUEST__BODY_PLAN, CONTROL_MANAGE, answer_plan },
	{ DHAT__REQUEST__BODY_PROCESSES, CONTROL_MANAGE, answer_processes },
	{ 0, CONTROL_READ, NULL },
};
