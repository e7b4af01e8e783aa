/* The steps by which an observation begins, and those by which it ends. */
#include "private.h"

#include "daemon/source/uprobes.h"

#include "check.h"
#include "daemon/kernel/features.h"
#include "daemon/kernel/threads.h"
#include "daemon/object/sites/custom.h"
#include "identity.h"
#include "proto/base/cleanup.h"
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

DEFINE_CLEANUP_PTR(struct target *, target_unref)

/* ---- begin ----------------------------------------------------------------------------------- */

static int check_sample(uint64_t bytes, struct dhat_error *err)
{
	if (!bytes || (bytes >= DHAT_SAMPLE_LEAST_BYTES && bytes <= DHAT_SAMPLE_MOST_BYTES))
		return 0;
	return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
			      "a sample of one block for each %" PRIu64
			      " bytes cannot be: take 1 KiB to 1 GiB",
			      bytes);
}

static int check_ring_bytes(uint32_t bytes, struct dhat_error *err)
{
	uint32_t page = sysconf(_SC_PAGESIZE);

	if (bytes < page || bytes & (bytes - 1))
		return dhat_error_set(
			err, EINVAL, DHAT_EXIT_USAGE,
			"a ring of %u bytes cannot be: take a power of two from %u on", bytes,
			page);
	return 0;
}

/* First of all, so that all that follows is about one process: its number may be another's as soon
 * as it has ended. */
static int open_process(struct target *target, struct dhat_error *err)
{
	target->pidfd = target->pid > 0 ? syscall(SYS_pidfd_open, target->pid, 0) : -1;
	if (target->pidfd >= 0)
		return 0;
	if (target->pid <= 0 || errno == ESRCH)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "no process %d: look for the right one with pgrep -a NAME",
				      (int)target->pid);
	if (errno == EINVAL || errno == ENOENT) /* a thread that is not its process's first */
		return dhat_error_set(err, EINVAL, DHAT_EXIT_NO_PROCESS,
				      "%d is a thread, not a process: the Tgid line of "
				      "/proc/%d/status has its process",
				      (int)target->pid, (int)target->pid);
	return dhat_error_errno(err, errno, "cannot watch process %d", (int)target->pid);
}

/* As long as it has not ended, what was read under its number was its own. It gives up its memory
 * some time before its number. */
static int check_alive(const struct target *target, struct dhat_error *err)
{
	struct pollfd poll_fd = { .fd = target->pidfd, .events = POLLIN };
	_cleanup_free_ char *pages = NULL;

	if (proc_read(target->pid, "statm", &pages, NULL) == 0 && strncmp(pages, "0 ", 2) != 0 &&
	    poll(&poll_fd, 1, 0) == 0)
		return 0;
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS, "process %d has just ended",
			      (int)target->pid);
}

/* The hazards that do not stand in the way are kept as notes. */
static int check(struct target *target, struct dhat_error *err)
{
	_cleanup_(preflight_deinit) struct preflight preflight = { 0 };
	int error = check_process(target->pid, target->options.from_start, &preflight, err);

	for (size_t i = 0; i < preflight.count && error == 0; i++)
		error = findings_note(&target->findings, preflight.hazards[i].detail);
	target->has_seccomp = preflight.has_seccomp;
	return error;
}

int target_new(pid_t pid, const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err)
{
	_cleanup_(target_unref_ptr) struct target *target = calloc(1, sizeof(*target));
	uint64_t memory = options->max_memory_bytes ?: TARGET_MAX_MEMORY_BYTES;
	int error = 0;

	if (!target)
		return -ENOMEM;
	atomic_init(&target->references, 1);
	target->pidfd = -1;
	target->pid = pid;
	target->services = *services;
	target->options = *options;
	atomic_store(&target->watch, options->watch);
	target->options.link = NULL;
	target->options.custom = options->custom ? texts_copy(options->custom) : NULL;
	if (options->custom && !target->options.custom)
		error = -ENOMEM;
	target_limit_memory(target, memory);
	pthread_mutex_init(&target->gate, NULL);
	pthread_mutex_init(&target->lock, NULL);
	pthread_mutex_init(&target->map_lock, NULL);
	pthread_mutex_init(&target->census_lock, NULL);
	objects_init(&target->objects);
	places_init(&target->places);
	findings_init(&target->findings);
	if (error == 0)
		error = check_ring_bytes(target->ring_bytes, err);
	if (error == 0)
		error = check_sample(options->sample_bytes, err);
	if (error == 0)
		error = open_process(target, err);
	if (error == 0)
		error = check(target, err);
	if (error == 0)
		error = customs_new(options->custom, &target->customs, err);
	if (error == 0)
		error = identity_read(pid, &target->identity, err);
	if (error == 0)
		error = check_alive(target, err);
	if (error)
		return error;
	error = heap_new(0, &target->heap);
	if (error == 0 && options->sample_bytes)
		heap_sample(target->heap, options->sample_bytes);
	if (error == 0)
		error = heap_charge(target->heap, &target->budget);
	if (error == 0)
		error = stacks_new(TARGET_MAX_STACKS, &target->stacks);
	if (error == 0)
		stacks_charge(target->stacks, &target->budget);
	if (error == 0)
		error = mappings_new(&target->mappings);
	if (error)
		return error;
	error = collector_init(&target->collector, target->heap, target->stacks, target->mappings);
	if (error)
		return error;
	*ret = take_ptr(target);
	return 0;
}

static int choose_returns(struct target *target)
{
	struct check_returns returns =
		check_returns(target->kind, target->has_seccomp, target->options.no_return_probes);

	target->avoids_return_probes = returns.avoids_probes;
	return returns.note ? findings_note(&target->findings, returns.note) : 0;
}

