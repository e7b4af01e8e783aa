#include "targets.h"

#include "daemon/worker/worker.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "proto/base/text.h"
#include "ptracer.h"
#include "run.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Rings are drained at least this often; a ring that is a quarter full wakes us earlier. */
#define DRAIN_INTERVAL_MS 10
#define DRAIN_BATCH 4096
#define TICK_NS 1000000000ull
#define INVENTORY_WAIT_S 1

#define BUSY_INTERVAL_MS 1 /* somebody copies a target: look again soon */

struct entry {
	struct target *target; /* a reference */
	bool is_over;	       /* its process has ended or was replaced, or it was detached */
	bool is_ending;	       /* its process has ended: the closer's from now on */
	bool wants_mapper, wants_closer, wants_weighing, wants_look;
};

struct targets {
	struct target_services services;
	pthread_mutex_t lock; /* guards the list; never held while a target is worked on */
	struct entry *entries;
	size_t count;
	int epoll_fd, wake_fd;
	/* The collector never waits for anything that belongs to one target: the others' rings
	 * would fill meanwhile. What takes long has a thread: the mapper builds tables and probes
	 * what was mapped; the closer takes probes away, which the kernel may take its time for. */
	pthread_t collector, mapper, closer;
	bool has_collector, has_mapper, has_closer;
	pthread_cond_t mapper_wake, closer_wake;
	atomic_bool is_ending;
	void (*ended)(void *context);
	void *ended_context;
	pthread_t *inventories; /* threads that take one for longer than an attach waits */
	size_t inventory_count;
	struct follow *attach_queue; /* the mapper does it */
	size_t attach_count;
	bool is_following; /* it has taken one out of the queue */
	bool is_closed;	   /* targets_close() */
	pid_t *reserved;   /* being attached to: not yet in the list, and nobody else's any more */
	size_t reserved_count;
};

/* A child, or what a target's program was replaced by, to attach to as its forerunner was. Right
 * after exec its libraries are not there yet: it is tried again for a second. */
#define FOLLOW_TRIES 50
#define FOLLOW_INTERVAL_NS 20000000ull
struct follow {
	pid_t pid;
	int tries_left;
	uint64_t not_before_ns;
	struct target *forerunner; /* a reference; its options are borrowed from it */
};

static struct entry *find_entry(struct targets *targets, const struct target *target)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->entries[i].target == target)
			return &targets->entries[i];
	return NULL;
}

static void wake_collector(struct targets *targets)
{
	uint64_t one = 1;
	ssize_t ignored = write(targets->wake_fd, &one, sizeof(one));

	(void)ignored;
}

static void notify_end(struct targets *targets)
{
	if (targets->ended)
		targets->ended(targets->ended_context);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static void want_mapper(void *context, struct target *target)
{
	struct targets *targets = context;
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->wants_mapper = true;
	pthread_cond_signal(&targets->mapper_wake);
	pthread_mutex_unlock(&targets->lock);
}

static void want_look(void *context, struct target *target)
{
	struct targets *targets = context;
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->wants_look = true;
	pthread_cond_signal(&targets->mapper_wake);
	pthread_mutex_unlock(&targets->lock);
}

static void want_weighing(void *context, struct target *target)
{
	struct targets *targets = context;
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->wants_weighing = true;
	pthread_cond_signal(&targets->mapper_wake);
	pthread_mutex_unlock(&targets->lock);
}

/* Takes the reference to the forerunner. */
static void queue_follow(struct targets *targets, const struct follow *follow)
{
	struct follow *more;

	pthread_mutex_lock(&targets->lock);
	more = reallocarray(targets->attach_queue, targets->attach_count + 1, sizeof(*more));
	if (more) {
		targets->attach_queue = more;
		more[targets->attach_count++] = *follow;
	}
	pthread_cond_signal(&targets->mapper_wake);
	pthread_mutex_unlock(&targets->lock);
	if (!more)
		target_unref(follow->forerunner);
}

static void queue_attach(struct targets *targets, pid_t pid, struct target *forerunner)
{
	struct follow follow = {
		.pid = pid,
		.tries_left = FOLLOW_TRIES,
		.forerunner = target_ref(forerunner),
	};

	queue_follow(targets, &follow);
}

static void on_forked(void *context, struct target *target, pid_t child)
{
	queue_attach(context, child, target);
}

static void on_told(void *context, struct target *target, const char *text)
{
	dhat_say("dhatd", "process %d: %s", (int)target_pid(target), text);
}

/* exec: the probes go (in the closer's thread: it takes milliseconds), the profile stays */
static void on_replaced(void *context, struct target *target)
{
	struct targets *targets = context;
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry) {
		entry->is_over = true;
		entry->wants_closer = true;
	}
	pthread_cond_signal(&targets->closer_wake);
	pthread_mutex_unlock(&targets->lock);
	if (target_follows_exec(target))
		queue_attach(targets, target_pid(target), target);
	else
		notify_end(targets);
}

