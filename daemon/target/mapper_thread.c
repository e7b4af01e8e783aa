#include "mapper_thread.h"

#include "follow.h"
#include "kin.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct mapper {
	struct mapper_hooks hooks;
	pthread_t threads[MAPPER_THREADS_MAX];
	unsigned thread_count;
	bool is_ending;
	pthread_mutex_t lock; /* nothing else is locked with it */
	pthread_cond_t wake;
	enum errand_lane lane;
	struct errand *errands, **end; /* a list, and where the next one is hung to it */
	struct follow follow;
};

/* With `lock`. */
static bool wants_any(const struct errand *errand)
{
	for (unsigned job = 0; job < MAPPER_JOBS; job++)
		if (errand->wants[job])
			return true;
	return false;
}

/* With `lock`: the most urgent job of a target that nobody is at, taken out; NULL: there is none.
 */
static struct target *take_job(struct mapper *mapper, enum mapper_job *ret)
{
	for (unsigned job = 0; job < MAPPER_JOBS; job++) {
		for (struct errand *errand = mapper->errands; errand; errand = errand->next) {
			if (!errand->wants[job] || errand->is_busy)
				continue;
			errand->wants[job] = false;
			errand->is_busy = true;
			*ret = job;
			return errand->target;
		}
	}
	return NULL;
}

/* With `lock`: out of the list. The reference, for the caller to give back without the lock. */
static struct target *take_out(struct mapper *mapper, struct errand *errand)
{
	struct errand **at = &mapper->errands;

	while (*at != errand)
		at = &(*at)->next;
	*at = errand->next;
	if (!*at)
		mapper->end = at;
	errand->next = NULL;
	return take_ptr(errand->target);
}

/* With `lock`: one is done. As take_out(); NULL: there is more to do for it, which somebody may do
 * now. */
static struct target *settle_job(struct mapper *mapper, struct target *target)
{
	struct errand *errand = target_errand(target, mapper->lane);

	errand->is_busy = false;
	if (!wants_any(errand))
		return take_out(mapper, errand);
	pthread_cond_signal(&mapper->wake);
	return NULL;
}

static void do_job(enum mapper_job job, struct target *target)
{
	switch (job) {
	case MAPPER_MAP:
		target_map_work(target);
		break;
	case MAPPER_WEIGH:
		target_weigh(target);
		break;
	case MAPPER_LOOK:
		target_look_after_code(target);
		target_look_at_memory(target);
		break;
	case MAPPER_TRY:
		target_try_hidden(target);
		break;
	case MAPPER_JOBS:
		break;
	}
}

static void follow_one(struct mapper *mapper, const struct attempt *attempt)
{
	const struct mapper_hooks *hooks = &mapper->hooks;
	enum follow_outcome outcome = follow_try(attempt, hooks->attach, hooks->context);
	_cleanup_free_ pid_t *children = NULL;
	size_t count = 0;
	uint64_t now_ns;

	/* a static shell starts programs as any other does; those that it has by now are found */
	if (outcome == FOLLOW_FAILED)
		kin_to_follow(attempt->pid, &children, &count);
	now_ns = clock_now_ns(CLOCK_MONOTONIC);
	pthread_mutex_lock(&mapper->lock);
	for (size_t i = 0; i < count; i++)
		follow_add(&mapper->follow, children[i], attempt->owned, now_ns);
	follow_settle(&mapper->follow, attempt, outcome == FOLLOW_LATER);
	pthread_mutex_unlock(&mapper->lock);
	hooks->followed(hooks->context);
}

/* With `lock`: until there is something to do. */
static void wait_for_work(struct mapper *mapper)
{
	uint64_t until_ns = clock_now_ns(CLOCK_MONOTONIC) + FOLLOW_INTERVAL_NS;
	struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

	if (follow_count(&mapper->follow))
		pthread_cond_clockwait(&mapper->wake, &mapper->lock, CLOCK_MONOTONIC, &until);
	else
		pthread_cond_wait(&mapper->wake, &mapper->lock);
}

