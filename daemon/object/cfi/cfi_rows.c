#include "cfi_rows.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/machine.h"
#include "daemon/object/machine/machine.h"
#include "daemon/object/machine/plt.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define PAGE_SIZE_BYTES (1ull << DHAT_TABLE_PAGE_SHIFT)

/* Code of one object lies within 2 GiB of itself in the small and medium code models (psABI 3.5.1);
 * twice that bounds the page index of a hostile file. */
#define MAX_SPAN_BYTES (4ull << 30)

struct cfi_rows {
	uint64_t first_page_vaddr;
	uint64_t end; /* of the last range */
	uint32_t max_rows;
	struct dhat_row *rows;
	uint32_t row_count, row_capacity;
	uint64_t *pages; /* number of the first row in that page or later */
	uint32_t page_count, page_capacity;
	uint64_t code_bytes, unrepresentable_bytes;
	uint64_t code_bytes_by_cfa[8];
};

int cfi_rows_new(uint64_t first_vaddr, uint32_t max_rows, struct cfi_rows **ret)
{
	struct cfi_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	rows->first_page_vaddr = first_vaddr & ~(PAGE_SIZE_BYTES - 1);
	rows->end = first_vaddr;
	rows->max_rows = max_rows;
	*ret = rows;
	return 0;
}

void cfi_rows_free(struct cfi_rows *rows)
{
	if (!rows)
		return;
	free(rows->rows);
	free(rows->pages);
	free(rows);
}

static int reach_page(struct cfi_rows *rows, uint64_t page)
{
	int r;

	while (rows->page_count <= page) {
		r = array_make_room(&rows->pages, &rows->page_capacity, rows->page_count);
		if (r < 0)
			return r;
		rows->pages[rows->page_count++] = rows->row_count;
	}
	return 0;
}

static bool is_same_rule(const struct dhat_row *a, const struct dhat_row *b)
{
	return a->cfa == b->cfa && a->fp == b->fp && a->cfa_offset == b->cfa_offset;
}

static int add_row(struct cfi_rows *rows, uint64_t pc, struct dhat_row row)
{
	uint64_t distance = pc - rows->first_page_vaddr;
	int r;

	if (rows->row_count && is_same_rule(&rows->rows[rows->row_count - 1], &row))
		return 0;
	if (distance >= MAX_SPAN_BYTES || rows->row_count >= rows->max_rows)
		return -E2BIG;
	r = reach_page(rows, distance >> DHAT_TABLE_PAGE_SHIFT);
	if (r < 0)
		return r;
	r = array_make_room(&rows->rows, &rows->row_capacity, rows->row_count);
	if (r < 0)
		return r;
	row.pc_low = (__u16)distance;
	rows->rows[rows->row_count++] = row;
	return 0;
}

int cfi_rows_add(struct cfi_rows *rows, uint64_t start, uint64_t end, struct dhat_row row,
		 bool is_whole)
{
	int r;

	if (start < rows->end || end <= start)
		return -EINVAL;
	if (start > rows->end && rows->row_count) {
		r = add_row(rows, rows->end, (struct dhat_row){ .cfa = DHAT_CFA_NO_RULE });
		if (r < 0)
			return r;
	}
	r = add_row(rows, start, row);
	if (r < 0)
		return r;
	rows->end = end;
	rows->code_bytes += end - start;
	rows->code_bytes_by_cfa[row.cfa & 7] += end - start;
	if (!is_whole)
		rows->unrepresentable_bytes += end - start;
	return 0;
}

int cfi_rows_finish(struct cfi_rows *rows, struct cfi_table **ret)
{
	_cleanup_free_ struct cfi_table *table = NULL;
	_cleanup_free_ uint64_t *words = NULL;
	struct dhat_table_head head;
	size_t word_count;
	int r;

	if (!rows->row_count)
		return -ENODATA;
	r = add_row(rows, rows->end, (struct dhat_row){ .cfa = DHAT_CFA_NO_RULE });
	if (r < 0)
		return r;
	word_count = 1 + rows->page_count + 1 + (size_t)rows->row_count;
	table = calloc(1, sizeof(*table));
	words = calloc(word_count, sizeof(*words));
	if (!table || !words)
		return -ENOMEM;
	head = (struct dhat_table_head){ rows->page_count, rows->row_count };
	memcpy(words, &head, sizeof(head));
	memcpy(words + 1, rows->pages, rows->page_count * sizeof(*words));
	words[1 + rows->page_count] = rows->row_count;
	memcpy(words + 2 + rows->page_count, rows->rows, rows->row_count * sizeof(*words));
	table->first_page_vaddr = rows->first_page_vaddr;
	table->word_count = (uint32_t)word_count;
	table->row_count = rows->row_count;
	table->code_bytes = rows->code_bytes;
	table->unrepresentable_bytes = rows->unrepresentable_bytes;
	memcpy(table->code_bytes_by_cfa, rows->code_bytes_by_cfa, sizeof(rows->code_bytes_by_cfa));
	table->words = take_ptr(words);
	*ret = take_ptr(table);
	return 0;
}

