/* The beginning: services, then targets, which a signal may interrupt. */
#include "dhatd.h"

#include "daemon/worker/worker.h"
#include "last_look.h"
#include "notify.h"
#include "proto/base/cleanup.h"
#include "proto/base/say.h"
#include "tell.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what targets tell ----------------------------------------------------------------------- */

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
	const struct dhatd *dhatd = context;

	tell_detached(target);
	if (dhatd->options.command == DHATD_RUN)
		on_changed(context); /* which may have been the last */
}

bool dhatd_ends_with_targets(const struct dhatd *dhatd)
{
	const struct dhatd_options *options = &dhatd->options;

	return options->command == DHATD_RUN ||
	       (options->command == DHATD_ATTACH && options->output_path &&
		!match_is_asked(&options->match));
}

static void on_ended(void *context, struct target *target)
{
	const struct dhatd *dhatd = context;
	bool is_last = targets_attached_count(dhatd->targets) == 0;

	if (dhatd->recorder)
		recorder_ended(dhatd->recorder, target);
	if (dhatd_ends_with_targets(dhatd)) {
		if (!is_last) /* of the last one the totals follow at once */
			tell_ended(target, "");
	} else if (is_last && dhatd->options.command == DHATD_ATTACH &&
		   !match_is_asked(&dhatd->options.match)) {
		tell_ended(target, "; its profile stays, Ctrl-C ends dhatd");
	} else {
		tell_ended(target, "; its profile stays");
	}
}

/* ---- services -------------------------------------------------------------------------------- */

int dhatd_answer(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct control_options control = {
		.path = dhatd->options.socket_path,
		.listening_fd = dhatd->listening_fd,
		.group = dhatd->options.group,
		.table = requests_table,
		.context = &dhatd->requests,
	};

	return control_new(&control, &dhatd->control, err);
}

static int start_http(struct dhatd *dhatd, struct dhat_error *err)
{
	struct http_server_options options = dhatd->options.http;
	int error;

	if (!options.listen)
		return 0;
	error = pages_new(dhatd->targets, dhatd->symbolizer, dhatd->book, dhatd->pusher,
			  &dhatd->pages);
	if (error)
		return error;
	options.group = dhatd->options.group;
	options.handler = pages_answer;
	options.is_well = pages_are_well;
	options.context = dhatd->pages;
	return http_server_new(&options, &dhatd->http, err);
}

/* What waits below from the last time is sent from now on. */
static int start_pusher(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct push_settings *settings = &dhatd->options.watch.settings.push;
	int error;

	if (asprintf(&dhatd->push_folder, "%s/push", watch_folder(&dhatd->options.watch)) < 0) {
		dhatd->push_folder = NULL;
		return dhat_error_errno(err, ENOMEM, "cannot push profiles");
	}
	error = pusher_new(dhatd->push_folder, &dhatd->pusher, err);
	return error ? error : pusher_set(dhatd->pusher, &settings, 1, err);
}

/* Targets of the command line, and of `dhatctl attach`, are watch number 0. */
static int start_recorder(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct recorder_options options = {
		.targets = dhatd->targets,
		.symbolizer = dhatd->symbolizer,
		.book = dhatd->book,
		.pusher = dhatd->pusher,
		.folder = watch_folder(&dhatd->options.watch),
		.step = dhatd_goes_on,
		.context = dhatd,
	};
	int error = recorder_new(&options, &dhatd->recorder, err);

	/* with a configuration they are set together with its sections', as destinations are */
	if (error == 0 && !dhatd->options.config_path &&
	    recorder_set(dhatd->recorder, &dhatd->options.watch.settings, 1))
		return dhat_error_errno(err, ENOMEM, "cannot watch targets");
	return error;
}

/* P4: a service is watched for months, and its processes come and go. */
#define KEPT_ENDED 64

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
	int error;

	dhatd->listening_fd = notify_take_socket();
	error = worker_new(NULL, &dhatd->worker, err);
	tables.worker = dhatd->worker;
	if (error == 0)
		error = tables_new(&tables, &dhatd->tables, err);
	if (error == 0)
		error = symbolizer_new(dhatd->worker, &names, &dhatd->symbolizer, err);
	if (error == 0)
		error = targets_new(dhatd->worker, dhatd->tables, &dhatd->targets, err);
	if (error == 0 && holds_book_new(&dhatd->book))
		error = dhat_error_errno(err, ENOMEM, "cannot begin");
	if (error)
		return error;
	if (*tables_note(dhatd->tables))
		dhat_say_at(DHAT_LEVEL_WARNING, "dhatd",
			    "unwind tables are built anew each time: %s",
			    tables_note(dhatd->tables));
	error = start_pusher(dhatd, err);
	if (error == 0)
		error = start_recorder(dhatd, err);
	if (error)
		return error;
	targets_listen(dhatd->targets, &listener);
	/* both want them all, at the end */
	if (!dhatd->options.output_path && !dhat_gate_is_asked(&dhatd->options.gate))
		targets_keep_ended(dhatd->targets, KEPT_ENDED);
	targets_set_starting(dhatd->targets, true); /* before anybody can ask */
	dhatd->requests =
		(struct requests_context){ dhatd->targets, dhatd->symbolizer,
					   dhatd->worker,  dhatd->book,
					   dhatd->pusher,  dhatd->options.target.max_memory_bytes };
	error = dhatd_answer(dhatd, err);
	return error ? error : start_http(dhatd, err);
}

