#pragma once
/* footprint: the places of a process's code that we have probed, and whether they are as before.
 *
 * The kernel takes breakpoints out some time after their links are let go (holder.h). Judged by the
 * code itself: the kernel's log warns of places that are well, and keeps silent of others.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "uprobe.h"

struct footprint {
	uint64_t *file_offsets; /* sorted by nothing; a few dozen */
	size_t count;
};

/* Before the probes are placed: a place where somebody else's breakpoint is now is left out, since
 * that will stay. -ENOMEM. */
int footprint_add(struct footprint *footprint, pid_t pid, const struct uprobe_site *sites,
		  size_t count);
void footprint_deinit(struct footprint *footprint);

/* How many places hold a breakpoint now; 0 when the process is gone. */
size_t footprint_count(const struct footprint *footprint, pid_t pid);
/* Wait until none does; gives up when for patience_ms none more has gone. How many are left:
 * another tracer has come to the same places meanwhile, or the kernel is very busy. */
size_t footprint_wait(const struct footprint *footprint, pid_t pid, unsigned patience_ms);
