#include "symtab.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

void symtab_deinit(struct symtab *symtab)
{
	free(symtab->symbols);
	free(symtab->max_end);
	memset(symtab, 0, sizeof(*symtab));
}

/* Global before weak before local, then fewer leading underscores. */
static uint8_t rank_of(const char *name, unsigned char bind)
{
	size_t underscores = strspn(name, "_");
	uint8_t rank = bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 1 : 2;

	/* mangled names begin with one by rule */
	if (underscores == 1 && (name[1] == 'Z' || name[1] == 'R'))
		underscores = 0;
	return rank + 4 * (underscores > 3 ? 3 : underscores);
}

static int add_symbol(struct symtab *symtab, const struct symtab_symbol *symbol)
{
	if (array_make_room(&symtab->symbols, &symtab->capacity, symtab->count))
		return -ENOMEM;
	symtab->symbols[symtab->count++] = *symbol;
	symtab->is_sorted = false;
	return 0;
}

/* Names that stand for no function: assembler labels and what compilers put between (".L12"). */
static bool is_noise(const char *name)
{
	return !*name || !strncmp(name, ".L", 2) || name[0] == '$';
}

static bool is_code(Elf *elf, const GElf_Sym *sym, uint64_t *ret_section_end)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);
	Elf_Scn *section;
	GElf_Shdr header;

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE ||
	    (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
		return false;
	section = elf_getscn(elf, sym->st_shndx);
	if (!section || !gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR) ||
	    sym->st_value < header.sh_addr || sym->st_value - header.sh_addr >= header.sh_size)
		return false;
	*ret_section_end = header.sh_addr + header.sh_size;
	return true;
}

/* Thread-local ones have no address of their own. */
static bool is_data(Elf *elf, const GElf_Sym *sym, uint64_t *ret_section_end)
{
	Elf_Scn *section;
	GElf_Shdr header;

	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE ||
	    GELF_ST_TYPE(sym->st_info) != STT_OBJECT)
		return false;
	section = elf_getscn(elf, sym->st_shndx);
	if (!section || !gelf_getshdr(section, &header) || !(header.sh_flags & SHF_ALLOC) ||
	    sym->st_value < header.sh_addr || sym->st_value - header.sh_addr >= header.sh_size)
		return false;
	*ret_section_end = header.sh_addr + header.sh_size;
	return true;
}

typedef bool (*wanted_fn)(Elf *elf, const GElf_Sym *sym, uint64_t *ret_section_end);

static int add_table(struct symtab *symtab, Elf *elf, Elf_Scn *section, const GElf_Shdr *header,
		     wanted_fn is_wanted)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;

	for (size_t i = 1; i < count; i++) {
		struct symtab_symbol symbol;
		GElf_Sym sym;
		int r;

		if (!gelf_getsym(data, i, &sym))
			break;
		if (!is_wanted(elf, &sym, &symbol.section_end))
			continue;
		symbol.name = elf_strptr(elf, header->sh_link, sym.st_name);
		if (!symbol.name || is_noise(symbol.name))
			continue;
		symbol.vaddr = sym.st_value;
		symbol.size_bytes = sym.st_size;
		symbol.rank = rank_of(symbol.name, GELF_ST_BIND(sym.st_info));
		r = add_symbol(symtab, &symbol);
		if (r)
			return r;
	}
	return 0;
}

static int add_tables(struct symtab *symtab, Elf *elf, wanted_fn is_wanted)
{
	size_t before = symtab->count;
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		int r;

		if (!gelf_getshdr(section, &header) ||
		    (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
			continue;
		r = add_table(symtab, elf, section, &header, is_wanted);
		if (r)
			return r;
	}
	return symtab->count == before ? -ENOENT : 0;
}

int symtab_add(struct symtab *symtab, Elf *elf)
{
	return add_tables(symtab, elf, is_code);
}

int symtab_add_data(struct symtab *symtab, Elf *elf)
{
	return add_tables(symtab, elf, is_data);
}

/* By address; of one address the best name last, so that the search meets it first. */
static int compare(const void *a, const void *b)
{
	const struct symtab_symbol *x = a, *y = b;
	size_t length_x, length_y;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	if (!x->size_bytes != !y->size_bytes)
		return x->size_bytes ? 1 : -1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? 1 : -1;
	length_x = strlen(x->name);
	length_y = strlen(y->name);
	if (length_x != length_y)
		return length_x < length_y ? 1 : -1;
	return strcmp(y->name, x->name);
}

/* Ends of all symbols, and the highest end so far at each; one pass each. */
static void set_ends(struct symtab *symtab)
{
	uint64_t next = UINT64_MAX, max = 0; /* next: the first address above this symbol's */

	for (size_t i = symtab->count; i-- > 0;) {
		struct symtab_symbol *symbol = &symtab->symbols[i];

		if (i + 1 < symtab->count && symtab->symbols[i + 1].vaddr > symbol->vaddr)
			next = symtab->symbols[i + 1].vaddr;
		if (symbol->size_bytes)
			symbol->end = symbol->vaddr + symbol->size_bytes;
		else
			symbol->end = next < symbol->section_end ? next : symbol->section_end;
	}
	for (size_t i = 0; i < symtab->count; i++) {
		if (symtab->symbols[i].end > max)
			max = symtab->symbols[i].end;
		symtab->max_end[i] = max;
	}
}

static bool sort(struct symtab *symtab)
{
	if (symtab->is_sorted)
		return true;
	free(symtab->max_end);
	symtab->max_end = calloc(symtab->count + 1, sizeof(*symtab->max_end));
	if (!symtab->max_end)
		return false;
	qsort(symtab->symbols, symtab->count, sizeof(*symtab->symbols), compare);
	set_ends(symtab);
	symtab->is_sorted = true;
	return true;
}

const struct symtab_symbol *symtab_find(struct symtab *symtab, uint64_t vaddr)
{
	const struct symtab_symbol *unsized = NULL;
	size_t low = 0, high = symtab->count;

	if (!symtab->count || !sort(symtab))
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symtab->symbols[middle].vaddr <= vaddr)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i-- > 0 && symtab->max_end[i] > vaddr;) {
		const struct symtab_symbol *symbol = &symtab->symbols[i];

		if (symbol->end <= vaddr)
			continue;
		/* a label of assembler code gives way to the function around it */
		if (symbol->size_bytes)
			return symbol;
		if (!unsized)
			unsized = symbol;
	}
	return unsized;
}
