#include "code_pieces.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"

static bool is_same_row(const struct dhat_row *a, const struct dhat_row *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int code_pieces_add(struct code_pieces *pieces, struct code_piece piece)
{
	struct code_piece *last = pieces->count ? &pieces->list[pieces->count - 1] : NULL;

	if (last && last->reading != piece.reading)
		last = NULL;
	if (last && last->piece.end > piece.piece.start)
		last->piece.end = piece.piece.start; /* an instruction inside of another one */
	if (last && last->piece.end == piece.piece.start &&
	    is_same_row(&last->piece.row, &piece.piece.row)) {
		last->piece.end = piece.piece.end;
		return 0;
	}
	if (array_make_room(&pieces->list, &pieces->capacity, pieces->count))
		return -ENOMEM;
	pieces->list[pieces->count++] = piece;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct cfi_code_piece *x = &((const struct code_piece *)a)->piece;
	const struct cfi_code_piece *y = &((const struct code_piece *)b)->piece;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* A place where handlers return to is known by its bytes; a function's beginning may be read as
 * part of another one, too; the outermost code may end in a call, and another function begin behind
 * it.
 */
static int rank(const struct dhat_row *row)
{
	if (row->cfa == DHAT_CFA_SIGNAL)
		return 3;
	return row->cfa & DHAT_CFA_ENDLESS ? 2 : row->cfa != DHAT_CFA_END;
}

/* Adds a piece that starts at or behind where the one before it did. What is before the last one of
 * the list is decided; `open` is where nothing was said yet. */
static void merge(struct cfi_code_piece *list, size_t *count, uint64_t *open,
		  struct cfi_code_piece piece)
{
	struct cfi_code_piece *last = *count ? &list[*count - 1] : NULL;
	uint64_t end = piece.end;

	if (last && piece.start < last->start)
		piece.start = last->start;
	if (!last || last->end <= piece.start) {
		if (piece.start < *open)
			piece.start = *open;
	} else if (is_same_row(&last->row, &piece.row)) {
		if (last->end < piece.end && last->end >= *open)
			last->end = piece.end;
		piece.start = piece.end;
	} else {
		int ranks = rank(&last->row) - rank(&piece.row);
		uint64_t last_end = last->end;

		if (ranks <= 0)
			last->end = piece.start;
		if (ranks >= 0)
			piece.start = last_end < *open ? *open : last_end;
		if (last->end == last->start)
			(*count)--;
	}
	if (piece.start < piece.end)
		list[(*count)++] = piece;
	if (end > *open)
		*open = end;
}

int code_pieces_finish(struct code_pieces *pieces, const uint32_t *last_reading,
		       struct cfi_code_piece **ret, size_t *ret_count)
{
	struct cfi_code_piece *list = NULL;
	size_t i, count = 0;
	uint64_t open = 0;

	if (!pieces->count)
		goto out;
	qsort(pieces->list, pieces->count, sizeof(*pieces->list), compare);
	list = reallocarray(NULL, pieces->count, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (i = 0; i < pieces->count; i++)
		if (pieces->list[i].reading == last_reading[pieces->list[i].function] &&
		    pieces->list[i].piece.start < pieces->list[i].piece.end)
			merge(list, &count, &open, pieces->list[i].piece);
out:
	free(pieces->list);
	*pieces = (struct code_pieces){};
	*ret = list;
	*ret_count = count;
	return 0;
}
