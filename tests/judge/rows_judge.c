/* rows_judge: are our unwind rows what libdw reads out of the same file?
 *
 *   rows_judge [FILE...]
 *
 * libdw's own unwinder interface (dwarf_cfi_addrframe) is asked about every range in which neither
 * its answer nor ours changes, at the range's first and last address. Each answer must be our row,
 * or be one of the kinds that a row cannot hold, where ours must say so. Prints how much code
 * follows each kind of rule. Exit 1 when a row differs, or more than 1 % of the code cannot be
 * described, or a table takes more than 300 KB per MB of code.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/object/cfi/cfi.h"
#include "proto/base/cleanup.h"
#include "tests/unit/table_find.h"

#define MAX_ROWS (16u << 20)

/* Why code has no row. Anything else that differs is an error. */
enum kind {
	KIND_ROW,	   /* equal */
	KIND_END,	   /* return address undefined: both say so */
	KIND_CODE,	   /* no CFI: read out of the instructions; code_judge judges that */
	KIND_GAP,	   /* no CFI: both say so */
	KIND_CFA_REGISTER, /* CFA by another register than rsp and rbp */
	KIND_CFA_EXPRESSION,
	KIND_RA,     /* return address elsewhere than at CFA - 8 */
	KIND_RSP,    /* rsp of the caller is not the CFA */
	KIND_RBP,    /* CFA equal, rbp saved where a row cannot say */
	KIND_BROKEN, /* libdw cannot read it either */
	KIND_WRONG,
	KIND_COUNT
};

static const char *const kind_names[KIND_COUNT] = {
	"equal",
	"end of stack",
	"by the code",
	"no CFI",
	"CFA by other register",
	"CFA by expression",
	"odd return address",
	"odd rsp",
	"odd rbp",
	"broken CFI",
	"WRONG",
};

static const char *const cfa_names[8] = { "no rule", "rsp", "rbp", "plt", "signal", "end", "*rbp" };

struct judge {
	Elf *elf;
	Dwarf *dwarf;
	Dwarf_CFI *eh, *debug;
	int32_t *search_table; /* .eh_frame_hdr: pairs, relative to search_base */
	size_t search_count;
	uint64_t search_base;
	uint64_t bytes_by_kind[KIND_COUNT];
	uint64_t wrong_count;
};

struct answer {
	bool is_known;
	uint64_t start, end;
	Dwarf_Frame *frame;
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- asking libdw ------------------------------------------------------------------------- */

static void ask(struct judge *judge, uint64_t pc, struct answer *ret)
{
	Dwarf_CFI *sources[] = { judge->eh, judge->debug };
	size_t i;

	*ret = (struct answer){};
	for (i = 0; i < ARRAY_SIZE(sources); i++) {
		if (!sources[i] || dwarf_cfi_addrframe(sources[i], pc, &ret->frame) != 0)
			continue;
		ret->is_known = dwarf_frame_info(ret->frame, &ret->start, &ret->end, NULL) >= 0;
		return;
	}
}

static bool is_ops(const Dwarf_Op *ops, size_t count, const uint8_t *atoms, size_t atom_count)
{
	size_t i;

	if (count != atom_count)
		return false;
	for (i = 0; i < count; i++) {
		if (ops[i].atom != atoms[i])
			return false;
	}
	return true;
}

/* DW_OP_bregN or DW_OP_bregx: which register, how far. */
static bool is_breg(const Dwarf_Op *op, uint64_t *ret_reg, int64_t *ret_offset)
{
	if (op->atom == DW_OP_bregx) {
		*ret_reg = op->number;
		*ret_offset = (int64_t)op->number2;
		return true;
	}
	if (op->atom < DW_OP_breg0 || op->atom > DW_OP_breg31)
		return false;
	*ret_reg = op->atom - DW_OP_breg0;
	*ret_offset = (int64_t)op->number;
	return true;
}

struct place { /* of a register of the caller */
	enum { SAME, UNDEFINED, AT_CFA, IS_CFA_PLUS, AT_REG, OTHER } how;
	uint64_t reg;
	int64_t offset;
};

static struct place place_of(Dwarf_Frame *frame, int reg)
{
	struct place place = { .how = OTHER };
	Dwarf_Op memory[3], *ops;
	bool is_value;
	size_t count;

