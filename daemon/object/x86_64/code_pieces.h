#pragma once
/* code_pieces: what was read of one function after another, put together.
 *
 * Pure. A function may be read again, with other results, and two may share code: what they
 * disagree about is left out.
 */
#include <stddef.h>
#include <stdint.h>

#include "daemon/object/machine/cfi_code.h"

struct code_piece {
	struct cfi_code_piece piece;
	uint32_t function, reading; /* that it is of */
};

struct code_pieces {
	struct code_piece *list;
	size_t count, capacity;
};

/* Behind the last piece of the same reading, or a part of its end. */
int code_pieces_add(struct code_pieces *pieces, struct code_piece piece);
/* last_reading: of each function, by its number; older pieces are left out. pieces are used up. */
int code_pieces_finish(struct code_pieces *pieces, const uint32_t *last_reading,
		       struct cfi_code_piece **ret, size_t *ret_count);
