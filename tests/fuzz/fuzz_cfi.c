/* Unwind rows of hostile files: whole ELF files, and call frame information inside a good one. */
#include "daemon/object/cfi/cfi.h"
#include "fuzz.h"
#include "tests/unit/elf_writer.h"
#include "tests/unit/table_find.h"

#define MAX_ROWS 20000

static struct writer writer;

/* What the kernel side and cfi_table_find() rely on. */
static void check_table(const struct cfi_table *table)
{
	const struct dhat_row *rows;
	struct dhat_table_head head;
	uint64_t page, row, vaddr;

	memcpy(&head, table->words, sizeof(head));
	FUZZ_CHECK(head.row_count == table->row_count && head.row_count <= MAX_ROWS);
	FUZZ_CHECK(table->word_count == 2ull + head.page_count + head.row_count);
	FUZZ_CHECK(table->first_page_vaddr % (1 << DHAT_TABLE_PAGE_SHIFT) == 0);
	FUZZ_CHECK(table->words[1] == 0 && table->words[1 + head.page_count] == head.row_count);
	rows = (const struct dhat_row *)(table->words + 2 + head.page_count);
	for (page = 0; page < head.page_count; page++) {
		FUZZ_CHECK(table->words[1 + page] <= table->words[2 + page]);
		for (row = table->words[1 + page]; row < table->words[2 + page]; row++) {
			FUZZ_CHECK(row == table->words[1 + page] ||
				   rows[row - 1].pc_low < rows[row].pc_low);
			FUZZ_CHECK(rows[row].cfa <= DHAT_CFA_FP_DEREF);
			vaddr = table->first_page_vaddr + (page << DHAT_TABLE_PAGE_SHIFT) +
				rows[row].pc_low;
			FUZZ_CHECK(cfi_table_find(table, vaddr) == &rows[row]);
		}
	}
	FUZZ_CHECK(rows[head.row_count - 1].cfa == DHAT_CFA_NO_RULE);
	FUZZ_CHECK(table->unrepresentable_bytes <= table->code_bytes);
}

static void build(const void *image, size_t size)
{
	struct cfi_table *table = NULL;
	struct dhat_error err = {};

	if (cfi_build(fuzz_file(image, size), MAX_ROWS, &table, &err) == 0)
		check_table(table);
	else
		FUZZ_CHECK(err.code != DHAT_EXIT_OK && err.message[0]);
	cfi_table_free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	build(data, size);
	if (size > WRITER_BYTES - 64)
		return 0;
	writer.size = size;
	memcpy(writer.cfi, data, size);
	put_elf(&writer);
	build(writer.image, writer.image_size);
	return 0;
}
