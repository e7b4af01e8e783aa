/* dhatd: attach, serve, write the profile, detach. */
#include "daemon/kernel/refusal.h"
#include "daemon/lookup/symbolizer.h"
#include "daemon/lookup/tables.h"
#include "daemon/serve/control.h"
#include "daemon/serve/requests.h"
#include "daemon/target/discover.h"
#include "daemon/target/preflight.h"
#include "daemon/target/ptracer.h"
#include "daemon/target/targets.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/worker_main.h"
#include "keep.h"
#include "notify.h"
#include "options.h"
#include "plan_report.h"
#include "repair_report.h"
#include "tell.h"

#include "proto/base/cleanup.h"
#include "proto/base/output.h"
#include "proto/base/say.h"
#include "proto/export/export.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct dhatd {
	struct dhatd_options options;
	struct worker *worker;
	struct tables *tables;
	struct symbolizer *symbolizer;
	struct targets *targets;
	struct control *control;
	struct discover *discover;
	struct requests_context requests;
	atomic_bool has_started, is_interrupted; /* at the start */
};

DEFINE_CLEANUP_PTR(struct target *, target_unref)

/* A target has ended: sent to ourselves, so that the main thread need wait for one thing only. */
#define SIGNAL_CHANGED SIGUSR1

static void on_changed(void *context)
{
	kill(getpid(), SIGNAL_CHANGED);
}

static void on_attached(void *context, struct target *target)
{
	tell_attached(target);
}

static void on_detached(void *context, struct target *target)
{
	tell_detached(target);
}

/* With --output, or for `run`, dhatd ends with its last target; else it keeps the profiles for
 * dhatctl until it is told to end. */
static bool ends_with_targets(const struct dhatd *dhatd)
{
	const struct dhatd_options *options = &dhatd->options;

	return options->command == DHATD_RUN ||
	       (options->command == DHATD_ATTACH && options->output_path &&
		!match_is_asked(&options->match));
}

static void on_ended(void *context, struct target *target)
{
	const struct dhatd *dhatd = context;

	if (ends_with_targets(dhatd))
		tell_ended(target, "");
	else if (dhatd->options.command == DHATD_ATTACH && !match_is_asked(&dhatd->options.match) &&
		 targets_attached_count(dhatd->targets) == 0)
		tell_ended(target, "; its profile stays, Ctrl-C ends dhatd");
	else
		tell_ended(target, "; its profile stays");
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGNAL_CHANGED);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* P7: what cannot be written is an error, and no death */
}

/* A target costs a descriptor for each object and each probe. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* ---- begin ----------------------------------------------------------------------------------- */

static int start_answering(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct control_options control = {
		.path = dhatd->options.socket_path,
		.group = dhatd->options.group,
		.table = requests_table,
		.context = &dhatd->requests,
	};

	return control_new(&control, &dhatd->control, err);
}

static int start_services(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct targets_listener listener = {
		.attached = on_attached,
		.ended = on_ended,
		.detached = on_detached,
		.changed = on_changed,
		.context = dhatd,
	};
	struct tables_options tables = { 0 };
	const struct symbolizer_options names = {
		.debuginfod = { .urls = dhatd->options.debuginfod_urls,
				.max_seconds = dhatd->options.debuginfod_seconds },
	};
	int error = worker_new(NULL, &dhatd->worker, err);

	tables.worker = dhatd->worker;
	if (error == 0)
		error = tables_new(&tables, &dhatd->tables, err);
	if (error == 0)
		error = symbolizer_new(dhatd->worker, &names, &dhatd->symbolizer, err);
	if (error == 0)
		error = targets_new(dhatd->worker, dhatd->tables, &dhatd->targets, err);
	if (error)
		return error;
	if (*tables_note(dhatd->tables))
		dhat_say("dhatd", "unwind tables are built anew each time: %s",
			 tables_note(dhatd->tables));
	targets_listen(dhatd->targets, &listener);
	targets_set_starting(dhatd->targets, true); /* before anybody can ask */
	dhatd->requests =
		(struct requests_context){ dhatd->targets, dhatd->symbolizer, dhatd->worker };
	return start_answering(dhatd, err);
}

