#pragma once
/* unit: of which unit of systemd a process is, by the path of its control group (cgroups(7)).
 *
 * A service's control group is called after it. The innermost counts: of a user's services that is
 * not the manager of the user. What is in a container has the unit of who is outside, or of a
 * systemd inside, and is better known by the container (container.h).
 */
#include <stdbool.h>
#include <sys/types.h>

#define UNIT_CHARS 256 /* systemd's UNIT_NAME_MAX */

/* Of the text of /proc/PID/cgroup: "nginx.service"; "": of none. Pure. */
void unit_parse(const char *text, char ret[UNIT_CHARS]);
/* What cannot be read is of none. */
void unit_of(pid_t pid, char ret[UNIT_CHARS]);
