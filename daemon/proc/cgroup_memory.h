#pragma once
/* cgroup_memory: what the kernel counts of the memory of a process's control group, and how long
 * tasks wait for memory (cgroups(7), PSI).
 *
 * Where groups are of version 1 there are no events but that the limit was hit, and no pressure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "cgroup_view.h"

struct cgroup_memory {
	bool has_high, has_max, has_pressure;
	bool is_out_of_sight; /* cgroup_view.h: it is not seen from here. Nothing is had */
	uint64_t high, max;   /* how often these limits were hit */
	uint64_t pressure;    /* "some avg10", in hundredths of a percent */
};

/* groups: the text of /proc/PID/cgroup. What cannot be read is not had. */
void cgroup_memory_read(const char *groups, struct cgroup_view *view, struct cgroup_memory *ret);

/* Of the text of a pressure file: "some avg10", in hundredths of a percent. Pure. -EBADMSG: it has
 * none.
 */
int pressure_parse(const char *text, uint64_t *ret);
/* Of the host, from /proc/pressure/memory. -errno: this kernel does not tell (CONFIG_PSI). */
int pressure_read(uint64_t *ret);
