#include "moments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "sample.h"

#define FIRST_ROOM 16 /* of a directory; then it doubles */
#define WEIGHT 2      /* a copy has all that there is */
#define SHARE 4	      /* of the whole budget, copies included: the rest is for blocks and stacks */

struct moments_page {
	struct moments_figures points[MOMENTS_PAGE_POINTS];
};

/* In a directory: NULL, nothing was counted yet; REFUSED, this page's figures are in `born` alone,
 * and stay so: a block must leave by the way it came (M2). */
static struct moments_page refused;
#define REFUSED (&refused)

static inline struct moments_page *page_at(const struct moment *moment, uint32_t number)
{
	if (number < moment->page_room)
		return moment->pages[number];
	return moment->is_full ? REFUSED : NULL;
}

static inline void figures_add(struct moments_figures *sum, const struct moments_figures *part)
{
	sum->bytes += part->bytes;
	sum->blocks += part->blocks;
}

static void free_page(struct moments *moments, struct moments_page *page)
{
	if (!page || page == REFUSED)
		return;
	free(page);
	budget_give(&moments->budget, sizeof(*page));
}

static void free_pages(struct moments *moments, struct moment *moment)
{
	for (uint32_t i = 0; i < moment->page_room; i++)
		free_page(moments, moment->pages[i]);
	free(moment->pages);
	budget_give(&moments->budget, moment->page_room * sizeof(*moment->pages));
}

void moments_deinit(struct moments *moments)
{
	for (uint32_t i = 0; i < moments->count; i++)
		free_pages(moments, &moments->list[i]);
	moments->count = 0;
}

void moments_free(struct moments *moments)
{
	if (moments)
		moments_deinit(moments);
	free(moments);
}
DEFINE_CLEANUP_PTR(struct moments *, moments_free)

void moments_charge(struct moments *moments, struct budget *budget)
{
	moments->budget = (struct budget){ .parent = budget,
					   .limit_bytes = budget->limit_bytes / SHARE / WEIGHT,
					   .weight = WEIGHT };
}

/* Room for the page of that number. False: it is refused from now on. */
static bool make_room(struct moments *moments, struct moment *moment, uint32_t number)
{
	uint32_t room = moment->page_room ? moment->page_room : FIRST_ROOM;
	struct moments_page **pages = NULL;
	uint64_t more;

	if (number < moment->page_room || moment->is_full)
		return number < moment->page_room;
	while (room <= number)
		room *= 2;
	more = (room - moment->page_room) * sizeof(*pages);
	if (budget_take(&moments->budget, more)) {
		pages = reallocarray(moment->pages, room, sizeof(*pages));
		if (!pages)
			budget_give(&moments->budget, more);
	}
	moment->is_full = !pages;
	if (!pages)
		return false;
	memset(pages + moment->page_room, 0, more);
	moment->pages = pages;
	moment->page_room = room;
	return true;
}

/* ---- moments -------------------------------------------------------------------------------- */

static struct moment *find(struct moments *moments, const char *name)
{
	for (uint32_t i = 0; i < moments->count; i++)
		if (!strcmp(moments->list[i].name, name))
			return &moments->list[i];
	return NULL;
}

int moments_add(struct moments *moments, const char *name, uint64_t time_ns)
{
	struct moment *moment = &moments->list[moments->count];

	if (find(moments, name))
		return -EEXIST;
	if (moments->count == MOMENTS_MAX)
		return -ENOSPC;
	*moment = (struct moment){ 0 };
	snprintf(moment->name, sizeof(moment->name), "%s", name);
	moments->times_ns[moments->count++] = time_ns;
	return 0;
}

/* What becomes of a page when a span ends to be one of its own. A page that one of them has refused
 * is refused for both: the blocks are not told apart any more. */
static struct moments_page *join_pages(struct moments *moments, struct moments_page *into,
				       struct moments_page *from)
{
	if (!into || !from)
		return into ? into : from;
	if (into == REFUSED || from == REFUSED) {
		free_page(moments, into);
		free_page(moments, from);
		return REFUSED;
	}
	for (uint32_t i = 0; i < MOMENTS_PAGE_POINTS; i++)
		figures_add(&into->points[i], &from->points[i]);
	free_page(moments, from);
	return into;
}

static void join(struct moments *moments, struct moment *into, struct moment *from)
{
	uint32_t room = from->page_room;

	figures_add(&into->born, &from->born);
	if (room)
		make_room(moments, into, room - 1);
	if (room < into->page_room)
		room = into->page_room;
	for (uint32_t i = 0; i < room; i++) {
		struct moments_page *page = page_at(from, i);

		if (i < from->page_room)
			from->pages[i] = NULL;
		if (i < into->page_room)
			into->pages[i] = join_pages(moments, into->pages[i], page);
		else
			free_page(moments, page);
	}
	into->is_full |= from->is_full;
}