static void stop_services(struct dhatd *dhatd)
{
	if (dhatd->worker)
		worker_stop(dhatd->worker);
	discover_free(dhatd->discover);
	control_free(dhatd->control);
	targets_free(dhatd->targets);
	symbolizer_free(dhatd->symbolizer);
	tables_free(dhatd->tables);
	worker_free(dhatd->worker);
	dhatd_options_deinit(&dhatd->options);
}

static void on_not_attached(void *context, pid_t pid, const struct dhat_error *err)
{
	if (!atomic_load(&((struct dhatd *)context)->is_interrupted))
		dhat_say("dhatd", "%s", err->message);
}

static int start_discovery(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct discover_options options = {
		.match = dhatd->options.match,
		.max_targets = dhatd->options.max_targets,
		.target = &dhatd->options.target,
		.failed = on_not_attached,
		.context = dhatd,
	};
	char what[256];
	int error;

	if (!match_is_asked(&options.match))
		return 0;
	error = discover_new(&options, dhatd->targets, &dhatd->discover, err);
	if (error)
		return error;
	match_describe(&options.match, what, sizeof(what));
	if (discover_found_first(dhatd->discover) == 0)
		dhat_say("dhatd", "no process matches %s yet; waiting", what);
	return 0;
}

static int start_targets(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct dhatd_options *options = &dhatd->options;
	int error = 0;

	if (options->command == DHATD_RUN)
		error = targets_run(dhatd->targets, options->program, &options->target, NULL, err);
	for (size_t i = 0; i < options->pid_count && error == 0; i++)
		error = targets_attach(dhatd->targets, options->pids[i], &options->target, NULL,
				       err);
	if (error == 0)
		error = start_discovery(dhatd, err);
	if (error == 0) {
		dhat_say("dhatd", "answering at %s", options->socket_path);
		notify("READY=1");
	}
	targets_set_starting(dhatd->targets, false);
	return error;
}

struct starting {
	struct dhatd *dhatd;
	const sigset_t *set;
};

/* While the main thread attaches, this one takes the signals: whoever asks us to end need not wait.
 */
static void *wait_for_interruption(void *context)
{
	const struct starting *starting = context;
	struct dhatd *dhatd = starting->dhatd;
	int signal_number = 0;

	while (!atomic_load(&dhatd->has_started)) {
		if (sigwait(starting->set, &signal_number) || signal_number == SIGNAL_CHANGED)
			continue;
		atomic_store(&dhatd->is_interrupted, true);
		targets_close(dhatd->targets); /* what is discovered meanwhile is not attached to */
		break;
	}
	return NULL;
}

/* Programs are started by the main thread, whose end is dhatd's: PR_SET_PDEATHSIG in run.c. */
static int start_interruptibly(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	struct starting starting = { dhatd, set };
	struct dhat_error why = { 0 };
	pthread_t thread;
	int error = -pthread_create(&thread, NULL, wait_for_interruption, &starting);

	if (error)
		return dhat_error_errno(err, -error, "cannot start a thread");
	error = start_targets(dhatd, &why);
	atomic_store(&dhatd->has_started, true);
	on_changed(NULL); /* wakes the thread; an end that is told once more does no harm */
	pthread_join(thread, NULL);
	if (error && dhatd->is_interrupted)
		return dhat_error_set(
			err, ECANCELED, DHAT_EXIT_FAILED,
			"told to end before the attach was complete: nothing was left "
			"behind");
	if (error)
		dhat_error_set(err, -error, why.code ? why.code : DHAT_EXIT_FAILED, "%s",
			       why.message[0] ? why.message : strerror(-error));
	return error;
}

/* ---- end ------------------------------------------------------------------------------------- */

/* P7: one that could not be written anywhere stays, and is asked for. */
static int write_profile(struct dhatd *dhatd, struct target *target, bool is_only,
			 bool *ret_is_kept, struct dhat_error *err)
{
	struct dhat_error why = { 0 };
	char path[PATH_MAX];
	int error;

	keep_name(path, sizeof(path), dhatd->options.output_path, target_pid(target), is_only);
	error = keep_profile(target, dhatd->symbolizer, path, ret_is_kept, &why);
	if (error == -EBUSY) { /* whoever takes a copy just now has to stand back */
		control_free(take_ptr(dhatd->control));
		why = (struct dhat_error){ 0 };
		error = keep_profile(target, dhatd->symbolizer, path, ret_is_kept, &why);
	}
	if (error)
		dhat_say("dhatd", "%s", why.message[0] ? why.message : strerror(-error));
	if (error && err && !err->code) /* said already */
		dhat_error_set(err, -error, why.code ?: DHAT_EXIT_FAILED, "%s", "");
	return error;
}

