#include "discover.h"

#include "attempts.h"
#include "bpf/watch.skel.h"
#include "daemon/kernel/numbers.h"
#include "daemon/kernel/ring.h"
#include "daemon/proc/status.h"
#include "process_set.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "searches.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_BYTES (1u << 16)
#define TRIES 10
#define TRY_INTERVAL_MS 100
#define FULL_INTERVAL_MS 1000 /* is there room again? */

struct discover {
	struct discover_options options;
	struct targets *targets;
	struct watch_bpf *bpf;
	struct ring *ring;
	struct match match;
	bool has_thread;
	pthread_t thread;
	int wake_fd;
	atomic_bool is_ending;
	struct attempts attempts;
	uint64_t lost;
	size_t found_first; /* that matched at the start */
	/* had to be left alone for want of room: max_targets */
	struct process_set left_out;
	bool is_full; /* there is one */
};

/* ---- attaching ------------------------------------------------------------------------------- */

/* What was let go is not wanted back: by a person, or since it cost too much. */
static bool is_settled(struct discover *discover, pid_t pid)
{
	struct target *target = NULL;
	bool is_attached;

	if (targets_was_let_go(discover->targets, pid))
		return true;
	if (targets_find(discover->targets, pid, &target, NULL))
		return false;
	is_attached = target_state_of(target) == TARGET_ATTACHED;
	target_unref(target);
	return is_attached;
}

/* Seconds later it may have loaded its C library; until then it has no allocator. */
static bool is_worth_another_try(const struct dhat_error *err)
{
	return err->code == DHAT_EXIT_NO_ALLOCATOR ||
	       err->code == DHAT_EXIT_ALREADY; /* by somebody else, who may yet fail */
}

static size_t max_targets(const struct discover *discover)
{
	return discover->options.max_targets ?: DISCOVER_MAX_TARGETS;
}

static void tell_failure(struct discover *discover, pid_t pid, const struct dhat_error *err)
{
	if (discover->options.failed)
		discover->options.failed(discover->options.context, pid, err);
}

static bool is_room(struct discover *discover)
{
	return targets_count_of_watch(discover->targets, discover->options.target->watch) <
	       max_targets(discover);
}

/* Is there room for it? If not, it is told once, and looked for again when there is. */
static bool has_room(struct discover *discover, pid_t pid)
{
	struct dhat_error err = { 0 };

	if (is_room(discover))
		return true;
	if (!discover->is_full) {
		dhat_error_set(&err, EDQUOT, DHAT_EXIT_USAGE,
			       "process %d matches, too, but %zu are watched already: it is left "
			       "alone until one of them ends (%smax-targets)",
			       (int)pid, max_targets(discover),
			       discover->options.section ? "" : "--");
		tell_failure(discover, pid, &err);
	}
	discover->is_full = true;
	process_set_add(&discover->left_out, pid, proc_start_ticks(pid));
	return false;
}

/* true: perhaps later */
static bool try_attach(struct discover *discover, const struct attempt *attempt)
{
	struct dhat_error err = { 0 };

	if (match_process(&discover->match, attempt->pid) != MATCH_YES ||
	    is_settled(discover, attempt->pid))
		return true; /* an exec may yet bring the name */
	if (!has_room(discover, attempt->pid))
		return false;
	if (targets_attach(discover->targets, attempt->pid, discover->options.target, NULL, &err) ==
	    0)
		return false;
	if (is_worth_another_try(&err) && attempt->left > 1)
		return true;
	if (err.code != DHAT_EXIT_NO_PROCESS && err.code != DHAT_EXIT_ALREADY &&
	    !atomic_load(&discover->is_ending))
		tell_failure(discover, attempt->pid, &err);
	return false;
}

/* One that is begun once more may be tried as often as one that is new. */
static void add_attempt(struct discover *discover, pid_t pid, unsigned tries)
{
	const struct attempt attempt = { .pid = pid, .left = tries };

	attempts_add(&discover->attempts, &attempt);
}

