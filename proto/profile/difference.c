#include "difference.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"

DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

struct matcher {
	struct interned lines; /* of both tables */
	struct interned
		stacks;	 /* of the rows: the numbers of their lines; a number is the change's */
	uint32_t *stack; /* of the row at hand */
	size_t stack_room;
	struct dhat_difference *difference;
	size_t room;
};

static void matcher_deinit(struct matcher *m)
{
	interned_deinit(&m->lines);
	interned_deinit(&m->stacks);
	free(m->stack);
}

/* What each line of a table is called here. */
static int number_lines(struct matcher *m, const struct dhat_rendering *table, uint32_t **ret)
{
	_cleanup_free_ uint32_t *numbers = malloc((table->line_count + 1) * sizeof(*numbers));
	int r = numbers ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < table->line_count; i++)
		r = interned_add(&m->lines, table->lines[i], &numbers[i]);
	if (r == 0)
		*ret = take_ptr(numbers);
	return r;
}

/* What the row reads, by numbers: shorter by far than by lines. */
static int number_stack(struct matcher *m, const struct dhat_rendered_point *point,
			const uint32_t *numbers, uint32_t *ret)
{
	for (uint32_t i = 0; i < point->line_count; i++) {
		if (array_make_room(&m->stack, &m->stack_room, i))
			return -ENOMEM;
		m->stack[i] = numbers[point->lines[i]];
	}
	return interned_add_bytes(&m->stacks, m->stack, point->line_count * sizeof(*m->stack), ret);
}

/* The change of the rows that read like this one. */
static int change_of(struct matcher *m, const struct dhat_rendered_point *point,
		     const uint32_t *numbers, struct dhat_change **ret)
{
	struct dhat_difference *difference = m->difference;
	uint32_t number;
	int r = number_stack(m, point, numbers, &number);

	if (r < 0)
		return r;
	if (number == difference->count) {
		if (array_make_room(&difference->list, &m->room, difference->count))
			return -ENOMEM;
		difference->list[difference->count++] = (struct dhat_change){ 0 };
	}
	*ret = &difference->list[number];
	return 0;
}

static int match(struct matcher *m, const struct dhat_rendering *table, bool is_after)
{
	_cleanup_free_ uint32_t *numbers = NULL;
	int r = number_lines(m, table, &numbers);

	for (size_t i = 0; i < table->point_count && r == 0; i++) {
		struct dhat_change *change;

		r = change_of(m, table->points[i], numbers, &change);
		if (r == 0 && is_after)
			change->after = table->points[i];
		else if (r == 0)
			change->before = table->points[i];
	}
	return r;
}

int dhat_difference_new(const struct dhat_rendering *before, const struct dhat_rendering *after,
			struct dhat_difference **ret)
{
	_cleanup_(dhat_difference_free_ptr) struct dhat_difference *difference =
		calloc(1, sizeof(*difference));
	struct matcher m = { .difference = difference };
	int r = difference ? 0 : -ENOMEM;

	if (r == 0) {
		difference->before = before;
		difference->after = after;
		r = match(&m, before, false);
	}
	if (r == 0)
		r = match(&m, after, true);
	matcher_deinit(&m);
	if (r == 0)
		*ret = take_ptr(difference);
	return r;
}

void dhat_difference_free(struct dhat_difference *difference)
{
	if (!difference)
		return;
	free(difference->list);
	free(difference);
}

int64_t dhat_change_bytes(const struct dhat_change *change)
{
	return (int64_t)((change->after ? change->after->live_bytes : 0) -
			 (change->before ? change->before->live_bytes : 0));
}

int64_t dhat_change_blocks(const struct dhat_change *change)
{
	return (int64_t)((change->after ? change->after->live_blocks : 0) -
			 (change->before ? change->before->live_blocks : 0));
}

static struct dhat_interval live_of(const struct dhat_rendering *table,
				    const struct dhat_rendered_point *point)
{
	if (point)
		return dhat_rendered_interval(table, point, DHAT_ESTIMATED_LIVE);
	return (struct dhat_interval){ 0,
				       dhat_estimate_unseen(table->snapshot->head->sample_bytes) };
}

bool dhat_change_is_noise(const struct dhat_difference *difference,
			  const struct dhat_change *change)
{
	struct dhat_interval before = live_of(difference->before, change->before),
			     after = live_of(difference->after, change->after);

	if (!dhat_interval_is_wide(&before) && !dhat_interval_is_wide(&after))
		return false;
	return before.low <= after.high && after.low <= before.high;
}

static int compare(const void *a, const void *b)
{
	int64_t x = dhat_change_bytes(a), y = dhat_change_bytes(b);

	if (x == y) {
		x = dhat_change_blocks(a);
		y = dhat_change_blocks(b);
	}
	return x > y ? -1 : x < y;
}

size_t dhat_difference_sort(struct dhat_difference *difference, size_t *ret_shrunk)
{
	size_t grown = 0, shrunk = 0;

	if (difference->count)
		qsort(difference->list, difference->count, sizeof(*difference->list), compare);
	while (grown < difference->count && dhat_change_bytes(&difference->list[grown]) > 0)
		grown++;
	while (shrunk < difference->count &&
	       dhat_change_bytes(&difference->list[difference->count - 1 - shrunk]) < 0)
		shrunk++;
	*ret_shrunk = shrunk;
	return grown;
}