/* While a debugger holds a target its probes must stay (target_is_debugged()); a second signal is
 * obeyed all the same. */
static void wait_for_debuggers(struct dhatd *dhatd, const sigset_t *set)
{
	const struct timespec interval = { .tv_nsec = 200000000 };
	struct target **list = NULL;
	struct ptracer tracer;
	bool is_over = false;
	size_t count = 0;

	if (targets_list(dhatd->targets, &list, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		bool was_told = false;

		while (!is_over && target_is_debugged(list[i], &tracer)) {
			int signal_number;

			if (!was_told)
				dhat_say("dhatd",
					 "%s (pid %d) debugs process %d: a breakpoint that "
					 "it put over a probe would kill the process if the probe "
					 "went "
					 "first; waiting for it to end (Ctrl-C again: go now)",
					 tracer.name, (int)tracer.pid, (int)target_pid(list[i]));
			was_told = true;
			signal_number = sigtimedwait(set, NULL, &interval);
			is_over = signal_number > 0 && signal_number != SIGNAL_CHANGED;
		}
		target_unref(list[i]);
	}
	free(list);
}

/* Nothing is attached to from now on, and what is just being attached to is a target, or none. */
static void stop_attaching(struct dhatd *dhatd)
{
	discover_stop(dhatd->discover);
	targets_close(dhatd->targets); /* nor does anybody wait for tables */
	discover_free(take_ptr(dhatd->discover));
	targets_settle(dhatd->targets);
}

/* The files of those that have none yet: *ret, how many could not be written anywhere. Files are
 * said to be "of several" by how many targets there are. P7: one failure does not stop the next. */
static int write_profiles(struct dhatd *dhatd, struct target **list, size_t count, bool *is_kept,
			  size_t *ret, struct dhat_error *err)
{
	int error = 0, failed;

	*ret = 0;
	for (size_t i = 0; i < count; i++) {
		if (is_kept[i])
			continue;
		failed = write_profile(dhatd, list[i], count == 1, &is_kept[i], err);
		error = error ?: failed;
		*ret += !is_kept[i];
	}
	return error;
}

/* Some profiles are nowhere but here. Until a signal comes, which is taken for a wish to try again
 * and then to end. */
static int wait_for_room(struct dhatd *dhatd, const sigset_t *set, struct target **list,
			 size_t count, bool *is_kept, struct dhat_error *err)
{
	int signal_number = 0, error;

	if (!dhatd->control)
		start_answering(dhatd, NULL);
	for (size_t i = 0; i < count; i++)
		if (!is_kept[i])
			dhat_say("dhatd",
				 "the profile of %d could not be written anywhere, and is kept: "
				 "dhatctl snapshot --socket %s --pid %d -o FILE fetches it; Ctrl-C "
				 "tries once more, and ends dhatd",
				 (int)target_pid(list[i]), dhatd->options.socket_path,
				 (int)target_pid(list[i]));
	while (sigwait(set, &signal_number) || signal_number == SIGNAL_CHANGED)
		;
	*err = (struct dhat_error){ 0 };
	error = write_profiles(dhatd, list, count, is_kept, &count, err);
	return error;
}

/* Detach from all, then write what was collected. */
static int finish(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	_cleanup_free_ bool *is_kept = NULL;
	struct target **list = NULL;
	size_t count = 0, lost = 0;
	int error = targets_list(dhatd->targets, &list, &count);

	for (size_t i = 0; i < count; i++)
		target_detach(list[i]);
	for (size_t i = 0; i < count; i++)
		tell_totals(list[i]);
	is_kept = calloc(count + 1, sizeof(*is_kept));
	if (!is_kept)
		error = -ENOMEM;
	if (error == 0 && dhatd->options.output_path)
		error = write_profiles(dhatd, list, count, is_kept, &lost, err);
	if (lost)
		error = wait_for_room(dhatd, set, list, count, is_kept, err);
	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
	return error;
}

/* The status of the program of `dhatd run`, as a shell tells it. */
static int program_status(struct dhatd *dhatd)
{
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	int status;

	if (dhatd->options.command != DHATD_RUN || targets_find(dhatd->targets, 0, &target, NULL) ||
	    !target_wait_status(target, &status))
		return 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void serve(struct dhatd *dhatd, const sigset_t *set)
{
	int signal_number = 0;

	do {
		if (ends_with_targets(dhatd) && targets_attached_count(dhatd->targets) == 0)
			return;
	} while (sigwait(set, &signal_number) || signal_number == SIGNAL_CHANGED);
}

/* One process's failure does not stop the next. */
static int repair(const struct dhatd_options *options)
{
	int status = DHAT_EXIT_OK;

	for (size_t i = 0; i < options->pid_count; i++) {
		struct dhat_error err = { 0 };
		int error = repair_report(options->pids[i], options->as_json, &err);

		if (error && (err.message[0] || !err.code))
			dhat_say("dhatd", "%s", err.message[0] ? err.message : strerror(-error));
		if (error && !status)
			status = err.code ? err.code : DHAT_EXIT_FAILED;
	}
	return status;
}

/* What can be known before anything is begun: that we may do it, and that the result can be
 * written.
 */
static int check_start(const struct dhatd_options *options, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	const struct dhat_exporter *exporter;
	int error = preflight_host(&preflight);

	if (error == 0)
		error = preflight_verdict(&preflight, err);
	if (error || !options->output_path)
		return error;
	error = dhat_exporter_of_path(options->output_path, &exporter, err);
	return error ? error : dhat_output_try(options->output_path, err);
}

/* From the first signal that is held back to the last file: *ret_status, what `run` passes on. */
static int profile(struct dhatd *dhatd, int *ret_status, struct dhat_error *err)
{
	sigset_t set;
	int error = check_start(&dhatd->options, err), failed;

	if (error)
		return error;
	block_signals(&set);
	raise_descriptor_limit();
	tell_init(dhatd->options.command == DHATD_SERVE);
	error = start_services(dhatd, err);
	if (error)
		return error;
	error = start_interruptibly(dhatd, &set, err);
	if (error && !dhatd->is_interrupted)
		return error;
	if (!dhatd->is_interrupted)
		serve(dhatd, &set);
	notify("STOPPING=1");
	stop_attaching(dhatd); /* before anything that takes time */
	wait_for_debuggers(dhatd, &set);
	failed = finish(dhatd, &set, err);
	*ret_status = program_status(dhatd);
	return error ?: failed;
}

/* Commands that look, print and end. Half an answer is none. */
static int look(const struct dhatd_options *options)
{
	int status = DHAT_EXIT_OK;
	struct dhat_error err = { 0 };

	if (options->command == DHATD_PLAN)
		status = plan_report(options);
	else if (options->command == DHATD_REPAIR)
		status = repair(options);
	if (dhat_output_check_stdout(&err) == 0)
		return status;
	dhat_say("dhatd", "%s", err.message);
	return err.code;
}

int main(int argc, char **argv)
{
	struct dhatd dhatd = { 0 };
	struct dhat_error err = { 0 };
	int error = 0, status = DHAT_EXIT_OK;

	if (argc > 1 && strcmp(argv[1], WORKER_ARGUMENT) == 0)
		return worker_main(argc, argv);
	if (dhatd_options_parse(argc, argv, &dhatd.options))
		return DHAT_EXIT_USAGE;
	mallopt(M_ARENA_MAX, 2); /* short-lived threads would each leave an arena of their own */
	refusal_listen(getenv("DHATD_LIBBPF_LOG")); /* what the verifier says */
	switch (dhatd.options.command) {
	case DHATD_DONE:
	case DHATD_PLAN:
	case DHATD_REPAIR:
		status = look(&dhatd.options);
		break;
	case DHATD_ATTACH:
	case DHATD_RUN:
	case DHATD_SERVE:
		error = profile(&dhatd, &status, &err);
		break;
	}
	stop_services(&dhatd);
	if (!error)
		return status;
	if (err.message[0] || !err.code)
		dhat_say("dhatd", "%s", err.message[0] ? err.message : strerror(-error));
	return err.code ? err.code : DHAT_EXIT_FAILED;
}
