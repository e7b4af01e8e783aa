/* code_judge: do instructions tell what call frame information says?
 *
 *   code_judge [-v] [FILE...]
 *
 * cfi_code_read() is for code without call frame information, where there is nothing to judge it
 * by. So it is given code that has some, and is not told: every function that it makes rows for is
 * compared with the compiler's rows, byte by byte. Prints how much code it knows and how much of
 * that is equal. Exit 1 when less than 99.9 % of what it says is. (What differs in glibc is
 * assembler that pushes without telling its CFI. C++ is not a fair question: calls of other
 * libraries' functions that throw look as if they returned, and all of it has CFI.)
 */
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/cfi/cfi.h"
#include "daemon/object/machine/cfi_code.h"
#include "proto/base/cleanup.h"
#include "tests/unit/table_find.h"

struct text {
	struct cfi_code_range range;
	uint64_t *entries; /* of functions with CFI, from .eh_frame_hdr */
	size_t entry_count;
};

/* Tables that linkers write: pcrel sdata4, udata4, datarel sdata4. */
static bool load(Elf *elf, struct text *ret)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr shdr;
	const char *name;
	size_t names, i;
	const int32_t *pairs;

	*ret = (struct text){};
	elf_getshdrstrndx(elf, &names);
	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, shdr.sh_name) ?: "";
		data = elf_rawdata(scn, NULL);
		if (data && !strcmp(name, ".text"))
			ret->range =
				(struct cfi_code_range){ shdr.sh_addr, shdr.sh_addr + data->d_size,
							 data->d_buf };
		if (!data || strcmp(name, ".eh_frame_hdr") != 0 || data->d_size < 12)
			continue;
		pairs = (const int32_t *)data->d_buf + 3;
		ret->entry_count = *((const uint32_t *)data->d_buf + 2);
		ret->entries = calloc(ret->entry_count, sizeof(*ret->entries));
		for (i = 0; i < ret->entry_count; i++)
			ret->entries[i] = shdr.sh_addr + (uint64_t)(int64_t)pairs[2 * i];
	}
	return ret->range.bytes && ret->entries;
}

struct tally {
	uint64_t known, equal, rbp_only, different;
	unsigned int shown;
};

/* Between its pop and the ret, rbp is both in the register and still where it was saved: we say the
 * one, compilers the other. */
static bool is_rbp_equal(const struct dhat_row *row, const struct cfi_code_piece *piece)
{
	return row->fp == piece->row.fp || (row->fp < 0 && piece->row.fp == DHAT_FP_SAME &&
					    piece->row.cfa_offset <= -8 * row->fp);
}

static void compare(const struct cfi_table *table, const struct cfi_code_piece *piece,
		    struct tally *tally, bool is_verbose)
{
	const struct dhat_row *found;
	struct dhat_row plain, *row = &plain;
	bool is_same_place;
	uint64_t at;

	for (at = piece->start; at < piece->end; at++) {
		found = cfi_table_find(table, at);
		if (!found || (found->cfa & DHAT_CFA_KIND) == DHAT_CFA_NO_RULE)
			continue;
		plain = *found;
		plain.cfa &= DHAT_CFA_KIND;
		tally->known++;
		/* rsp + n here may be rbp + m there: both right, not comparable */
		is_same_place =
			row->cfa != piece->row.cfa || row->cfa_offset == piece->row.cfa_offset;
		if (row->cfa != DHAT_CFA_SP && row->cfa != DHAT_CFA_FP)
			is_same_place = row->cfa == piece->row.cfa;
		if (is_same_place && is_rbp_equal(row, piece)) {
			tally->equal++;
			continue;
		}
		if (is_same_place)
			tally->rbp_only++;
		else
			tally->different++;
		if (is_verbose && at == piece->start && tally->shown++ < 10)
			printf("  %#" PRIx64 ": %d %+d rbp %d, compiler: %d %+d rbp %d\n", at,
			       piece->row.cfa, piece->row.cfa_offset, piece->row.fp, row->cfa,
			       row->cfa_offset, row->fp);
	}
}

static bool judge_file(const char *path, bool is_verbose)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct cfi_code_piece *pieces = NULL;
	struct cfi_table *table = NULL;
	struct cfi_code code;
	struct dhat_error err = {};
	struct tally tally = {};
	const struct dhat_row *row;
	struct text text;
	bool is_loaded;
	size_t i, count = 0;
	Elf *elf = NULL;
	double share;

	if (fd < 0 || cfi_build(fd, 16 << 20, &table, &err) < 0) {
		printf("%s: %s\n", path, err.message);
		return false;
	}
	elf = elf_begin(fd, ELF_C_READ, NULL);
	is_loaded = load(elf, &text);
	for (i = 0; i < text.entry_count; i++) { /* cold parts are no functions */
		row = cfi_table_find(table, text.entries[i]);
		if (!row || (row->cfa & DHAT_CFA_KIND) != DHAT_CFA_SP || row->cfa_offset != 8)
			text.entries[i] = 0;
	}
	code = (struct cfi_code){ .ranges = &text.range,
				  .range_count = 1,
				  .entries = text.entries,
				  .entry_count = text.entry_count };
	if (is_loaded && cfi_code_read(&code, &pieces, &count) == 0) {
		for (i = 0; i < count; i++)
			compare(table, &pieces[i], &tally, is_verbose);
	}
	share = tally.known ? 100.0 * (double)tally.equal / (double)tally.known : 0;
	printf("# %s: says something of %.1f %% of the code; of that %.4f %% equal, %" PRIu64
	       " bytes other rbp, %" PRIu64 " other CFA\n",
	       path, 100.0 * (double)tally.known / (double)table->code_bytes, share, tally.rbp_only,
	       tally.different);
	free(pieces);
	free(text.entries);
	cfi_table_free(table);
	elf_end(elf);
	return share >= 99.9;
}

int main(int argc, char **argv)
{
	static char *const default_files[] = { "/lib/x86_64-linux-gnu/libc.so.6",
					       "/usr/bin/python3", NULL };
	bool is_verbose = argc > 1 && !strcmp(argv[1], "-v"), is_good = true;
	char *const *file = argc > 1 + is_verbose ? argv + 1 + is_verbose : default_files;

	elf_version(EV_CURRENT);
	for (; *file; file++)
		is_good &= judge_file(*file, is_verbose);
	return is_good ? 0 : 1;
}