/* ---- collector thread ------------------------------------------------------------------------ */

/* References to the targets that are still observed. */
static size_t list_active(struct targets *targets, struct target ***ret)
{
	struct target **list;
	size_t n = 0;

	pthread_mutex_lock(&targets->lock);
	list = calloc(targets->count + 1, sizeof(*list));
	for (size_t i = 0; list && i < targets->count; i++)
		if (!targets->entries[i].is_over && !targets->entries[i].is_ending)
			list[n++] = target_ref(targets->entries[i].target);
	pthread_mutex_unlock(&targets->lock);
	*ret = list;
	return n;
}

/* Its process has ended: work on its tables stops, the closer does the rest. */
static void begin_end(struct targets *targets, struct target *target)
{
	struct entry *entry;

	target_begin_end(target);
	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->is_ending = entry->wants_closer = true;
	pthread_cond_signal(&targets->closer_wake);
	pthread_mutex_unlock(&targets->lock);
}

/* One batch of each target, so that none waits for another's backlog. How long the collector may
 * sleep after it, in ms. */
static int take_turn(struct targets *targets, bool is_tick)
{
	_cleanup_free_ struct target **active = NULL;
	size_t count = list_active(targets, &active);
	int wait_ms = count ? DRAIN_INTERVAL_MS : -1;

	for (size_t i = 0; i < count; i++) {
		size_t taken = 0;

		if (!target_try_drain(active[i], DRAIN_BATCH, &taken))
			wait_ms = wait_ms ? BUSY_INTERVAL_MS : 0;
		else if (taken == DRAIN_BATCH)
			wait_ms = 0;
		if (is_tick)
			target_tick(active[i]);
		if (target_has_exited(active[i]))
			begin_end(targets, active[i]);
		target_unref(active[i]);
	}
	return wait_ms;
}

static void *collect(void *context)
{
	struct targets *targets = context;
	uint64_t last_tick_ns = 0;

	while (!atomic_load(&targets->is_ending)) {
		struct epoll_event events[16];
		uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
		bool is_tick = now_ns - last_tick_ns >= TICK_NS;
		int wait_ms = take_turn(targets, is_tick);

		if (is_tick)
			last_tick_ns = now_ns;
		/* edge-triggered: only a forced wake-up ends the wait early (bpf:
		 * BPF_RB_FORCE_WAKEUP) */
		if (epoll_wait(targets->epoll_fd, events, ARRAY_SIZE(events), wait_ms) < 0 &&
		    errno != EINTR)
			break;
	}
	return NULL;
}

/* ---- closer thread --------------------------------------------------------------------------- */

/* With `lock`: a reference; *ret_is_over: its profile is closed already, only the probes are left.
 */
static struct target *take_closing(struct targets *targets, bool *ret_is_over)
{
	for (size_t i = 0; i < targets->count; i++) {
		if (!targets->entries[i].wants_closer)
			continue;
		targets->entries[i].wants_closer = false;
		*ret_is_over = targets->entries[i].is_over;
		return target_ref(targets->entries[i].target);
	}
	return NULL;
}

static void end_target(struct targets *targets, struct target *target)
{
	struct entry *entry;

	target_finish(target);
	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->is_over = true;
	pthread_mutex_unlock(&targets->lock);
	notify_end(targets);
}

