#pragma once
/* guard: lets a process go on that we have stopped, should we be killed meanwhile.
 *
 * A process of our own, in a session of its own, that waits for our end, however that comes, and
 * then sends SIGCONT to the one process that it was made for. It holds nothing else of ours. (What
 * PR_SET_PDEATHSIG promises is lost when a program changes its user, and is for children only.)
 */

struct guard;

/* pidfd stays the caller's. NULL: there is none to be had, and nobody is guarded. */
struct guard *guard_new(int pidfd);
/* It ends, and sends nothing. NULL is allowed. */
void guard_free(struct guard *guard);
