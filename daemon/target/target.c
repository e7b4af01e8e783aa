#include "private.h"

#include "daemon/kernel/selftest.h"
#include "daemon/object/sites/custom.h"
#include "identity.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- small things ---------------------------------------------------------------------------- */

void target_lock(struct target *target)
{
	pthread_mutex_lock(&target->gate);
	pthread_mutex_lock(&target->lock);
	pthread_mutex_unlock(&target->gate);
}

/* False: somebody has it, or waits for it. */
static bool try_lock(struct target *target)
{
	bool is_locked;

	if (pthread_mutex_trylock(&target->gate))
		return false;
	is_locked = pthread_mutex_trylock(&target->lock) == 0;
	pthread_mutex_unlock(&target->gate);
	return is_locked;
}

void target_unlock(struct target *target)
{
	pthread_mutex_unlock(&target->lock);
}

const char *target_state_name(enum target_state state)
{
	static const char *const names[] = {
		[TARGET_ATTACHED] = "attached", [TARGET_DETACHED] = "detached",
		[TARGET_EXITED] = "exited",	[TARGET_KILLED] = "killed",
		[TARGET_REPLACED] = "replaced",
	};

	return names[state];
}

pid_t target_pid(const struct target *target)
{
	return target->pid;
}

int target_ring_fd(const struct target *target)
{
	return tracer_ring_fd(target->tracer);
}

int target_pidfd(const struct target *target)
{
	return target->pidfd;
}

enum target_state target_state_of(struct target *target)
{
	enum target_state state;

	target_lock(target);
	state = target->state;
	target_unlock(target);
	return state;
}

bool target_follows_exec(const struct target *target)
{
	return target->options.follow_exec;
}

void target_follow_options(const struct target *target, struct target_options *ret)
{
	*ret = target->options;
	ret->from_start = false;
	ret->is_followed = true;
	ret->link = uprobe_kind_name(target->kind);
	ret->ring_bytes = target->ring_bytes;
}

#define MAX_NOT_FOLLOWED 8

void target_note_not_followed(struct target *forerunner, pid_t pid, const struct dhat_error *why)
{
	char note[sizeof(why->message) + 96];

	snprintf(note, sizeof(note), "%s %d was not followed: %s",
		 pid == forerunner->pid ? "the program that replaced this one in process"
					: "child process",
		 (int)pid, why->message);
	target_lock(forerunner);
	if (forerunner->not_followed++ < MAX_NOT_FOLLOWED)
		texts_add(&forerunner->notes, note);
	target_unlock(forerunner);
}

bool target_has_exited(struct target *target)
{
	struct pollfd poll_fd = { .fd = target->pidfd, .events = POLLIN };
	int status;

	if (target->options.from_start) {
		if (waitpid(target->pid, &status, WNOHANG) != target->pid)
			return false;
		target_lock(target);
		target->has_wait_status = true;
		target->wait_status = status;
		target_unlock(target);
		return true;
	}
	return poll(&poll_fd, 1, 0) > 0;
}

