#pragma once
/* mapper_thread: what takes long and belongs to one target: tables are built, what was mapped or
 * has appeared is probed, memory is weighed, children are attached to.
 *
 * By a few threads, so that a target whose files are huge, or on a disk that does not answer,
 * delays no other. Of one target one job is done at a time.
 */
#include "errand.h"
#include "target.h"

struct mapper;

#define MAPPER_THREADS_MAX 4

struct mapper_hooks { /* called from a thread, with no lock; of `attach` one at a time */
	int (*attach)(void *context, pid_t pid, const struct target_options *options,
		      struct dhat_error *err);
	void (*followed)(void *context); /* a child was attached to, or is not: it is settled */
	void *context;
};

/* No two of one lane. */
int mapper_new(const struct mapper_hooks *hooks, enum errand_lane lane, unsigned threads,
	       struct mapper **ret);
/* After the jobs at hand; what still waits, or is asked for from now on, is not done. */
void mapper_stop(struct mapper *mapper);
void mapper_free(struct mapper *mapper);

/* Any thread; waits for nothing, and cannot fail. A job that waits already is done once. */
void mapper_want(struct mapper *mapper, struct target *target, enum mapper_job job);
/* See follow.h. */
void mapper_follow(struct mapper *mapper, pid_t pid, struct target *forerunner, uint64_t there_ns);
/* Processes that may yet become targets. */
size_t mapper_follow_count(struct mapper *mapper);
