#include "cfi_holes.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/elf/object_reader.h"
#include "daemon/object/machine/frame_code.h"
#include "daemon/object/machine/machine.h"
#include "daemon/object/machine/plt.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

/* Shorter ones are padding between functions, unless a function symbol says otherwise. */
#define MIN_HOLE_BYTES 32
#define MAX_ENTRIES (1u << 20)
/* Of a file with more code than this only what keeps no frame pointers is read. */
#define MAX_READ_BYTES (4u << 20)
#define MAX_NORETURN 4096
/* Stubs are so long, at the least (psABI 5.2, and those of -z now and of Intel's CET). */
#define STUB_BYTES 8

struct holes {
	Elf *elf;
	const struct cfi_span *covered;
	size_t covered_count;
	uint64_t *entries;
	size_t entry_count, entry_capacity;
	uint64_t *pointers; /* in data */
	size_t pointer_count, pointer_capacity;
	uint64_t *noreturn; /* functions, slots of pointers to them, and stubs */
	size_t noreturn_count, noreturn_capacity;
	struct cfi_code_range *ranges;
	size_t range_count, range_capacity;
	uint64_t all_bytes;
	struct cfi_span *kept; /* of them: where frame pointers are kept */
	size_t kept_count, kept_capacity;
};

static void holes_deinit(struct holes *holes)
{
	free(holes->entries);
	free(holes->pointers);
	free(holes->noreturn);
	free(holes->ranges);
	free(holes->kept);
}