bool target_wait_status(struct target *target, int *ret)
{
	bool is_known;

	target_lock(target);
	is_known = target->has_wait_status;
	*ret = target->wait_status;
	target_unlock(target);
	return is_known;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_map(const struct dhat_record_map *record, uint32_t object, void *ctx)
{
	struct target *target = ctx;

	target->wants_mapper = true;
}

static void on_change(const struct dhat_record_change *record, void *ctx)
{
	struct target *target = ctx;

	target->collector_epoch = record->epoch;
	target->wants_mapper = true;
}

static void on_exec(const struct dhat_record_life *record, void *ctx)
{
	struct target *target = ctx;

	target->was_replaced = true;
}

static void on_fork(const struct dhat_record_life *record, void *ctx)
{
	struct target *target = ctx;
	pid_t *more;

	if (!target->options.follow_fork)
		return;
	more = reallocarray(target->forked, target->forked_count + 1, sizeof(*more));
	if (!more)
		return;
	target->forked = more;
	more[target->forked_count++] = record->pid;
}

static void on_exit_record(const struct dhat_record_life *record, void *ctx)
{
	struct target *target = ctx;

	target->has_wait_status = true;
	target->wait_status = record->wait_status;
}

static void take_record(void *context, const void *record, size_t size)
{
	struct target *target = context;

	collector_feed(&target->collector, record, size);
}

/* The profile ends now; with `lock` held. */
static void close_profile(struct target *target, enum target_state state, const char *detail)
{
	if (target->state != TARGET_ATTACHED)
		return;
	target->state = state;
	target->end_ns = clock_now_ns(CLOCK_MONOTONIC);
	snprintf(target->state_detail, sizeof(target->state_detail), "%s", detail);
}

/* With `lock`, which it gives up. */
static size_t drain_and_unlock(struct target *target, size_t max)
{
	bool wants_mapper, was_replaced;
	pid_t *forked;
	size_t count, forked_count;
	const struct target_hooks *hooks = &target->services.hooks;

	count = target->tracer ? ring_drain(tracer_ring(target->tracer), max, take_record, target)
			       : 0;
	/* at once: what others do to their probes meanwhile may cost us ours */
	if (target->tracer && tracer_has_lost_anchor(target->tracer))
		tracer_find_anchor(target->tracer, NULL);
	wants_mapper = target->wants_mapper;
	was_replaced = target->was_replaced;
	forked = take_ptr(target->forked);
	forked_count = target->forked_count;
	target->forked_count = 0;
	target->wants_mapper = target->was_replaced = false;
	if (was_replaced)
		close_profile(target, TARGET_REPLACED, "it replaced its program (exec)");
	target_unlock(target);

	if (wants_mapper && hooks->wants_mapper)
		hooks->wants_mapper(hooks->context, target);
	if (was_replaced && hooks->replaced)
		hooks->replaced(hooks->context, target);
	for (size_t i = 0; i < forked_count && hooks->forked; i++)
		hooks->forked(hooks->context, target, forked[i]);
	free(forked);
	return count;
}

static size_t drain(struct target *target, size_t max)
{
	target_lock(target);
	return drain_and_unlock(target, max);
}

bool target_try_drain(struct target *target, size_t max, size_t *ret)
{
	if (!try_lock(target))
		return false;
	*ret = drain_and_unlock(target, max);
	return true;
}

/* Everything that is in the ring now. */
static void drain_all(struct target *target)
{
	while (drain(target, 65536) == 65536)
		;
}

void target_drain_now(struct target *target)
{
	uint64_t used;

	target_lock(target);
	used = target->tracer ? ring_used_bytes(tracer_ring(target->tracer)) : 0;
	target_unlock(target);
	for (uint64_t taken = 0; taken < used;) {
		size_t count = drain(target, 4096);

		taken +=
			count * sizeof(struct dhat_record_free); /* the smallest that is frequent */
		if (count < 4096)
			break;
	}
}

void target_read_counters(struct target *target)
{
	if (!target->tracer)
		return;
	tracer_counters(target->tracer, target->kernel_counters);
	target->missed_runs = tracer_misses(target->tracer);
	target->anchor_gaps = tracer_anchor_gaps(target->tracer);
}

void target_tick(struct target *target)
{
	const struct target_hooks *hooks = &target->services.hooks;
	const uint64_t *counters = target->kernel_counters;
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), allocs, frees;
	bool wants_weighing;
	double seconds;

	if (!try_lock(target))
		return;
	target_read_counters(target);
	allocs = counters[DHAT_CTR_ALLOCS] + counters[DHAT_CTR_REALLOCS];
	frees = counters[DHAT_CTR_FREES];
	seconds = (now - target->last_tick_ns) / 1e9;
	if (seconds > 0.5) {
		target->allocs_per_second = (allocs - target->last_allocs) / seconds;
		target->frees_per_second = (frees - target->last_frees) / seconds;
		target->last_allocs = allocs;
		target->last_frees = frees;
		target->last_tick_ns = now;
	}
	if (target->tracer) /* should it have failed at the moment when it was told */
		tracer_find_anchor(target->tracer, NULL);
	target_look_for_doubt(target, now);
	wants_weighing = target->wants_weighing;
	target->wants_weighing = false;
	target_unlock(target);
	if (wants_weighing && hooks->wants_weighing)
		hooks->wants_weighing(hooks->context, target);
	if (hooks->wants_look)
		hooks->wants_look(hooks->context, target);
}

/* ---- probes ---------------------------------------------------------------------------------- */

void probes_free(struct target_probe *probes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(probes[i].function);
		free(probes[i].object_path);
	}
	free(probes);
}

int probes_copy(const struct target_probe *probes, size_t count, struct target_probe **ret,
		size_t *ret_count)
{
	struct target_probe *copy = calloc(count + 1, sizeof(*copy));

	*ret = copy;
	*ret_count = 0;
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		copy[i] = probes[i];
		copy[i].function = strdup(probes[i].function);
		copy[i].object_path = strdup(probes[i].object_path);
		++*ret_count;
		if (!copy[i].function || !copy[i].object_path)
			return -ENOMEM;
	}
	return 0;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void target_free(struct target *target)
{
	tracer_free(target->tracer);
	target_forget_objects(target);
	objects_deinit(&target->objects, target->services.tables);
	collector_deinit(&target->collector);
	heap_free(target->heap);
	stacks_free(target->stacks);
	mappings_free(target->mappings);
	identity_deinit(&target->identity);
	texts_free(target->allocators);
	texts_free(target->notes);
	customs_free(target->customs);
	texts_free(target->options.custom);
	probes_free(target->probes, target->probe_count);
	target_forget_places(target);
	free(target->searched);
	free(target->forked);
	if (target->pidfd >= 0)
		close(target->pidfd);
	pthread_mutex_destroy(&target->gate);
	pthread_mutex_destroy(&target->lock);
	pthread_mutex_destroy(&target->map_lock);
	free(target);
}

