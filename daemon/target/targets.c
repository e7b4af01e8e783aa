#include "targets_private.h"

#include "closer_thread.h"
#include "collector_thread.h"
#include "daemon/worker/worker.h"
#include "inventory_threads.h"
#include "kin.h"
#include "mapper_thread.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/say.h"
#include "ptracer.h"
#include "run.h"
#include "searches.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct entry *find_entry(struct targets *targets, const struct target *target)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->entries[i].target == target)
			return &targets->entries[i];
	return NULL;
}

static void tell_changed(struct targets *targets)
{
	if (targets->listener.changed)
		targets->listener.changed(targets->listener.context);
}

static void tell_ended(struct targets *targets, struct target *target)
{
	if (targets->listener.ended)
		targets->listener.ended(targets->listener.context, target);
	tell_changed(targets);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static void want_mapper(void *context, struct target *target)
{
	struct targets *targets = context;

	mapper_want(targets->mapper, target, MAPPER_MAP);
}

static void want_look(void *context, struct target *target)
{
	struct targets *targets = context;

	mapper_want(targets->mapper, target, MAPPER_LOOK);
}

static void want_trial(void *context, struct target *target)
{
	struct targets *targets = context;

	mapper_want(targets->trier, target, MAPPER_TRY);
}

static void want_weighing(void *context, struct target *target)
{
	struct targets *targets = context;

	mapper_want(targets->mapper, target, MAPPER_WEIGH);
}

static void on_forked(void *context, struct target *target, pid_t child, uint64_t there_ns)
{
	struct targets *targets = context;

	mapper_follow(targets->mapper, child, target, there_ns);
}

static void on_told(void *context, struct target *target, const char *text)
{
	dhat_say_at(DHAT_LEVEL_WARNING, "dhatd", "process %d: %s", (int)target_pid(target), text);
}

/* exec: the probes go (in the closer's thread: it takes milliseconds), the profile stays */
static void on_replaced(void *context, struct target *target)
{
	struct targets *targets = context;
	bool is_followed = target_follows_exec(target);
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->is_over = entry->is_replaced = true;
	/* with the lock, so that at no time there seems to be nothing left */
	if (is_followed)
		mapper_follow(targets->mapper, target_pid(target), target, 0);
	pthread_mutex_unlock(&targets->lock);
	if (entry && closer_detach(targets->closer, target))
		target_detach(target);
	if (entry)
		tell_ended(targets, target);
	else
		tell_changed(targets);
}

/* ---- what the threads ask -------------------------------------------------------------------- */

/* References to the targets that are still observed. */
static int list_active(void *context, struct target ***ret, size_t *ret_count)
{
	struct targets *targets = context;
	struct target **list;
	size_t n = 0;

	pthread_mutex_lock(&targets->lock);
	list = calloc(targets->count + 1, sizeof(*list));
	for (size_t i = 0; list && i < targets->count; i++)
		if (!targets->entries[i].is_over && !targets->entries[i].is_ending)
			list[n++] = target_ref(targets->entries[i].target);
	pthread_mutex_unlock(&targets->lock);
	if (!list)
		return -ENOMEM;
	*ret = list;
	*ret_count = n;
	return 0;
}

/* Work on its tables stops, the closer does the rest. */
static void on_exited(void *context, struct target *target)
{
	struct targets *targets = context;
	struct entry *entry;

	target_begin_end(target);
	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry && !entry->is_over)
		entry->is_ending = closer_finish(targets->closer, target) == 0;
	pthread_mutex_unlock(&targets->lock);
}

static void set_over(struct targets *targets, const struct target *target)
{
	struct entry *entry;

	pthread_mutex_lock(&targets->lock);
	entry = find_entry(targets, target);
	if (entry)
		entry->is_over = true;
	pthread_mutex_unlock(&targets->lock);
}

static void on_closed(void *context, struct target *target)
{
	set_over(context, target);
	tell_ended(context, target);
}

static int attach_followed(void *context, pid_t pid, const struct target_options *options,
			   struct dhat_error *err)
{
	return targets_attach(context, pid, options, NULL, err);
}

/* if it failed, there may be nothing left to wait for */
static void on_followed(void *context)
{
	tell_changed(context);
}

/* ---- begin and end --------------------------------------------------------------------------- */

