#pragma once
/* snapshot_view: a profile that is kept up to date by what changed since the last answer.
 *
 * Pure. The answers are those to a SnapshotRequest with a view: the first one is whole, each later
 * one too if its watch is another; else only what is new comes, and V1: the snapshot is what a
 * whole answer of that moment would be, but for what goes on without an event (lifetimes_us) in
 * points that have not changed. V2: a point stays where it is in the array for as long as the watch
 * lasts; new ones come behind, unused ones with figures of 0 among them. V3: equal frames are one,
 * so that a view that is kept for days grows by what is new only. V4: code that is made at run time
 * gets its name later than its address; as long as a frame of it has none, all is asked for anew
 * each DHAT_VIEW_NAMES_NS.
 */
#include "snapshot.h"

#define DHAT_VIEW_NAMES_NS 60000000000ull

struct dhat_view {			/* zeroed at first; for reading */
	struct dhat_snapshot *snapshot; /* NULL: nothing was taken yet */
	bool is_another; /* the last answer was the first of its watch: nothing is as it was */
	bool has_grown;	 /* it brought points, or all anew: what points to the old ones has to go */
	bool wants_whole; /* to be set: with the next answer all comes anew, with today's names */

	/* private */
	void *frames;		/* by what they say */
	uint64_t whole_unix_ns; /* when all came last */
	bool has_unnamed;	/* V4 */
};

void dhat_view_deinit(struct dhat_view *view);
/* What the next request says of the last answer. */
void dhat_view_ask(const struct dhat_view *view, Dhat__Seen *ret);
/* Takes the answer over, whether it fits or not. -EBADMSG: it does not; the view is as it was.
 * -ENOMEM: it may only be freed. */
int dhat_view_take(struct dhat_view *view, struct dhat_snapshot *answer, struct dhat_error *err);