	if (dwarf_frame_register(frame, reg, memory, &ops, &count) != 0)
		return place;
	if (count == 0) {
		place.how = ops ? UNDEFINED : SAME;
		return place;
	}
	is_value = ops[count - 1].atom == DW_OP_stack_value;
	if (is_value)
		count--;
	if (ops[0].atom == DW_OP_call_frame_cfa && count <= 2) {
		/* saved where an expression says: libdw puts the CFA first, which the expression
		 * may then ignore */
		if (count == 2 && !is_value && is_breg(&ops[1], &place.reg, &place.offset)) {
			place.how = AT_REG;
			return place;
		}
		if (count == 2 && ops[1].atom != DW_OP_plus_uconst)
			return place;
		place.how = is_value ? IS_CFA_PLUS : AT_CFA;
		place.offset = count == 2 ? (int64_t)ops[1].number : 0;
		return place;
	}
	return place;
}

static bool is_plt(const Dwarf_Op *ops, size_t count, int32_t threshold)
{
	static const uint8_t atoms[] = { DW_OP_breg7, DW_OP_breg16, DW_OP_lit15, DW_OP_and, 0,
					 DW_OP_ge,    DW_OP_lit3,   DW_OP_shl,	 DW_OP_plus };
	uint8_t wanted[sizeof(atoms)];

	memcpy(wanted, atoms, sizeof(atoms));
	wanted[4] = (uint8_t)(DW_OP_lit0 + threshold);
	return is_ops(ops, count, wanted, sizeof(wanted)) && ops[0].number == 8 &&
	       ops[1].number == 0;
}

/* ---- comparing ---------------------------------------------------------------------------- */

static enum kind judge_rbp(const struct dhat_row *row, struct place rbp)
{
	switch (rbp.how) {
	case SAME:
		return row->fp == DHAT_FP_SAME ? KIND_ROW : KIND_WRONG;
	case UNDEFINED:
		return row->fp == DHAT_FP_UNDEFINED ? KIND_ROW : KIND_WRONG;
	case AT_CFA:
		if (rbp.offset < 0 && rbp.offset >= -1024 && rbp.offset % 8 == 0)
			return row->fp * 8 == rbp.offset ? KIND_ROW : KIND_WRONG;
		break;
	case AT_REG:
		if (rbp.reg == 6 && rbp.offset == 0)
			return row->fp == DHAT_FP_AT_FP ? KIND_ROW : KIND_WRONG;
		break;
	default:
		break;
	}
	return row->fp == DHAT_FP_UNDEFINED ? KIND_RBP : KIND_WRONG;
}

static enum kind judge_signal(const struct dhat_row *row, Dwarf_Frame *frame, struct place ra)
{
	struct place rbp = place_of(frame, 6);
	Dwarf_Op *ops;
	size_t count;

	if (dwarf_frame_cfa(frame, &ops, &count) != 0)
		return KIND_WRONG;
	if (count == 2 && ops[0].atom == DW_OP_breg7 && ops[0].number == 160 &&
	    ops[1].atom == DW_OP_deref && ra.how == AT_REG && ra.reg == 7 && ra.offset == 168 &&
	    rbp.how == AT_REG && rbp.reg == 7 && rbp.offset == 120)
		return row->cfa == DHAT_CFA_SIGNAL ? KIND_ROW : KIND_WRONG;
	return row->cfa == DHAT_CFA_NO_RULE ? KIND_RA : KIND_WRONG;
}

static enum kind judge_cfa(const struct dhat_row *row, Dwarf_Frame *frame)
{
	uint64_t reg = 0;
	int64_t offset = 0;
	Dwarf_Op *ops;
	size_t count;
	bool is_equal;

	if (dwarf_frame_cfa(frame, &ops, &count) != 0)
		return row->cfa == DHAT_CFA_NO_RULE ? KIND_BROKEN : KIND_WRONG;
	if (count == 1 && is_breg(&ops[0], &reg, &offset)) {
		if (reg != 6 && reg != 7)
			return row->cfa == DHAT_CFA_NO_RULE ? KIND_CFA_REGISTER : KIND_WRONG;
		is_equal = row->cfa == (reg == 7 ? DHAT_CFA_SP : DHAT_CFA_FP) &&
			   row->cfa_offset == offset;
		return is_equal ? KIND_ROW : KIND_WRONG;
	}
	if (row->cfa == DHAT_CFA_PLT)
		return is_plt(ops, count, row->cfa_offset) ? KIND_ROW : KIND_WRONG;
	if (count == 2 && is_breg(&ops[0], &reg, &offset) && reg == 6 && ops[1].atom == DW_OP_deref)
		return row->cfa == DHAT_CFA_FP_DEREF && row->cfa_offset == offset ? KIND_ROW
										  : KIND_WRONG;
	return row->cfa == DHAT_CFA_NO_RULE ? KIND_CFA_EXPRESSION : KIND_WRONG;
}

static enum kind judge_frame(const struct dhat_row *row, Dwarf_Frame *frame)
{
	struct place ra = place_of(frame, 16), rsp = place_of(frame, 7);
	bool is_signal = false;
	enum kind kind;

