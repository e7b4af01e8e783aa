#pragma once
/* closer_thread: takes probes away, for which the kernel may need its time, so that nobody who
 * serves other targets waits for it. */
#include "target.h"

struct closer;

/* ended: told after the profile of a target whose process has ended is closed and its probes are
 * gone, from this thread, with no lock. */
int closer_new(void (*ended)(void *context, struct target *target), void *context,
	       struct closer **ret);
/* After the job at hand; what still waits is left as it is. */
void closer_stop(struct closer *closer);
void closer_free(struct closer *closer);

/* Any thread; waits for nothing. -ENOMEM: it will not be done. */
/* Its process has ended. */
int closer_finish(struct closer *closer, struct target *target);
/* Its profile is closed already: only the probes are left. */
int closer_detach(struct closer *closer, struct target *target);

/* Nothing waits, and nothing is under way. */
bool closer_is_idle(struct closer *closer);
