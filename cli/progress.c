#include "progress.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/say.h"

#define SECOND_NS 1000000000ull
#define SOON_NS 250000000ull /* what is done one after the other sooner would only flash by */

static struct {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t ended;
	char *text;
	bool is_over, is_shown;
	uint64_t first_ns; /* when the first of all began; 0: none has */

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
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC), next_ns = begin_ns + SECOND_NS;

	pthread_mutex_lock(&progress.lock);
	if (!progress.first_ns)
		progress.first_ns = begin_ns;
	if (begin_ns - progress.first_ns >= SECOND_NS)
		next_ns = begin_ns + SOON_NS;
	for (; !progress.is_over; next_ns += SECOND_NS) {
		const struct timespec next = { next_ns / SECOND_NS, next_ns % SECOND_NS };

		while (!progress.is_over &&
		       pthread_cond_clockwait(&progress.ended, &progress.lock, CLOCK_MONOTONIC,
					      &next) != ETIMEDOUT)
			;
		if (!progress.is_over)
			show(progress.text, (next_ns - begin_ns) / SECOND_NS);
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