static size_t scan_all(struct discover *discover)
{
	_cleanup_free_ struct matched *list = NULL;
	size_t count = 0, found = 0;

	discover->is_full = false;
	discover->left_out.count = 0;
	if (match_list(&discover->match, &list, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (list[i].answer != MATCH_YES)
			continue;
		add_attempt(discover, list[i].pid, 1);
		found++;
	}
	return found;
}

static bool is_left_out(void *context, pid_t pid)
{
	return !is_settled(context, pid);
}

/* How many are left out now. */
static void look_at_left_out(struct discover *discover)
{
	struct search_state state = {
		.watch = discover->options.target->watch,
		.is_searching = true,
	};

	process_set_keep(&discover->left_out, is_left_out, discover);
	discover->is_full = discover->left_out.count > 0;
	if (!discover->options.section)
		return;
	snprintf(state.name, sizeof(state.name), "%s", discover->options.section);
	state.left_out = discover->left_out.count;
	searches_set(targets_searches(discover->targets), &state);
}

/* step: see discover_options; may be NULL. */
static void work_off(struct discover *discover, void (*step)(void *context))
{
	struct attempt attempt;

	while (!atomic_load(&discover->is_ending) &&
	       attempts_take(&discover->attempts, clock_now_ns(CLOCK_MONOTONIC), &attempt)) {
		if (try_attach(discover, &attempt))
			attempts_again(&discover->attempts, &attempt,
				       clock_now_ns(CLOCK_MONOTONIC) +
					       TRY_INTERVAL_MS * 1000000ull);
		if (step)
			step(discover->options.context);
	}
	look_at_left_out(discover);
}

static void take_pid(void *context, const void *record, size_t size)
{
	if (size >= sizeof(uint32_t))
		add_attempt(context, *(const uint32_t *)record, TRIES);
}

/* Until when it may sleep; -1: until the kernel tells of a process. */
static int patience_ms(const struct discover *discover)
{
	if (discover->attempts.count)
		return TRY_INTERVAL_MS;
	return discover->is_full ? FULL_INTERVAL_MS : -1;
}

static void *watch(void *context)
{
	struct discover *discover = context;
	struct pollfd fds[] = {
		{ .fd = bpf_map__fd(discover->bpf->maps.begun), .events = POLLIN },
		{ .fd = discover->wake_fd, .events = POLLIN },
	};

	while (!atomic_load(&discover->is_ending)) {
		poll(fds, ARRAY_SIZE(fds), patience_ms(discover));
		ring_drain(discover->ring, SIZE_MAX, take_pid, discover);
		if (discover->bpf->bss->lost != discover->lost ||
		    (discover->is_full && is_room(discover))) {
			discover->lost = discover->bpf->bss->lost;
			scan_all(discover);
		}
		work_off(discover, NULL);
	}
	return NULL;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int refuse_so_many(struct discover *discover, struct dhat_error *err)
{
	char what[256];

	match_describe(&discover->options.match, what, sizeof(what));
	return dhat_error_set(err, EDQUOT, DHAT_EXIT_USAGE,
			      "%zu processes match %s, more than %zu: dhatd plan %s lists them, "
			      "--max-targets %zu takes them all",
			      discover->found_first, what, max_targets(discover), what,
			      discover->found_first);
}

DEFINE_CLEANUP_PTR(struct discover *, discover_free)

int discover_new(const struct discover_options *options, struct targets *targets,
		 struct discover **ret, struct dhat_error *err)
{
	_cleanup_(discover_free_ptr) struct discover *discover = calloc(1, sizeof(*discover));
	uint32_t namespace;
	int error;

	if (!discover)
		return dhat_error_errno(err, ENOMEM, "cannot watch for processes");
	discover->options = *options;
	discover->targets = targets;
	discover->wake_fd = eventfd(0, EFD_CLOEXEC);
	error = match_init(&options->match, &discover->match, err);
	if (error)
		return error;
	discover->bpf = watch_bpf__open();
	if (!discover->bpf)
		return dhat_error_errno(err, errno, "cannot watch for new processes");
	error = numbers_namespace(&namespace, err);
	if (error)
		return error;
	discover->bpf->rodata->cfg_namespace = namespace;
	if (watch_bpf__load(discover->bpf) || watch_bpf__attach(discover->bpf))
		return dhat_error_errno(err, errno, "cannot watch for new processes");
	error = ring_open(bpf_map__fd(discover->bpf->maps.begun), RING_BYTES, &discover->ring);
	if (error)
		return dhat_error_errno(err, -error, "cannot watch for new processes");
	discover->found_first = scan_all(discover);
	if (discover->found_first > max_targets(discover) && !options->section)
		return refuse_so_many(discover, err);
	work_off(discover, options->step);
	error = -pthread_create(&discover->thread, NULL, watch, discover);
	if (error)
		return dhat_error_errno(err, -error, "cannot watch for new processes");
	discover->has_thread = true;
	*ret = take_ptr(discover);
	return 0;
}

size_t discover_found_first(const struct discover *discover)
{
	return discover->found_first;
}

void discover_stop(struct discover *discover)
{
	uint64_t one = 1;

	if (!discover)
		return;
	atomic_store(&discover->is_ending, true);
	if (write(discover->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is awake, then */
}

void discover_free(struct discover *discover)
{
	if (!discover)
		return;
	discover_stop(discover);
	if (discover->has_thread)
		pthread_join(discover->thread, NULL);
	ring_close(discover->ring);
	watch_bpf__destroy(discover->bpf);
	match_deinit(&discover->match);
	if (discover->wake_fd >= 0)
		close(discover->wake_fd);
	attempts_deinit(&discover->attempts);
	process_set_deinit(&discover->left_out);
	free(discover);
}
