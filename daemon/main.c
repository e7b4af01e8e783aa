/* dhatd: attach, serve, write the profile, detach. */
#include "daemon/kernel/refusal.h"
#include "daemon/lookup/symbolizer.h"
#include "daemon/lookup/tables.h"
#include "daemon/serve/control.h"
#include "daemon/serve/requests.h"
#include "daemon/serve/snapshot.h"
#include "daemon/target/discover.h"
#include "daemon/target/ptracer.h"
#include "daemon/target/targets.h"
#include "daemon/worker/worker.h"
#include "daemon/worker/worker_main.h"
#include "options.h"

#include "proto/base/cleanup.h"
#include "proto/base/say.h"
#include "proto/export/export.h"
#include "repair_report.h"

#include <errno.h>
#include <inttypes.h>
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

DEFINE_CLEANUP_PTR(struct target_copy *, target_copy_free)
DEFINE_CLEANUP_PTR(struct target *, target_unref)
DEFINE_CLEANUP_PTR(struct dhat_snapshot *, dhat_snapshot_free)

/* A target has ended: sent to ourselves, so that the main thread need wait for one thing only. */
#define SIGNAL_ENDED SIGUSR1

static void on_target_end(void *context)
{
	kill(getpid(), SIGNAL_ENDED);
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGNAL_ENDED);
	sigprocmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
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

static int start_services(struct dhatd *dhatd, struct dhat_error *err)
{
	struct tables_options tables = { 0 };
	struct control_options control = {
		.path = dhatd->options.socket_path,
		.group = dhatd->options.group,
		.table = requests_table,
		.context = &dhatd->requests,
	};
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
	targets_on_end(dhatd->targets, on_target_end, NULL);
	dhatd->requests =
		(struct requests_context){ dhatd->targets, dhatd->symbolizer, dhatd->worker };
	return control_new(&control, &dhatd->control, err);
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

static void say_attached(struct target *target)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;

	if (target_copy(target, false, &copy, NULL))
		return;
	dhat_say("dhatd", "attached to %d (%s), %zu probes", (int)copy->identity.pid,
		 copy->identity.command, copy->probed.probe_count);
	for (size_t i = 0; i < copy->probed.allocator_count; i++)
		dhat_say("dhatd", "  %s (%s)", copy->probed.allocators[i].name,
			 copy->probed.allocators[i].path);
	for (char **reason = copy->reasons; copy->verdict == DHAT_PARTIAL && *reason; reason++)
		dhat_say("dhatd", "  partial: %s", *reason);
}

static void on_discovered(void *context, struct target *target)
{
	say_attached(target);
}

static void on_not_attached(void *context, pid_t pid, const struct dhat_error *err)
{
	if (atomic_load(&((struct dhatd *)context)->is_interrupted))
		return;
	dhat_say("dhatd", "%s", err->message);
}

static int start_discovery(struct dhatd *dhatd, struct dhat_error *err)
{
	struct discover_options options = {
		.cgroup_path = dhatd->options.cgroup_path,
		.name_regex = dhatd->options.name_regex,
		.target = &dhatd->options.target,
		.attached = on_discovered,
		.failed = on_not_attached,
		.context = dhatd,
	};

	if (!options.cgroup_path && !options.name_regex)
		return 0;
	return discover_new(&options, dhatd->targets, &dhatd->discover, err);
}

static int start_targets(struct dhatd *dhatd, struct dhat_error *err)
{
	const struct dhatd_options *options = &dhatd->options;
	int error = 0;

	if (options->command == DHATD_RUN) {
		_cleanup_(target_unref_ptr) struct target *target = NULL;

		error = targets_run(dhatd->targets, options->program, &options->target, &target,
				    err);
		if (error == 0)
			say_attached(target);
	}
	for (size_t i = 0; i < options->pid_count && error == 0; i++) {
		_cleanup_(target_unref_ptr) struct target *target = NULL;

		error = targets_attach(dhatd->targets, options->pids[i], &options->target, &target,
				       err);
		if (error == 0)
			say_attached(target);
	}
	if (error == 0)
		error = start_discovery(dhatd, err);
	if (error == 0)
		dhat_say("dhatd", "answering at %s", options->socket_path);
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
		if (sigwait(starting->set, &signal_number) || signal_number == SIGNAL_ENDED)
			continue;
		atomic_store(&dhatd->is_interrupted, true);
		targets_close(dhatd->targets);
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
	on_target_end(NULL); /* wakes the thread; an end that is told once more does no harm */
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

static int add_part(void *context, const Dhat__SnapshotPart *part)
{
	size_t size = dhat__snapshot_part__get_packed_size(part);
	_cleanup_free_ uint8_t *bytes = malloc(size ? size : 1);
	Dhat__SnapshotPart *copy;

	if (!bytes)
		return -ENOMEM;
	dhat__snapshot_part__pack(part, bytes);
	copy = dhat__snapshot_part__unpack(NULL, size, bytes);
	return copy ? dhat_snapshot_add(context, copy, NULL) : -ENOMEM;
}

/* "leak.json" → "leak.1234.json", when there are several */
static void name_output(char *ret, size_t size, const char *path, pid_t pid, bool is_only)
{
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');

	if (is_only || strcmp(path, "-") == 0)
		snprintf(ret, size, "%s", path);
	else if (dot && (!slash || dot > slash))
		snprintf(ret, size, "%.*s.%d%s", (int)(dot - path), path, (int)pid, dot);
	else
		snprintf(ret, size, "%s.%d", path, (int)pid);
}

static int write_profile(struct dhatd *dhatd, struct target *target, bool is_only,
			 struct dhat_error *err)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	_cleanup_(dhat_snapshot_free_ptr) struct dhat_snapshot *snapshot = NULL;
	char path[4096];
	int error = target_copy(target, true, &copy, NULL);

	if (error == -EBUSY) /* P7: whoever takes a copy just now has to stand back */
		control_free(take_ptr(dhatd->control));
	if (error)
		error = target_copy(target, true, &copy, err);
	if (error == 0)
		error = dhat_snapshot_new(&snapshot);
	if (error == 0)
		error = snapshot_write(copy, dhatd->symbolizer, false, add_part, snapshot, err);
	if (error == 0)
		error = dhat_snapshot_finish(snapshot, err);
	if (error)
		return error;
	name_output(path, sizeof(path), dhatd->options.output_path, target_pid(target), is_only);
	error = dhat_save(snapshot, path, NULL, NULL, err);
	if (error == 0)
		dhat_say("dhatd", "wrote %s", path);
	return error;
}

