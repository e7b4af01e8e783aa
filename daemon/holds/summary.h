#pragma once
/* summary: a marked graph by sites, as people ask for it.
 *
 * Pure.
 */
#include "book.h"
#include "holds.h"

/* graph, mark: of the last scan, with names. lost: NULL if nothing is to be called so. Fills sites,
 * chains, links, roots and sums. */
int summary_make(const struct reach_graph *graph, const struct reach_mark *mark,
		 const struct candidates *lost, const struct book_watch *watch, struct holds *ret);
