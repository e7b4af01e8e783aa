#pragma once
/* price: what watching costs the threads of a process, by the calls that they make, the traps that
 * each makes, and what one trap takes here (features_trap_ns()).
 *
 * A model: what a walk over a stack costs depends on whether it reads as the last one did, and on
 * caches. `make bench BENCH=price` compares it with the CPU time that it does cost: dhatd(8), COST
 * tells how far off it was.
 */
#include "probed.h"

/* Of a trap of ours, to one in a loop with a program that does next to nothing (hot pairs: 1.5),
 * and of a walk, to the same: from nothing (hot pairs) to 4 (10,000 stacks in turn). */
#define PRICE_TRAP 1.5
#define PRICE_WALK 2.0

struct price {			  /* of a call, in ns */
	double alloc_ns, free_ns; /* a malloc, a free; others are taken for these */
	double unsampled_ns;	  /* an allocation that is not drawn: no walk, no record */
	double other_ns; /* one that is not counted: of NULL, within another one, that failed */
};
struct price_rates { /* calls a second */
	double allocs, frees, others, unsampled;
};

void price_of(const struct probed *probed, uint64_t trap_ns, struct price *ret);
/* Of a core, in percent. */
double price_percent(const struct price *price, const struct price_rates *rates);
/* Of a call, where as many are freed as are allocated. */
static inline double price_mean_ns(const struct price *price)
{
	return (price->alloc_ns + price->free_ns) / 2;
}