/* Like Valgrind's closing lines. */
static void say_totals(struct target *target)
{
	_cleanup_(target_copy_free_ptr) struct target_copy *copy = NULL;
	const struct heap_totals *totals;

	if (target_copy(target, false, &copy, NULL))
		return;
	totals = &copy->totals;
	dhat_say("dhatd", "%d %s%s%s", (int)copy->identity.pid, target_state_name(copy->state),
		 copy->state_detail[0] ? ": " : "", copy->state_detail);
	dhat_say("dhatd", "  Total:     %" PRIu64 " bytes in %" PRIu64 " blocks",
		 totals->total_bytes, totals->total_blocks);
	dhat_say("dhatd", "  At t-gmax: %" PRIu64 " bytes in %" PRIu64 " blocks",
		 totals->peak_bytes, totals->peak_blocks);
	dhat_say("dhatd", "  At t-end:  %" PRIu64 " bytes in %" PRIu64 " blocks",
		 totals->live_bytes, totals->live_blocks);
	for (char **reason = copy->reasons; *reason; reason++)
		dhat_say("dhatd", "  %s: %s",
			 copy->verdict == DHAT_PARTIAL ? "partial" : "not exact", *reason);
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
				dhat_say(
					"dhatd",
					"%s (pid %d) debugs process %d: a breakpoint that "
					"it "
					"put over a probe would kill the process if the probe went "
					"first; waiting for it to end (Ctrl-C again: go now)",
					tracer.name, (int)tracer.pid, (int)target_pid(list[i]));
			was_told = true;
			signal_number = sigtimedwait(set, NULL, &interval);
			is_over = signal_number > 0 && signal_number != SIGNAL_ENDED;
		}
		target_unref(list[i]);
	}
	free(list);
}

/* Detach from all, then write what was collected (P7: one failure does not stop the next). */
static int finish(struct dhatd *dhatd, struct dhat_error *err)
{
	struct target **list = NULL;
	size_t count = 0;
	int error, failed = 0;

	targets_close(dhatd->targets); /* nobody waits for tables now */
	error = targets_list(dhatd->targets, &list, &count);

	for (size_t i = 0; i < count; i++)
		target_detach(list[i]);
	for (size_t i = 0; i < count; i++) {
		say_totals(list[i]);
		if (dhatd->options.output_path)
			failed = write_profile(dhatd, list[i], count == 1, err);
		if (failed)
			error = failed;
		target_unref(list[i]);
	}
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

/* With --output, or for `run`, dhatd ends with its last target; else it keeps the profiles for
 * dhatctl until it is told to end. */
static void serve(struct dhatd *dhatd, const sigset_t *set)
{
	const struct dhatd_options *options = &dhatd->options;
	bool ends_with_targets =
		options->command == DHATD_RUN ||
		(options->command == DHATD_ATTACH && options->output_path && !dhatd->discover);
	int signal_number = 0;

	do {
		if (ends_with_targets && targets_attached_count(dhatd->targets) == 0)
			return;
	} while (sigwait(set, &signal_number) || signal_number == SIGNAL_ENDED);
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

int main(int argc, char **argv)
{
	struct dhatd dhatd = { 0 };
	struct dhat_error err = { 0 };
	sigset_t set;
	int error, status = 0;

	if (argc > 1 && strcmp(argv[1], WORKER_ARGUMENT) == 0)
		return worker_main(argc, argv);
	if (dhatd_options_parse(argc, argv, &dhatd.options))
		return DHAT_EXIT_USAGE;
	if (dhatd.options.command == DHATD_DONE) {
		dhatd_options_deinit(&dhatd.options);
		return DHAT_EXIT_OK;
	}
	if (dhatd.options.command == DHATD_REPAIR) {
		status = repair(&dhatd.options);
		dhatd_options_deinit(&dhatd.options);
		return status;
	}
	block_signals(&set);
	raise_descriptor_limit();
	mallopt(M_ARENA_MAX, 2); /* short-lived threads would each leave an arena of their own */
	refusal_listen(getenv("DHATD_LIBBPF_LOG")); /* what the verifier says */
	error = start_services(&dhatd, &err);
	if (error == 0)
		error = start_interruptibly(&dhatd, &set, &err);
	if (error == 0) {
		if (!dhatd.is_interrupted)
			serve(&dhatd, &set);
		wait_for_debuggers(&dhatd, &set);
		error = finish(&dhatd, &err);
		status = program_status(&dhatd);
	}
	stop_services(&dhatd);
	if (error) {
		dhat_say("dhatd", "%s", err.message[0] ? err.message : strerror(-error));
		return err.code ? err.code : DHAT_EXIT_FAILED;
	}
	return status;
}
