#pragma once
/* difference: what has changed between two profiles, by what their rows read. Pure.
 *
 * Rows are matched by their text and not by addresses, so that profiles of two runs of a program
 * can be compared, or of two versions of it. D1: the changes add up to the difference of the two
 * tables' sums.
 */
#include "rendering.h"

struct dhat_change { /* of one row; at least one is not NULL */
	const struct dhat_rendered_point *before, *after;
};

struct dhat_difference {
	const struct dhat_rendering *before, *after; /* borrowed */
	struct dhat_change *list;
	size_t count;
};

/* Both tables are of one style (dhat_table_new()), and stay where they are meanwhile. */
int dhat_difference_new(const struct dhat_rendering *before, const struct dhat_rendering *after,
			struct dhat_difference **ret);
void dhat_difference_free(struct dhat_difference *difference);

/* By which its live bytes and blocks have grown; negative: shrunk. */
int64_t dhat_change_bytes(const struct dhat_change *change);
int64_t dhat_change_blocks(const struct dhat_change *change);
/* Of samples: may it be no change at all? So it is if the intervals of the two figures have a part
 * in common (estimate.h); a row that one of them does not have may have been there unseen. */
bool dhat_change_is_noise(const struct dhat_difference *difference,
			  const struct dhat_change *change);
/* Those that have grown most first, those that have shrunk most last; returns how many have grown
 * in bytes, and in *ret_shrunk how many have shrunk. */
size_t dhat_difference_sort(struct dhat_difference *difference, size_t *ret_shrunk);
