#pragma once
/* filter: which program points are shown, by the names in their stacks; and the sums of the others.
 *
 * Pure but for the suppressions' file. A pattern (pattern.h) is compared with each frame's
 * function, as it is in the source and as the linker has it, its source file and its object. Of
 * what is shown one must match if there is any of --filter, and none of --exclude and of the
 * suppressions may. A point that several leave out counts at the first of them. Blocks from before
 * the attach have no stack, and are no part of any of this.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "snapshot.h"

enum dhat_filter_kind { DHAT_FILTER_ONLY, DHAT_FILTER_EXCLUDE, DHAT_FILTER_SUPPRESSION };

struct dhat_filter_rule {
	char *pattern;
	enum dhat_filter_kind kind;
	/* what it has left out; of an ONLY rule: what it has let in */
	uint64_t live_bytes, live_blocks, total_bytes, total_blocks, stack_count;
};

struct dhat_filter { /* zeroed at first */
	struct dhat_filter_rule *rules;
	size_t count, room;
	struct dhat_filter_rule others; /* what no ONLY rule has let in */
};

void dhat_filter_deinit(struct dhat_filter *filter);
/* -ENOMEM is the only failure. */
int dhat_filter_add(struct dhat_filter *filter, enum dhat_filter_kind kind, const char *pattern);
/* A file of lines `leak:PATTERN`, as LeakSanitizer reads it; empty lines and those that begin with
 * `#` are passed over. */
int dhat_filter_add_suppressions(struct dhat_filter *filter, const char *path,
				 struct dhat_error *err);
/* Notes in a snapshot how much was left out of it when the filter was applied; nothing if nothing
 * was. */
int dhat_filter_note(const struct dhat_filter *filter, struct dhat_snapshot *snapshot);
/* Takes what is not shown out of the snapshot for good, and notes there how much it was; its totals
 * stay those of the whole process. What the parts hold, and a .dhat file would, stays. */
int dhat_filter_reduce(struct dhat_filter *filter, struct dhat_snapshot *snapshot);
/* is_shown[i], for each point of the snapshot; the rules' figures are of this snapshot then.
 * -ENOMEM is the only failure. */
int dhat_filter_apply(struct dhat_filter *filter, const struct dhat_snapshot *snapshot,
		      bool *is_shown);
