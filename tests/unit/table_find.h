#pragma once
/* table_find: the row for an address, as bpf/unwind.h finds it in the kernel. */
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/object/cfi/cfi_table.h"

static inline const struct dhat_row *cfi_table_find(const struct cfi_table *table, uint64_t vaddr)
{
	const struct dhat_row *rows;
	struct dhat_table_head head;
	uint64_t page, low, high, middle;

	memcpy(&head, table->words, sizeof(head));
	rows = (const struct dhat_row *)(table->words + 2 + head.page_count);
	if (vaddr < table->first_page_vaddr)
		return NULL;
	page = (vaddr - table->first_page_vaddr) >> DHAT_TABLE_PAGE_SHIFT;
	if (page >= head.page_count)
		return NULL;
	low = table->words[1 + page];
	high = table->words[2 + page];
	while (low < high) { /* the first row beyond vaddr */
		middle = low + (high - low) / 2;
		if (rows[middle].pc_low <= (uint16_t)(vaddr - table->first_page_vaddr))
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &rows[low - 1] : NULL;
}
