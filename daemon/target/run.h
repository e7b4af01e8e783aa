#pragma once
/* run: start a program so that its first allocation is counted.
 *
 * The child is traced (ptrace) until its dynamic loader has mapped everything it was linked to;
 * each object with an allocator is probed before a single instruction of it has run. Then it is let
 * go, and what it loads later stops it (SIGSTOP by the BPF side) for the moment in which we look.
 * So does an exec: a wrapper (a shell script, env) is what is started, and what it executes is what
 * was meant. It is continued should dhatd die meanwhile.
 */
#include "target.h"

/* As target_attach(), for a new child process with our own environment, folder and standard
 * descriptors. It has left its first stop when this returns. */
int target_run(char *const argv[], const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err);

/* As target_run(), for the program that such a target has just executed, and which has not begun
 * yet: SIGSTOP by the BPF side. It goes on in any case. */
int target_run_on(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err);

/* What the BPF side has stopped goes on. */
void target_send_on(struct target *target);
/* Nothing stops it any more, or somebody else's guard is there: guard.h. */
void target_end_guard(struct target *target);
