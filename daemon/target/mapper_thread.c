#include "mapper_thread.h"

#include "follow.h"
#include "kin.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct wish {
	struct target *target; /* a reference */
	bool wants[MAPPER_JOBS];
	bool is_busy; /* a thread is at one of its jobs: the others wait */
};

struct mapper {
	struct mapper_hooks hooks;
	pthread_t threads[MAPPER_THREADS_MAX];
	unsigned thread_count;
	bool is_ending;
	pthread_mutex_t lock; /* nothing else is locked with it */
	pthread_cond_t wake;
	struct wish *wishes; /* of targets, in the order of asking */
	size_t count, capacity;
	struct follow follow;
};

/* With `lock`. */
static bool wants_any(const struct wish *wish)
{
	for (unsigned job = 0; job < MAPPER_JOBS; job++)
		if (wish->wants[job])
			return true;
	return false;
}

/* With `lock`: the most urgent job of a target that nobody is at, taken out; NULL: there is none.
 */
static struct target *take_job(struct mapper *mapper, enum mapper_job *ret)
{
	for (unsigned job = 0; job < MAPPER_JOBS; job++) {
		for (size_t i = 0; i < mapper->count; i++) {
			struct wish *wish = &mapper->wishes[i];

			if (!wish->wants[job] || wish->is_busy)
				continue;
			wish->wants[job] = false;
			wish->is_busy = true;
			*ret = job;
			return wish->target;
		}
	}
	return NULL;
}

/* With `lock`: one is done. The reference, for the caller to give back without the lock; NULL:
 * there is more to do for it, which somebody may do now. */
static struct target *settle_job(struct mapper *mapper, const struct target *target)
{
	struct wish *wish = mapper->wishes;
	struct target *done;

	while (wish->target != target)
		wish++;
	wish->is_busy = false;
	if (wants_any(wish)) {
		pthread_cond_signal(&mapper->wake);
		return NULL;
	}
	done = wish->target;
	mapper->count--;
	memmove(wish, wish + 1, (size_t)(mapper->wishes + mapper->count - wish) * sizeof(*wish));
	return done;
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

	/* a static shell starts programs as any other does; those that it has by now are found */
	if (outcome == FOLLOW_FAILED)
		kin_to_follow(attempt->pid, &children, &count);
	pthread_mutex_lock(&mapper->lock);
	for (size_t i = 0; i < count; i++)
		follow_add(&mapper->follow, children[i], attempt->owned);
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

int mapper_new(const struct mapper_hooks *hooks, unsigned threads, struct mapper **ret)
{
	struct mapper *mapper = calloc(1, sizeof(*mapper));
	int error = 0;

	if (!mapper)
		return -ENOMEM;
	mapper->hooks = *hooks;
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
	for (size_t i = 0; i < mapper->count; i++)
		target_unref(mapper->wishes[i].target);
	free(mapper->wishes);
	follow_deinit(&mapper->follow);
	pthread_mutex_destroy(&mapper->lock);
	pthread_cond_destroy(&mapper->wake);
	free(mapper);
}

/* With `lock`; NULL: no memory. */
static struct wish *wish_of(struct mapper *mapper, struct target *target)
{
	for (size_t i = 0; i < mapper->count; i++)
		if (mapper->wishes[i].target == target)
			return &mapper->wishes[i];
	if (array_make_room(&mapper->wishes, &mapper->capacity, mapper->count))
		return NULL;
	mapper->wishes[mapper->count] = (struct wish){ .target = target_ref(target) };
	return &mapper->wishes[mapper->count++];
}

void mapper_want(struct mapper *mapper, struct target *target, enum mapper_job job)
{
	struct wish *wish;

	pthread_mutex_lock(&mapper->lock);
	wish = wish_of(mapper, target);
	if (wish)
		wish->wants[job] = true;
	pthread_cond_signal(&mapper->wake);
	pthread_mutex_unlock(&mapper->lock);
}

void mapper_follow(struct mapper *mapper, pid_t pid, struct target *forerunner)
{
	pthread_mutex_lock(&mapper->lock);
	follow_add(&mapper->follow, pid, forerunner);
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
