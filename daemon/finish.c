/* The end: P7 is kept here. */
#include "dhatd.h"

#include "daemon/target/ptracer.h"
#include "judge.h"
#include "notify.h"
#include "program.h"
#include "proto/base/cleanup.h"
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
				dhat_say_at(
					DHAT_LEVEL_WARNING, "dhatd",
					"%s (pid %d) debugs process %d: a breakpoint that "
					"it put over a probe would kill the process if the probe "
					"went first; waiting for it to end (Ctrl-C again: go now)",
					tracer.name, (int)tracer.pid, (int)target_pid(list[i]));
			was_told = true;
			signal_number = sigtimedwait(set, NULL, &interval);
			is_over = dhatd_is_end(dhatd, signal_number);
		}
		target_unref(list[i]);
	}
	free(list);
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

/* Detach from all, then write what was collected. */
static int write_all(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	_cleanup_free_ bool *is_kept = NULL;
	struct dhat_error second = { 0 }; /* the first is the one that is handed on */
	struct target **list = NULL;
	size_t count = 0, lost = 0;
	int error = targets_list(dhatd->targets, &list, &count), failed = 0;

	targets_settle_ended(dhatd->targets);
	recorder_stop(dhatd->recorder); /* what has ended is kept first; it looks once more */
	for (size_t i = 0; i < count; i++)
		target_detach(list[i]);
	if (dhatd->options.config_path) /* a service is started again, by an upgrade, too */
		recorder_keep_last(dhatd->recorder);
	count = program_leave_out_wrappers(dhatd, list, count);
	for (size_t i = 0; i < count; i++)
		tell_totals(list[i]);
	is_kept = calloc(count + 1, sizeof(*is_kept));
	if (!is_kept)
		error = -ENOMEM;
	if (error == 0 && dhatd->options.output_path)
		error = write_profiles(dhatd, list, count, is_kept, &lost, err);
	if (lost)
		error = wait_for_room(dhatd, set, list, count, is_kept, err);
	if (!dhatd->is_interrupted)
		failed = judge_all(dhatd, list, count, &dhatd->judged, error ? &second : err);
	if (*second.message)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s", second.message);
	for (size_t i = 0; i < count; i++)
		target_unref(list[i]);
	free(list);
	return error ?: failed;
}

int dhatd_finish(struct dhatd *dhatd, const sigset_t *set, struct dhat_error *err)
{
	int error;

	notify("STOPPING=1");
	stop_attaching(dhatd); /* before anything that takes time */
	wait_for_debuggers(dhatd, set);
	http_server_free(take_ptr(dhatd->http)); /* nor does a copy for it stand in the way */
	error = write_all(dhatd, set, err);
	pusher_stop(dhatd->pusher);
	return error;
}
