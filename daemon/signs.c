/* Signs of life for a service manager. */
#include "dhatd.h"

#include "notify.h"
#include "proto/base/clock.h"

#define AGAIN_NS 1000000000ull

uint64_t dhatd_give_signs(struct dhatd *dhatd)
{
	uint64_t interval_ns = notify_watchdog_ns() / 4, now_ns = clock_now_ns(CLOCK_MONOTONIC);
	bool is_owed = notify_again();

	if (!interval_ns)
		return is_owed ? AGAIN_NS : 0;
	if (now_ns >= dhatd->next_sign_ns) {
		if (targets_are_looked_after(dhatd->targets))
			notify_alive("WATCHDOG=1");
		dhatd->next_sign_ns = now_ns + interval_ns;
	}
	return dhatd->next_sign_ns - now_ns;
}

/* Whoever wants profiles now need not wait for the end of a reload, which attaches to what has come
 * meanwhile, one process after the other: those that are watched may have ended by then. */
static void keep_if_asked(struct dhatd *dhatd)
{
	const struct timespec now = { 0 };
	sigset_t asked;

	sigemptyset(&asked);
	sigaddset(&asked, SIGNAL_KEEP);
	if (atomic_load(&dhatd->has_started) && sigtimedwait(&asked, NULL, &now) == SIGNAL_KEEP)
		recorder_keep_all(dhatd->recorder);
}

#define PROGRESS_INTERVAL_NS 1000000000ull

void dhatd_goes_on(void *dhatd_)
{
	struct dhatd *dhatd = dhatd_;
	uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);

	dhatd_give_signs(dhatd);
	keep_if_asked(dhatd);
	if (now_ns < dhatd->next_progress_ns)
		return;
	notify_alive("EXTEND_TIMEOUT_USEC=120000000"); /* a step may take that long: names of a
							  profile */
	dhatd->next_progress_ns = now_ns + PROGRESS_INTERVAL_NS;
}
