#include "progress.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"

#define WIPE "\r\033[K"

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
	if (seconds)
		fprintf(stderr, WIPE "%s: %u s", text, seconds);
	else
		fprintf(stderr, WIPE "%s …", text);
	fflush(stderr);
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
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s%s%s", doing, file ? " " : "", slash ? slash + 1 : file ?: "") < 0) {
		text = NULL;
		return NULL;
	}
	return dhat_text_clean(text);
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
	char *clean = isatty(STDERR_FILENO) ? dhat_text_clean(text) : NULL;

	if (!clean)
		return;
	pthread_mutex_lock(&progress.lock);
	show(clean, 0);
	free(progress.text);
	progress.text = clean;
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
		fputs(WIPE, stderr);
	progress.is_shown = false;
	free(progress.text);
	progress.text = NULL;
}
