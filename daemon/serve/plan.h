#pragma once
/* plan: a dry run: what an attach would find and do, without attaching anything. */
#include "daemon/target/targets.h"
#include "daemon/worker/worker.h"
#include "proto/wire/dhat.pb-c.h"

/* Takes a second: the process's use of its allocator is sampled. *ret is freed with
 * dhat__plan__free_unpacked(). A process that cannot be attached to is no error but a plan that
 * says so; errors are wrong options and lack of memory. */
int plan_make(pid_t pid, const struct target_options *options, struct worker *worker,
	      struct targets *targets, Dhat__Plan **ret, struct dhat_error *err);
