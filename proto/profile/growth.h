#pragma once
/* growth: what has changed between two profiles, as a profile, for the formats that hold one. Pure.
 *
 * Its points are the stacks that have changed, with the frames that the later profile has of them,
 * or, if they are gone, the earlier one. Their figures are the later profile's less the earlier
 * one's: totals, what is live, what was live at t-gmax (of each profile its own), the maximum. Of
 * lifetimes there is no such thing: they are 0.
 * G1: the sums over the points are the differences of the sums over the rows that were compared, if
 *     the kind is DHAT_GROWTH_SIGNED; totals are these sums.
 * Times are those between the two moments, the verdict is the worse one with both's reasons. The
 * command line and a note say that it is a difference.
 */
#include "difference.h"

enum dhat_growth {
	/* what has shrunk is negative, in two's complement: for an exporter that is told so */
	DHAT_GROWTH_SIGNED,
	/* what has shrunk is 0, and left out where nothing else is; a note says how much it is */
	DHAT_GROWTH_GROWN,
};

/* Both tables are by stack, of all frames (dhat_table_new()). The earlier profile comes first. The
 * caller frees *ret. -ENOMEM, or what dhat_snapshot_add() refuses. */
int dhat_growth_new(const struct dhat_difference *difference, enum dhat_growth kind,
		    struct dhat_snapshot **ret);
