#pragma once
/* lifetimes: of the blocks that were freed, how many had lived how long, by program point.
 *
 * Pure. A page of 64 points is made when the first block of one of them is freed. Once there is no
 * room for one, no more are made; `uncounted` tells how many blocks are on none.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/budget.h"
#include "proto/profile/histogram.h"

#define LIFETIMES_PAGE_SHIFT 6
#define LIFETIMES_PAGE_POINTS (1u << LIFETIMES_PAGE_SHIFT)

struct lifetimes_page { /* a count that is full stays so */
	uint32_t points[LIFETIMES_PAGE_POINTS][DHAT_AGES];
};

struct lifetimes { /* all 0: none */
	struct lifetimes_page **pages;
	uint32_t page_room;
	bool is_full;		      /* no more pages */
	uint64_t uncounted, since_ns; /* of blocks freed since, CLOCK_MONOTONIC; 0: of none */
	struct budget budget;
};

void lifetimes_deinit(struct lifetimes *lifetimes);
/* As it was before anything was counted. */
void lifetimes_reset(struct lifetimes *lifetimes);
/* What it takes from now on is budget's, twice: a copy needs as much. At most a quarter of it. */
void lifetimes_charge(struct lifetimes *lifetimes, struct budget *budget);

/* NULL: nothing was counted. */
static inline const uint32_t *lifetimes_at(const struct lifetimes *lifetimes, uint32_t point)
{
	uint32_t page = point >> LIFETIMES_PAGE_SHIFT;

	if (page >= lifetimes->page_room || !lifetimes->pages[page])
		return NULL;
	return lifetimes->pages[page]->points[point & (LIFETIMES_PAGE_POINTS - 1)];
}

/* So many blocks were freed that had lived so long. */
void lifetimes_count(struct lifetimes *lifetimes, uint32_t point, uint64_t ns, uint64_t blocks);

/* What will be counted soon is brought near. */
static inline void lifetimes_prefetch(const struct lifetimes *lifetimes, uint32_t point)
{
	const char *at = (const char *)lifetimes_at(lifetimes, point);

	if (at) { /* from 0.1 ms to some seconds; others are rarer */
		__builtin_prefetch(at, 1);
		__builtin_prefetch(at + 64, 1);
	}
}

uint64_t lifetimes_bytes(const struct lifetimes *lifetimes);
/* A copy that is charged to nobody; the caller deinits it. -ENOMEM. */
int lifetimes_copy(const struct lifetimes *lifetimes, struct lifetimes *ret);
