#pragma once
/* repair: breakpoints in a process's code that serve nobody any more are removed.
 *
 * They are what a tracer leaves that was killed while it let go of its probes: each costs every
 * call through it 0.5 to 10 µs, for as long as the process and its children live. Which of them
 * still serve somebody is found out by uprobe_settle(): a probe that has a tracer outlasts it.
 *
 * A debugger's breakpoints do not, so a process that one holds is left alone; and so is, unless
 * somebody asks for it, one that handles SIGTRAP and may have written breakpoints into its code by
 * itself.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/proc/breakpoints.h"
#include "proto/base/error.h"

enum repair_outcome {
	REPAIR_REMOVED,
	REPAIR_SERVES, /* another tracer: bpftrace, perf, another dhatd */
	REPAIR_KEPT,   /* not tried, or it failed: why_kept */
	REPAIR_OUTCOMES
};

struct repair {
	struct breakpoints breakpoints; /* as found */
	enum repair_outcome *outcomes;	/* of each */
	size_t counts[REPAIR_OUTCOMES];
	char why_kept[256];
};

struct repair_options {
	bool is_asked; /* by a person: a handler of SIGTRAP is no reason to keep away */
};

/* Takes milliseconds if there is nothing, else some tenths of a second. A process whose memory may
 * not be read is an error. The caller deinits. */
int repair_process(pid_t pid, const struct repair_options *options, struct repair *ret,
		   struct dhat_error *err);
void repair_deinit(struct repair *repair);

/* What was done, a sentence for each outcome: "" if there is nothing to tell. */
void repair_describe(const struct repair *repair, enum repair_outcome outcome, char *ret,
		     size_t size);