/* Load the programs and place the probes with one kind of link. */
static int attach_with(struct target *target, enum uprobe_kind kind, struct dhat_error *err)
{
	struct tracer_options options = {
		.pid = target->pid,
		.ring_bytes = target->ring_bytes,
		.max_stacks = memory_max_stacks(target->budget.limit_bytes),
		.kind = kind,
		.closes_on_exec = true,
		.sample_bytes = target->options.sample_bytes,
		.writes_registers = uprobes_may_execute(kind),
	};
	int error;

	target->kind = kind;
	error = features_links(kind, err);
	if (error == 0)
		features_trap_ns(kind); /* measured before anybody asks, who may hold a lock */
	if (error == 0)
		error = tracer_new(&options, &target->tracer, err);
	if (error == 0)
		error = target_charge_kernel(target, err);
	if (error == 0)
		error = choose_returns(target);
	return error ? error : target_look(target, err);
}

int target_attach_links(struct target *target, const char *link, struct dhat_error *err)
{
	bool is_forced = link && *link;
	int kind = is_forced ? (int)uprobe_kind_of_name(link) : (int)features_first_kind();
	int error;

	if (kind == UPROBE_KINDS)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "no kind of link is called '%s': session, multi or perf",
				      link);
	for (;; kind++) {
		struct dhat_error why = { 0 };

		error = attach_with(target, kind, &why);
		if (!error || is_forced || kind == UPROBE_PERF ||
		    why.code != DHAT_EXIT_UNSUPPORTED) {
			if (error)
				dhat_error_set(err, -error, why.code, "%s", why.message);
			break;
		}
		tracer_free(take_ptr(target->tracer));
		target_forget_objects(target);
		target_discharge_kernel(target);
	}
	if (error == 0 && !is_forced)
		features_kind_works(kind);
	return error;
}

/* Threads that are there already. Whose names the kernel does not tell allocate namelessly. */
static void name_threads(struct target *target)
{
	_cleanup_free_ struct dhat_thread_state *threads = NULL;
	size_t count = 0;

	if (threads_read(target->pid, &threads, &count, NULL))
		return;
	target_lock(target);
	for (size_t i = 0; i < count; i++)
		collector_name_thread(&target->collector, threads[i].tid, threads[i].name);
	target_unlock(target);
}

void target_open(struct target *target)
{
	name_threads(target);
	target_begin_life(target);
	target_begin_doubt(target);
	tracer_open_gate(target->tracer);
}

#define TABLES_FIRST_NS 500000000ull /* an attach shall take a second at most */

int target_attach(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err)
{
	_cleanup_(target_unref_ptr) struct target *target = NULL;
	struct dhat_error why = { 0 };
	int error = target_new(pid, options, services, &target, err);

	if (error)
		return error;
	target_sweep(target);
	pthread_mutex_lock(&target->map_lock);
	error = target_attach_links(target, options->link, &why);
	if (error == 0)
		error = target_check_found(target, &why);
	if (error == 0) {
		/* whole stacks from the first on, if that is a matter of a moment */
		target_get_tables(target, tracer_epoch(target->tracer),
				  clock_now_ns(CLOCK_MONOTONIC) + TABLES_FIRST_NS);
		error = target_begin_inventory(target);
	}
	/* its own are the probes, too; and what was not found may have gone with it */
	if (check_alive(target, err))
		error = -ESRCH;
	if (error == 0) {
		target->is_observed = true;
		target_open(target);
	}
	pthread_mutex_unlock(&target->map_lock);
	if (error)
		return dhat_error_set(err, -error, why.code, "%s", why.message);
	*ret = take_ptr(target);
	return 0;
}

/* ---- end ------------------------------------------------------------------------------------- */

void target_begin_end(struct target *target)
{
	atomic_store(&target->is_ending, true);
}

/* No probe stops it any more. After an exec whoever follows it is waited for: follow.c. */
static void end_stops(struct target *target)
{
	if (atomic_load(&target->is_replaced))
		return;
	target_let_go_on(target);
	target_end_guard(target);
}

/* What the kernel holds for us is given back: ring, maps, links. What was counted stays. False:
 * that was done before. */
static bool remove_probes(struct target *target)
{
	struct tracer *tracer;
	bool is_first;

	target_begin_end(target);
	pthread_mutex_lock(&target->map_lock);
	is_first = !target->is_finished;
	if (is_first) {
		target->is_finished = true;
		tracer_close_gate(target->tracer);
		target_drain_all(target);
		tracer_detach(target->tracer);
		target_drain_all(target); /* calls that were on their way */
		target_lock(target);
		target_read_counters(target);
		tracer = take_ptr(target->tracer);
		target_unlock(target);
		objects_drop_tables(&target->objects, target->services.tables);
		tracer_free(tracer);
		target_lock(target);
		target_discharge_kernel(target);
		target_unlock(target);
		end_stops(target);
	}
	pthread_mutex_unlock(&target->map_lock);
	return is_first;
}

void target_detach(struct target *target)
{
	if (remove_probes(target)) {
		pthread_mutex_lock(&target->map_lock);
		target_search_copies(target, true);
		pthread_mutex_unlock(&target->map_lock);
		target_sweep(target);
	}
	target_lock(target);
	target_close_profile(target, TARGET_DETACHED, "");
	target_unlock(target);
}

void target_finish(struct target *target)
{
	target_drain_all(target);
	target_close_ended(target);
	target_explain_end(target);
	remove_probes(target);
}
