#pragma once
/* attempts: processes that are to be attached to, as often as it may take.
 *
 * Pure. Right after a fork, an exec or its start a process has no allocator yet: its libraries are
 * still to come. So it is tried again after a while, and given up in the end. What an attempt is
 * for is its owner's: of one that was never taken out he frees it himself.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct attempt {
	pid_t pid;
	unsigned left;		/* how often it may still be tried */
	uint64_t not_before_ns; /* CLOCK_MONOTONIC */
	void *owned;		/* whatever it is for */
	uint64_t there_ns;	/* CLOCK_MONOTONIC, when it was there; or 0 */
};

struct attempts { /* starts zeroed */
	struct attempt *list;
	size_t count, capacity;
};

/* One for the same process and the same `owned` is replaced, but that it is tried no less often.
 * -ENOMEM: nothing was added. */
int attempts_add(struct attempts *attempts, const struct attempt *attempt);
/* The first whose time has come, taken out. */
bool attempts_take(struct attempts *attempts, uint64_t now_ns, struct attempt *ret);
/* It was tried, and is to be again later, if it may. False: it was the last time, or there is no
 * room; what it owns is the caller's. */
bool attempts_again(struct attempts *attempts, const struct attempt *attempt, uint64_t when_ns);
void attempts_deinit(struct attempts *attempts);
