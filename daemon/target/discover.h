#pragma once
/* discover: the processes of a service, those of now and those to come.
 *
 * Which they are: match.h. New processes are told by the kernel (bpf/watch.bpf.c); one that has no
 * allocator yet, because its libraries are just being loaded, is tried again for a second.
 */
#include "match.h"
#include "targets.h"

struct discover;

struct discover_options {
	struct match_options match;
	/* As long as so many targets of target->watch are attached, no more are; 0:
	 * DISCOVER_MAX_TARGETS. If more match at the start, nothing is attached (DHAT_EXIT_USAGE):
	 * it was not meant so. */
	size_t max_targets;
	/* A section of a configuration, for searches.h; of its processes the first max_targets are
	 * taken at the start, too, and others when one of them ends. NULL: it is none. */
	const char *section;
	const struct target_options *target;
	/* told of each that cannot be attached to, from a thread of discover's own; may be NULL */
	void (*failed)(void *context, pid_t pid, const struct dhat_error *err);
	/* told of each step of discover_new(), by its thread: an attach takes up to a second. May
	 * be NULL */
	void (*step)(void *context);
	void *context;
};
#define DISCOVER_MAX_TARGETS 16

/* Attach to all that match now, and go on in a thread. Options and strings must outlive it. */
int discover_new(const struct discover_options *options, struct targets *targets,
		 struct discover **ret, struct dhat_error *err);
/* Nothing is attached from now on, but what is just being attached to. Waits for nothing; NULL is
 * fine. */
void discover_stop(struct discover *discover);
void discover_free(struct discover *discover);
/* How many matched when it began. */
size_t discover_found_first(const struct discover *discover);
