#pragma once
/* cfi_rows: from unwind rules to the rows of a table, and the table's layout.
 *
 * Pure. Ranges come in ascending order; equal neighbours become one row, what lies between two
 * ranges gets DHAT_CFA_NO_RULE, and so does what follows the last.
 */
#include "bpf/dhat_abi.h"
#include "cfi.h"
#include "cfi_program.h"

struct cfi_rows;

/* first_vaddr: of the lowest range that will come. */
int cfi_rows_new(uint64_t first_vaddr, uint32_t max_rows, struct cfi_rows **ret);
void cfi_rows_free(struct cfi_rows *rows);

/* Code in [start, end) follows `row` (pc_low is ignored). is_whole false: the rule exists but does
 * not fit, wholly or in part. -EINVAL: out of order; -E2BIG: more than max_rows, or too far from
 * the first range; -ENOMEM. */
int cfi_rows_add(struct cfi_rows *rows, uint64_t start, uint64_t end, struct dhat_row row,
		 bool is_whole);

/* Lay out the table; rows are used up. -ENODATA if there are none. */
int cfi_rows_finish(struct cfi_rows *rows, struct cfi_table **ret);

/* The row of a state; false if it says more than a row can hold. */
bool cfi_row_of_state(const struct cfi_state *state, bool is_signal_frame, struct dhat_row *ret);
