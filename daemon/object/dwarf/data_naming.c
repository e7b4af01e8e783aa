#include "data_naming.h"

#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "demangle.h"
#include "elffile.h"
#include "members.h"
#include "pointees.h"
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

struct naming {
	struct elffile object, debug, alt;
	struct names *names;
	const struct name_query *queries;
	uint32_t count;
	struct segments segments;
	struct symtab symtab;
	struct members_variable *variables; /* whose members are asked for, by address */
	size_t variable_count;
};

static void naming_deinit(struct naming *naming)
{
	segments_deinit(&naming->segments);
	symtab_deinit(&naming->symtab);
	free(naming->variables);
	elffile_deinit(&naming->object);
	elffile_deinit(&naming->debug);
	/* alt after the one that refers to it */
	elffile_deinit(&naming->alt);
}

static const struct symtab_symbol *find_symbol(struct naming *naming, uint64_t file_offset,
					       uint64_t *ret_vaddr)
{
	return find_vaddr(&naming->segments, file_offset, ret_vaddr)
		       ? symtab_find(&naming->symtab, *ret_vaddr)
		       : NULL;
}

/* ---- members -------------------------------------------------------------------------------- */

static int compare_variables(const void *a_, const void *b_)
{
	const struct members_variable *a = a_, *b = b_;

	return a->vaddr < b->vaddr ? -1 : a->vaddr > b->vaddr;
}

static int find_members(struct naming *naming, Dwarf *dwarf)
{
	size_t kept = 0;

	naming->variables = calloc(naming->count + 1ul, sizeof(*naming->variables));
	if (!naming->variables)
		return -ENOMEM;
	for (uint32_t i = 0; i < naming->count; i++) {
		uint64_t vaddr;
		const struct symtab_symbol *symbol =
			find_symbol(naming, naming->queries[i].file_offset, &vaddr);

		if (symbol)
			naming->variables[naming->variable_count++].vaddr = symbol->vaddr;
	}
	if (naming->variable_count)
		qsort(naming->variables, naming->variable_count, sizeof(*naming->variables),
		      compare_variables);
	for (size_t i = 0; i < naming->variable_count; i++)
		if (!kept || naming->variables[kept - 1].vaddr != naming->variables[i].vaddr)
			naming->variables[kept++] = naming->variables[i];
	naming->variable_count = kept;
	members_find(dwarf, naming->variables, naming->variable_count);
	return 0;
}

/* NULL: its debugging information does not tell. */
static const Dwarf_Die *type_of(const struct naming *naming, uint64_t variable)
{
	const struct members_variable asked = { .vaddr = variable };
	const struct members_variable *found =
		naming->variable_count ? bsearch(&asked, naming->variables, naming->variable_count,
						 sizeof(asked), compare_variables)
				       : NULL;

	return found && found->is_found ? &found->type : NULL;
}

/* In words: where in a variable it is. */
static void describe_place(const struct naming *naming, uint64_t variable, uint64_t within,
			   char ret[MEMBERS_PATH_CHARS])
{
	const Dwarf_Die *type = type_of(naming, variable);

	if (type && members_path(type, within, ret))
		return;
	snprintf(ret, MEMBERS_PATH_CHARS, "+%" PRIu64, within);
	if (!within)
		*ret = '\0';
}

/* ---- names ---------------------------------------------------------------------------------- */

static int add_name(const struct naming *naming, const struct symtab_symbol *symbol,
		    const char *place, struct name_frame *frame)
{
	_cleanup_free_ char *plain = demangle(symbol->name);
	struct name_location location = { 0 };
	struct names *names = naming->names;
	int r;

	location.file = names_intern(names, place);
	location.function = names_intern(names, plain ? plain : symbol->name);
	frame->vaddr = symbol->vaddr;
	frame->first_location = names->location_count;
	r = names_add_location(names, &location);
	if (r == 0)
		frame->location_count = 1;
	return r;
}