/* The number of spans that start at or below addr. */
static size_t count_spans(const struct holes *holes, uint64_t addr)
{
	size_t low = 0, high = holes->covered_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (holes->covered[middle].start <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_covered(const struct holes *holes, uint64_t addr)
{
	size_t below = count_spans(holes, addr);

	return below && addr < holes->covered[below - 1].end;
}

/* ---- functions ---------------------------------------------------------------------------- */

static int add_entry(struct holes *holes, uint64_t vaddr)
{
	if (is_covered(holes, vaddr) || holes->entry_count == MAX_ENTRIES)
		return 0;
	if (array_make_room(&holes->entries, &holes->entry_capacity, holes->entry_count))
		return -ENOMEM;
	holes->entries[holes->entry_count++] = vaddr;
	return 0;
}

static int add_pointer(struct holes *holes, uint64_t vaddr)
{
	if (is_covered(holes, vaddr) || holes->pointer_count == MAX_ENTRIES)
		return 0;
	if (array_make_room(&holes->pointers, &holes->pointer_capacity, holes->pointer_count))
		return -ENOMEM;
	holes->pointers[holes->pointer_count++] = vaddr;
	return 0;
}

static int add_noreturn(struct holes *holes, uint64_t vaddr)
{
	if (holes->noreturn_count == MAX_NORETURN)
		return 0;
	if (array_make_room(&holes->noreturn, &holes->noreturn_capacity, holes->noreturn_count))
		return -ENOMEM;
	holes->noreturn[holes->noreturn_count++] = vaddr;
	return 0;
}

/* A cold part of a function is called one, too, but is jumped to. */
static int add_symbols(struct holes *holes, Elf_Scn *scn, size_t strings)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	const char *name;
	GElf_Sym sym;
	int i, r = 0;

	for (i = 0; r == 0 && data && gelf_getsym(data, i, &sym); i++) {
		name = elf_strptr(holes->elf, strings, sym.st_name);
		if (!name || strstr(name, ".cold") || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    sym.st_shndx == SHN_UNDEF)
			continue;
		r = add_entry(holes, sym.st_value);
		if (r == 0 && object_is_noreturn_name(name))
			r = add_noreturn(holes, sym.st_value);
	}
	return r;
}

/* Functions that data point to, as tables of virtual ones do; and slots of pointers to functions of
 * others that do not return. */
static int add_relocations(struct holes *holes, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Scn *symbols = elf_getscn(holes->elf, shdr->sh_link);
	Elf_Data *data = elf_getdata(scn, NULL), *symbol_data = NULL;
	GElf_Shdr symbol_shdr;
	const char *name;
	GElf_Rela rela;
	uint32_t type;
	GElf_Sym sym;
	int i, r = 0;

	if (symbols && gelf_getshdr(symbols, &symbol_shdr) && symbol_shdr.sh_type == SHT_DYNSYM)
		symbol_data = elf_getdata(symbols, NULL);
	for (i = 0; r == 0 && data && gelf_getrela(data, i, &rela); i++) {
		type = GELF_R_TYPE(rela.r_info);
		if (type == this_machine.relocation_base && rela.r_addend > 0)
			r = add_pointer(holes, (uint64_t)rela.r_addend);
		if (!symbol_data ||
		    (type != this_machine.relocation_function &&
		     type != this_machine.relocation_symbol) ||
		    !gelf_getsym(symbol_data, (int)GELF_R_SYM(rela.r_info), &sym))
			continue;
		name = elf_strptr(holes->elf, symbol_shdr.sh_link, sym.st_name);
		if (name && object_is_noreturn_name(name))
			r = add_noreturn(holes, rela.r_offset);
	}
	return r;
}

static int find_functions(struct holes *holes)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	int r = 0;

	while (r == 0 && (scn = elf_nextscn(holes->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			continue;
		if (shdr.sh_type == SHT_SYMTAB || shdr.sh_type == SHT_DYNSYM)
			r = add_symbols(holes, scn, shdr.sh_link);
		else if (shdr.sh_type == SHT_RELA && shdr.sh_flags & SHF_ALLOC)
			r = add_relocations(holes, scn, &shdr);
	}
	return r;
}

static int compare_entries(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool has_entry(const struct holes *holes, uint64_t start, uint64_t end)
{
	size_t low = 0, high = holes->entry_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (holes->entries[middle] < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < holes->entry_count && holes->entries[low] < end;
}

/* ---- holes -------------------------------------------------------------------------------- */

static int add_hole(struct holes *holes, Elf_Data *text, uint64_t vaddr, struct cfi_span hole,
		    uint64_t entry)
{
	bool has_function =
		has_entry(holes, hole.start, hole.end) || (entry >= hole.start && entry < hole.end);
	uint64_t size = hole.end - hole.start;
	int r;

	if (hole.start >= hole.end || (size < MIN_HOLE_BYTES && !has_function))
		return 0;
	if (holes->range_count && holes->ranges[holes->range_count - 1].end > hole.start)
		return 0; /* sections that overlap, or do not ascend */
	holes->all_bytes += size;
	r = array_make_room(&holes->ranges, &holes->range_capacity, holes->range_count);
	if (r < 0)
		return r;
	holes->ranges[holes->range_count++] =
		(struct cfi_code_range){ hole.start, hole.end,
					 (const uint8_t *)text->d_buf + (hole.start - vaddr) };
	return 0;
}

/* A section of code, less what is covered. */
static int add_section(struct holes *holes, Elf_Data *text, uint64_t vaddr, uint64_t entry)
{
	uint64_t at = vaddr, end = at + text->d_size, stop;
	size_t i = count_spans(holes, at);
	int r = 0;

	if (i && holes->covered[i - 1].end > at)
		at = holes->covered[i - 1].end;
	for (; r == 0 && i < holes->covered_count && holes->covered[i].start < end; i++) {
		stop = holes->covered[i].start;
		r = add_hole(holes, text, vaddr, (struct cfi_span){ at, stop }, entry);
		if (holes->covered[i].end > at)
			at = holes->covered[i].end;
	}
	return r < 0 ? r : add_hole(holes, text, vaddr, (struct cfi_span){ at, end }, entry);
}

/* By sections: a segment may hold strings and tables beside its code. */
static int find_holes(struct holes *holes, uint64_t entry)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr shdr;
	int r = 0;

	while (r == 0 && (scn = elf_nextscn(holes->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS ||
		    !(shdr.sh_flags & SHF_EXECINSTR))
			continue;
		data = elf_rawdata(scn, NULL);
		if (data && data->d_buf && data->d_size <= UINT64_MAX - shdr.sh_addr)
			r = add_section(holes, data, shdr.sh_addr, entry);
	}
	return r;
}

/* Stubs that jump through a slot of a function that does not return: those of linkers lie in
 * sections of small, equal ones. */
static int add_stubs(struct holes *holes, Elf_Data *text, uint64_t vaddr)
{
	const uint8_t *bytes = text->d_buf;
	size_t slot_count = holes->noreturn_count, i, at;
	uint64_t slot;
	int r = 0;

	for (at = 0; r == 0 && slot_count && at + STUB_BYTES <= text->d_size; at += STUB_BYTES) {
		slot = plt_slot(bytes + at, text->d_size - at, vaddr + at);
		for (i = 0; slot && r == 0 && i < slot_count; i++)
			if (holes->noreturn[i] == slot)
				r = add_noreturn(holes, vaddr + at);
	}
	return r;
}

static int find_stubs(struct holes *holes)
{
	Elf_Scn *scn = NULL;
	const char *name;
	Elf_Data *data;
	GElf_Shdr shdr;
	size_t names;
	int r = 0;

	if (elf_getshdrstrndx(holes->elf, &names) < 0)
		return 0;
	while (r == 0 && (scn = elf_nextscn(holes->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS ||
		    !(shdr.sh_flags & SHF_EXECINSTR))
			continue;
		name = elf_strptr(holes->elf, names, shdr.sh_name);
		data = name && strstr(name, "plt") ? elf_rawdata(scn, NULL) : NULL;
		if (data && data->d_buf)
			r = add_stubs(holes, data, shdr.sh_addr);
	}
	return r;
}

/* ---- frame pointers ----------------------------------------------------------------------- */

static int add_kept(struct holes *holes, uint64_t start, uint64_t end)
{
	if (holes->kept_count && holes->kept[holes->kept_count - 1].end == start) {
		holes->kept[holes->kept_count - 1].end = end;
		return 0;
	}
	if (array_make_room(&holes->kept, &holes->kept_capacity, holes->kept_count))
		return -ENOMEM;
	holes->kept[holes->kept_count++] = (struct cfi_span){ start, end };
	return 0;
}

static int find_kept(struct holes *holes)
{
	const struct cfi_code_range *range;
	enum frame_code found, before;
	uint64_t at, next;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < holes->range_count; i++) {
		range = &holes->ranges[i];
		before = FRAME_CODE_UNKNOWN;
		for (at = range->start; r == 0 && at < range->end; at = next) {
			next = range->end - at > FRAME_CODE_BLOCK_BYTES
				       ? at + FRAME_CODE_BLOCK_BYTES
				       : range->end;
			found = frame_code_judge(range->bytes + (at - range->start), next - at);
			if (found != FRAME_CODE_UNKNOWN)
				before = found;
			if (before == FRAME_CODE_KEPT)
				r = add_kept(holes, at, next);
		}
	}
	return r;
}

/* What a program is entered at is no longer. */
#define ENTRY_BYTES 64

/* Too much to be read: what keeps frame pointers is left out, but not where all stacks begin. */
static int leave_out_kept(struct holes *holes, uint64_t entry)
{
	struct cfi_code_range *ranges = NULL, *range;
	size_t i, kept = 0, count = 0, capacity = 0;
	uint64_t at, end;

	holes->all_bytes = 0;
	for (i = 0; i < holes->range_count; i++) {
		range = &holes->ranges[i];
		for (at = range->start; at < range->end; at = end) {
			while (kept < holes->kept_count && holes->kept[kept].end <= at)
				kept++;
			end = range->end;
			if (kept < holes->kept_count && holes->kept[kept].start <= at) {
				if (holes->kept[kept].end < end)
					end = holes->kept[kept].end;
				if (entry > at && entry < end)
					end = entry;
				if (entry != at)
					continue;
				if (end - at > ENTRY_BYTES)
					end = at + ENTRY_BYTES;
			} else if (kept < holes->kept_count && holes->kept[kept].start < end) {
				end = holes->kept[kept].start;
			}
			if (array_make_room(&ranges, &capacity, count)) {
				free(ranges);
				return -ENOMEM;
			}
			ranges[count++] =
				(struct cfi_code_range){ at, end,
							 range->bytes + (at - range->start) };
			holes->all_bytes += end - at;
		}
	}
	free(holes->ranges);
	holes->ranges = ranges;
	holes->range_count = count;
	return 0;
}

struct pieces {
	struct cfi_code_piece *list;
	size_t count, capacity;
};

static int add_piece(struct pieces *pieces, struct cfi_code_piece piece)
{
	if (piece.start >= piece.end)
		return 0;
	if (array_make_room(&pieces->list, &pieces->capacity, pieces->count))
		return -ENOMEM;
	pieces->list[pieces->count++] = piece;
	return 0;
}

/* What was read, and frame pointers in between where they are kept. */
static int fill_with_kept(const struct holes *holes, const struct cfi_code_piece *read,
			  size_t read_count, struct pieces *ret)
{
	const struct dhat_row chain = { .cfa = DHAT_CFA_CHAIN };
	size_t i = 0, kept;
	uint64_t at;
	int r = 0;

	for (kept = 0; r == 0 && kept < holes->kept_count; kept++) {
		const struct cfi_span *span = &holes->kept[kept];

		for (; r == 0 && i < read_count && read[i].end <= span->start; i++)
			r = add_piece(ret, read[i]);
		at = span->start;
		for (; r == 0 && i < read_count && read[i].start < span->end; i++) {
			r = add_piece(ret, (struct cfi_code_piece){ at, read[i].start, chain });
			if (r == 0)
				r = add_piece(ret, read[i]);
			at = read[i].end;
		}
		if (r == 0)
			r = add_piece(ret, (struct cfi_code_piece){ at, span->end, chain });
	}
	for (; r == 0 && i < read_count; i++)
		r = add_piece(ret, read[i]);
	return r;
}

int cfi_holes_read(Elf *elf, const struct cfi_span *covered, size_t covered_count, uint64_t entry,
		   struct cfi_code_piece **ret, size_t *ret_count, uint32_t *ret_unread)
{
	_cleanup_(holes_deinit) struct holes holes = {
		.elf = elf,
		.covered = covered,
		.covered_count = covered_count,
	};
	_cleanup_free_ struct cfi_code_piece *read = NULL;
	struct pieces pieces = {};
	size_t read_count = 0;
	int r;

	*ret_count = *ret_unread = 0;
	if (is_covered(&holes, entry))
		entry = 0;
	r = find_functions(&holes);
	if (r < 0)
		return r;
	if (holes.entry_count)
		qsort(holes.entries, holes.entry_count, sizeof(*holes.entries), compare_entries);
	r = find_holes(&holes, entry);
	if (r == 0)
		r = find_kept(&holes);
	if (r == 0 && holes.all_bytes > MAX_READ_BYTES)
		r = leave_out_kept(&holes, entry);
	if (r == 0)
		r = find_stubs(&holes);
	if (r == 0 && holes.noreturn_count)
		qsort(holes.noreturn, holes.noreturn_count, sizeof(*holes.noreturn),
		      compare_entries);
	if (r == 0 && holes.range_count && (holes.entry_count || holes.pointer_count || entry)) {
		const struct cfi_code code = {
			.ranges = holes.ranges,
			.range_count = holes.range_count,
			.entries = holes.entries,
			.entry_count = holes.entry_count,
			.pointers = holes.pointers,
			.pointer_count = holes.pointer_count,
			.noreturn = holes.noreturn,
			.noreturn_count = holes.noreturn_count,
			.outermost = entry,
			.ret_unread = ret_unread,
		};

		r = cfi_code_read(&code, &read, &read_count);
	}
	if (r == 0)
		r = fill_with_kept(&holes, read, read_count, &pieces);
	if (r < 0) {
		free(pieces.list);
		return r;
	}
	*ret = pieces.list;
	*ret_count = pieces.count;
	return 0;
}
