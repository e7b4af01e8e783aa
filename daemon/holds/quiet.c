#include "quiet.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define NICEST 19

struct quiet {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t is_asked, is_done;
	int (*work)(void *context); /* NULL: there is none, or it is done */
	void *context;
	int result;
	bool is_ending;
};

static void *serve(void *quiet_)
{
	struct quiet *quiet = quiet_;

	setpriority(PRIO_PROCESS, syscall(SYS_gettid), NICEST);
	pthread_mutex_lock(&quiet->lock);
	while (!quiet->is_ending) {
		if (!quiet->work) {
			pthread_cond_wait(&quiet->is_asked, &quiet->lock);
			continue;
		}
		pthread_mutex_unlock(&quiet->lock);
		quiet->result = quiet->work(quiet->context);
		pthread_mutex_lock(&quiet->lock);
		quiet->work = NULL;
		pthread_cond_signal(&quiet->is_done);
	}
	pthread_mutex_unlock(&quiet->lock);
	return NULL;
}

int quiet_new(struct quiet **ret)
{
	_cleanup_free_ struct quiet *quiet = calloc(1, sizeof(*quiet));
	int r;

	if (!quiet)
		return -ENOMEM;
	pthread_mutex_init(&quiet->lock, NULL);
	pthread_cond_init(&quiet->is_asked, NULL);
	pthread_cond_init(&quiet->is_done, NULL);
	r = pthread_create(&quiet->thread, NULL, serve, quiet);
	if (r)
		return -r;
	*ret = take_ptr(quiet);
	return 0;
}

void quiet_free(struct quiet *quiet)
{
	if (!quiet)
		return;
	pthread_mutex_lock(&quiet->lock);
	quiet->is_ending = true;
	pthread_cond_signal(&quiet->is_asked);
	pthread_mutex_unlock(&quiet->lock);
	pthread_join(quiet->thread, NULL);
	pthread_cond_destroy(&quiet->is_done);
	pthread_cond_destroy(&quiet->is_asked);
	pthread_mutex_destroy(&quiet->lock);
	free(quiet);
}

int quiet_run(struct quiet *quiet, int (*work)(void *context), void *context)
{
	if (!quiet)
		return work(context);
	pthread_mutex_lock(&quiet->lock);
	quiet->context = context;
	quiet->work = work;
	pthread_cond_signal(&quiet->is_asked);
	while (quiet->work)
		pthread_cond_wait(&quiet->is_done, &quiet->lock);
	pthread_mutex_unlock(&quiet->lock);
	return quiet->result;
}
