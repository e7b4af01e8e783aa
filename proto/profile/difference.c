#include "difference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/interned.h"

DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

struct matcher {
	struct interned texts; /* of the rows, each its lines; the number is the change's */
	struct dhat_difference *difference;
	size_t room;
};

static char *text_of(const struct dhat_rendering *table, const struct dhat_rendered_point *point)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	for (uint32_t i = 0; i < point->line_count; i++)
		fprintf(file, "%s\n", table->lines[point->lines[i]]);
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	return text;
}

/* The change of the rows that read like this one. */
static int change_of(struct matcher *m, const struct dhat_rendering *table,
		     const struct dhat_rendered_point *point, struct dhat_change **ret)
{
	struct dhat_difference *difference = m->difference;
	_cleanup_free_ char *text = text_of(table, point);
	uint32_t number;
	int r = text ? interned_add(&m->texts, text, &number) : -ENOMEM;

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
	int r = 0;

	for (size_t i = 0; i < table->point_count && r == 0; i++) {
		struct dhat_change *change;

		r = change_of(m, table, table->points[i], &change);
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
	interned_deinit(&m.texts);
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