struct target *target_ref(struct target *target)
{
	atomic_fetch_add(&target->references, 1);
	return target;
}

void target_unref(struct target *target)
{
	if (target && atomic_fetch_sub(&target->references, 1) == 1)
		target_free(target);
}

DEFINE_CLEANUP_PTR(struct target *, target_unref)

/* With `lock`: the state that the wait status means, and the details. */
static enum target_state describe_end(const struct target *target, char *ret, size_t size)
{
	int status = target->wait_status;

	if (!target->has_wait_status)
		snprintf(ret, size, "it ended");
	else if (WIFSIGNALED(status))
		snprintf(ret, size, "signal %d (SIG%s)", WTERMSIG(status),
			 sigabbrev_np(WTERMSIG(status)) ?: "?");
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
	return target->has_wait_status && WIFSIGNALED(status) ? TARGET_KILLED : TARGET_EXITED;
}

void target_begin_end(struct target *target)
{
	atomic_store(&target->is_ending, true);
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
		drain_all(target);
		tracer_detach(target->tracer);
		drain_all(target); /* calls that were on their way */
		target_lock(target);
		target_read_counters(target);
		tracer = take_ptr(target->tracer);
		target_unlock(target);
		objects_drop_tables(&target->objects, target->services.tables);
		tracer_free(tracer);
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
	close_profile(target, TARGET_DETACHED, "detached on request");
	target_unlock(target);
}

void target_finish(struct target *target)
{
	enum target_state state;
	char detail[64];

	drain_all(target);
	target_lock(target);
	state = describe_end(target, detail, sizeof(detail));
	close_profile(target, state, detail);
	target_unlock(target);
	target_explain_end(target);
	remove_probes(target);
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

int target_new(pid_t pid, const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err)
{
	_cleanup_(target_unref_ptr) struct target *target = calloc(1, sizeof(*target));
	struct collector_callbacks on = {
		.map = on_map,
		.change = on_change,
		.exec = on_exec,
		.fork = on_fork,
		.exit = on_exit_record,
		.ctx = target,
	};
	uint64_t memory = options->max_memory_bytes ?: TARGET_MAX_MEMORY_BYTES;
	int error = 0;

	if (!target)
		return -ENOMEM;
	atomic_init(&target->references, 1);
	target->pidfd = -1;
	target->pid = pid;
	target->services = *services;
	target->options = *options;
	target->options.link = NULL;
	target->options.custom = options->custom ? texts_copy(options->custom) : NULL;
	if (options->custom && !target->options.custom)
		error = -ENOMEM;
	target->ring_bytes = options->ring_bytes ?: TARGET_RING_BYTES;
	pthread_mutex_init(&target->gate, NULL);
	pthread_mutex_init(&target->lock, NULL);
	pthread_mutex_init(&target->map_lock, NULL);
	objects_init(&target->objects);
	if (error == 0)
		error = check_ring_bytes(target->ring_bytes, err);
	if (error == 0)
		error = open_process(target, err);
	if (error == 0)
		error = target_preflight(target, err);
	if (error == 0)
		error = customs_new(options->custom, &target->customs, err);
	if (error == 0)
		error = identity_read(pid, &target->identity, err);
	if (error == 0)
		error = check_alive(target, err);
	if (error)
		return error;
	target->budget.limit_bytes = memory;
	error = heap_new(0, &target->heap);
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
	error = collector_init(&target->collector, target->heap, target->stacks, target->mappings,
			       &on);
	if (error)
		return error;
	*ret = take_ptr(target);
	return 0;
}

/* The best kind of link that worked for an earlier target; the first attach tries them in turn:
 * session, multi, perf. */
static _Atomic int best_kind = UPROBE_SESSION;

/* Load the programs and place the probes with one kind of link. */
static int attach_with(struct target *target, enum uprobe_kind kind, struct dhat_error *err)
{
	struct tracer_options options = {
		.pid = target->pid,
		.ring_bytes = target->ring_bytes,
		.kind = kind,
		.closes_on_exec = true,
	};
	int error;

	target->kind = kind;
	error = tracer_new(&options, &target->tracer, err);
	if (error == 0)
		error = tracer_try_links(target->tracer, err);
	if (error == 0)
		error = selftest_threads(kind, err);
	if (error == 0)
		error = target_choose_returns(target);
	return error ? error : target_look(target, err);
}

int target_attach_links(struct target *target, const char *link, struct dhat_error *err)
{
	bool is_forced = link && *link;
	int kind = is_forced ? (int)uprobe_kind_of_name(link) : atomic_load(&best_kind);
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
	}
	if (error == 0 && !is_forced)
		atomic_store(&best_kind, kind);
	return error;
}

void target_open(struct target *target)
{
	target->since_ns = target->last_tick_ns = clock_now_ns(CLOCK_MONOTONIC);
	target->since_unix_ns = target->places_seen_unix_ns = clock_now_ns(CLOCK_REALTIME);
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
