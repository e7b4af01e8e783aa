/* dhatd: attach, serve, write the profile, detach. */
#include "daemon/kernel/refusal.h"
#include "daemon/target/preflight.h"
#include "daemon/watch/spool.h"
#include "daemon/worker/worker_main.h"
#include "dhatd.h"
#include "notify.h"
#include "plan_report.h"
#include "program.h"
#include "ps_report.h"
#include "repair_report.h"
#include "tell.h"

#include "proto/base/cleanup.h"
#include "proto/base/output.h"
#include "proto/base/say.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGNAL_CHANGED);
	sigaddset(set, SIGNAL_KEEP);
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

/* The next signal that is held back; 0: none came for so long (0: for ever). */
static int wait_for_signal(const sigset_t *set, uint64_t limit_ns)
{
	const struct timespec limit = { limit_ns / 1000000000, limit_ns % 1000000000 };
	int signal_number = sigtimedwait(set, NULL, limit_ns ? &limit : NULL);

	return signal_number > 0 ? signal_number : 0;
}

/* A mistake in it changes nothing. */
static void reload(struct dhatd *dhatd)
{
	struct dhat_error err = { 0 }, http_err = { 0 };

	notify_reloading();
	if (dhatd->watches && watches_load(dhatd->watches, &err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s; all goes on as before", err.message);
	else if (dhatd->watches)
		dhat_say("dhatd", "read %s again", dhatd->options.config_path);
	if (dhatd->http && http_server_renew(dhatd->http, &http_err))
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s; it answers by HTTP as before",
			    http_err.message);
	else if (dhatd->http)
		dhat_say("dhatd", "read again what it answers by HTTP with");
	pusher_retry(dhatd->pusher);
	notify("READY=1");
}

#define PROGRAM_INTERVAL_NS 100000000

/* Its last program could not be attached to, or was detached from: `run` ends when it does all the
 * same. Until then, or until a signal comes. */
static void wait_for_program(struct dhatd *dhatd, const sigset_t *set)
{
	int signal_number = 0;

	if (program_runs_on(dhatd))
		dhat_say("dhatd", "process %d runs on, and is not watched; waiting for its end",
			 (int)dhatd->program);
	while (program_runs_on(dhatd) && !dhatd_is_end(dhatd, signal_number)) {
		dhatd_give_signs(dhatd);
		signal_number = wait_for_signal(set, PROGRAM_INTERVAL_NS);
	}
}

static void serve(struct dhatd *dhatd, const sigset_t *set)
{
	int signal_number;

	do {
		if (dhatd_ends_with_targets(dhatd) && targets_attached_count(dhatd->targets) == 0) {
			wait_for_program(dhatd, set);
			return;
		}
		signal_number = wait_for_signal(set, dhatd_give_signs(dhatd));
		if (signal_number == SIGNAL_KEEP)
			recorder_keep_all(dhatd->recorder);
		if (signal_number == SIGNAL_RELOAD && dhatd_reloads(dhatd))
			reload(dhatd);
	} while (!dhatd_is_end(dhatd, signal_number));
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
static int check_start(struct dhatd *dhatd, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	struct dhatd_options *options = &dhatd->options;
	int error = watch_settle(&options->watch.settings, err);

	if (error == 0)
		error = preflight_host(&preflight);
	if (error == 0)
		error = preflight_verdict(&preflight, err);
	if (error == 0 && dhat_gate_is_asked(&options->gate))
		error = dhat_gate_prepare(&options->gate, err);
	if (error == 0 && (watch_keeps(&options->watch.settings) ||
			   (options->command == DHATD_SERVE && watch_has_folder(&options->watch))))
		error = spool_prepare(watch_folder(&options->watch), err);
	if (error || !options->output_path)
		return error;
	return keep_settle(&dhatd->output, options->output_path, err);
}

/* From the first signal that is held back to the last file: *ret_status, what `run` passes on. */
static int profile(struct dhatd *dhatd, int *ret_status, struct dhat_error *err)
{
	sigset_t set;
	int error = check_start(dhatd, err), failed;

	if (error)
		return error;
	block_signals(&set);
	raise_descriptor_limit();
	tell_init(dhatd->options.command == DHATD_SERVE);
	error = dhatd_start(dhatd, &set, err);
	if (error && !dhatd->is_interrupted)
		return error;
	if (!dhatd->is_interrupted)
		serve(dhatd, &set);
	failed = dhatd_finish(dhatd, &set, err);
	/* a program that failed is the first thing to know */
	*ret_status = program_status(dhatd) ?: (int)dhatd->judged;
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
	else if (options->command == DHATD_PS)
		status = ps_report(options);
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
	case DHATD_PS:
	case DHATD_REPAIR:
		status = look(&dhatd.options);
		break;
	case DHATD_ATTACH:
	case DHATD_RUN:
	case DHATD_SERVE:
		error = profile(&dhatd, &status, &err);
		break;
	}
	dhatd_deinit(&dhatd);
	if (!error)
		return status;
	if (err.message[0] || !err.code)
		dhat_say_at(DHAT_LEVEL_ERROR, "dhatd", "%s",
			    err.message[0] ? err.message : strerror(-error));
	return err.code ? err.code : DHAT_EXIT_FAILED;
}