int targets_new(struct worker *worker, struct tables *tables, struct targets **ret,
		struct dhat_error *err)
{
	struct targets *targets = calloc(1, sizeof(*targets));
	const struct mapper_hooks on_mapper = {
		.attach = attach_followed,
		.followed = on_followed,
		.context = targets,
	};
	const struct collector_hooks on_collector = {
		.list = list_active,
		.exited = on_exited,
		.context = targets,
	};
	int error;

	if (!targets)
		return dhat_error_errno(err, ENOMEM, "cannot start");
	targets->services = (struct target_services){
		.worker = worker,
		.tables = tables,
		.hooks = { .wants_mapper = want_mapper,
			   .wants_weighing = want_weighing,
			   .wants_trial = want_trial,
			   .wants_look = want_look,
			   .forked = on_forked,
			   .replaced = on_replaced,
			   .told = on_told,
			   .context = targets },
	};
	pthread_mutex_init(&targets->lock, NULL);
	pthread_cond_init(&targets->settled, NULL);
	error = searches_new(&targets->searches);
	if (error == 0)
		error = inventory_threads_new(&targets->inventories);
	if (error == 0)
		error = mapper_new(&on_mapper, ERRAND_WORK, MAPPER_THREADS_MAX, &targets->mapper);
	if (error == 0)
		error = mapper_new(&on_mapper, ERRAND_TRIAL, 1, &targets->trier);
	if (error == 0)
		error = closer_new(on_closed, targets, &targets->closer);
	if (error == 0)
		error = collector_thread_new(&on_collector, &targets->collector);
	if (error) {
		targets_free(targets);
		return dhat_error_errno(err, -error, "cannot start the collector");
	}
	*ret = targets;
	return 0;
}

void targets_tell_begin(struct targets *targets, void (*begins)(void *context, pid_t pid),
			void *context)
{
	targets->services.hooks.begins = begins;
	targets->services.hooks.begins_context = context;
}

/* Until all is detached something may be asked of the threads, though they do nothing more. */
void targets_free(struct targets *targets)
{
	if (!targets)
		return;
	collector_thread_free(targets->collector);
	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++)
		target_begin_end(targets->entries[i].target);
	pthread_mutex_unlock(&targets->lock);
	if (targets->mapper)
		mapper_stop(targets->mapper);
	if (targets->trier)
		mapper_stop(targets->trier);
	if (targets->closer)
		closer_stop(targets->closer);
	for (size_t i = 0; i < targets->count; i++) {
		target_detach(targets->entries[i].target);
		target_unref(targets->entries[i].target);
	}
	inventory_threads_free(targets->inventories); /* they see that they are not needed */
	closer_free(targets->closer);
	mapper_free(targets->mapper);
	mapper_free(targets->trier);
	searches_free(targets->searches);
	free(targets->entries);
	free(targets->reserved);
	process_set_deinit(&targets->let_go);
	pthread_cond_destroy(&targets->settled);
	pthread_mutex_destroy(&targets->lock);
	free(targets);
}

void targets_listen(struct targets *targets, const struct targets_listener *listener)
{
	targets->listener = *listener;
}

struct searches *targets_searches(struct targets *targets)
{
	return targets->searches;
}

void targets_keep_ended(struct targets *targets, size_t count)
{
	targets->max_ended = count;
}

void targets_set_starting(struct targets *targets, bool is_starting)
{
	pthread_mutex_lock(&targets->lock);
	targets->is_starting = is_starting;
	pthread_mutex_unlock(&targets->lock);
}

void targets_close(struct targets *targets)
{
	pthread_mutex_lock(&targets->lock);
	targets->is_closed = true;
	pthread_mutex_unlock(&targets->lock);
	if (targets->services.worker)
		worker_stop_looking(targets->services.worker);
}

void targets_settle(struct targets *targets)
{
	pthread_mutex_lock(&targets->lock);
	while (targets->reserved_count)
		pthread_cond_wait(&targets->settled, &targets->lock);
	pthread_mutex_unlock(&targets->lock);
}

#define TURN_LOOK_NS 2000000
#define SETTLE_NS 5000000000ull
#define SETTLE_INTERVAL_US 2000

void targets_settle_ended(struct targets *targets)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + SETTLE_NS;
	/* the turn that is under way may have passed it by already */
	uint64_t turns = collector_thread_turns(targets->collector) + 2;

	while (clock_now_ns(CLOCK_MONOTONIC) < end_ns) {
		if (collector_thread_turns(targets->collector) >= turns &&
		    closer_is_idle(targets->closer))
			return;
		collector_thread_wake(targets->collector);
		usleep(SETTLE_INTERVAL_US);
	}
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
		if (targets->reserved[i].pid == pid)
			return dhat_error_set(err, EALREADY, DHAT_EXIT_ALREADY,
					      "process %d is just being attached to, by another "
					      "request: dhatctl status shows when it is",
					      (int)pid);
	return 0;
}

