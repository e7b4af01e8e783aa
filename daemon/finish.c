/* The end: P7 is kept here. */
#include "dhatd.h"

#include "daemon/target/ptracer.h"
#include "judge.h"
#include "last_look.h"
#include "notify.h"
#include "program.h"
#include "proto/base/cleanup.h"
#include "proto/base/parallel.h"
#include "proto/base/say.h"
#include "tell.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* P7: one that could not be written anywhere stays, and is asked for. */
static int write_profile(struct dhatd *dhatd, struct target *target, unsigned number,
			 bool *ret_is_kept, struct dhat_error *err)
{
	struct dhat_error why = { 0 };
	char path[PATH_MAX];
	int error;

	keep_name(path, sizeof(path), &dhatd->output, target_pid(target), number);
	error = keep_profile(target, dhatd->symbolizer, dhatd->book, &dhatd->output, path,
			     ret_is_kept, &why);
	if (error == -EBUSY) { /* whoever takes a copy just now has to stand back */
		control_free(take_ptr(dhatd->control));
		why = (struct dhat_error){ 0 };
		error = keep_profile(target, dhatd->symbolizer, dhatd->book, &dhatd->output, path,
				     ret_is_kept, &why);
	}
	if (error)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s",
			    why.message[0] ? why.message : strerror(-error));
	if (error && err && !err->code) /* said already */
		dhat_error_set(err, -error, why.code ?: DHAT_EXIT_FAILED, "%s", "");
	return error;
}

struct ending {
	struct target **list; /* references */
	size_t count;
	bool *was_held; /* by a debugger, when the others were detached from */
};

static void ending_deinit(struct ending *ending)
{
	for (size_t i = 0; i < ending->count; i++)
		target_unref(ending->list[i]);
	free(ending->list);
	free(ending->was_held);
	*ending = (struct ending){ 0 };
}

static void tell_held(const struct target *target, const struct ptracer *tracer)
{
	dhat_say_at(
		DHAT_LEVEL_WARNING, "dhatd",
		"%s (pid %d) debugs process %d: a breakpoint that it put over a probe would kill "
		"the process if the probe went first; waiting for it to end (Ctrl-C again: go "
		"now)",
		tracer->name, (int)tracer->pid, (int)target_pid(target));
}

/* While a debugger holds a target its probes must stay (target_is_debugged()), however long that
 * is, for a service manager, too; a second signal is obeyed all the same. */
static void wait_for_debuggers(struct dhatd *dhatd, const sigset_t *set, struct ending *ending)
{
	const struct timespec interval = { .tv_nsec = 200000000 };
	struct ptracer tracer;
	bool is_over = false;

	for (size_t i = 0; i < ending->count; i++)
		while (!is_over && target_is_debugged(ending->list[i], &tracer)) {
			if (!ending->was_held[i])
				tell_held(ending->list[i], &tracer);
			ending->was_held[i] = true;
			dhatd_goes_on(dhatd);
			is_over = dhatd_is_end(dhatd, sigtimedwait(set, NULL, &interval));
		}
}

/* Nothing is attached to from now on, and what is just being attached to is a target, or none. */
static void stop_attaching(struct dhatd *dhatd)
{
	discover_stop(dhatd->discover);
	watches_stop(dhatd->watches);
	targets_close(dhatd->targets); /* nor does anybody wait for tables */
	discover_free(take_ptr(dhatd->discover));
	watches_free(take_ptr(dhatd->watches));
	targets_settle(dhatd->targets);
}

/* The place of one among those of its process: from 1 on; 0 if it is the only one of all. */
static unsigned number_of(struct target **list, size_t count, size_t at)
{
	unsigned number = 1;

	for (size_t i = 0; i < at; i++)
		number += target_pid(list[i]) == target_pid(list[at]);
	return count == 1 ? 0 : number;
}

/* The files of those that have none yet: *ret, how many could not be written anywhere. P7: one
 * failure does not stop the next. */
