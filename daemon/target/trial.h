#pragma once
/* trial: what the nameless functions of an allocator do, tried on the living process.
 *
 * They are probed for a moment, on their own, and what they take and give is judged (conduct.h).
 */
#include "daemon/object/sites/survey.h"
#include "private.h"

struct trial {
	enum conduct_role roles[OBJECT_MAX_ENTRIES]; /* of the survey's entries */
	size_t call_count;
	bool is_proven;
	bool was_cut; /* short, for the target is ending, or has mapped code that waits for us */
};
#define TRIAL_FEW 2000 /* calls. With fewer it is looked at longer */

/* Holder of map_lock. survey: with candidates. Takes TRIAL_NS, and up to TRIAL_MAX_NS when little
 * happens; where there are only perf links, some seconds more. An error: it could not be tried. */
int target_try_entries(struct target *target, int fd, const struct survey *survey,
		       struct trial *ret, struct dhat_error *err);
#define TRIAL_NS 300000000ull
#define TRIAL_MAX_NS 700000000ull /* an attach shall take a second at most */