static void *close_forever(void *context)
{
	struct targets *targets = context;

	pthread_mutex_lock(&targets->lock);
	while (!atomic_load(&targets->is_ending)) {
		bool is_over = false;
		struct target *target = take_closing(targets, &is_over);

		if (!target) {
			pthread_cond_wait(&targets->closer_wake, &targets->lock);
			continue;
		}
		pthread_mutex_unlock(&targets->lock);
		if (is_over)
			target_detach(target);
		else
			end_target(targets, target);
		target_unref(target);
		pthread_mutex_lock(&targets->lock);
	}
	pthread_mutex_unlock(&targets->lock);
	return NULL;
}

/* ---- mapper thread --------------------------------------------------------------------------- */

static struct target *take_map_job(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		if (!targets->entries[i].wants_mapper)
			continue;
		targets->entries[i].wants_mapper = false;
		return target_ref(targets->entries[i].target);
	}
	return NULL;
}

static struct target *take_weighing(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		if (!targets->entries[i].wants_weighing)
			continue;
		targets->entries[i].wants_weighing = false;
		if (!targets->entries[i].is_over)
			return target_ref(targets->entries[i].target);
	}
	return NULL;
}

static struct target *take_look(struct targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		if (!targets->entries[i].wants_look)
			continue;
		targets->entries[i].wants_look = false;
		if (!targets->entries[i].is_over)
			return target_ref(targets->entries[i].target);
	}
	return NULL;
}

/* With `lock`: the first one whose time has come. */
static bool take_follow(struct targets *targets, struct follow *ret)
{
	uint64_t now_ns = targets->attach_count ? clock_now_ns(CLOCK_MONOTONIC) : 0;

	for (size_t i = 0; i < targets->attach_count; i++) {
		if (targets->attach_queue[i].not_before_ns > now_ns)
			continue;
		*ret = targets->attach_queue[i];
		targets->attach_queue[i] = targets->attach_queue[--targets->attach_count];
		targets->is_following = true;
		return true;
	}
	return false;
}

/* In the mapper's thread. What stood in the way is told where the forerunner's profile is read. */
static void try_follow(struct targets *targets, struct follow *follow)
{
	struct target_options options;
	struct dhat_error err = { 0 };
	int error;

	target_follow_options(follow->forerunner, &options);
	error = targets_attach(targets, follow->pid, &options, NULL, &err);
	if (error && err.code == DHAT_EXIT_NO_ALLOCATOR && --follow->tries_left > 0) {
		follow->not_before_ns = clock_now_ns(CLOCK_MONOTONIC) + FOLLOW_INTERVAL_NS;
		queue_follow(targets, follow);
		return;
	}
	if (error && err.code != DHAT_EXIT_ALREADY)
		target_note_not_followed(follow->forerunner, follow->pid, &err);
	target_unref(follow->forerunner);
}

static void attach_follow(struct targets *targets, struct follow *follow)
{
	try_follow(targets, follow);
	pthread_mutex_lock(&targets->lock);
	targets->is_following = false;
	pthread_mutex_unlock(&targets->lock);
	notify_end(targets); /* if it failed, there may be nothing left to wait for */
}

/* With `lock`: until there is something to do. */
static void wait_for_work(struct targets *targets)
{
	uint64_t until_ns = clock_now_ns(CLOCK_MONOTONIC) + FOLLOW_INTERVAL_NS;
	struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

	if (targets->attach_count)
		pthread_cond_clockwait(&targets->mapper_wake, &targets->lock, CLOCK_MONOTONIC,
				       &until);
	else
		pthread_cond_wait(&targets->mapper_wake, &targets->lock);
}

