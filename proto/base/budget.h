#pragma once
/* budget: how much memory a set of tables may take; what does not fit is refused by the table.
 *
 * Not thread-safe: guarded by what guards the tables. A part of a whole has a budget of its own
 * whose parent is the whole's; what it takes counts there `weight` times, for what comes with it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
	struct budget *parent; /* NULL: none; outlives it */
	uint64_t limit_bytes;  /* 0: none but the parent's */
	uint64_t used_bytes;
	uint32_t weight; /* 0: 1 */
};

static inline void budget_force(struct budget *budget, int64_t bytes)
{
	for (; budget; budget = budget->parent) {
		budget->used_bytes += bytes;
		bytes *= budget->weight ? budget->weight : 1;
	}
}

/* budget NULL: no bound. */
static inline bool budget_take(struct budget *budget, uint64_t bytes)
{
	uint64_t share = bytes;

	for (const struct budget *at = budget; at; at = at->parent) {
		if (at->limit_bytes && at->used_bytes + share > at->limit_bytes)
			return false;
		share *= at->weight ? at->weight : 1;
	}
	budget_force(budget, bytes);
	return true;
}

static inline void budget_give(struct budget *budget, uint64_t bytes)
{
	budget_force(budget, -(int64_t)bytes);
}

static inline uint64_t budget_left(const struct budget *budget)
{
	return budget->used_bytes < budget->limit_bytes ? budget->limit_bytes - budget->used_bytes
							: 0;
}
