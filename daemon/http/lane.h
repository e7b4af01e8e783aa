#pragma once
/* lane: a place for one at a time, in which nobody waits who is not waited for any more. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lane {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool is_taken;
};

void lane_init(struct lane *lane);
void lane_deinit(struct lane *lane);

/* False: gone was raised meanwhile (noticed within a tenth of a second). */
bool lane_enter(struct lane *lane, const atomic_bool *gone);
void lane_leave(struct lane *lane);

/* Waits so long, or until gone is raised: false. */
bool lane_pause(const atomic_bool *gone, uint64_t ns);