/* With `lock`, which is given up meanwhile. False: there was nothing to do. */
static bool do_one(struct mapper *mapper)
{
	enum mapper_job job;
	struct target *target = take_job(mapper, &job);

	if (!target)
		return false;
	pthread_mutex_unlock(&mapper->lock);
	do_job(job, target);
	pthread_mutex_lock(&mapper->lock);
	target = settle_job(mapper, target);
	if (target) {
		pthread_mutex_unlock(&mapper->lock);
		target_unref(target);
		pthread_mutex_lock(&mapper->lock);
	}
	return true;
}

/* As do_one(): one after the other, so that of two programs that a process executes the later one
 * is attached to last. */
static bool follow_next(struct mapper *mapper)
{
	struct attempt attempt;

	if (mapper->follow.is_trying || !follow_take(&mapper->follow, &attempt))
		return false;
	pthread_mutex_unlock(&mapper->lock);
	follow_one(mapper, &attempt);
	pthread_mutex_lock(&mapper->lock);
	return true;
}

static void *map_forever(void *context)
{
	struct mapper *mapper = context;

	pthread_mutex_lock(&mapper->lock);
	while (!mapper->is_ending)
		if (!do_one(mapper) && !follow_next(mapper))
			wait_for_work(mapper);
	pthread_mutex_unlock(&mapper->lock);
	return NULL;
}

int mapper_new(const struct mapper_hooks *hooks, enum errand_lane lane, unsigned threads,
	       struct mapper **ret)
{
	struct mapper *mapper = calloc(1, sizeof(*mapper));
	int error = 0;

	if (!mapper)
		return -ENOMEM;
	mapper->hooks = *hooks;
	mapper->lane = lane;
	mapper->end = &mapper->errands;
	pthread_mutex_init(&mapper->lock, NULL);
	pthread_cond_init(&mapper->wake, NULL);
	while (error == 0 && mapper->thread_count < threads) {
		pthread_t *thread = &mapper->threads[mapper->thread_count];

		error = -pthread_create(thread, NULL, map_forever, mapper);
		mapper->thread_count += error == 0;
	}
	if (error)
		mapper_free(mapper);
	else
		*ret = mapper;
	return error;
}

void mapper_stop(struct mapper *mapper)
{
	pthread_mutex_lock(&mapper->lock);
	mapper->is_ending = true;
	pthread_cond_broadcast(&mapper->wake);
	pthread_mutex_unlock(&mapper->lock);
	while (mapper->thread_count)
		pthread_join(mapper->threads[--mapper->thread_count], NULL);
}

void mapper_free(struct mapper *mapper)
{
	if (!mapper)
		return;
	mapper_stop(mapper);
	while (mapper->errands)
		target_unref(take_out(mapper, mapper->errands));
	follow_deinit(&mapper->follow);
	pthread_mutex_destroy(&mapper->lock);
	pthread_cond_destroy(&mapper->wake);
	free(mapper);
}

void mapper_want(struct mapper *mapper, struct target *target, enum mapper_job job)
{
	struct errand *errand = target_errand(target, mapper->lane);

	pthread_mutex_lock(&mapper->lock);
	if (!errand->target) {
		errand->target = target_ref(target);
		*mapper->end = errand;
		mapper->end = &errand->next;
	}
	errand->wants[job] = true;
	pthread_cond_signal(&mapper->wake);
	pthread_mutex_unlock(&mapper->lock);
}

void mapper_follow(struct mapper *mapper, pid_t pid, struct target *forerunner, uint64_t there_ns)
{
	pthread_mutex_lock(&mapper->lock);
	follow_add(&mapper->follow, pid, forerunner, there_ns);
	pthread_cond_signal(&mapper->wake);
	pthread_mutex_unlock(&mapper->lock);
}

size_t mapper_follow_count(struct mapper *mapper)
{
	size_t count;

	pthread_mutex_lock(&mapper->lock);
	count = follow_count(&mapper->follow);
	pthread_mutex_unlock(&mapper->lock);
	return count;
}
