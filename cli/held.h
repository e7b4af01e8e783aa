#pragma once
/* held: below the rows of a list who holds them, and what of them is lost: as of the last scan. */
#include "proto/base/json.h"
#include "proto/base/screen.h"
#include "proto/profile/holders.h"

struct held_rows { /* all 0: nobody has looked */
	const struct dhat_rendering *table;
	struct dhat_holders holders;
	const struct dhat_holder **of_row; /* by number */
};

/* -ENOMEM. Nothing is made where there was no scan. */
int held_rows_make(const struct dhat_rendering *table, struct held_rows *ret);
void held_rows_deinit(struct held_rows *rows);

/* What is lost in all, and how old the scan is: a line; nothing where there was none. */
void held_print_all(struct screen *screen, const struct dhat_snapshot *snapshot);
/* Below a row: what is lost of it, and what holds most of the rest. */
void held_print_row(struct screen *screen, const struct held_rows *rows,
		    const struct dhat_rendered_point *point);
/* held_bytes, held_blocks, unknown_bytes, …, retained_bytes; nothing where there was no scan. */
void held_add_json(struct json_object *object, const struct held_rows *rows,
		   const struct dhat_rendered_point *point);
