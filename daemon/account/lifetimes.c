#include "lifetimes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16 /* of the directory; then it doubles */
#define WEIGHT 2      /* a copy has all that there is */
#define SHARE 4	      /* of the whole budget, copies included: the rest is for blocks and stacks */

void lifetimes_deinit(struct lifetimes *lifetimes)
{
	for (uint32_t i = 0; i < lifetimes->page_room; i++)
		if (lifetimes->pages[i])
			free(lifetimes->pages[i]);
	free(lifetimes->pages);
	budget_give(&lifetimes->budget, lifetimes->budget.used_bytes);
	lifetimes->pages = NULL;
	lifetimes->page_room = 0;
}

void lifetimes_reset(struct lifetimes *lifetimes)
{
	struct budget budget;

	lifetimes_deinit(lifetimes);
	budget = lifetimes->budget;
	*lifetimes = (struct lifetimes){ .budget = budget };
}

void lifetimes_charge(struct lifetimes *lifetimes, struct budget *budget)
{
	lifetimes->budget = (struct budget){ .parent = budget,
					     .limit_bytes = budget->limit_bytes / SHARE / WEIGHT,
					     .weight = WEIGHT };
}

static int make_room(struct lifetimes *lifetimes, uint32_t number)
{
	uint32_t room = lifetimes->page_room ? lifetimes->page_room : FIRST_ROOM;
	struct lifetimes_page **pages;
	uint64_t more;

	while (room <= number)
		room *= 2;
	more = (room - lifetimes->page_room) * sizeof(*pages);
	if (!budget_take(&lifetimes->budget, more))
		return -ENOSPC;
	pages = reallocarray(lifetimes->pages, room, sizeof(*pages));
	if (!pages) {
		budget_give(&lifetimes->budget, more);
		return -ENOMEM;
	}
	memset(pages + lifetimes->page_room, 0, more);
	lifetimes->pages = pages;
	lifetimes->page_room = room;
	return 0;
}

static struct lifetimes_page *make_page(struct lifetimes *lifetimes, uint32_t number)
{
	struct lifetimes_page *page;

	if (number >= lifetimes->page_room && make_room(lifetimes, number) < 0)
		return NULL;
	if (!budget_take(&lifetimes->budget, sizeof(*page)))
		return NULL;
	page = calloc(1, sizeof(*page));
	if (!page)
		budget_give(&lifetimes->budget, sizeof(*page));
	return page;
}

static uint32_t *make_counts(struct lifetimes *lifetimes, uint32_t point)
{
	uint32_t number = point >> LIFETIMES_PAGE_SHIFT;
	struct lifetimes_page *page;

	/* counts that began somewhere in between would tell nothing */
	page = lifetimes->is_full ? NULL : make_page(lifetimes, number);
	lifetimes->is_full = !page;
	if (!page)
		return NULL;
	lifetimes->pages[number] = page;
	return page->points[point & (LIFETIMES_PAGE_POINTS - 1)];
}

void lifetimes_count(struct lifetimes *lifetimes, uint32_t point, uint64_t ns, uint64_t blocks)
{
	uint32_t page = point >> LIFETIMES_PAGE_SHIFT, *counts;

	if (page < lifetimes->page_room && lifetimes->pages[page])
		counts = lifetimes->pages[page]->points[point & (LIFETIMES_PAGE_POINTS - 1)];
	else
		counts = make_counts(lifetimes, point);
	if (!counts) {
		lifetimes->uncounted += blocks;
		return;
	}
	counts += dhat_age_bucket(ns);
	*counts = blocks < UINT32_MAX - *counts ? *counts + (uint32_t)blocks : UINT32_MAX;
}

uint64_t lifetimes_bytes(const struct lifetimes *lifetimes)
{
	return lifetimes->budget.used_bytes;
}

int lifetimes_copy(const struct lifetimes *lifetimes, struct lifetimes *ret)
{
	struct lifetimes copy = { .uncounted = lifetimes->uncounted,
				  .since_ns = lifetimes->since_ns };
	int error = 0;

	if (lifetimes->page_room)
		error = make_room(&copy, lifetimes->page_room - 1);
	for (uint32_t i = 0; error == 0 && i < lifetimes->page_room; i++) {
		if (!lifetimes->pages[i])
			continue;
		copy.pages[i] = malloc(sizeof(*copy.pages[i]));
		if (copy.pages[i])
			memcpy(copy.pages[i], lifetimes->pages[i], sizeof(*copy.pages[i]));
		else
			error = -ENOMEM;
	}
	if (error) {
		lifetimes_deinit(&copy);
		return error;
	}
	*ret = copy;
	return 0;
}