	if (ra.how == UNDEFINED)
		return row->cfa == DHAT_CFA_END ? KIND_END : KIND_WRONG;
	dwarf_frame_info(frame, NULL, NULL, &is_signal);
	if (is_signal)
		return judge_signal(row, frame, ra);
	if (ra.how != AT_CFA || ra.offset != -8)
		return row->cfa == DHAT_CFA_NO_RULE ? KIND_RA : KIND_WRONG;
	if (rsp.how != IS_CFA_PLUS || rsp.offset != 0)
		return row->cfa == DHAT_CFA_NO_RULE ? KIND_RSP : KIND_WRONG;
	kind = judge_cfa(row, frame);
	return kind == KIND_ROW ? judge_rbp(row, place_of(frame, 6)) : kind;
}

static enum kind judge_absent(const struct dhat_row *row)
{
	if (!row || row->cfa == DHAT_CFA_NO_RULE)
		return KIND_GAP;
	return KIND_CODE;
}

static void report_wrong(struct judge *judge, const struct dhat_row *row, uint64_t pc)
{
	if (judge->wrong_count++ < 20)
		printf("  wrong at %#" PRIx64 ": our row is %s%+d, rbp %d\n", pc,
		       row ? cfa_names[row->cfa & 7] : "none", row ? row->cfa_offset : 0,
		       row ? row->fp : 0);
}

/* ---- walking ------------------------------------------------------------------------------ */

/* The next address from pc on at which libdw may know something: from .eh_frame_hdr. */
static uint64_t next_fde(const struct judge *judge, uint64_t pc)
{
	size_t low = 0, high = judge->search_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (judge->search_base + (uint64_t)(int64_t)judge->search_table[2 * middle] <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == judge->search_count)
		return UINT64_MAX;
	return judge->search_base + (uint64_t)(int64_t)judge->search_table[2 * low];
}

/* One row's range, cut where libdw's answer changes. */
static void judge_range(struct judge *judge, const struct dhat_row *with_flags, uint64_t pc,
			uint64_t end)
{
	struct dhat_row plain = *with_flags, *row = &plain;
	struct answer answer, last;
	enum kind kind;
	uint64_t stop;

	plain.cfa &= DHAT_CFA_KIND;
	for (; pc < end; pc = stop) {
		ask(judge, pc, &answer);
		stop = answer.is_known ? answer.end : next_fde(judge, pc);
		if (stop > end || stop <= pc)
			stop = end;
		kind = answer.is_known ? judge_frame(row, answer.frame) : judge_absent(row);
		ask(judge, stop - 1, &last);
		if (last.is_known != answer.is_known ||
		    (last.is_known && judge_frame(row, last.frame) != kind))
			kind = KIND_WRONG;
		if (kind == KIND_WRONG)
			report_wrong(judge, row, pc);
		judge->bytes_by_kind[kind] += stop - pc;
		free(answer.frame);
		free(last.frame);
	}
}

static void judge_table(struct judge *judge, const struct cfi_table *table)
{
	const struct dhat_row *rows;
	struct dhat_table_head head;
	uint64_t page, row, pc, last_pc = 0;

	memcpy(&head, table->words, sizeof(head));
	rows = (const struct dhat_row *)(table->words + 2 + head.page_count);
	for (page = 0; page < head.page_count; page++) {
		for (row = table->words[1 + page]; row < table->words[2 + page]; row++) {
			pc = table->first_page_vaddr + (page << DHAT_TABLE_PAGE_SHIFT) +
			     rows[row].pc_low;
			if (row && pc <= last_pc)
				report_wrong(judge, &rows[row], pc);
			if (row)
				judge_range(judge, &rows[row - 1], last_pc, pc);
			if (cfi_table_find(table, pc) != &rows[row])
				report_wrong(judge, &rows[row], pc);
			last_pc = pc;
		}
	}
}

/* ---- files -------------------------------------------------------------------------------- */

/* Only the form that linkers write: encodings pcrel sdata4, udata4, datarel sdata4. */
static void load_search_table(struct judge *judge)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr shdr;
	size_t names;

