#include "cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "cfi_endless.h"
#include "cfi_holes.h"
#include "cfi_program.h"
#include "cfi_rows.h"
#include "daemon/object/machine/machine.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

/* The biggest sections there are belong to browsers (tens of MB); this bounds a decompression. */
#define MAX_SECTION_BYTES (512u << 20)
#define MAX_DYNAMIC_BYTES (1u << 20)
#define MAX_EXEC_SEGMENTS 32

struct fde {
	uint64_t start, end;
	const uint8_t *program;
	uint32_t program_size;
	uint32_t cie; /* index */
};

struct segment {
	uint64_t start, end;
};

/* Everything of one build. The sections' bytes belong to the Elf. */
struct build {
	Elf *elf;
	GElf_Ehdr ehdr;
	uint64_t entry; /* 0: not entered from outside */
	struct segment segments[MAX_EXEC_SEGMENTS];
	size_t segment_count;
	struct cfi_section sections[2]; /* .eh_frame, .debug_frame */
	struct cfi_cie *cies;
	size_t cie_count, cie_capacity;
	struct fde *fdes;
	size_t fde_count, fde_capacity;
	struct cfi_texts texts;
	struct cfi_code_piece *pieces; /* of code without CFI */
	uint32_t unread_functions;     /* of it */
	size_t piece_count, next_piece;
	uint32_t max_rows;
	struct cfi_rows *rows;
};

static void build_deinit(struct build *build)
{
	free(build->cies);
	free(build->fdes);
	free(build->pieces);
	cfi_rows_free(build->rows);
	if (build->elf)
		elf_end(build->elf);
}

/* ---- ELF ---------------------------------------------------------------------------------- */

static int read_headers(struct build *build, struct dhat_error *err)
{
	size_t i, count;
	GElf_Phdr phdr;

	if (elf_kind(build->elf) != ELF_K_ELF || !gelf_getehdr(build->elf, &build->ehdr))
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "not an ELF file: %s",
				      elf_errmsg(-1));
	if (build->ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    build->ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    build->ehdr.e_machine != this_machine.elf ||
	    (build->ehdr.e_type != ET_EXEC && build->ehdr.e_type != ET_DYN))
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUITABLE,
				      "not a program or library for %s", this_machine.name);
	if (elf_getphdrnum(build->elf, &count) < 0)
		count = 0;
	for (i = 0; i < count && build->segment_count < MAX_EXEC_SEGMENTS; i++) {
		if (!gelf_getphdr(build->elf, (int)i, &phdr))
			break;
		if (phdr.p_type != PT_LOAD || !(phdr.p_flags & PF_X) || !phdr.p_memsz ||
		    phdr.p_memsz > UINT64_MAX - phdr.p_vaddr)
			continue;
		build->segments[build->segment_count++] =
			(struct segment){ phdr.p_vaddr, phdr.p_vaddr + phdr.p_memsz };
	}
	return 0;
}

/* The section's bytes, inflated if need be; NULL if it has none or they make no sense. */
static Elf_Data *section_data(Elf_Scn *scn, const GElf_Shdr *shdr)
{
	GElf_Chdr chdr;

	if (shdr->sh_type == SHT_NOBITS || shdr->sh_size > MAX_SECTION_BYTES)
		return NULL;
	if (shdr->sh_flags & SHF_COMPRESSED) {
		if (!gelf_getchdr(scn, &chdr) || chdr.ch_size > MAX_SECTION_BYTES ||
		    elf_compress(scn, 0, 0) < 0)
			return NULL;
	}
	return elf_rawdata(scn, NULL);
}