/* Of several that want a pid at the same time one gets it; the others are told. */
static int reserve(struct targets *targets, pid_t pid, uint32_t watch, struct dhat_error *err)
{
	struct reservation *more;
	int error;

	pthread_mutex_lock(&targets->lock);
	error = check_free(targets, pid, err);
	more = error ? NULL
		     : reallocarray(targets->reserved, targets->reserved_count + 1, sizeof(*more));
	if (more) {
		targets->reserved = more;
		more[targets->reserved_count++] = (struct reservation){ pid, watch };
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
		if (targets->reserved[i].pid == pid) {
			targets->reserved[i] = targets->reserved[--targets->reserved_count];
			break;
		}
	}
	if (targets->reserved_count == 0)
		pthread_cond_broadcast(&targets->settled);
	pthread_mutex_unlock(&targets->lock);
}

/* With `lock`: out of the list; the caller unrefs, without it. */
static struct target *take_out(struct targets *targets, struct entry *entry)
{
	struct target *target = entry->target;

	targets->count--;
	memmove(entry, entry + 1,
		(size_t)(targets->entries + targets->count - entry) * sizeof(*entry));
	return target;
}

/* Of what has ended there may be too much: the oldest; NULL: there is not. */
static struct target *take_surplus(struct targets *targets)
{
	struct target *surplus = NULL;
	struct entry *oldest = NULL;
	size_t ended = 0;

	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++) {
		if (targets->entries[i].is_over && !oldest)
			oldest = &targets->entries[i];
		ended += targets->entries[i].is_over;
	}
	if (oldest && targets->max_ended && ended > targets->max_ended)
		surplus = take_out(targets, oldest);
	pthread_mutex_unlock(&targets->lock);
	return surplus;
}

/* With `lock`: the profile that makes room for a new one of this pid, if any: one that has ended,
 * or the first of too many that were replaced. The caller's, who unrefs it. P7: none where all are
 * wanted at the end. */
static struct target *take_old(struct targets *targets, pid_t pid)
{
	struct entry *old = NULL;
	size_t replaced = 0;

	if (!targets->max_ended)
		return NULL;
	for (size_t i = 0; i < targets->count; i++) {
		struct entry *entry = &targets->entries[i];

		if (!entry->is_over || target_pid(entry->target) != pid)
			continue;
		replaced += entry->is_replaced;
		if (!old || (old->is_replaced && !entry->is_replaced))
			old = entry;
	}
	if (!old || (old->is_replaced && replaced <= TARGETS_MAX_REPLACED))
		return NULL;
	return take_out(targets, old);
}

/* Takes the reference. On failure it is watched no more. Keeps P1: it runs already, and a probe may
 * have stopped it. */
