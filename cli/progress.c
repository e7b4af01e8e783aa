#include "progress.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/say.h"

static struct {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t ended;
	char *text;
	bool is_over, is_shown;

	pthread_t thread; /* of who begins and ends */
	bool has_thread;
} progress = { .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };

static void show(const char *text, unsigned seconds)
{
	char line[256];

	if (seconds)
		snprintf(line, sizeof(line), "%s: %u s", text, seconds);
	else
		snprintf(line, sizeof(line), "%s …", text);
	dhat_say_passing(line);
	progress.is_shown = true;
}

static void *watch(void *unused)
{
	struct timespec next;
	unsigned seconds = 0;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&progress.lock);
	while (!progress.is_over) {
		next.tv_sec++;
		while (!progress.is_over &&
		       pthread_cond_clockwait(&progress.ended, &progress.lock, CLOCK_MONOTONIC,
					      &next) != ETIMEDOUT)
			;
		if (!progress.is_over)
			show(progress.text, ++seconds);
	}
	pthread_mutex_unlock(&progress.lock);
	return NULL;
}

static char *text_of(const char *doing, const char *file)
{
	const char *slash = file ? strrchr(file, '/') : NULL;
	char *text;

	return asprintf(&text, "%s%s%s", doing, file ? " " : "", slash ? slash + 1 : file ?: "") < 0
		       ? NULL
		       : text;
}

void progress_begin(const char *doing, const char *file)
{
	if (progress.has_thread || !isatty(STDERR_FILENO))
		return;
	progress.text = text_of(doing, file);
	progress.is_over = false;
	progress.has_thread =
		progress.text && pthread_create(&progress.thread, NULL, watch, NULL) == 0;
}

void progress_say(const char *text)
{
	char *copy = isatty(STDERR_FILENO) ? strdup(text) : NULL;

	if (!copy)
		return;
	pthread_mutex_lock(&progress.lock);
	show(copy, 0);
	free(progress.text);
	progress.text = copy;
	pthread_mutex_unlock(&progress.lock);
}

void progress_end(void)
{
	pthread_mutex_lock(&progress.lock);
	progress.is_over = true;
	pthread_cond_signal(&progress.ended);
	pthread_mutex_unlock(&progress.lock);
	if (progress.has_thread)
		pthread_join(progress.thread, NULL);
	progress.has_thread = false;
	if (progress.is_shown)
		dhat_say_passing(NULL);
	progress.is_shown = false;
	free(progress.text);
	progress.text = NULL;
}
