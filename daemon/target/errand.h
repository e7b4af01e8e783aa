#pragma once
/* errand: what is to be done for a target by those who look after it (mapper_thread.h).
 *
 * Its room is the target's own: to ask takes no memory. Keeps P1: a program that a probe has
 * stopped goes on when its errand is done, so one that could not be noted would leave it stopped.
 */
#include <stdbool.h>

struct target;

enum mapper_job {		/* in the order of urgency; see target.h */
		  MAPPER_MAP,	/* target_map_work() */
		  MAPPER_WEIGH, /* target_weigh() */
		  MAPPER_LOOK,	/* target_look_after_code(), target_look_at_memory() */
		  MAPPER_TRY,	/* target_try_hidden() */
		  MAPPER_JOBS,
};

enum errand_lane { ERRAND_WORK, ERRAND_TRIAL, ERRAND_LANES }; /* a mapper's is one of them */

struct errand {		       /* starts zeroed; the mapper's lock guards it */
	struct target *target; /* a reference, as long as it is in the mapper's list; or NULL */
	struct errand *next;   /* in the order of asking */
	bool wants[MAPPER_JOBS];
	bool is_busy; /* a thread is at one of its jobs: the others wait */
};

/* target.c: each target has one a lane. */
struct errand *target_errand(struct target *target, enum errand_lane lane);
