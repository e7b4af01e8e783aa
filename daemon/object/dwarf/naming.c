#include "naming.h"

#include <dwarf.h>
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"
#include "elffile.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"
#include "qualify.h"
#include "scopes.h"
#include "split.h"
#include "symtab.h"

#define MAX_PATH_BYTES 4096

struct naming {
	struct elffile object, debug, alt, mini;
	struct split *split;
	struct scopes *scopes; /* NULL: no DWARF */
	struct symtab symtab;
	struct names *names;
	uint32_t *demangled; /* by string number of the linkage name: string number + 1 */
	uint32_t demangled_count;
	struct index *qualified; /* by origin DIE: string number of its whole name */
};

static void naming_deinit(struct naming *naming)
{
	scopes_free(naming->scopes);
	symtab_deinit(&naming->symtab);
	/* alt after the one that refers to it */
	elffile_deinit(&naming->debug);
	elffile_deinit(&naming->object);
	elffile_deinit(&naming->alt);
	elffile_deinit(&naming->mini);
	split_free(naming->split); /* after the DWARF that reads in it */
	names_free(naming->names);
	free(naming->demangled);
	index_free(naming->qualified);
}

/* ---- strings ---- */

static uint32_t intern_demangled(struct naming *naming, uint32_t linkage)
{
	_cleanup_free_ char *text = NULL;

	if (linkage >= naming->demangled_count) {
		uint32_t count = linkage + 1024;
		uint32_t *grown = reallocarray(naming->demangled, count, sizeof(*grown));

		if (!grown)
			return linkage;
		memset(grown + naming->demangled_count, 0,
		       (count - naming->demangled_count) * sizeof(*grown));
		naming->demangled = grown;
		naming->demangled_count = count;
	}
	if (!naming->demangled[linkage]) {
		text = demangle(naming->names->texts.list[linkage]);
		naming->demangled[linkage] =
			1 + (text ? names_intern(naming->names, text) : linkage);
	}
	return naming->demangled[linkage] - 1;
}

/* The name as in the source, and beside it the symbol's if that is another. */
static void set_function(struct naming *naming, const char *name, struct name_location *location)
{
	uint32_t linkage = names_intern(naming->names, name);

	location->function = intern_demangled(naming, linkage);
	location->linkage_name = location->function == linkage ? 0 : linkage;
}

/* Paths of the main directory come with the unit's compilation directory before them, those of
 * other relative directories do not. (Debian compiles "in ./malloc": then all stay relative.) */
static uint32_t intern_path(struct naming *naming, Dwarf_Die *cu, const char *path)
{
	char joined[MAX_PATH_BYTES];
	Dwarf_Attribute attr;
	const char *directory;

	if (!path || !strcmp(path, "???")) /* libdw's word for a file number out of range */
		return 0;
	if (path[0] == '/')
		return names_intern(naming->names, path);
	directory = dwarf_formstring(dwarf_attr(cu, DW_AT_comp_dir, &attr));
	if (directory && strncmp(path, directory, strlen(directory)))
		snprintf(joined, sizeof(joined), "%s/%s", directory, path);
	else
		snprintf(joined, sizeof(joined), "%s", path);
	return names_intern(naming->names, strncmp(joined, "./", 2) ? joined : joined + 2);
}

/* ---- DWARF ---- */

static const char *string_attribute(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;

	return dwarf_formstring(dwarf_attr_integrate(die, name, &attr));
}

static bool is_mangled(const char *name)
{
	return name && name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* Finding a function's surroundings costs a walk through its unit, so it is done once for each. */
static uint32_t intern_qualified(struct naming *naming, Dwarf_Die *die, const char *plain)
{
	_cleanup_free_ char *text = NULL;
	struct index_entry *entry;
	Dwarf_Die origin = qualify_origin(die);

	if (index_claim(naming->qualified, 0, (uintptr_t)origin.addr, &entry) < 0)
		return names_intern(naming->names, plain);
	if (!entry->value) {
		text = qualify(die, plain);
		entry->value = names_intern(naming->names, text ? text : plain);
	}
	return entry->value;
}

/* C++ and Rust: the linkage name says the whole path and the types. For C it is an implementation's
 * alias (`__GI___libc_malloc`), and the plain name is what the source says. */
static void name_function(struct naming *naming, Dwarf_Die *die, struct name_location *location)
{
	const char *linkage = string_attribute(die, DW_AT_linkage_name);
	const char *plain = string_attribute(die, DW_AT_name);
	const struct symtab_symbol *symbol = NULL;
	Dwarf_Addr entry;

	if (!linkage)
		linkage = string_attribute(die, DW_AT_MIPS_linkage_name);
	/* local C++ functions have none, but a symbol */
	if (!linkage && dwarf_tag(die) == DW_TAG_subprogram && !dwarf_entrypc(die, &entry))
		symbol = symtab_find(&naming->symtab, entry);
	if (symbol && symbol->vaddr == entry && (!plain || is_mangled(symbol->name)))
		linkage = symbol->name;
	if (is_mangled(linkage) || !plain) {
		set_function(naming, linkage, location);
		/* Beyond libiberty are the constraints of C++20 (Tk and Q, by gcc 14 and clang 16
		 * and later): then DWARF's own words. */
		if (location->linkage_name || !plain || is_mangled(plain))
			return;
	}
	location->function = intern_qualified(naming, die, plain);
	if (linkage && strcmp(linkage, plain))
		location->linkage_name = names_intern(naming->names, linkage);
}

static uint32_t number_attribute(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value) || value > UINT32_MAX)
		return 0;
	return value;
}

