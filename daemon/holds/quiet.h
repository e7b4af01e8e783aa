#pragma once
/* quiet: a thread that is as nice as can be, for work of whoever must not be so nice himself.
 *
 * Who holds a lock of a target must come to its end, or events are lost: a thread of low priority
 * may get no CPU for a second. So a scan takes blocks out of the table, piece by piece, by the
 * thread that was asked, and does all the rest by this one: otherwise a process that has threads to
 * wait for would wait for ours, up to a slice of the scheduler (3 ms) each time.
 */
struct quiet;

/* -EAGAIN, -ENOMEM: there is no thread for it. */
int quiet_new(struct quiet **ret);
/* Ends it. */
void quiet_free(struct quiet *quiet);
/* Does it there, and waits; returns what that does. quiet: NULL: does it here. */
int quiet_run(struct quiet *quiet, int (*work)(void *context), void *context);
