#include "worker_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct object_desc *, object_desc_free)
DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)

enum { /* flags of a description and of a symbol */
       DESC_STATIC = 1,
       DESC_SYMTAB = 2,
       DESC_GO = 4,
       DESC_PROGRAM = 8,
       SYMBOL_EXPORTED = 1,
       SYMBOL_IFUNC = 2,
};

static void put_symbol(struct wire_writer *writer, const struct object_symbol *symbol)
{
	wire_put_string(writer, symbol->name);
	wire_put_u64(writer, symbol->vaddr);
	wire_put_u64(writer, symbol->size_bytes);
	wire_put_u64(writer, symbol->start_vaddr);
	wire_put_u64(writer, symbol->file_offset);
	wire_put_bytes(writer, symbol->code, symbol->code_size);
	wire_put_u32(writer, (symbol->is_exported ? SYMBOL_EXPORTED : 0) |
				     (symbol->is_ifunc ? SYMBOL_IFUNC : 0));
}

void pack_put_desc(struct wire_writer *writer, const struct object_desc *desc)
{
	wire_put_u32(writer, desc->elf_class);
	wire_put_u32(writer, desc->machine);
	wire_put_u32(writer,
		     (desc->is_static ? DESC_STATIC : 0) | (desc->has_symtab ? DESC_SYMTAB : 0) |
			     (desc->is_go ? DESC_GO : 0) | (desc->is_program ? DESC_PROGRAM : 0));
	wire_put_u32(writer, desc->makers);
	wire_put_bytes(writer, desc->build_id, desc->build_id_size);
	wire_put_string(writer, desc->soname);
	wire_put_string(writer, desc->libc_version);
	wire_put_string(writer, desc->malloc_version);
	wire_put_string(writer, desc->copier);
	wire_put_u32(writer, desc->segment_count);
	for (size_t i = 0; i < desc->segment_count; i++) {
		const struct object_segment *segment = &desc->segments[i];

		wire_put_u64(writer, segment->vaddr);
		wire_put_u64(writer, segment->file_offset);
		wire_put_u64(writer, segment->file_size);
		wire_put_u64(writer, segment->memory_size);
		wire_put_u32(writer, segment->is_executable);
		wire_put_u32(writer, segment->is_writable);
	}
	wire_put_u32(writer, desc->symbol_count);
	for (size_t i = 0; i < desc->symbol_count; i++)
		put_symbol(writer, &desc->symbols[i]);
	wire_put_u32(writer, desc->stub_count);
	for (size_t i = 0; i < desc->stub_count; i++) {
		wire_put_u64(writer, desc->stubs[i].vaddr);
		wire_put_u64(writer, desc->stubs[i].target);
	}
	wire_put_u32(writer, desc->entry_count);
	for (size_t i = 0; i < desc->entry_count; i++) {
		wire_put_u64(writer, desc->entries[i].vaddr);
		wire_put_u32(writer, desc->entries[i].calls);
		wire_put_u32(writer,
			     desc->entries[i].maker | (uint32_t)desc->entries[i].is_inner << 16);
	}
	wire_put_u32(writer, desc->noreturn_count);
	for (size_t i = 0; i < desc->noreturn_count; i++)
		wire_put_u64(writer, desc->noreturn[i]);
}

static int get_symbol(struct wire_reader *reader, struct object_symbol *symbol)
{
	const void *code;
	uint32_t flags;

	symbol->name = wire_get_string(reader);
	symbol->vaddr = wire_get_u64(reader);
	symbol->size_bytes = wire_get_u64(reader);
	symbol->start_vaddr = wire_get_u64(reader);
	symbol->file_offset = wire_get_u64(reader);
	code = wire_get_bytes(reader, &symbol->code_size);
	flags = wire_get_u32(reader);
	if (reader->is_short || !symbol->name || !code || symbol->code_size > OBJECT_CODE_BYTES)
		return -EBADMSG;
	symbol->is_exported = flags & SYMBOL_EXPORTED;
	symbol->is_ifunc = flags & SYMBOL_IFUNC;
	symbol->code = malloc(symbol->code_size ? symbol->code_size : 1);
	if (!symbol->code)
		return -ENOMEM;
	memcpy(symbol->code, code, symbol->code_size);
	return 0;
}