/* ---- states ------------------------------------------------------------------------------- */

/* Reads DW_OP_bregN offset [DW_OP_deref] and nothing more. */
static bool is_breg(const struct cfi_rule *rule, unsigned int reg, bool is_deref, int64_t *ret)
{
	struct bytes bytes = bytes_of(rule->expression, rule->expression_size);

	if (bytes_read(&bytes, 1) != DW_OP_breg0 + reg)
		return false;
	*ret = bytes_read_sleb(&bytes);
	if (is_deref && bytes_read(&bytes, 1) != DW_OP_deref)
		return false;
	return !bytes.is_bad && !bytes_left(&bytes);
}

/* The frame of a signal handler's return: the stack pointer is at a struct ucontext,
 * as glibc's __restore_rt says. */
static bool is_signal(const struct cfi_state *state)
{
	int64_t sp, fp, pc;

	return state->cfa.how == CFI_EXPRESSION && state->fp.how == CFI_AT_EXPRESSION &&
	       state->ra.how == CFI_AT_EXPRESSION &&
	       is_breg(&state->cfa, this_machine.dwarf_sp, true, &sp) && sp == DHAT_SIGNAL_SP &&
	       is_breg(&state->fp, this_machine.dwarf_sp, false, &fp) && fp == DHAT_SIGNAL_FP &&
	       is_breg(&state->ra, this_machine.dwarf_sp, false, &pc) && pc == DHAT_SIGNAL_PC;
}

static bool cfa_of(const struct cfi_rule *cfa, struct dhat_row *row)
{
	int64_t offset = cfa->offset;

	if (cfa->how == CFI_REGISTER && cfa->reg == this_machine.dwarf_sp)
		row->cfa = DHAT_CFA_SP;
	else if (cfa->how == CFI_REGISTER && cfa->reg == this_machine.dwarf_fp)
		row->cfa = DHAT_CFA_FP;
	else if (cfa->how == CFI_EXPRESSION &&
		 plt_is_cfa(cfa->expression, cfa->expression_size, &row->cfa_offset))
		return row->cfa = DHAT_CFA_PLT, true;
	else if (cfa->how == CFI_EXPRESSION && is_breg(cfa, this_machine.dwarf_fp, true, &offset))
		row->cfa = DHAT_CFA_FP_DEREF;
	else
		return false;
	row->cfa_offset = (__s32)offset;
	return offset >= INT32_MIN && offset <= INT32_MAX;
}

static bool fp_of(const struct cfi_rule *fp, struct dhat_row *row)
{
	int64_t offset;

	switch (fp->how) {
	case CFI_UNSPECIFIED: /* callee-saved (psABI 3.2.1) */
	case CFI_SAME:
		row->fp = DHAT_FP_SAME;
		return true;
	case CFI_UNDEFINED:
		row->fp = DHAT_FP_UNDEFINED;
		return true;
	case CFI_AT_CFA:
		if (fp->offset % 8 == 0 && fp->offset < 0 && fp->offset >= -128 * 8) {
			row->fp = (__s8)(fp->offset / 8);
			return true;
		}
		break;
	case CFI_AT_EXPRESSION:
		if (is_breg(fp, this_machine.dwarf_fp, false, &offset) && offset == 0) {
			row->fp = DHAT_FP_AT_FP;
			return true;
		}
		break;
	default:
		break;
	}
	row->fp = DHAT_FP_UNDEFINED; /* the walk goes on; only a caller that needs fp ends it */
	return false;
}

bool cfi_row_of_state(const struct cfi_state *state, bool is_signal_frame, struct dhat_row *ret)
{
	bool is_fp_whole;

	*ret = (struct dhat_row){ .cfa = DHAT_CFA_NO_RULE };
	if (state->ra.how == CFI_UNDEFINED) {
		ret->cfa = DHAT_CFA_END;
		return true;
	}
	if (is_signal_frame) { /* other frames marked so would need their caller's pc kept exact */
		ret->cfa = is_signal(state) ? DHAT_CFA_SIGNAL : DHAT_CFA_NO_RULE;
		return ret->cfa == DHAT_CFA_SIGNAL;
	}
	if (state->ra.how != CFI_AT_CFA || state->ra.offset != -8)
		return false;
	if (state->sp.how != CFI_UNSPECIFIED &&
	    (state->sp.how != CFI_CFA_PLUS || state->sp.offset != 0))
		return false;
	is_fp_whole = fp_of(&state->fp, ret);
	if (!cfa_of(&state->cfa, ret)) {
		*ret = (struct dhat_row){ .cfa = DHAT_CFA_NO_RULE };
		return false;
	}
	return is_fp_whole;
}