int moments_remove(struct moments *moments, const char *name)
{
	struct moment *moment = find(moments, name);
	uint32_t number, behind;

	if (!moment)
		return -ENOENT;
	number = moment - moments->list;
	behind = moments->count - number - 1;
	if (number)
		join(moments, moment - 1, moment);
	free_pages(moments, moment);
	memmove(moment, moment + 1, behind * sizeof(*moment));
	memmove(&moments->times_ns[number], &moments->times_ns[number + 1],
		behind * sizeof(moments->times_ns[0]));
	moments->count--;
	return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

static struct moments_page *new_page(struct moments *moments)
{
	struct moments_page *page;

	if (!budget_take(&moments->budget, sizeof(*page)))
		return REFUSED;
	page = calloc(1, sizeof(*page));
	if (page)
		return page;
	budget_give(&moments->budget, sizeof(*page));
	return REFUSED;
}

/* The span that a birth is of, if there is one; most blocks die young: from the latest on. */
static inline uint32_t span_of(const struct moments *moments, uint64_t birth_ns)
{
	uint32_t last = moments->count - 1;

	while (birth_ns < moments->times_ns[last])
		last--;
	return last;
}

void moments_prefetch(const struct moments *moments, uint32_t point, uint64_t birth_ns)
{
	const struct moments_page *page;

	if (!moments->count || birth_ns < moments->times_ns[0])
		return;
	page = page_at(&moments->list[span_of(moments, birth_ns)], point >> MOMENTS_PAGE_SHIFT);
	if (page)
		__builtin_prefetch(&page->points[point & (MOMENTS_PAGE_POINTS - 1)], 1);
}

/* bytes and blocks: two's complement, as unsigned numbers are added. */
void moments_count_born(struct moments *moments, uint32_t point, uint64_t birth_ns, uint64_t bytes,
			uint64_t blocks)
{
	const struct moments_figures change = { bytes, blocks };
	struct moment *moment = &moments->list[span_of(moments, birth_ns)];
	struct moments_page **page;

	figures_add(&moment->born, &change);
	if (!make_room(moments, moment, point >> MOMENTS_PAGE_SHIFT))
		return;
	page = &moment->pages[point >> MOMENTS_PAGE_SHIFT];
	if (!*page)
		*page = new_page(moments);
	if (*page != REFUSED)
		figures_add(&(*page)->points[point & (MOMENTS_PAGE_POINTS - 1)], &change);
}

static void in_parts(struct moments_figures *figures)
{
	figures->blocks *= SAMPLE_BLOCK;
}

void moments_begin_parts(struct moments *moments)
{
	moments->has_parts = true;
	for (uint32_t i = 0; i < moments->count; i++) {
		struct moment *moment = &moments->list[i];

		in_parts(&moment->born);
		for (uint32_t j = 0; j < moment->page_room; j++)
			for (uint32_t k = 0; k < MOMENTS_PAGE_POINTS; k++)
				if (moment->pages[j] && moment->pages[j] != REFUSED)
					in_parts(&moment->pages[j]->points[k]);
	}
}

/* ---- figures -------------------------------------------------------------------------------- */

static struct moments_figures whole(const struct moments *moments, struct moments_figures figures)
{
	if (moments->has_parts)
		figures.blocks = sample_whole(figures.blocks);
	return figures;
}

struct moments_figures moments_since(const struct moments *moments, uint32_t moment)
{
	struct moments_figures sum = { 0 };

	for (uint32_t i = moment; i < moments->count; i++)
		figures_add(&sum, &moments->list[i].born);
	return whole(moments, sum);
}

static struct moments_page *copied_page(const struct moments_page *page)
{
	struct moments_page *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *page;
	return copy;
}

/* What is on no page goes to point 0. */
static int copy_pages(struct moments *copy, struct moment *to, const struct moment *from)
{
	static const struct moments_page empty;
	struct moments_figures left = from->born;

	if (!make_room(copy, to, from->page_room ? from->page_room - 1 : 0))
		return -ENOMEM;
	for (uint32_t i = 0; i < from->page_room; i++) {
		const struct moments_page *page = from->pages[i];

		if (!page || page == REFUSED)
			continue;
		to->pages[i] = copied_page(page);
		if (!to->pages[i])
			return -ENOMEM;
		for (uint32_t j = 0; j < MOMENTS_PAGE_POINTS; j++) {
			left.bytes -= page->points[j].bytes;
			left.blocks -= page->points[j].blocks;
		}
	}
	if (left.blocks && !to->pages[0])
		to->pages[0] = copied_page(&empty);
	if (left.blocks && !to->pages[0])
		return -ENOMEM;
	if (left.blocks)
		figures_add(&to->pages[0]->points[0], &left);
	return 0;
}

int moments_copy(const struct moments *moments, bool with_points, struct moments **ret)
{
	_cleanup_(moments_free_ptr) struct moments *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	copy->has_parts = moments->has_parts;
	for (uint32_t i = 0; i < moments->count; i++) {
		const struct moment *from = &moments->list[i];
		int error = moments_add(copy, from->name, moments->times_ns[i]);

		copy->list[i].born = from->born;
		if (error == 0 && with_points)
			error = copy_pages(copy, &copy->list[i], from);
		if (error)
			return error;
	}
	*ret = take_ptr(copy);
	return 0;
}

uint64_t moments_bytes(const struct moments *moments)
{
	return moments->budget.used_bytes;
}

void moments_of_point(const struct moments *copy, uint32_t point,
		      struct moments_figures ret[MOMENTS_MAX])
{
	struct moments_figures sum = { 0 };

	for (uint32_t i = copy->count; i-- > 0;) {
		const struct moments_page *page =
			page_at(&copy->list[i], point >> MOMENTS_PAGE_SHIFT);

		if (page)
			figures_add(&sum, &page->points[point & (MOMENTS_PAGE_POINTS - 1)]);
		ret[i] = whole(copy, sum);
	}
}
