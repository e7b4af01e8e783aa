#include "closer_thread.h"

#include "proto/base/array.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct job {
	struct target *target; /* a reference */
	bool is_closed;	       /* its profile; the probes are left */
};

struct closer {
	pthread_t thread;
	bool has_thread, is_ending, is_busy;
	pthread_mutex_t lock; /* nothing else is locked with it */
	pthread_cond_t wake;
	struct job *jobs;
	size_t count, capacity;
	void (*ended)(void *context, struct target *target);
	void *context;
};

/* With `lock`. */
static struct job take_job(struct closer *closer)
{
	struct job job = closer->jobs[0];

	closer->count--;
	memmove(closer->jobs, closer->jobs + 1, closer->count * sizeof(job));
	return job;
}

static void *close_forever(void *context)
{
	struct closer *closer = context;

	pthread_mutex_lock(&closer->lock);
	while (!closer->is_ending) {
		struct job job;

		if (!closer->count) {
			pthread_cond_wait(&closer->wake, &closer->lock);
			continue;
		}
		job = take_job(closer);
		closer->is_busy = true;
		pthread_mutex_unlock(&closer->lock);
		if (job.is_closed) {
			target_detach(job.target);
		} else {
			target_finish(job.target);
			closer->ended(closer->context, job.target);
		}
		target_unref(job.target);
		pthread_mutex_lock(&closer->lock);
		closer->is_busy = false;
	}
	pthread_mutex_unlock(&closer->lock);
	return NULL;
}

int closer_new(void (*ended)(void *context, struct target *target), void *context,
	       struct closer **ret)
{
	struct closer *closer = calloc(1, sizeof(*closer));
	int error;

	if (!closer)
		return -ENOMEM;
	closer->ended = ended;
	closer->context = context;
	pthread_mutex_init(&closer->lock, NULL);
	pthread_cond_init(&closer->wake, NULL);
	error = -pthread_create(&closer->thread, NULL, close_forever, closer);
	closer->has_thread = error == 0;
	if (error)
		closer_free(closer);
	else
		*ret = closer;
	return error;
}

void closer_stop(struct closer *closer)
{
	pthread_mutex_lock(&closer->lock);
	closer->is_ending = true;
	pthread_cond_signal(&closer->wake);
	pthread_mutex_unlock(&closer->lock);
	if (closer->has_thread)
		pthread_join(closer->thread, NULL);
	closer->has_thread = false;
}

void closer_free(struct closer *closer)
{
	if (!closer)
		return;
	closer_stop(closer);
	for (size_t i = 0; i < closer->count; i++)
		target_unref(closer->jobs[i].target);
	free(closer->jobs);
	pthread_mutex_destroy(&closer->lock);
	pthread_cond_destroy(&closer->wake);
	free(closer);
}

static int add_job(struct closer *closer, struct target *target, bool is_closed)
{
	int error;

	pthread_mutex_lock(&closer->lock);
	error = array_make_room(&closer->jobs, &closer->capacity, closer->count);
	if (error == 0)
		closer->jobs[closer->count++] = (struct job){ target_ref(target), is_closed };
	pthread_cond_signal(&closer->wake);
	pthread_mutex_unlock(&closer->lock);
	return error;
}

int closer_finish(struct closer *closer, struct target *target)
{
	return add_job(closer, target, false);
}

int closer_detach(struct closer *closer, struct target *target)
{
	return add_job(closer, target, true);
}

bool closer_is_idle(struct closer *closer)
{
	bool is_idle;

	pthread_mutex_lock(&closer->lock);
	is_idle = !closer->count && !closer->is_busy;
	pthread_mutex_unlock(&closer->lock);
	return is_idle;
}
