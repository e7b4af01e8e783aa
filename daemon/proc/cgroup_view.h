#pragma once
/* cgroup_view: the folder of a control group, as /proc/PID/cgroup calls the group.
 *
 * In a control group namespace of our own, as containers have, groups beside ours are called
 * "/../…", from ours (cgroup_namespaces(7)), and our mounts have none but ours and what is below.
 * Those of the host's first process have all, where that is seen (hostPID: true, CAP_SYS_PTRACE).
 * Where ours is there is found by its device and inode, once: it stays.
 */
#include <limits.h>
#include <stdbool.h>

enum cgroup_hierarchy {
	CGROUP_SECOND, /* version 2 */
	CGROUP_HYBRID, /* … beside version 1 */
	CGROUP_MEMORY, /* version 1: the one of the controller of memory */
	CGROUP_HIERARCHIES
};

#define CGROUP_TOP "/sys/fs/cgroup"
#define CGROUP_OUTER_TOP "/proc/1/root/sys/fs/cgroup"

struct cgroup_view {
	const char *top, *outer_top; /* where hierarchies are mounted, for us and outside; lent */
	/* the caller's are zeroed */
	struct {
		bool was_looked_for, is_known;
		char path[PATH_MAX]; /* of ours, from outside */
	} roots[CGROUP_HIERARCHIES];
};

#define CGROUP_FOLDER_CHARS (3 * PATH_MAX)

/* False: it is out of sight. */
bool cgroup_view_folder(struct cgroup_view *view, enum cgroup_hierarchy hierarchy,
			const char *group, char ret[CGROUP_FOLDER_CHARS]);
