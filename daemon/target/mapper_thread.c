#include "mapper_thread.h"

#include "follow.h"
#include "proto/base/array.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct wish {
	struct target *target; /* a reference */
	bool wants[MAPPER_JOBS];
};

struct mapper {
	struct mapper_hooks hooks;
	pthread_t thread;
	bool has_thread, is_ending;
	pthread_mutex_t lock; /* nothing else is locked with it */
	pthread_cond_t wake;
	struct wish *wishes; /* of targets, in the order of asking */
	size_t count, capacity;
	struct follow follow;
};

/* With `lock`: the most urgent job, taken out; *ret: its target, a reference. */
static bool take_job(struct mapper *mapper, enum mapper_job *ret_job, struct target **ret)
{
	for (unsigned job = 0; job < MAPPER_JOBS; job++) {
		for (size_t i = 0; i < mapper->count; i++) {
			struct wish *wish = &mapper->wishes[i];
			bool is_any = false;

			if (!wish->wants[job])
				continue;
			wish->wants[job] = false;
			*ret_job = job;
			*ret = target_ref(wish->target);
			for (unsigned other = 0; other < MAPPER_JOBS; other++)
				is_any |= wish->wants[other];
			if (is_any)
				return true;
			target_unref(wish->target); /* not the last: *ret is one */
			mapper->count--;
			memmove(wish, wish + 1, (mapper->count - i) * sizeof(*wish));
			return true;
		}
	}
	return false;
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
	bool again = follow_try(attempt, hooks->attach, hooks->context);

	pthread_mutex_lock(&mapper->lock);
	follow_settle(&mapper->follow, attempt, again);
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

static void *map_forever(void *context)
{
	struct mapper *mapper = context;

	pthread_mutex_lock(&mapper->lock);
	while (!mapper->is_ending) {
		struct target *target = NULL;
		struct attempt attempt;
		enum mapper_job job;
		bool has_job = take_job(mapper, &job, &target);

		if (!has_job && !follow_take(&mapper->follow, &attempt)) {
			wait_for_work(mapper);
			continue;
		}
		pthread_mutex_unlock(&mapper->lock);
		if (has_job)
			do_job(job, target);
		else
			follow_one(mapper, &attempt);
		target_unref(target);
		pthread_mutex_lock(&mapper->lock);
	}
	pthread_mutex_unlock(&mapper->lock);
	return NULL;
}

int mapper_new(const struct mapper_hooks *hooks, struct mapper **ret)
{
	struct mapper *mapper = calloc(1, sizeof(*mapper));
	int error;

	if (!mapper)
		return -ENOMEM;
	mapper->hooks = *hooks;
	pthread_mutex_init(&mapper->lock, NULL);
	pthread_cond_init(&mapper->wake, NULL);
	error = -pthread_create(&mapper->thread, NULL, map_forever, mapper);
	mapper->has_thread = error == 0;
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
	pthread_cond_signal(&mapper->wake);
	pthread_mutex_unlock(&mapper->lock);
	if (mapper->has_thread)
		pthread_join(mapper->thread, NULL);
	mapper->has_thread = false;
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