void dhatd_deinit(struct dhatd *dhatd)
{
	last_look_end(dhatd->last_look);
	if (dhatd->worker)
		worker_stop(dhatd->worker);
	discover_free(dhatd->discover);
	watches_free(dhatd->watches);
	http_server_free(dhatd->http);
	pages_free(dhatd->pages);
	control_free(dhatd->control);
	recorder_stop(dhatd->recorder);
	targets_free(dhatd->targets);
	last_look_free(dhatd->last_look); /* until then one may tell it that it begins */
	recorder_free(dhatd->recorder);	  /* until then a target may tell it of its end */
	pusher_free(dhatd->pusher);
	free(dhatd->push_folder);
	holds_book_free(dhatd->book);
	symbolizer_free(dhatd->symbolizer);
	tables_free(dhatd->tables);
	worker_free(dhatd->worker);
	if (dhatd->listening_fd > 0)
		close(dhatd->listening_fd);
	dhatd_options_deinit(&dhatd->options);
}

static void on_not_attached(void *context, pid_t pid, const struct dhat_error *err)
{
	if (!atomic_load(&((struct dhatd *)context)->is_interrupted))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", err->message);
}

static int start_discovery(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct discover_options options = {
		.match = dhatd->options.match,
		.max_targets = dhatd->options.max_targets,
		.target = &dhatd->options.target,
		.failed = on_not_attached,
		.step = dhatd_goes_on,
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

static int start_watches(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct watches_options options = {
		.path = dhatd->options.config_path,
		.targets = dhatd->targets,
		.recorder = dhatd->recorder,
		.settings = &dhatd->options.watch.settings,
		.max_memory_bytes = dhatd->options.target.max_memory_bytes,
		.step = dhatd_goes_on,
		.context = dhatd,
	};
	int error;

	if (!options.path)
		return 0;
	error = watches_new(&options, &dhatd->watches, err);
	return error ? error : watches_load(dhatd->watches, err);
}

static int start_program(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct dhatd_options *options = &dhatd->options;
	struct target *target = NULL;
	int error = last_look_begin(dhatd, &dhatd->last_look, err);

	if (error == 0)
		error = targets_run(dhatd->targets, options->program, &options->target, &target,
				    err);
	if (error == 0)
		dhatd->program = target_pid(target);
	target_unref(target);
	return error;
}

static int start_targets(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct dhatd_options *options = &dhatd->options;
	int error = options->command == DHATD_RUN ? start_program(dhatd, err) : 0;

	for (size_t i = 0; i < options->pid_count && error == 0; i++) {
		error = targets_attach(dhatd->targets, options->pids[i], &options->target, NULL,
				       err);
		dhatd_goes_on(dhatd);
	}
	if (error == 0)
		error = start_discovery(dhatd, err);
	if (error == 0)
		error = start_watches(dhatd, err);
	if (error == 0) {
		dhat_say("dhatd", "answering at %s", options->socket_path);
		if (dhatd->http)
			dhat_say("dhatd", "answering by HTTP at %s", http_server_url(dhatd->http));
		notify("READY=1");
	}
	targets_set_starting(dhatd->targets, false);
	return error;
}

struct starting {
	struct dhatd *dhatd;
	const sigset_t *set;
	/* came meanwhile, and are for when it has started */
	bool is_to_keep, is_to_reload;
};

/* While the main thread attaches, this one takes the signals: whoever asks us to end need not wait.
 */
static void *wait_for_interruption(void *context)
{
	struct starting *starting = context;
	struct dhatd *dhatd = starting->dhatd;
	int signal_number = 0;

	while (!atomic_load(&dhatd->has_started)) {
		if (sigwait(starting->set, &signal_number))
			continue;
		if (!dhatd_is_end(dhatd, signal_number)) {
			starting->is_to_keep |= signal_number == SIGNAL_KEEP;
			starting->is_to_reload |= signal_number == SIGNAL_RELOAD;
			continue;
		}
		atomic_store(&dhatd->is_interrupted, true);
		targets_close(dhatd->targets); /* what is discovered meanwhile is not attached to */
		break;
	}
	return NULL;
}

/* Programs are started by the main thread, whose end is dhatd's: PR_SET_PDEATHSIG in run.c. */
static int start_interruptibly(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	struct starting starting = { .dhatd = dhatd, .set = set };
	struct dhat_error why = { 0 };
	pthread_t thread;
	int error = -pthread_create(&thread, NULL, wait_for_interruption, &starting);

	if (error)
		return dhat_error_errno(err, -error, "cannot start a thread");
	error = start_targets(dhatd, &why);
	atomic_store(&dhatd->has_started, true);
	on_changed(NULL); /* wakes the thread; an end that is told once more does no harm */
	pthread_join(thread, NULL);
	if (starting.is_to_keep)
		kill(getpid(), SIGNAL_KEEP);
	if (starting.is_to_reload)
		kill(getpid(), SIGNAL_RELOAD);
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

int dhatd_start(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	int error = start_services(dhatd, err);

	return error ? error : start_interruptibly(dhatd, set, err);
}