static int name_all(struct naming *naming)
{
	const struct symtab_symbol *before = NULL;
	struct names *names = naming->names;
	uint32_t last = 0; /* the frame that has its name */
	int r = 0;

	for (uint32_t i = 0; i < naming->count && r == 0; i++) {
		bool is_exact = naming->queries[i].is_exact_pc;
		char place[MEMBERS_PATH_CHARS] = "";
		uint64_t vaddr;
		const struct symtab_symbol *symbol =
			find_symbol(naming, naming->queries[i].file_offset, &vaddr);

		if (symbol && symbol == before && !is_exact) {
			/* they come by address: one array has many */
			names->frames[i] = names->frames[last];
			continue;
		}
		if (symbol && is_exact)
			describe_place(naming, symbol->vaddr, vaddr - symbol->vaddr, place);
		if (symbol)
			r = add_name(naming, symbol, place, &names->frames[i]);
		before = is_exact ? NULL : symbol;
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

/* The one with the debugging information; NULL: there is none. */
static struct elffile *find_dwarf(struct naming *naming, const struct wish_granter *granter)
{
	struct elffile *file = naming->object.dwarf ? &naming->object : &naming->debug;

	if (file->dwarf)
		elffile_find_alt(file, granter, &naming->alt);
	return file->dwarf ? file : NULL;
}

/* Symbols, and with_members types of the variables that are asked for. */
static int read_file(struct naming *naming, bool with_members, const struct wish_granter *granter)
{
	struct elffile *file;
	int r = read_segments(naming->object.elf, &naming->segments);

	if (is_stripped(naming->object.elf) || (with_members && !naming->object.dwarf))
		elffile_find_debug(&naming->object, granter, &naming->debug);
	if (r == 0)
		r = add_symbols(&naming->symtab, &naming->object);
	if (r == 0)
		r = add_symbols(&naming->symtab, &naming->debug);
	file = with_members ? find_dwarf(naming, granter) : NULL;
	return r == 0 && file ? find_members(naming, file->dwarf) : r;
}

static int open_object(struct naming *naming, int fd, struct dhat_error *err)
{
	_cleanup_close_ int own_fd = dup(fd);
	int r = own_fd < 0 ? -errno : 0;

	if (r == 0)
		r = elffile_open(own_fd, &naming->object, err);
	if (r == 0)
		take_fd(own_fd);
	return r;
}

int data_name(int fd, const struct name_query *queries, uint32_t count, bool with_members,
	      const struct wish_granter *granter, struct names **ret, struct dhat_error *err)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_(naming_deinit) struct naming naming = { .object = ELFFILE_NONE,
							  .debug = ELFFILE_NONE,
							  .alt = ELFFILE_NONE,
							  .queries = queries,
							  .count = count };
	int r = open_object(&naming, fd, err);

	if (r)
		return r;
	r = names_new(count, &names);
	naming.names = names;
	if (r == 0)
		r = read_file(&naming, with_members, granter);
	if (r == 0)
		r = name_all(&naming);
	if (r)
		return dhat_error_errno(err, -r, "cannot name %u addresses of variables", count);
	*ret = take_ptr(names);
	return 0;
}

/* ---- what is pointed to --------------------------------------------------------------------- */

static int answer_all(struct naming *naming, const struct pointee_query *queries)
{
	_cleanup_free_ struct pointee *pointees = calloc(naming->count + 1ul, sizeof(*pointees));
	int r = pointees ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < naming->count && r == 0; i++) {
		struct pointee_root root = { 0 };
		uint64_t vaddr = 0;
		const struct symtab_symbol *symbol =
			queries[i].parent == POINTEES_ROOT
				? find_symbol(naming, queries[i].at, &vaddr)
				: NULL;

		if (symbol) {
			root.type = type_of(naming, symbol->vaddr);
			root.within = vaddr - symbol->vaddr;
			describe_place(naming, symbol->vaddr, root.within, root.place);
		}
		r = pointees_answer(naming->names, i, queries, pointees, &root);
	}
	return r;
}

int data_pointees(int fd, const struct pointee_query *queries, uint32_t count,
		  const struct wish_granter *granter, struct names **ret, struct dhat_error *err)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct name_query *roots = calloc(count + 1ul, sizeof(*roots));
	_cleanup_(naming_deinit) struct naming naming = {
		.object = ELFFILE_NONE, .debug = ELFFILE_NONE, .alt = ELFFILE_NONE, .queries = roots
	};
	int r = roots ? open_object(&naming, fd, err) : -ENOMEM;

	if (r)
		return r;
	for (uint32_t i = 0; i < count; i++)
		if (queries[i].parent == POINTEES_ROOT)
			roots[naming.count++].file_offset = queries[i].at;
	r = names_new(count, &names);
	naming.names = names;
	if (r == 0)
		r = read_file(&naming, true, granter);
	naming.count = count;
	if (r == 0)
		r = answer_all(&naming, queries);
	if (r)
		return dhat_error_errno(err, -r, "cannot name what %u variables point to", count);
	*ret = take_ptr(names);
	return 0;
}
