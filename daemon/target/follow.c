#include "follow.h"

#include "daemon/proc/status.h"
#include "proto/base/clock.h"
#include "run.h"

#include <unistd.h>

/* It was stopped at its exec for the one who was to follow it. */
static void give_up(const struct attempt *attempt)
{
	struct target_options options;

	target_follow_options(attempt->owned, attempt->pid, &options);
	if (options.from_start)
		target_send_on(attempt->owned);
}

void follow_add(struct follow *follow, pid_t pid, struct target *forerunner, uint64_t there_ns)
{
	const struct attempt attempt = {
		.pid = pid,
		.left = FOLLOW_TRIES,
		.owned = forerunner,
		.there_ns = there_ns,
	};
	size_t before = follow->attempts.count;

	/* one that is waited for already has its reference */
	if (attempts_add(&follow->attempts, &attempt))
		give_up(&attempt);
	else if (follow->attempts.count > before)
		target_ref(forerunner);
}

bool follow_take(struct follow *follow, struct attempt *ret)
{
	if (!follow->attempts.count)
		return false;
	follow->is_trying = attempts_take(&follow->attempts, clock_now_ns(CLOCK_MONOTONIC), ret);
	return follow->is_trying;
}

/* Has the number become another process's? A program that has taken another's place began when that
 * did. In ticks, which are rounded down: what is younger than one is not told. */
static bool is_another(const struct attempt *attempt)
{
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC),
		 asleep_ns = clock_now_ns(CLOCK_BOOTTIME) - now_ns,
		 tick_ns = 1000000000 / sysconf(_SC_CLK_TCK),
		 began_ticks = proc_start_ticks(attempt->pid);
	struct target *forerunner = attempt->owned;

	if (attempt->pid == target_pid(forerunner))
		return began_ticks && began_ticks != target_start_ticks(forerunner);
	return began_ticks * tick_ns > attempt->there_ns + asleep_ns;
}

enum follow_outcome follow_try(const struct attempt *attempt,
			       int (*attach)(void *context, pid_t pid,
					     const struct target_options *options,
					     struct dhat_error *err),
			       void *context)
{
	struct target *forerunner = attempt->owned;
	struct target_options options;
	struct dhat_error err = { 0 };
	int error;

	target_follow_options(forerunner, attempt->pid, &options);
	if (!options.from_start && is_another(attempt)) /* ours keeps its number until we ask */
		return FOLLOW_DONE;
	error = attach(context, attempt->pid, &options, &err);
	if (error && options.from_start) /* it has to go on, whatever was in the way */
		target_send_on(forerunner);
	if (options.from_start)
		target_end_guard(forerunner);
	/* of one that began under our eyes there is nothing to come */
	if (error && err.code == DHAT_EXIT_NO_ALLOCATOR && attempt->left > 1 && !options.from_start)
		return FOLLOW_LATER;
	if (!error || err.code == DHAT_EXIT_ALREADY)
		return FOLLOW_DONE;
	target_note_not_followed(forerunner, attempt->pid, &err);
	return options.follow_fork ? FOLLOW_FAILED : FOLLOW_DONE;
}

void follow_settle(struct follow *follow, const struct attempt *attempt, bool again)
{
	uint64_t when_ns = clock_now_ns(CLOCK_MONOTONIC) + FOLLOW_INTERVAL_NS;

	if (!again || !attempts_again(&follow->attempts, attempt, when_ns))
		target_unref(attempt->owned);
	follow->is_trying = false;
}

size_t follow_count(const struct follow *follow)
{
	return follow->attempts.count + follow->is_trying;
}

void follow_deinit(struct follow *follow)
{
	for (size_t i = 0; i < follow->attempts.count; i++) {
		give_up(&follow->attempts.list[i]);
		target_unref(follow->attempts.list[i].owned);
	}
	attempts_deinit(&follow->attempts);
}