static int add_target(struct targets *targets, struct target *target, struct dhat_error *err)
{
	struct entry *longer;
	struct target *old;
	int error = collector_thread_watch(targets->collector, target);

	if (error) {
		target_detach(target);
		target_unref(target);
		return dhat_error_errno(err, -error, "cannot watch the ring");
	}
	pthread_mutex_lock(&targets->lock);
	old = take_old(targets, target_pid(target));
	longer = reallocarray(targets->entries, targets->count + 1, sizeof(*longer));
	if (longer) {
		process_set_remove(&targets->let_go, target_pid(target)); /* it is wanted */
		targets->entries = longer;
		longer[targets->count++] = (struct entry){ .target = target };
		mapper_want(targets->mapper, target, MAPPER_MAP);
	}
	pthread_mutex_unlock(&targets->lock);
	collector_thread_wake(targets->collector);
	target_unref(old);
	while ((old = take_surplus(targets)))
		target_unref(old);
	if (!longer) {
		target_detach(target);
		target_unref(target);
	}
	return longer ? 0 : -ENOMEM;
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* Those of now are followed as those to come will be. */
static void follow_children(struct targets *targets, struct target *target)
{
	_cleanup_free_ pid_t *children = NULL;
	size_t count = 0;

	kin_to_follow(target_pid(target), &children, &count);
	for (size_t i = 0; i < count; i++)
		mapper_follow(targets->mapper, children[i], target, clock_now_ns(CLOCK_MONOTONIC));
}

static void tell_attached(struct targets *targets, struct target *target)
{
	if (targets->listener.attached)
		targets->listener.attached(targets->listener.context, target);
}

int targets_attach(struct targets *targets, pid_t pid, const struct target_options *options,
		   struct target **ret, struct dhat_error *err)
{
	struct target *target = NULL;
	int error = reserve(targets, pid, options->watch, err);

	if (error)
		return error;
	if (options->from_start)
		error = target_run_on(pid, options, &targets->services, &target, err);
	else
		error = target_attach(pid, options, &targets->services, &target, err);
	if (error == 0) {
		target_ref(target);
		error = add_target(targets, target, err);
	}
	if (error == 0) { /* from now on the collector drains its ring */
		inventory_threads_start(targets->inventories, target);
		tell_attached(targets, target);
	}
	if (error == 0 && options->follow_fork)
		follow_children(targets, target);
	unreserve(targets, pid);
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
	target_ref(target);
	error = add_target(targets, target, err);
	if (error == 0)
		tell_attached(targets, target);
	if (error == 0 && ret)
		*ret = target;
	else
		target_unref(target);
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

int targets_attaching(struct targets *targets, pid_t **ret, size_t *ret_count,
		      bool *ret_is_starting)
{
	pid_t *list;

	pthread_mutex_lock(&targets->lock);
	list = calloc(targets->reserved_count + 1, sizeof(*list));
	for (size_t i = 0; list && i < targets->reserved_count; i++)
		list[i] = targets->reserved[i].pid;
	*ret_count = targets->reserved_count;
	*ret_is_starting = targets->is_starting;
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
	count += mapper_follow_count(targets->mapper) + targets->reserved_count;
	pthread_mutex_unlock(&targets->lock);
	return count;
}

size_t targets_count_of_watch(struct targets *targets, uint32_t watch)
{
	size_t count = 0;

	pthread_mutex_lock(&targets->lock);
	for (size_t i = 0; i < targets->count; i++)
		count += !targets->entries[i].is_over &&
			 target_watch(targets->entries[i].target) == watch;
	for (size_t i = 0; i < targets->reserved_count; i++)
		count += targets->reserved[i].watch == watch;
	pthread_mutex_unlock(&targets->lock);
	return count;
}

int targets_list_searches(struct targets *targets, struct search_state **ret, size_t *ret_count)
{
	int error = searches_list(targets->searches, ret, ret_count);

	for (size_t i = 0; error == 0 && i < *ret_count; i++)
		(*ret)[i].attached = targets_count_of_watch(targets, (*ret)[i].watch);
	return error;
}

bool targets_was_let_go(struct targets *targets, pid_t pid)
{
	bool was_let_go;

	pthread_mutex_lock(&targets->lock);
	was_let_go = process_set_has(&targets->let_go, pid);
	pthread_mutex_unlock(&targets->lock);
	return was_let_go;
}

/* What nobody asks for is no matter of anybody's will. Without memory for it a search may bring it
 * back. */
static void remember_let_go(struct targets *targets, const struct target *target)
{
	if (target_watch(target) == TARGET_NO_WATCH)
		return;
	pthread_mutex_lock(&targets->lock);
	process_set_add(&targets->let_go, target_pid(target), target_start_ticks(target));
	pthread_mutex_unlock(&targets->lock);
}

int targets_detach(struct targets *targets, pid_t pid, struct dhat_error *err)
{
	struct target *target = NULL;
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
	set_over(targets, target);
	remember_let_go(targets, target);
	if (targets->listener.detached)
		targets->listener.detached(targets->listener.context, target);
	target_unref(target);
	return 0;
}

bool targets_take_turns(struct targets *targets, uint64_t patience_ns)
{
	const struct timespec moment = { .tv_nsec = TURN_LOOK_NS };
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + patience_ns;
	uint64_t turns = collector_thread_turns(targets->collector);

	do {
		collector_thread_wake(targets->collector); /* without targets it sleeps */
		nanosleep(&moment, NULL);
		if (collector_thread_turns(targets->collector) != turns)
			return true;
	} while (clock_now_ns(CLOCK_MONOTONIC) < end_ns);
	return false;
}

bool targets_are_looked_after(struct targets *targets)
{
	uint64_t turns = collector_thread_turns(targets->collector);
	bool goes_on = turns != targets->turns;

	targets->turns = turns;
	collector_thread_wake(targets->collector); /* without targets it sleeps */
	return goes_on;
}
