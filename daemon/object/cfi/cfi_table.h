#pragma once
/* cfi_table: the rows of one object that the kernel side walks by.
 *
 * Plain: built in the worker (cfi.h), checked where it comes out of there (worker_pack.h).
 */
#include <stdint.h>

#include "bpf/dhat_abi.h"

struct cfi_table {
	uint64_t first_page_vaddr; /* link-time address of the table's first page; multiple of 64
				      KiB */
	uint32_t word_count;	   /* of the table as the kernel side holds it */
	uint64_t *words;	   /* head, page index, rows: bpf/dhat_abi.h */
	uint32_t row_count;
	uint64_t code_bytes;	       /* described */
	uint64_t code_bytes_by_cfa[8]; /* by enum dhat_cfa */
	uint32_t unread_functions; /* without CFI, beyond CFI_CODE_MAX_INSTRUCTIONS: have no rows */
	uint64_t unrepresentable_bytes; /* code whose rule exists but does not fit a row whole */
};

void cfi_table_free(struct cfi_table *table);
