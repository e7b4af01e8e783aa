#pragma once
/* snapshot_merge: the profiles of several processes of one program as one.
 *
 * Pure. Figures are sums. Times are since the first observation began. What the processes had at
 * the same time is known of now only: the peak is the sum of their peaks, an upper bound. There
 * is no timeline of the whole; the histories of points are put into the same slots, in which they
 * are at most too low. It is exact if all are; reasons and notes say of which process they are, the
 * first few of them. Marks are those that all have, by name.
 */
#include "snapshot.h"

#define DHAT_MERGE_MAX_TEXTS 16 /* reasons, and notes; one more says that there were more */

/* Takes `from` over, whether it succeeds or not. Both are finished. Two of one process (by pid and
 * host) are refused: -EINVAL. */
int dhat_snapshot_merge(struct dhat_snapshot *into, struct dhat_snapshot *from,
			struct dhat_error *err);
/* Are two of the same program: of one file, and of one script if that is an interpreter
 * (proto/base/program.h)? */
bool dhat_snapshot_is_of(const struct dhat_snapshot *snapshot, const Dhat__Target *target);
/* Are two processes one program, whose figures mean something together? Of the same program, of the
 * same build of it, and, if it is an interpreter's script, in the same container or in none. */
bool dhat_snapshot_adds_up(const struct dhat_snapshot *a, const struct dhat_snapshot *b);
/* Are two moments of one watch: of one process, that was attached to once? */
bool dhat_snapshot_is_same_watch(const struct dhat_snapshot *a, const struct dhat_snapshot *b);