static int write_profiles(struct dhatd *dhatd, struct target **list, size_t count, bool *is_kept,
			  size_t *ret, struct dhat_error *err)
{
	int error = 0, failed;

	*ret = 0;
	for (size_t i = 0; i < count; i++) {
		if (is_kept[i])
			continue;
		failed = write_profile(dhatd, list[i], number_of(list, count, i), &is_kept[i], err);
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
	int signal_number = 0;
	size_t lost;

	if (!dhatd->control)
		dhatd_answer(dhatd, NULL);
	for (size_t i = 0; i < count; i++)
		if (!is_kept[i])
			dhat_say_at(
				DHAT_LEVEL_ERROR, "dhatd",
				"the profile of %d could not be written anywhere, and is kept: "
				"dhatctl snapshot --socket %s --pid %d -o FILE fetches it; Ctrl-C "
				"tries once more, and ends dhatd",
				(int)target_pid(list[i]), dhatd->options.socket_path,
				(int)target_pid(list[i]));
	while (sigwait(set, &signal_number) || !dhatd_is_end(dhatd, signal_number))
		;
	*err = (struct dhat_error){ 0 };
	return write_profiles(dhatd, list, count, is_kept, &lost, err);
}

/* ---- what a service keeps -------------------------------------------------------------------- */

/* It is started again, as by an upgrade; nobody need have said that it keeps anything. */
static bool keeps_last(const struct dhatd *dhatd)
{
	const struct dhatd_options *options = &dhatd->options;

	return options->command == DHATD_SERVE &&
	       (options->config_path || watch_has_folder(&options->watch));
}

/* Of each, or of those that a debugger held. */
static void keep_last(struct dhatd *dhatd, const struct ending *ending, bool of_held)
{
	for (size_t i = 0; keeps_last(dhatd) && i < ending->count; i++) {
		if (!of_held || ending->was_held[i])
			recorder_keep_last(dhatd->recorder, ending->list[i]);
		dhatd_goes_on(dhatd);
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static void detach_one(void *context, size_t number)
{
	const struct ending *ending = context;

	target_detach(ending->list[number]);
}

/* A tenth of a second for each probe, of which a target has dozens. */
static void detach_all(struct dhatd *dhatd, struct ending *ending)
{
	const struct parallel parallel = {
		.one = detach_one,
		.context = ending,
		.step = dhatd_goes_on,
		.step_context = dhatd,
	};

	parallel_run(&parallel, ending->count);
}

/* All is detached from: write what was collected. */
static int write_all(struct dhatd *dhatd, const sigset_t *set, struct ending *ending,
		     struct dhat_error *err)
{
	_cleanup_free_ bool *is_kept = NULL;
	struct dhat_error second = { 0 }; /* the first is the one that is handed on */
	size_t lost = 0;
	int error = 0, failed = 0;

	ending->count = program_leave_out_wrappers(dhatd, ending->list, ending->count);
	for (size_t i = 0; i < ending->count; i++)
		tell_totals(ending->list[i]);
	is_kept = calloc(ending->count + 1, sizeof(*is_kept));
	if (!is_kept)
		error = -ENOMEM;
	if (error == 0 && dhatd->options.output_path)
		error = write_profiles(dhatd, ending->list, ending->count, is_kept, &lost, err);
	if (lost)
		error = wait_for_room(dhatd, set, ending->list, ending->count, is_kept, err);
	if (!dhatd->is_interrupted)
		failed = judge_all(dhatd, ending->list, ending->count, &dhatd->judged,
				   error ? &second : err);
	if (*second.message)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", second.message);
	return error ?: failed;
}

/* In this order: whatever happens while debuggers are waited for, or while probes go, a service's
 * profiles are in files by then. */
int dhatd_finish(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	_cleanup_(ending_deinit) struct ending ending = { 0 };
	int error;

	notify("STOPPING=1");
	dhatd_goes_on(dhatd);
	last_look_end(dhatd->last_look);
	stop_attaching(dhatd); /* before anything that takes time */
	error = targets_list(dhatd->targets, &ending.list, &ending.count);
	ending.was_held = calloc(ending.count + 1, sizeof(*ending.was_held));
	if (error || !ending.was_held)
		return dhat_error_errno(err, ENOMEM, "cannot write the profiles");
	if (keeps_last(dhatd)) {
		http_server_free(take_ptr(dhatd->http)); /* no copy for it stands in the way */
		targets_settle_ended(dhatd->targets);
		recorder_stop(dhatd->recorder); /* it keeps what has ended, by its triggers */
		keep_last(dhatd, &ending, false);
	}
	wait_for_debuggers(dhatd, set, &ending);
	http_server_free(take_ptr(dhatd->http));
	targets_settle_ended(dhatd->targets);
	recorder_stop(dhatd->recorder);
	detach_all(dhatd, &ending);
	recorder_push_last(dhatd->recorder);
	keep_last(dhatd, &ending, true);
	error = write_all(dhatd, set, &ending, err);
	pusher_stop(dhatd->pusher);
	return error;
}
