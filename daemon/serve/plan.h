#pragma once
/* plan: a dry run: what an attach would find and do, without attaching anything. */
#include "daemon/target/preflight.h"
#include "daemon/target/targets.h"
#include "daemon/worker/worker.h"

struct plan {
	struct preflight preflight; /* hazards */
	bool has_identity;	    /* false: the process cannot be looked at */
	struct target_identity identity;
	struct probed probed;
	bool is_safe;
	int exit_code;				/* enum dhat_exit of an attach */
	char verdict[640];			/* "safe to attach", or why not and what to do */
	double allocs_per_second, cost_percent; /* of one core; -1: not known */
	double cost_at_most_percent;		/* where the cost is not known; -1: nor that */
	uint64_t sample_bytes;			/* as struct target_options has it */
	char cost_basis[576];			/* how it was estimated */
};

/* Takes one to five seconds: the process's use of its allocator is measured. targets NULL: nothing
 * is attached by us. A process that cannot be attached to is no error but a plan that says so;
 * errors are wrong options and lack of memory. The caller releases *ret, which starts zeroed, in
 * any case. */
int plan_make(pid_t pid, const struct target_options *options, struct worker *worker,
	      struct targets *targets, struct plan *ret, struct dhat_error *err);
void plan_deinit(struct plan *plan);