	elf_getshdrstrndx(judge->elf, &names);
	while ((scn = elf_nextscn(judge->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) ||
		    strcmp(elf_strptr(judge->elf, names, shdr.sh_name) ?: "", ".eh_frame_hdr"))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || data->d_size < 12 || memcmp(data->d_buf, "\x01\x1b\x03\x3b", 4))
			return;
		judge->search_base = shdr.sh_addr;
		judge->search_table = (int32_t *)data->d_buf + 3;
		judge->search_count = *((uint32_t *)data->d_buf + 2);
		if (judge->search_count > (data->d_size - 12) / 8)
			judge->search_count = 0;
		return;
	}
}

static void print_share(const char *name, uint64_t bytes, uint64_t all)
{
	if (bytes)
		printf("#   %-22s %12" PRIu64 " bytes %8.4f %%\n", name, bytes,
		       100.0 * (double)bytes / (double)all);
}

static bool print_verdict(const struct judge *judge, const struct cfi_table *table, double built,
			  const char *path)
{
	double table_bytes = 8.0 * table->word_count;
	uint64_t unfit = 0;
	double share, size;
	unsigned int kind;

	for (kind = 0; kind < 8; kind++)
		print_share(cfa_names[kind] ?: "?", table->code_bytes_by_cfa[kind],
			    table->code_bytes);
	printf("#   against libdw:\n");
	for (kind = 0; kind < KIND_COUNT; kind++) {
		print_share(kind_names[kind], judge->bytes_by_kind[kind], table->code_bytes);
		if (kind >= KIND_CFA_REGISTER && kind <= KIND_BROKEN)
			unfit += judge->bytes_by_kind[kind];
	}
	share = 100.0 * (double)unfit / (double)table->code_bytes;
	size = table_bytes / 1024 / ((double)table->code_bytes / (1 << 20));
	printf("# %s: %u rows, %.1f KB, %.1f KB per MB of code, built in %.3f s; "
	       "not representable %.4f %%, wrong %" PRIu64 "\n",
	       path, table->row_count, table_bytes / 1024, size, built, share, judge->wrong_count);
	if (unfit != table->unrepresentable_bytes)
		printf("  the builder counted %" PRIu64 " bytes not representable\n",
		       table->unrepresentable_bytes);
	return !judge->wrong_count && share <= 1 && size <= 300;
}

static bool judge_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct dhat_error error = {};
	struct cfi_table *table = NULL;
	struct judge judge = {};
	double start, built;
	bool is_good;

	start = seconds();
	if (fd < 0 || cfi_build(fd, MAX_ROWS, &table, &error) < 0) {
		printf("%s: %s\n", path, fd < 0 ? strerror(errno) : error.message);
		return false;
	}
	built = seconds() - start;
	judge.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	judge.dwarf = dwarf_begin_elf(judge.elf, DWARF_C_READ, NULL);
	judge.eh = dwarf_getcfi_elf(judge.elf);
	judge.debug = judge.dwarf ? dwarf_getcfi(judge.dwarf) : NULL;
	load_search_table(&judge);
	judge_table(&judge, table);
	printf("# %s\n", path);
	is_good = print_verdict(&judge, table, built, path);
	cfi_table_free(table);
	if (judge.eh)
		dwarf_cfi_end(judge.eh);
	dwarf_end(judge.dwarf);
	elf_end(judge.elf);
	return is_good;
}

/* There wherever this was built; the last, of any version, is over 100 MB. */
static const char *const default_files[] = {
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/lib/x86_64-linux-gnu/libstdc++.so.6",
	"/usr/bin/python3",
	"/lib/x86_64-linux-gnu/libLLVM*.so.*",
};

int main(int argc, char **argv)
{
	bool is_good = true;
	size_t i;

	elf_version(EV_CURRENT);
	for (i = 1; i < (size_t)argc; i++)
		is_good &= judge_file(argv[i]);
	for (i = 0; argc == 1 && i < ARRAY_SIZE(default_files); i++) {
		glob_t found = { 0 };

		is_good &=
			!glob(default_files[i], 0, NULL, &found) && judge_file(found.gl_pathv[0]);
		globfree(&found);
	}
	return is_good ? 0 : 1;
}