static void *map_forever(void *context)
{
	struct targets *targets = context;

	pthread_mutex_lock(&targets->lock);
	while (!atomic_load(&targets->is_ending)) {
		struct target *target = take_map_job(targets);
		struct target *to_weigh = target ? NULL : take_weighing(targets);
		struct target *to_look = target || to_weigh ? NULL : take_look(targets);
		struct follow follow = { 0 };

		if (!target && !to_weigh && !to_look && !take_follow(targets, &follow)) {
			wait_for_work(targets);
			continue;
		}
		pthread_mutex_unlock(&targets->lock);
		if (target)
			target_map_work(target);
		else if (to_weigh)
			target_weigh(to_weigh);
		else if (to_look)
			target_look_after_code(to_look);
		else
			attach_follow(targets, &follow);
		target_unref(target);
		target_unref(to_weigh);
		target_unref(to_look);
		pthread_mutex_lock(&targets->lock);
	}
	pthread_mutex_unlock(&targets->lock);
	return NULL;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int watch(struct targets *targets, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(targets->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int targets_new(struct worker *worker, struct tables *tables, struct targets **ret,
		struct dhat_error *err)
{
	struct targets *targets = calloc(1, sizeof(*targets));
	int error = 0;

	if (!targets)
		return dhat_error_errno(err, ENOMEM, "cannot start");
	targets->services = (struct target_services){
		.worker = worker,
		.tables = tables,
		.hooks = { .wants_mapper = want_mapper,
			   .wants_weighing = want_weighing,
			   .wants_look = want_look,
			   .forked = on_forked,
			   .replaced = on_replaced,
			   .told = on_told,
			   .context = targets },
	};
	pthread_mutex_init(&targets->lock, NULL);
	pthread_cond_init(&targets->mapper_wake, NULL);
	pthread_cond_init(&targets->closer_wake, NULL);
	targets->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	targets->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (targets->epoll_fd < 0 || targets->wake_fd < 0)
		error = -errno;
	if (error == 0)
		error = watch(targets, targets->wake_fd);
	if (error == 0)
		error = -pthread_create(&targets->collector, NULL, collect, targets);
	targets->has_collector = error == 0;
	if (error == 0)
		error = -pthread_create(&targets->mapper, NULL, map_forever, targets);
	targets->has_mapper = error == 0;
	if (error == 0)
		error = -pthread_create(&targets->closer, NULL, close_forever, targets);
	targets->has_closer = error == 0;
	if (error) {
		targets_free(targets);
		return dhat_error_errno(err, -error, "cannot start the collector");
	}
	*ret = targets;
	return 0;
}

void targets_free(struct targets *targets)
{
	if (!targets)
		return;
	atomic_store(&targets->is_ending, true);
	wake_collector(targets);
	if (targets->has_collector)
		pthread_join(targets->collector, NULL);
	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++)
		target_begin_end(targets->entries[i].target);
	pthread_cond_signal(&targets->mapper_wake);
	pthread_cond_signal(&targets->closer_wake);
	pthread_mutex_unlock(&targets->lock);
	if (targets->has_mapper)
		pthread_join(targets->mapper, NULL);
	if (targets->has_closer)
		pthread_join(targets->closer, NULL);
	for (size_t i = 0; i < targets->count; i++) {
		target_detach(targets->entries[i].target);
		target_unref(targets->entries[i].target);
	}
	for (size_t i = 0; i < targets->inventory_count;
	     i++) /* they see that they are not needed */
		pthread_join(targets->inventories[i], NULL);
	for (size_t i = 0; i < targets->attach_count; i++)
		target_unref(targets->attach_queue[i].forerunner);
	free(targets->inventories);
	free(targets->entries);
	free(targets->attach_queue);
	free(targets->reserved);
	if (targets->epoll_fd >= 0)
		close(targets->epoll_fd);
	if (targets->wake_fd >= 0)
		close(targets->wake_fd);
	pthread_mutex_destroy(&targets->lock);
	pthread_cond_destroy(&targets->mapper_wake);
	pthread_cond_destroy(&targets->closer_wake);
	free(targets);
}

void targets_on_end(struct targets *targets, void (*ended)(void *context), void *context)
{
	targets->ended_context = context;
	targets->ended = ended;
}

void targets_close(struct targets *targets)
{
	pthread_mutex_lock(&targets->lock);
	targets->is_closed = true;
	pthread_mutex_unlock(&targets->lock);
	worker_stop_looking(targets->services.worker);
}

/* With `lock`. */
static int check_free(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	if (targets->is_closed)
		return dhat_error_set(err, ECANCELED, DHAT_EXIT_FAILED, "dhatd is ending");
	for (size_t i = 0; i < targets->count; i++)
		if (target_pid(targets->entries[i].target) == pid && !targets->entries[i].is_over)
			return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
					      "process %d is already attached: ask for its profile "
					      "with dhatctl stats --pid %d",
					      (int)pid, (int)pid);
	for (size_t i = 0; i < targets->reserved_count; i++)
		if (targets->reserved[i] == pid)
			return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
					      "process %d is just being attached to, by another "
					      "request: dhatctl status shows when it is",
					      (int)pid);
	return 0;
}

