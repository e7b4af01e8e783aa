#include "parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "clock.h"

struct crew {
	const struct parallel *parallel;
	size_t count;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t is_done;
	size_t next, done;
};

/* False: all is taken. */
static bool do_next(struct crew *crew)
{
	size_t number;

	pthread_mutex_lock(&crew->lock);
	number = crew->next;
	if (number < crew->count)
		crew->next++;
	pthread_mutex_unlock(&crew->lock);
	if (number == crew->count)
		return false;
	crew->parallel->one(crew->parallel->context, number);
	pthread_mutex_lock(&crew->lock);
	if (++crew->done == crew->count)
		pthread_cond_signal(&crew->is_done);
	pthread_mutex_unlock(&crew->lock);
	return true;
}

static void *work(void *context)
{
	while (do_next(context))
		;
	return NULL;
}

static void step(const struct parallel *parallel)
{
	if (parallel->step)
		parallel->step(parallel->step_context);
}

static void wait_for_all(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	while (crew->done < crew->count) {
		uint64_t until_ns = clock_now_ns(CLOCK_MONOTONIC) + PARALLEL_STEP_NS;
		struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };

		pthread_cond_clockwait(&crew->is_done, &crew->lock, CLOCK_MONOTONIC, &until);
		pthread_mutex_unlock(&crew->lock);
		step(crew->parallel);
		pthread_mutex_lock(&crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
}

void parallel_run(const struct parallel *parallel, size_t count)
{
	struct crew crew = { .parallel = parallel, .count = count };
	pthread_t threads[PARALLEL_THREADS_MAX];
	size_t started = 0;

	pthread_mutex_init(&crew.lock, NULL);
	pthread_cond_init(&crew.is_done, NULL);
	while (started < PARALLEL_THREADS_MAX && started < count &&
	       pthread_create(&threads[started], NULL, work, &crew) == 0)
		started++;
	while (!started && do_next(&crew))
		step(parallel);
	wait_for_all(&crew);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_cond_destroy(&crew.is_done);
	pthread_mutex_destroy(&crew.lock);
}
