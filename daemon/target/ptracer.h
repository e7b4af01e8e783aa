#pragma once
/* ptracer: who holds a process by ptrace, and whether it may write breakpoints into its code.
 *
 * A debugger keeps what it found where it put a breakpoint, and writes that back later: over a
 * probe of ours, or, if it found ours, our trap where no probe is any more (design: hazards).
 */
#include <stdbool.h>
#include <sys/types.h>

struct ptracer {
	pid_t pid;     /* 0: nobody */
	bool is_dhatd; /* a thread of ours, for a moment (daemon/holds/standstill.h) */
	char name[32];
	bool sets_breakpoints; /* all do but strace, as far as we know */
};

/* -ESRCH: the process is gone. */
int ptracer_find(pid_t pid, struct ptracer *ret);