static Elf_Data *find_section(struct build *build, const char *wanted, uint64_t *ret_vaddr)
{
	Elf_Scn *scn = NULL;
	const char *name;
	GElf_Shdr shdr;
	size_t names;

	if (elf_getshdrstrndx(build->elf, &names) < 0)
		return NULL;
	while ((scn = elf_nextscn(build->elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			continue;
		name = elf_strptr(build->elf, names, shdr.sh_name);
		if (!name || strcmp(name, wanted) != 0)
			continue;
		*ret_vaddr = shdr.sh_addr;
		return section_data(scn, &shdr);
	}
	return NULL;
}

static bool read_eh_frame_header(struct build *build, const GElf_Phdr *header, uint64_t *ret_vaddr)
{
	struct cfi_section section = { .vaddr = header->p_vaddr };
	uint8_t encoding;
	struct bytes bytes;
	Elf_Data *data;

	data = elf_getdata_rawchunk(build->elf, (int64_t)header->p_offset, 16, ELF_T_BYTE);
	if (!data || !data->d_buf)
		return false;
	section.start = data->d_buf;
	bytes = bytes_of(data->d_buf, data->d_size);
	if (bytes_read(&bytes, 1) != 1) /* version */
		return false;
	encoding = (uint8_t)bytes_read(&bytes, 1);
	bytes_skip(&bytes, 2); /* encodings of the search table, which is not used */
	*ret_vaddr = cfi_read_address(&bytes, &section, encoding, true);
	return !bytes.is_bad;
}

/* Without section headers: PT_GNU_EH_FRAME tells where .eh_frame begins (LSB 10.6.2), and a zero
 * length where it ends. */
static Elf_Data *find_eh_frame_by_segment(struct build *build, uint64_t *ret_vaddr)
{
	GElf_Phdr phdr, header = {};
	size_t i, count, size;
	uint64_t skip;

	if (elf_getphdrnum(build->elf, &count) < 0)
		return NULL;
	for (i = 0; i < count && header.p_type != PT_GNU_EH_FRAME; i++) {
		if (!gelf_getphdr(build->elf, (int)i, &header))
			return NULL;
	}
	if (header.p_type != PT_GNU_EH_FRAME || !read_eh_frame_header(build, &header, ret_vaddr))
		return NULL;
	for (i = 0; i < count; i++) {
		if (!gelf_getphdr(build->elf, (int)i, &phdr))
			return NULL;
		if (phdr.p_type != PT_LOAD || *ret_vaddr < phdr.p_vaddr ||
		    *ret_vaddr - phdr.p_vaddr >= phdr.p_filesz)
			continue;
		skip = *ret_vaddr - phdr.p_vaddr;
		size = phdr.p_filesz - skip;
		if (size > MAX_SECTION_BYTES || phdr.p_offset > INT64_MAX - skip)
			return NULL;
		return elf_getdata_rawchunk(build->elf, (int64_t)(phdr.p_offset + skip), size,
					    ELF_T_BYTE);
	}
	return NULL;
}

/* ---- CIEs --------------------------------------------------------------------------------- */

/* The letters that compilers write (LSB 10.6.1.1.1); any other leaves the CIE unused. */
static bool read_augmentation(struct cfi_cie *cie, const Dwarf_CIE *from)
{
	struct bytes bytes = bytes_of(from->augmentation_data, 0);
	const char *letter = from->augmentation;
	uint8_t encoding;

	if (!*letter)
		return true;
	if (*letter++ != 'z')
		return false;
	if (from->augmentation_data)
		bytes = bytes_of(from->augmentation_data, from->augmentation_data_size);
	cie->has_augmentation_size = true;
	for (; *letter; letter++) {
		switch (*letter) {
		case 'L': /* encoding of the language data */
			bytes_skip(&bytes, 1);
			break;
		case 'P': /* personality routine */
			encoding = (uint8_t)bytes_read(&bytes, 1);
			cfi_read_address(&bytes, cie->section, encoding, false);
			break;
		case 'R':
			cie->encoding = (uint8_t)bytes_read(&bytes, 1);
			break;
		case 'S':
			cie->is_signal_frame = true;
			break;
		default:
			return false;
		}
	}
	return !bytes.is_bad;
}

static int add_cie(struct build *build, const struct cfi_section *section, uint64_t offset,
		   const Dwarf_CIE *from)
{
	struct cfi_cie *cie;
	int r;

	r = build->cie_count < build->max_rows
		    ? array_make_room(&build->cies, &build->cie_capacity, build->cie_count)
		    : -E2BIG;
	if (r < 0)
		return r;
	cie = &build->cies[build->cie_count++];
	*cie = (struct cfi_cie){
		.section = section,
		.offset = offset,
		.code_align = from->code_alignment_factor,
		.data_align = from->data_alignment_factor,
		.ra_reg = from->return_address_register,
		.encoding = DW_EH_PE_absptr,
	};
	cie->is_usable = read_augmentation(cie, from) && cie->ra_reg == this_machine.dwarf_ra &&
			 cfi_program_begin(cie, from->initial_instructions,
					   (size_t)(from->initial_instructions_end -
						    from->initial_instructions)) == 0;
	return 0;
}

/* CIEs are added in ascending order of (section, offset): binary search. */
static bool find_cie(const struct build *build, const struct cfi_section *section, uint64_t offset,
		     uint32_t *ret)
{
	size_t low = 0, high = build->cie_count, middle;
	const struct cfi_cie *cie;

	while (low < high) {
		middle = low + (high - low) / 2;
		cie = &build->cies[middle];
		if (cie->section == section && cie->offset == offset) {
			*ret = (uint32_t)middle;
			return cie->is_usable;
		}
		if (cie->section < section || (cie->section == section && cie->offset < offset))
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* ---- FDEs --------------------------------------------------------------------------------- */

/* Cut [*start, *end) to the executable segment it begins in; false if it begins in none, as the
 * FDEs of code that the linker dropped do. */
static bool clip_to_code(const struct build *build, uint64_t start, uint64_t *end)
{
	const struct segment *segment;
	size_t i;

	for (i = 0; i < build->segment_count; i++) {
		segment = &build->segments[i];
		if (start < segment->start || start >= segment->end)
			continue;
		if (*end > segment->end)
			*end = segment->end;
		return true;
	}
	return false;
}

static int add_fde(struct build *build, const struct cfi_section *section, const Dwarf_FDE *from)
{
	struct bytes bytes = bytes_of(from->start, (size_t)(from->end - from->start));
	struct fde fde = {};
	uint64_t size;
	int r;

	if (!find_cie(build, section, from->CIE_pointer, &fde.cie))
		return 0;
	fde.start = cfi_read_address(&bytes, section, build->cies[fde.cie].encoding, true);
	size = cfi_read_address(&bytes, section, build->cies[fde.cie].encoding, false);
	if (build->cies[fde.cie].has_augmentation_size)
		bytes_skip(&bytes, bytes_read_uleb(&bytes));
	if (bytes.is_bad || !size || bytes_left(&bytes) > UINT32_MAX)
		return 0;
	if (!fde.start && section == &build->sections[1])
		return 0; /* where linkers put dropped code in .debug_frame */
	fde.end = size > UINT64_MAX - fde.start ? UINT64_MAX : fde.start + size;
	if (!clip_to_code(build, fde.start, &fde.end))
		return 0;
	fde.program = bytes.at;
	fde.program_size = (uint32_t)bytes_left(&bytes);
	r = build->fde_count < build->max_rows
		    ? array_make_room(&build->fdes, &build->fde_capacity, build->fde_count)
		    : -E2BIG;
	if (r < 0)
		return r;
	build->fdes[build->fde_count++] = fde;
	return 0;
}

/* One walk over a section for its CIEs, another for its FDEs: an FDE may come before its CIE in
 * .debug_frame, and a CIE is decoded once however many refer to it. */
static int walk_section(struct build *build, const struct cfi_section *section, Elf_Data *data,
			bool want_cies)
{
	bool is_eh = section == &build->sections[0];
	Dwarf_Off offset = 0, next = 0;
	Dwarf_CFI_Entry entry;
	int found, r = 0;

	for (;; offset = next) {
		found = dwarf_next_cfi(build->ehdr.e_ident, data, is_eh, offset, &next, &entry);
		if (found > 0)
			return 0;
		if (next == (Dwarf_Off)-1 || next <= offset)
			return 0; /* broken beyond this entry */
		if (found < 0)
			continue;
		if (dwarf_cfi_cie_p(&entry) && want_cies)
			r = add_cie(build, section, offset, &entry.cie);
		else if (!dwarf_cfi_cie_p(&entry) && !want_cies)
			r = add_fde(build, section, &entry.fde);
		if (r < 0)
			return r;
	}
}

static int read_section(struct build *build, struct cfi_section *section, Elf_Data *data,
			uint64_t vaddr)
{
	int r;

	if (!data || !data->d_buf || !data->d_size)
		return 0;
	section->start = data->d_buf;
	section->vaddr = vaddr;
	r = walk_section(build, section, data, true);
	if (r < 0)
		return r;
	return walk_section(build, section, data, false);
}

static int read_sections(struct build *build)
{
	uint64_t vaddr = 0;
	Elf_Data *data;
	int r;

	data = find_section(build, ".eh_frame", &vaddr);
	if (!data)
		data = find_eh_frame_by_segment(build, &vaddr);
	r = read_section(build, &build->sections[0], data, vaddr);
	if (r < 0)
		return r;
	/* Some objects have .eh_frame for their start-up files only and the rest here. */
	vaddr = 0;
	data = find_section(build, ".debug_frame", &vaddr);
	return read_section(build, &build->sections[1], data, vaddr);
}

/* ---- rows --------------------------------------------------------------------------------- */

struct emit_context {
	struct cfi_rows *rows;
	bool is_signal_frame, is_endless;
};

static int emit_state(void *data, uint64_t start, uint64_t end, const struct cfi_state *state)
{
	struct emit_context *context = data;
	bool is_whole;
	struct dhat_row row;

	is_whole = cfi_row_of_state(state, context->is_signal_frame, &row);
	if (context->is_endless)
		row.cfa |= DHAT_CFA_ENDLESS;
	return cfi_rows_add(context->rows, start, end, row, is_whole);
}

/* Equal starts: .eh_frame before .debug_frame, then the order in the section. */
static int compare_fdes(const void *a, const void *b)
{
	const struct fde *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->cie != y->cie)
		return x->cie < y->cie ? -1 : 1;
	return x->program < y->program ? -1 : x->program > y->program;
}

static int run_fde(struct build *build, const struct fde *fde, uint64_t end)
{
	const struct cfi_cie *cie = &build->cies[fde->cie];
	struct emit_context context = { build->rows, cie->is_signal_frame,
					cfi_is_endless(&build->texts, fde->start, end) };
	uint64_t bad_pc = end;
	int r;

	r = cfi_program_run(cie, fde->program, fde->program_size, fde->start, end, emit_state,
			    &context, &bad_pc);
	if (r != -EINVAL || bad_pc >= end)
		return r;
	return cfi_rows_add(build->rows, bad_pc, end, (struct dhat_row){ .cfa = DHAT_CFA_NO_RULE },
			    false);
}

/* Only programs and the dynamic linker are entered at their entry point, and nothing called them
 * there (psABI 3.4.1): constructors of libraries run from the dynamic linker's. In other libraries
 * linkers put just any address there. A dynamic linker is the library that needs no other. */
static bool is_entered(const struct build *build)
{
	GElf_Phdr phdr, dynamic = {};
	GElf_Dyn entry;
	size_t i, count;
	Elf_Data *data;

	if (build->ehdr.e_type == ET_EXEC)
		return true;
	if (elf_getphdrnum(build->elf, &count) < 0)
		return false;
	for (i = 0; i < count; i++) {
		if (!gelf_getphdr(build->elf, (int)i, &phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return true;
		if (phdr.p_type == PT_DYNAMIC)
			dynamic = phdr;
	}
	if (!dynamic.p_filesz || dynamic.p_filesz > MAX_DYNAMIC_BYTES)
		return false;
	data = elf_getdata_rawchunk(build->elf, (int64_t)dynamic.p_offset, dynamic.p_filesz,
				    ELF_T_DYN);
	for (i = 0; data && gelf_getdyn(data, (int)i, &entry); i++) {
		if (entry.d_tag == DT_NEEDED)
			return false;
	}
	return data;
}

/* Pieces of code without CFI (cfi_holes.h) that lie in [start, end). */
static int add_pieces(struct build *build, uint64_t start, uint64_t end)
{
	struct cfi_code_piece *piece;
	uint64_t stop;
	int r;

	for (; build->next_piece < build->piece_count; build->next_piece++) {
		piece = &build->pieces[build->next_piece];
		if (piece->start >= end)
			return 0;
		stop = piece->end < end ? piece->end : end;
		if (piece->start < start || stop <= piece->start)
			continue;
		piece->row.cfa |= DHAT_CFA_READ;
		r = cfi_rows_add(build->rows, piece->start, stop, piece->row, true);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_holes(struct build *build)
{
	_cleanup_free_ struct cfi_span *covered = NULL;
	size_t i;

	covered = calloc(build->fde_count + 1, sizeof(*covered));
	if (!covered)
		return -ENOMEM;
	for (i = 0; i < build->fde_count; i++)
		covered[i] = (struct cfi_span){ build->fdes[i].start, build->fdes[i].end };
	return cfi_holes_read(build->elf, covered, build->fde_count, build->entry, &build->pieces,
			      &build->piece_count, &build->unread_functions);
}

/* Overlapping FDEs: each holds until the next one starts, as in a search of .eh_frame_hdr. */
static int add_all_rows(struct build *build)
{
	uint64_t covered = 0, next;
	struct fde *fde;
	size_t i;
	int r;

	for (i = 0; i < build->fde_count; i++) {
		fde = &build->fdes[i];
		if (i && fde->start == fde[-1].start)
			continue;
		r = add_pieces(build, covered, fde->start);
		if (r < 0)
			return r;
		for (next = i + 1; next < build->fde_count; next++) {
			if (build->fdes[next].start != fde->start)
				break;
		}
		covered = fde->end;
		if (next < build->fde_count && build->fdes[next].start < covered)
			covered = build->fdes[next].start;
		r = run_fde(build, fde, covered);
		if (r < 0)
			return r;
	}
	return add_pieces(build, covered, UINT64_MAX);
}

static uint64_t first_code(const struct build *build)
{
	uint64_t first = UINT64_MAX;

	if (build->fde_count)
		first = build->fdes[0].start;
	if (build->piece_count && build->pieces[0].start < first)
		first = build->pieces[0].start;
	return first;
}

static int build_table(struct build *build, struct cfi_table **ret, struct dhat_error *err)
{
	int r;

	r = read_headers(build, err);
	if (r < 0)
		return r;
	build->entry = is_entered(build) ? build->ehdr.e_entry : 0;
	cfi_texts_find(build->elf, &build->texts);
	r = read_sections(build);
	if (r == 0 && build->fde_count)
		qsort(build->fdes, build->fde_count, sizeof(*build->fdes), compare_fdes);
	if (r == 0)
		r = read_holes(build);
	if (r == 0 && !build->fde_count && !build->piece_count)
		return dhat_error_set(
			err, ENODATA, DHAT_EXIT_BAD_FILE,
			"no call frame information (.eh_frame or .debug_frame), and no "
			"function symbols");
	if (r == 0)
		r = cfi_rows_new(first_code(build), build->max_rows, &build->rows);
	if (r == 0)
		r = add_all_rows(build);
	if (r == 0)
		r = cfi_rows_finish(build->rows, ret);
	if (r == -E2BIG)
		return dhat_error_set(err, E2BIG, DHAT_EXIT_BAD_FILE,
				      "more than %u unwind rows, or code too far apart",
				      build->max_rows);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot build unwind rows");
	(*ret)->unread_functions = build->unread_functions;
	return 0;
}

int cfi_build(int fd, uint32_t max_rows, struct cfi_table **ret, struct dhat_error *err)
{
	_cleanup_(build_deinit) struct build build = { .max_rows = max_rows };

	elf_version(EV_CURRENT);
	build.elf = elf_begin(fd, ELF_C_READ, NULL); /* read, not mapped: the file may shrink */
	if (!build.elf)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "not an ELF file: %s",
				      elf_errmsg(-1));
	return build_table(&build, ret, err);
}

int cfi_find_starts(int fd, const uint64_t *vaddrs, size_t count, uint64_t *starts)
{
	_cleanup_(build_deinit) struct build build = { .max_rows = UINT32_MAX };
	int r;

	elf_version(EV_CURRENT);
	build.elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!build.elf)
		return -EBADMSG;
	r = read_headers(&build, NULL);
	if (r == 0)
		r = read_sections(&build);
	if (r < 0)
		return r;
	for (size_t i = 0; i < build.fde_count; i++)
		for (size_t j = 0; j < count; j++)
			if (build.fdes[i].start <= vaddrs[j] && vaddrs[j] < build.fdes[i].end &&
			    build.fdes[i].start > starts[j])
				starts[j] = build.fdes[i].start;
	return build.fde_count ? 0 : -ENODATA;
}