/* Of several that want a pid at the same time one gets it; the others are told. */
static int reserve(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	pid_t *more;
	int error;

	pthread_mutex_lock(&targets->lock);
	error = check_free(targets, pid, err);
	more = error ? NULL
		     : reallocarray(targets->reserved, targets->reserved_count + 1, sizeof(*more));
	if (more) {
		targets->reserved = more;
		more[targets->reserved_count++] = pid;
	} else if (error == 0) {
		error = -ENOMEM;
	}
	pthread_mutex_unlock(&targets->lock);
	return error;
}

static void unreserve(struct targets *targets, pid_t pid)
{
	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->reserved_count; i++) {
		if (targets->reserved[i] == pid) {
			targets->reserved[i] = targets->reserved[--targets->reserved_count];
			break;
		}
	}
	pthread_mutex_unlock(&targets->lock);
}

/* Takes the reference. An ended profile of the same pid makes room. */
static int add_target(struct targets *targets, struct target *target, struct dhat_error *err)
{
	struct entry *longer;
	struct target *old = NULL;
	int error = watch(targets, target_ring_fd(target));

	if (error == 0 && target_pidfd(target) >= 0)
		error = watch(targets, target_pidfd(target));
	if (error) {
		target_unref(target);
		return dhat_error_errno(err, -error, "cannot watch the ring");
	}
	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++) {
		struct entry *entry = &targets->entries[i];

		if (entry->is_over && target_pid(entry->target) == target_pid(target) &&
		    target_state_of(entry->target) != TARGET_REPLACED) {
			old = entry->target;
			memmove(entry, entry + 1, (targets->count - i - 1) * sizeof(*entry));
			targets->count--;
			break;
		}
	}
	longer = reallocarray(targets->entries, targets->count + 1, sizeof(*longer));
	if (longer) {
		targets->entries = longer;
		longer[targets->count++] = (struct entry){ .target = target, .wants_mapper = true };
		pthread_cond_signal(&targets->mapper_wake);
	}
	pthread_mutex_unlock(&targets->lock);
	wake_collector(targets);
	target_unref(old);
	if (!longer)
		target_unref(target);
	return longer ? 0 : -ENOMEM;
}

/* ---- inventories ----------------------------------------------------------------------------- */

static void *take_inventory(void *context)
{
	struct target *target = context;

	target_take_inventory(target);
	target_unref(target);
	return NULL;
}

/* To be joined later. With nobody else to do it, now. */
static void keep_thread(struct targets *targets, pthread_t thread)
{
	pthread_t *more;
	size_t kept = 0;

	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->inventory_count; i++)
		if (pthread_tryjoin_np(targets->inventories[i], NULL) != 0)
			targets->inventories[kept++] = targets->inventories[i];
	targets->inventory_count = kept;
	more = reallocarray(targets->inventories, kept + 1, sizeof(*more));
	if (more) {
		targets->inventories = more;
		more[targets->inventory_count++] = thread;
	}
	pthread_mutex_unlock(&targets->lock);
	if (!more)
		pthread_join(thread, NULL);
}

/* An attach waits for the inventory, but not for ever: millions of blocks take seconds. */
static void start_inventory(struct targets *targets, struct target *target)
{
	struct timespec deadline;
	pthread_t thread;

	if (pthread_create(&thread, NULL, take_inventory, target_ref(target)) != 0) {
		take_inventory(target);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += INVENTORY_WAIT_S;
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &deadline) != 0)
		keep_thread(targets, thread);
}