static void place_of_line(struct naming *naming, Dwarf_Die *cu, uint64_t vaddr,
			  struct name_location *location)
{
	Dwarf_Line *line = dwarf_getsrc_die(cu, vaddr);
	int number = 0, column = 0;

	if (!line)
		return;
	location->file = intern_path(naming, cu, dwarf_linesrc(line, NULL, NULL));
	if (dwarf_lineno(line, &number) == 0 && number > 0)
		location->line = number;
	if (dwarf_linecol(line, &column) == 0 && column > 0)
		location->column = column;
}

/* Where an inlined function was called: a place in the next one of the chain. */
static void place_of_call(struct naming *naming, struct scope_hit *hit, Dwarf_Die *inlined,
			  struct name_location *location)
{
	uint32_t file = number_attribute(inlined, DW_AT_call_file);
	Dwarf_Files *files;
	size_t count;
	Dwarf_Die unit;

	location->line = number_attribute(inlined, DW_AT_call_line);
	location->column = number_attribute(inlined, DW_AT_call_column);
	if (!dwarf_diecu(inlined, &unit, NULL, NULL) || dwarf_getsrcfiles(&unit, &files, &count) ||
	    file >= count)
		return;
	location->file = intern_path(naming, &hit->cu, dwarf_filesrc(files, file, NULL, NULL));
}

static int name_by_symbol(struct naming *naming, uint64_t vaddr, struct name_location *location)
{
	const struct symtab_symbol *symbol = symtab_find(&naming->symtab, vaddr);

	if (!symbol)
		return -ENOENT;
	set_function(naming, symbol->name, location);
	return 0;
}

static int add_chain(struct naming *naming, struct scope_hit *hit, uint64_t vaddr)
{
	for (int i = 0; i < hit->depth; i++) {
		struct name_location location = { 0 };
		int r;

		name_function(naming, &hit->chain[i], &location);
		if (i == 0)
			place_of_line(naming, &hit->cu, vaddr, &location);
		else
			place_of_call(naming, hit, &hit->chain[i - 1], &location);
		r = names_add_location(naming->names, &location);
		if (r)
			return r;
	}
	return 0;
}

/* A unit covers the place, but no function of it: assembler code, or split DWARF without its file.
 * The line may then be one of a function that was inlined, and the symbol is of the one around it.
 */
static int add_line_only(struct naming *naming, struct scope_hit *hit, uint64_t vaddr)
{
	struct name_location location = { 0 };

	if (!hit->missing)
		place_of_line(naming, &hit->cu, vaddr, &location);
	if (name_by_symbol(naming, vaddr, &location) && !location.file)
		return 0;
	return names_add_location(naming->names, &location);
}

/* ---- one address ---- */

/* NULL: none. */
static const char *reason_without_lines(const struct naming *naming)
{
	return naming->scopes ? NULL : naming->object.trouble ?: naming->debug.trouble;
}

static const char *reason_without_name(const struct naming *naming)
{
	if (!naming->symtab.count && !naming->scopes)
		return reason_without_lines(naming)
			       ?: "stripped: no symbol table and no debug information found";
	return "no symbol covers it";
}

static int name_place(struct naming *naming, uint64_t vaddr, struct name_frame *frame)
{
	struct names *names = naming->names;
	struct scope_hit hit;
	int r = 0;

	frame->first_location = names->location_count;
	if (naming->scopes && scopes_find(naming->scopes, vaddr, &hit)) {
		if (hit.missing)
			frame->reason = names_intern(names, hit.missing);
		r = hit.depth ? add_chain(naming, &hit, vaddr) : add_line_only(naming, &hit, vaddr);
	}
	if (!r && names->location_count == frame->first_location) {
		struct name_location location = { 0 };

		if (!name_by_symbol(naming, vaddr, &location)) {
			r = names_add_location(names, &location);
			frame->reason = names_intern(names, reason_without_lines(naming));
		} else {
			frame->reason = names_intern(names, reason_without_name(naming));
		}
	}
	frame->location_count = names->location_count - frame->first_location;
	return r;
}

