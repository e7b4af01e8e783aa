#pragma once
/* discover: the processes of a service, those of now and those to come.
 *
 * By cgroup (v2 or v1: any folder with a cgroup.procs, and those below it) or by name: a POSIX
 * extended regular expression that matches somewhere in the command line. New processes are told by
 * the kernel (bpf/watch.bpf.c); one that has no allocator yet, because its libraries are just being
 * loaded, is tried again for a second.
 */
#include "targets.h"

struct discover;

struct discover_options {
	const char *cgroup_path; /* NULL: any */
	const char *name_regex;	 /* NULL: any */
	const struct target_options *target;
	/* told of each attach, from a thread of discover's own; may be NULL */
	void (*attached)(void *context, struct target *target);
	void (*failed)(void *context, pid_t pid, const struct dhat_error *err);
	void *context;
};

/* Attach to all that match now, and go on in a thread. Options and strings must outlive it. */
int discover_new(const struct discover_options *options, struct targets *targets,
		 struct discover **ret, struct dhat_error *err);
void discover_free(struct discover *discover);