int targets_attach(struct targets *targets, pid_t pid, const struct target_options *options,
		   struct target **ret, struct dhat_error *err)
{
	struct target *target = NULL;
	int error = reserve(targets, pid, err);

	if (error)
		return error;
	error = target_attach(pid, options, &targets->services, &target, err);
	if (error == 0) {
		target_ref(target);
		error = add_target(targets, target, err);
	}
	unreserve(targets, pid);
	if (error == 0) /* from now on the collector drains its ring */
		start_inventory(targets, target);
	if (error == 0 && ret)
		*ret = target;
	else
		target_unref(target);
	return error;
}

int targets_run(struct targets *targets, char *const argv[], const struct target_options *options,
		struct target **ret, struct dhat_error *err)
{
	struct target *target = NULL;
	int error = target_run(argv, options, &targets->services, &target, err);

	if (error)
		return error;
	if (ret)
		*ret = target_ref(target);
	error = add_target(targets, target, err);
	if (error && ret)
		target_unref(take_ptr(*ret));
	return error;
}

/* ---- finding --------------------------------------------------------------------------------- */

int targets_list(struct targets *targets, struct target ***ret, size_t *ret_count)
{
	struct target **list;

	pthread_mutex_lock(&targets->lock);
	list = calloc(targets->count + 1, sizeof(*list));
	for (size_t i = 0; list && i < targets->count; i++)
		list[i] = target_ref(targets->entries[i].target);
	*ret_count = targets->count;
	pthread_mutex_unlock(&targets->lock);
	if (!list)
		return -ENOMEM;
	*ret = list;
	return 0;
}

size_t targets_attached_count(struct targets *targets)
{
	size_t count = 0;

	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++)
		count += !targets->entries[i].is_over;
	count += targets->attach_count + targets->is_following + targets->reserved_count;
	pthread_mutex_unlock(&targets->lock);
	return count;
}

/* " 12 34": the choice, for an error */
static void list_pids(struct targets *targets, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < targets->count && used + 16 < size; i++)
		used += snprintf(ret + used, size - used, " %d",
				 (int)target_pid(targets->entries[i].target));
}

static int choose(struct targets *targets, pid_t pid, struct target **ret, struct dhat_error *err)
{
	struct target *only = NULL, *last = NULL;
	size_t attached = 0, matching = 0;
	char pids[128];

	list_pids(targets, pids, sizeof(pids));
	for (size_t i = 0; i < targets->count; i++) {
		const struct entry *entry = &targets->entries[i];

		if (pid && target_pid(entry->target) != pid)
			continue;
		matching++;
		last = entry->target;
		if (!entry->is_over) {
			attached++;
			only = entry->target;
		}
	}
	if (matching == 0 && pid)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "process %d is not attached; attached:%s", (int)pid,
				      pids[0] ? pids : " none");
	if (matching == 0)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS,
				      "nothing is attached: dhatctl attach --pid N");
	/* of several profiles of one pid (before and after an exec) the newest */
	if (!only && (pid || matching == 1))
		only = last;
	if (!only || (attached > 1 && !pid))
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "several processes are attached: choose with --pid:%s", pids);
	*ret = target_ref(only);
	return 0;
}

int targets_find(struct targets *targets, pid_t pid, struct target **ret, struct dhat_error *err)
{
	int error;

	pthread_mutex_lock(&targets->lock);
	error = choose(targets, pid, ret, err);
	pthread_mutex_unlock(&targets->lock);
	return error;
}

int targets_detach(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	struct target *target = NULL;
	struct entry *entry;
	struct ptracer tracer;
	int error = targets_find(targets, pid, &target, err);

	if (error)
		return error;
	if (target_is_debugged(target, &tracer)) {
		target_unref(target);
		return dhat_error_set(
			err, EBUSY, DHAT_EXIT_UNSUITABLE,
			"%s (pid %d) debugs process %d: a breakpoint that it put over a probe "
			"would "
			"kill the process if the probe went first; end the debugger, then detach",
			tracer.name, (int)tracer.pid, (int)pid);
	}
	target_detach(target);
	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->is_over = true;
	pthread_mutex_unlock(&targets->lock);
	target_unref(target);
	return 0;
}
