#pragma once
/* summary: a marked graph by sites, as people ask for it.
 *
 * Pure.
 */
#include "book.h"
#include "details.h"
#include "holds.h"

/* graph, mark: of the last scan, with names. losses: of it. details: NULL if nothing more is known.
 * Fills sites, chains, links, cycles, roots and sums. */
int summary_make(const struct reach_graph *graph, const struct reach_mark *mark,
		 const struct losses *losses, const struct book_watch *watch,
		 const struct details *details, struct holds *ret);
