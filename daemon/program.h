#pragma once
/* program: what `dhatd run` has started, over all that it executes under its number. */
#include "dhatd.h"

/* False too where nothing was started. */
bool program_runs_on(const struct dhatd *dhatd);
/* What `run` passes on, as a shell tells it; 0 where it is not known. */
int program_status(struct dhatd *dhatd);

/* A program that was replaced by another one (which was watched, too) so soon after its begin is a
 * wrapper: a shell script, env, nice. It is not what was meant, unless --follow-exec says so. */
#define PROGRAM_WRAPPER_NS 10000000000ull
/* In the order of attaching: says which are wrappers, and takes them out of the list, references
 * and all. How many are left. */
size_t program_leave_out_wrappers(const struct dhatd *dhatd, struct target **list, size_t count);
