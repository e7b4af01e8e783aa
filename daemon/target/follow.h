#pragma once
/* follow: children, and what programs were replaced by, attached to as their forerunners were. Its
 * owner's lock guards it, but for follow_try(). */
#include "attempts.h"
#include "target.h"

#define FOLLOW_TRIES 50 /* a second in all */
#define FOLLOW_INTERVAL_NS 20000000ull

struct follow { /* starts zeroed */
	struct attempts attempts;
	bool is_trying; /* one has been taken out, and not been settled yet */
};

/* Takes a reference to the forerunner. What there is no memory for is not followed. there_ns
 * (CLOCK_MONOTONIC): when the number was the process's that is meant; what has it, and began later,
 * is another, and is left alone. */
void follow_add(struct follow *follow, pid_t pid, struct target *forerunner, uint64_t there_ns);
/* One whose time has come, if any: to be tried with no lock, and settled. */
bool follow_take(struct follow *follow, struct attempt *ret);
enum follow_outcome {
	FOLLOW_DONE,   /* it is a target, this one or already; or nothing more is to be done */
	FOLLOW_LATER,  /* it may do then */
	FOLLOW_FAILED, /* it never will be; its children may, and are asked for */
};
/* Attach to it. What stands in the way is told where the forerunner's profile is read. */
enum follow_outcome follow_try(const struct attempt *attempt,
			       int (*attach)(void *context, pid_t pid,
					     const struct target_options *options,
					     struct dhat_error *err),
			       void *context);
void follow_settle(struct follow *follow, const struct attempt *attempt, bool again);
/* Those that may yet become targets. */
size_t follow_count(const struct follow *follow);
void follow_deinit(struct follow *follow);
