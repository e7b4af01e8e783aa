#pragma once
/* born: of a profile, nothing but the blocks that were allocated since a mark (between two, so long
 * ago) and still live; for files. Pure.
 *
 * B1: a point's figures are those of these blocks alone (dhat_point_born()). They all live, so that
 *     they are its totals, its maximum and what it has at t-gmax, which is t-end, too. Points
 * without any are gone; totals are the sums. Times begin with the mark. What is not known of these
 * blocks alone is not there: lifetimes, ages, sizes, pages, who holds them, the timeline. The
 * command line and a note say what it is.
 */
#include "mark.h"

/* The snapshot becomes that. when: "since deploy". -ENOMEM: it is of no more use. */
int dhat_keep_born(struct dhat_snapshot *snapshot, const struct dhat_births *births,
		   const char *when);