static int get_segments(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, 4 * sizeof(uint64_t) + 2 * sizeof(uint32_t));

	desc->segments = calloc(count ? count : 1, sizeof(*desc->segments));
	if (!desc->segments)
		return -ENOMEM;
	for (; desc->segment_count < count; desc->segment_count++) {
		struct object_segment *segment = &desc->segments[desc->segment_count];

		segment->vaddr = wire_get_u64(reader);
		segment->file_offset = wire_get_u64(reader);
		segment->file_size = wire_get_u64(reader);
		segment->memory_size = wire_get_u64(reader);
		segment->is_executable = wire_get_u32(reader);
		segment->is_writable = wire_get_u32(reader);
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_symbols(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, 6 * sizeof(uint64_t) + sizeof(uint32_t));

	desc->symbols = calloc(count ? count : 1, sizeof(*desc->symbols));
	if (!desc->symbols)
		return -ENOMEM;
	while (desc->symbol_count < count) {
		/* counted first: what a half-read symbol owns is then freed with the others */
		int r = get_symbol(reader, &desc->symbols[desc->symbol_count++]);

		if (r)
			return r;
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_entries(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, sizeof(uint64_t) + 2 * sizeof(uint32_t)), maker;

	if (count > OBJECT_MAX_ENTRIES)
		return -EBADMSG;
	for (; desc->entry_count < count; desc->entry_count++) {
		desc->entries[desc->entry_count].vaddr = wire_get_u64(reader);
		desc->entries[desc->entry_count].calls = wire_get_u32(reader);
		maker = wire_get_u32(reader);
		desc->entries[desc->entry_count].maker = maker & 0xffff;
		desc->entries[desc->entry_count].is_inner = maker >> 16 & 1;
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_jumps(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, 2 * sizeof(uint64_t));
	int r;

	desc->stubs = calloc(count ? count : 1, sizeof(*desc->stubs));
	if (!desc->stubs)
		return -ENOMEM;
	for (; desc->stub_count < count; desc->stub_count++) {
		desc->stubs[desc->stub_count].vaddr = wire_get_u64(reader);
		desc->stubs[desc->stub_count].target = wire_get_u64(reader);
	}
	r = get_entries(reader, desc);
	if (r)
		return r;
	count = wire_get_count(reader, sizeof(uint64_t));
	desc->noreturn = calloc(count ? count : 1, sizeof(*desc->noreturn));
	if (!desc->noreturn)
		return -ENOMEM;
	for (; desc->noreturn_count < count; desc->noreturn_count++)
		desc->noreturn[desc->noreturn_count] = wire_get_u64(reader);
	return reader->is_short || reader->size ? -EBADMSG : 0;
}

/* A text that fits into a field of the description; what the field held before were zeros. */
static int get_text(struct wire_reader *reader, char *ret, size_t room)
{
	size_t size;
	const void *bytes = wire_get_bytes(reader, &size);

	if (!bytes || size >= room)
		return -EBADMSG;
	memcpy(ret, bytes, size);
	return 0;
}

static int get_head(struct wire_reader *reader, struct object_desc *desc)
{
	const void *bytes;
	uint32_t flags;
	size_t size;

	desc->elf_class = wire_get_u32(reader);
	desc->machine = wire_get_u32(reader);
	flags = wire_get_u32(reader);
	desc->is_static = flags & DESC_STATIC;
	desc->has_symtab = flags & DESC_SYMTAB;
	desc->is_go = flags & DESC_GO;
	desc->is_program = flags & DESC_PROGRAM;
	desc->makers = wire_get_u32(reader);
	bytes = wire_get_bytes(reader, &size);
	if (!bytes || size > sizeof(desc->build_id))
		return -EBADMSG;
	memcpy(desc->build_id, bytes, size);
	desc->build_id_size = size;
	if (get_text(reader, desc->soname, sizeof(desc->soname)) ||
	    get_text(reader, desc->libc_version, sizeof(desc->libc_version)) ||
	    get_text(reader, desc->malloc_version, sizeof(desc->malloc_version)) ||
	    get_text(reader, desc->copier, sizeof(desc->copier)))
		return -EBADMSG;
	return 0;
}

int pack_get_desc(struct wire_reader *reader, struct object_desc **ret)
{
	_cleanup_(object_desc_free_ptr) struct object_desc *desc = calloc(1, sizeof(*desc));
	int r = desc ? get_head(reader, desc) : -ENOMEM;

	if (!r)
		r = get_segments(reader, desc);
	if (!r)
		r = get_symbols(reader, desc);
	if (!r)
		r = get_jumps(reader, desc);
	if (r)
		return r;
	*ret = take_ptr(desc);
	return 0;
}

void pack_put_table(struct wire_writer *writer, const struct cfi_table *table)
{
	wire_put_u64(writer, table->first_page_vaddr);
	wire_put_u32(writer, table->row_count);
	wire_put_u64(writer, table->code_bytes);
	wire_put(writer, table->code_bytes_by_cfa, sizeof(table->code_bytes_by_cfa));
	wire_put_u64(writer, table->unrepresentable_bytes);
	wire_put_u32(writer, table->word_count);
	wire_put(writer, table->words, table->word_count * sizeof(uint64_t));
}

/* The kernel side searches between words [1 + page] and [2 + page]: numbers of rows that must not
 * decrease nor pass the end. */
static bool is_sound(const struct cfi_table *table)
{
	struct dhat_table_head head;
	uint64_t before = 0;

	if (!table->word_count)
		return false;
	memcpy(&head, &table->words[0], sizeof(head));
	if (head.row_count != table->row_count ||
	    (uint64_t)head.page_count + 2 + head.row_count != table->word_count)
		return false;
	for (uint32_t page = 0; page <= head.page_count; page++) {
		uint64_t first = table->words[1 + page];

		if (first < before || first > head.row_count)
			return false;
		before = first;
	}
	return true;
}

int pack_get_table(struct wire_reader *reader, uint32_t max_rows, struct cfi_table **ret)
{
	_cleanup_(cfi_table_free_ptr) struct cfi_table *table = calloc(1, sizeof(*table));
	const void *bytes;

	if (!table)
		return -ENOMEM;
	table->first_page_vaddr = wire_get_u64(reader);
	table->row_count = wire_get_u32(reader);
	table->code_bytes = wire_get_u64(reader);
	bytes = wire_get(reader, sizeof(table->code_bytes_by_cfa));
	if (bytes)
		memcpy(table->code_bytes_by_cfa, bytes, sizeof(table->code_bytes_by_cfa));
	table->unrepresentable_bytes = wire_get_u64(reader);
	table->word_count = wire_get_count(reader, sizeof(uint64_t));
	bytes = wire_get(reader, table->word_count * sizeof(uint64_t));
	if (!bytes || reader->size || table->row_count > max_rows)
		return -EBADMSG;
	table->words = malloc(table->word_count ? table->word_count * sizeof(uint64_t) : 1);
	if (!table->words)
		return -ENOMEM;
	memcpy(table->words, bytes, table->word_count * sizeof(uint64_t));
	if (!is_sound(table))
		return -EBADMSG;
	*ret = take_ptr(table);
	return 0;
}
