#include "data_naming.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "demangle.h"
#include "elffile.h"
#include "proto/base/cleanup.h"
#include "symtab.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

enum part { OF_WRITABLE, OF_CONSTANT, OF_BSS, PARTS };

static bool is_in(const GElf_Phdr *header, enum part part, uint64_t file_offset)
{
	bool is_writable = header->p_flags & PF_W;

	return header->p_type == PT_LOAD && is_writable == (part != OF_CONSTANT) &&
	       (is_writable || !(header->p_flags & PF_X)) && file_offset >= header->p_offset &&
	       file_offset - header->p_offset <
		       (part == OF_BSS ? header->p_memsz : header->p_filesz);
}

struct segments {
	GElf_Phdr *headers;
	size_t count;
};

static void segments_deinit(struct segments *segments)
{
	free(segments->headers);
}

static int read_segments(Elf *elf, struct segments *ret)
{
	size_t count;

	if (elf_getphdrnum(elf, &count) || count > INT32_MAX)
		return 0;
	ret->headers = calloc(count + 1, sizeof(*ret->headers));
	if (!ret->headers)
		return -ENOMEM;
	while (ret->count < count && gelf_getphdr(elf, ret->count, &ret->headers[ret->count]))
		ret->count++;
	return 0;
}

/* First among bytes of the file, of writable segments and of others; then in what memory has beyond
 * them. */
static bool find_vaddr(const struct segments *segments, uint64_t file_offset, uint64_t *ret)
{
	for (enum part part = 0; part < PARTS; part++) {
		for (size_t i = 0; i < segments->count; i++) {
			const GElf_Phdr *header = &segments->headers[i];

			if (!is_in(header, part, file_offset))
				continue;
			*ret = file_offset - header->p_offset + header->p_vaddr;
			return true;
		}
	}
	return false;
}

/* within: how far into the variable; 0: at its beginning, or not asked for. */
static int add_name(struct names *names, const struct symtab_symbol *symbol, uint64_t within,
		    struct name_frame *frame)
{
	_cleanup_free_ char *plain = demangle(symbol->name);
	struct name_location location = { 0 };
	char place[24];
	int r;

	snprintf(place, sizeof(place), "+%" PRIu64, within);
	if (within)
		location.file = names_intern(names, place);
	location.function = names_intern(names, plain ? plain : symbol->name);
	frame->vaddr = symbol->vaddr;
	frame->first_location = names->location_count;
	r = names_add_location(names, &location);
	if (r == 0)
		frame->location_count = 1;
	return r;
}

static int name_all(struct names *names, const struct elffile *object, struct symtab *symtab,
		    const struct name_query *queries, uint32_t count)
{
	_cleanup_(segments_deinit) struct segments segments = { 0 };
	const struct symtab_symbol *before = NULL;
	uint32_t last = 0; /* the frame that has its name */
	int r = read_segments(object->elf, &segments);

	for (uint32_t i = 0; i < count && r == 0; i++) {
		const struct symtab_symbol *symbol;
		uint64_t vaddr;

		if (!find_vaddr(&segments, queries[i].file_offset, &vaddr))
			continue;
		symbol = symtab_find(symtab, vaddr);
		if (symbol && symbol == before &&
		    !queries[i].is_exact_pc) { /* they come by address: one array has many */
			names->frames[i] = names->frames[last];
			continue;
		}
		if (symbol)
			r = add_name(names, symbol,
				     queries[i].is_exact_pc ? vaddr - symbol->vaddr : 0,
				     &names->frames[i]);
		before = queries[i].is_exact_pc ? NULL : symbol;
		last = i;
	}
	return r;
}

static bool is_stripped(Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB)
			return false;
	return true;
}

static int add_symbols(struct symtab *symtab, const struct elffile *file)
{
	int r = file->elf ? symtab_add_data(symtab, file->elf) : 0;

	return r == -ENOMEM ? r : 0;
}

int data_name(int fd, const struct name_query *queries, uint32_t count,
	      const struct wish_granter *granter, struct names **ret, struct dhat_error *err)
{
	_cleanup_(elffile_deinit) struct elffile object = ELFFILE_NONE, debug = ELFFILE_NONE;
	_cleanup_(symtab_deinit) struct symtab symtab = { 0 };
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_close_ int own_fd = dup(fd);
	int r = own_fd < 0 ? -errno : 0;

	if (r == 0)
		r = elffile_open(own_fd, &object, err);
	if (r)
		return r;
	take_fd(own_fd);
	if (is_stripped(object.elf))
		elffile_find_debug(&object, granter, &debug);
	r = names_new(count, &names);
	if (r == 0)
		r = add_symbols(&symtab, &object);
	if (r == 0)
		r = add_symbols(&symtab, &debug);
	if (r == 0)
		r = name_all(names, &object, &symtab, queries, count);
	if (r)
		return dhat_error_errno(err, -r, "cannot name %u addresses of variables", count);
	*ret = take_ptr(names);
	return 0;
}
