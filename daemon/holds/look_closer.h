#pragma once
/* look_closer: the second look at a few blocks (reach/closer.h), in the worker, at a process.
 *
 * Only at what is in memory: a page that was never touched would become resident by being read, and
 * one that is swapped out would come back. A block that is not there as a whole is not looked into.
 */
#include <stdatomic.h>
#include <sys/types.h>

#include "daemon/reach/closer.h"

struct worker;

struct look_closer_at {
	pid_t pid;
	struct worker *worker;
	const atomic_bool *stop; /* nobody waits any more; may be NULL */
	bool is_urgent;		 /* somebody stands still meanwhile */
};

/* -ESRCH, -EACCES, -ECANCELED; failures of the worker. *ret is for closer_answer_deinit(). */
int look_closer(const struct look_closer_at *at, const struct closer_question *question,
		struct closer_answer *ret);