static bool find_vaddr(Elf *elf, uint64_t file_offset, uint64_t *ret)
{
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return false;
	for (size_t i = 0; i < count && i < INT32_MAX; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(elf, i, &header))
			return false;
		if (header.p_type == PT_LOAD && (header.p_flags & PF_X) &&
		    file_offset >= header.p_offset &&
		    file_offset - header.p_offset < header.p_filesz) {
			*ret = file_offset - header.p_offset + header.p_vaddr;
			return true;
		}
	}
	return false;
}

struct job {
	uint64_t vaddr;
	uint32_t frame;
};

static int compare_jobs(const void *a, const void *b)
{
	const struct job *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* In the order of addresses, so that what a unit's lines and functions cost is paid once and their
 * memory is near; equal places share their locations. */
static int name_all(struct naming *naming, struct job *jobs, uint32_t count)
{
	qsort(jobs, count, sizeof(*jobs), compare_jobs);
	for (uint32_t i = 0; i < count; i++) {
		struct name_frame *frame = &naming->names->frames[jobs[i].frame];
		int r;

		if (i && jobs[i].vaddr == jobs[i - 1].vaddr) {
			struct name_frame *same = &naming->names->frames[jobs[i - 1].frame];

			frame->first_location = same->first_location;
			frame->location_count = same->location_count;
			frame->reason = same->reason;
			continue;
		}
		r = name_place(naming, jobs[i].vaddr, frame);
		if (r)
			return r;
	}
	return 0;
}

/* Link-time addresses of all; those that have one become jobs. */
static uint32_t place_all(struct naming *naming, const struct name_query *queries, uint32_t count,
			  struct job *jobs)
{
	struct names *names = naming->names;
	uint32_t job_count = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t back = queries[i].is_exact_pc ? 0 : 1, vaddr;

		if (queries[i].file_offset < back ||
		    !find_vaddr(naming->object.elf, queries[i].file_offset - back, &vaddr)) {
			names->frames[i].reason =
				names_intern(names, "not in a loaded part of the file");
			continue;
		}
		names->frames[i].vaddr = vaddr + back;
		jobs[job_count++] = (struct job){ vaddr, i };
	}
	return job_count;
}

static int open_sources(struct naming *naming, const struct wish_granter *granter)
{
	struct elffile *dwarf_file = &naming->object;
	int r;

	if (!naming->object.dwarf) {
		elffile_find_debug(&naming->object, granter, &naming->debug);
		dwarf_file = &naming->debug;
	}
	if (dwarf_file->dwarf) {
		elffile_find_alt(dwarf_file, granter, &naming->alt);
		r = split_new(granter, &naming->split);
		if (!r)
			r = scopes_new(dwarf_file->dwarf, naming->split, &naming->scopes);
		if (r)
			return r;
	}
	r = symtab_add(&naming->symtab, naming->object.elf);
	if (r == -ENOMEM)
		return r;
	if (naming->debug.elf)
		return symtab_add(&naming->symtab, naming->debug.elf) == -ENOMEM ? -ENOMEM : 0;
	elffile_unpack_mini(&naming->object, &naming->mini);
	if (naming->mini.elf)
		return symtab_add(&naming->symtab, naming->mini.elf) == -ENOMEM ? -ENOMEM : 0;
	return 0;
}

int symbol_name(int fd, const struct name_query *queries, uint32_t count, bool places_only,
		const struct wish_granter *granter, struct names **ret, struct dhat_error *err)
{
	_cleanup_(naming_deinit) struct naming naming = { .object = ELFFILE_NONE,
							  .debug = ELFFILE_NONE,
							  .alt = ELFFILE_NONE,
							  .mini = ELFFILE_NONE };
	_cleanup_free_ struct job *jobs = calloc(count ? count : 1, sizeof(*jobs));
	_cleanup_close_ int own_fd = dup(fd);
	const void *build_id = NULL;
	uint32_t job_count;
	int r;

	if (!jobs || own_fd < 0)
		return dhat_error_errno(err, ENOMEM, "cannot name %u addresses", count);
	r = elffile_open(own_fd, &naming.object, err);
	if (r)
		return r;
	take_fd(own_fd);
	r = names_new(count, &naming.names);
	if (!r)
		r = index_new(&naming.qualified);
	if (r)
		return dhat_error_errno(err, -r, "cannot name %u addresses", count);
	naming.names->build_id_size = elffile_build_id(&naming.object, &build_id);
	if (naming.names->build_id_size)
		memcpy(naming.names->build_id, build_id, naming.names->build_id_size);
	job_count = place_all(&naming, queries, count, jobs);
	if (!places_only && job_count) {
		r = open_sources(&naming, granter);
		if (!r)
			r = name_all(&naming, jobs, job_count);
	}
	if (r)
		return dhat_error_errno(err, -r, "cannot name %u addresses", count);
	*ret = take_ptr(naming.names);
	return 0;
}
