#include "lane.h"

#include <errno.h>

#include "proto/base/clock.h"

#define LOOK_NS 100000000ull

void lane_init(struct lane *lane)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->changed, &attr);
	pthread_condattr_destroy(&attr);
	lane->is_taken = false;
}

void lane_deinit(struct lane *lane)
{
	pthread_cond_destroy(&lane->changed);
	pthread_mutex_destroy(&lane->mutex);
}

static struct timespec at_ns(uint64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

bool lane_enter(struct lane *lane, const atomic_bool *gone)
{
	bool is_mine = false;

	pthread_mutex_lock(&lane->mutex);
	while (!atomic_load(gone)) {
		struct timespec look = at_ns(clock_now_ns(CLOCK_MONOTONIC) + LOOK_NS);

		if (!lane->is_taken) {
			lane->is_taken = is_mine = true;
			break;
		}
		pthread_cond_timedwait(&lane->changed, &lane->mutex, &look);
	}
	pthread_mutex_unlock(&lane->mutex);
	return is_mine;
}

void lane_leave(struct lane *lane)
{
	pthread_mutex_lock(&lane->mutex);
	lane->is_taken = false;
	pthread_cond_signal(&lane->changed);
	pthread_mutex_unlock(&lane->mutex);
}

bool lane_pause(const atomic_bool *gone, uint64_t ns)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), end_ns = now + ns;

	while (!atomic_load(gone) && now < end_ns) {
		uint64_t next_ns = end_ns - now < LOOK_NS ? end_ns : now + LOOK_NS;
		const struct timespec next = at_ns(next_ns);

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		now = clock_now_ns(CLOCK_MONOTONIC);
	}
	return !atomic_load(gone);
}
