#pragma once
/* kin: whose child a process is, and which are dhatd's own. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Nobody means these when he looks for a service by a name: dhatd and what it was started by (sudo,
 * timeout, the shell), and every other dhatd with its workers. */
enum kin {
	KIN_NONE,
	KIN_ANCESTOR,
	KIN_DHATD,
};
enum kin kin_of(pid_t pid);

/* The processes whose parent it is, for the caller to free. */
int kin_children(pid_t pid, pid_t **ret, size_t *ret_count);

/* Those of its children that are to be targets as it is: dhatd's own are left alone, since the
 * shell that it was started from may be a target. For the caller to free; none: *ret_count is 0. */
void kin_to_follow(pid_t pid, pid_t **ret, size_t *ret_count);

/* The numbers of all processes, for the caller to free. */
int kin_all(pid_t **ret, size_t *ret_count);
