#include "held.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"
#include "view.h"

#define INDENT 6 /* as a row's lines */

int held_rows_make(const struct dhat_rendering *table, struct held_rows *ret)
{
	struct held_rows rows = { .table = table };
	int r;

	*ret = (struct held_rows){ 0 };
	if (!table->snapshot->end->holds)
		return 0;
	rows.of_row = calloc(table->point_count + 1, sizeof(*rows.of_row));
	r = rows.of_row ? dhat_holders_make(table, &rows.holders) : -ENOMEM;
	if (r < 0) {
		free(rows.of_row);
		return r;
	}
	for (size_t i = 0; i < rows.holders.count; i++)
		rows.of_row[rows.holders.list[i].point->number] = &rows.holders.list[i];
	*ret = rows;
	return 0;
}

void held_rows_deinit(struct held_rows *rows)
{
	free(rows->of_row);
	dhat_holders_deinit(&rows->holders);
	*rows = (struct held_rows){ 0 };
}

void held_print_all(struct screen *screen, const struct dhat_snapshot *snapshot)
{
	const Dhat__Holds *holds = snapshot->end->holds;
	bool is_lost = holds && holds->lost && holds->lost->blocks;
	char text[DHAT_HELD_CHARS + 64];

	if (!holds)
		return;
	dhat_held_say(snapshot, text);
	screen_mark(screen, is_lost ? MARK_BAD : MARK_NONE);
	screen_paragraph(screen, 0, text);
	screen_mark(screen, MARK_NONE);
}

static void print_line(struct screen *screen, enum mark mark, const char *text)
{
	fprintf(screen->file, "%*s", INDENT, "");
	screen_mark(screen, mark);
	screen_paragraph(screen, INDENT + 2, text);
	screen_mark(screen, MARK_NONE);
}

void held_print_row(struct screen *screen, const struct held_rows *rows,
		    const struct dhat_rendered_point *point)
{
	const struct dhat_holder *holder = rows->of_row ? rows->of_row[point->number] : NULL;

	if (!holder || !holder->live.blocks)
		return;
	if (holder->lost.blocks) {
		_cleanup_free_ char *text = dhat_holder_lost_text(holder);

		print_line(screen, MARK_BAD, text ? text : "lost");
	}
	if (holder->chain_count) {
		_cleanup_free_ char *text = dhat_holder_chain_text(rows->table, &rows->holders,
								   holder, &holder->chains[0]);

		print_line(screen, MARK_NONE, text ? text : "held");
	}
}

void held_add_json(struct json_object *object, const struct held_rows *rows,
		   const struct dhat_rendered_point *point)
{
	const struct dhat_holder *holder = rows->of_row ? rows->of_row[point->number] : NULL;
	const struct {
		const char *bytes, *blocks;
		const struct dhat_holding *sum;
	} sums[] = {
		{ "held_bytes", "held_blocks", holder ? &holder->held : NULL },
		{ "unknown_bytes", "unknown_blocks", holder ? &holder->unknown : NULL },
		{ "lost_bytes", "lost_blocks", holder ? &holder->lost : NULL },
		{ "unseen_bytes", "unseen_blocks", holder ? &holder->unseen : NULL },
		{ "retained_bytes", "retained_blocks", holder ? &holder->retained : NULL },
	};

	for (size_t i = 0; holder && i < ARRAY_SIZE(sums); i++) {
		json_object_object_add(object, sums[i].bytes,
				       json_object_new_uint64(sums[i].sum->bytes));
		json_object_object_add(object, sums[i].blocks,
				       json_object_new_uint64(sums[i].sum->blocks));
	}
}
