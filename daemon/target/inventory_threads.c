#include "inventory_threads.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_S 1

struct inventory_threads {
	pthread_mutex_t lock;
	pthread_t *list;
	size_t count;
};

int inventory_threads_new(struct inventory_threads **ret)
{
	struct inventory_threads *threads = calloc(1, sizeof(*threads));

	if (!threads)
		return -ENOMEM;
	pthread_mutex_init(&threads->lock, NULL);
	*ret = threads;
	return 0;
}

void inventory_threads_free(struct inventory_threads *threads)
{
	if (!threads)
		return;
	for (size_t i = 0; i < threads->count; i++)
		pthread_join(threads->list[i], NULL);
	free(threads->list);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}

static void *take_inventory(void *context)
{
	struct target *target = context;

	target_take_inventory(target);
	target_unref(target);
	return NULL;
}

/* To be joined later. With nobody else to do it, now. */
static void keep(struct inventory_threads *threads, pthread_t thread)
{
	pthread_t *more;
	size_t kept = 0;

	pthread_mutex_lock(&threads->lock);
	for (size_t i = 0; i < threads->count; i++)
		if (pthread_tryjoin_np(threads->list[i], NULL) != 0)
			threads->list[kept++] = threads->list[i];
	threads->count = kept;
	more = reallocarray(threads->list, kept + 1, sizeof(*more));
	if (more) {
		threads->list = more;
		more[threads->count++] = thread;
	}
	pthread_mutex_unlock(&threads->lock);
	if (!more)
		pthread_join(thread, NULL);
}

void inventory_threads_start(struct inventory_threads *threads, struct target *target)
{
	struct timespec deadline;
	pthread_t thread;

	if (pthread_create(&thread, NULL, take_inventory, target_ref(target)) != 0) {
		take_inventory(target);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WAIT_S;
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &deadline) != 0)
		keep(threads, thread);
}
