/* The symbols of a file that somebody may want: by name, by pattern, by address. */
#include "object_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object_entry.h"
#include "object_maker.h"
#include "object_version.h"
#include "proto/base/cleanup.h"

/* Bounds of what is read of one file. */
#define MAX_SECTIONS 100000
#define MAX_HASH_WORDS (4u << 20) /* each is a system call: seconds, not minutes, for a liar */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The wanted name that `text` is, up to its end or an '@' (.symtab writes versions so). */
static const char *find_name(const struct object_reader *r, const char *text)
{
	size_t low = 0, high = r->name_count, middle, size = strcspn(text, "@");
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		order = strncmp(r->names[middle], text, size);
		if (order == 0 && r->names[middle][size] != '\0')
			order = 1;
		if (order == 0)
			return r->names[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int read_code(struct object_reader *r, struct object_symbol *symbol)
{
	uint64_t size = OBJECT_CODE_BYTES, left;
	ssize_t n;

	if (!object_offset_of_vaddr(r->object, symbol->vaddr, &symbol->file_offset) ||
	    !object_offset_of_data(r->object, symbol->vaddr, &symbol->file_offset, &left))
		return 0;
	if (symbol->size_bytes > 0 && symbol->size_bytes < size)
		size = symbol->size_bytes;
	if (size > left)
		size = left;
	symbol->code = malloc(size);
	if (!symbol->code)
		return -ENOMEM;
	n = pread(r->fd, symbol->code, size, symbol->file_offset);
	symbol->code_size = n > 0 ? n : 0;
	return 0;
}

int object_add_symbol(struct object_reader *r, const char *name, const GElf_Sym *sym,
		      bool is_exported)
{
	struct object *object = r->object;
	struct object_symbol *symbol, *grown;
	uint64_t offset;
	size_t i;

	for (i = 0; i < object->symbol_count; i++) {
		symbol = &object->symbols[i];
		if (symbol->vaddr == sym->st_value && !strcmp(symbol->name, name)) {
			symbol->is_exported |= is_exported;
			return 0;
		}
	}
	/* Not in code of this file: a lie, or nothing that a probe could sit on. */
	if (!object_offset_of_vaddr(object, sym->st_value, &offset))
		return 0;
	if (object->symbol_count == OBJECT_MAX_SYMBOLS + OBJECT_MAX_TAILS)
		return -E2BIG;
	grown = reallocarray(object->symbols, object->symbol_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	object->symbols = grown;
	symbol = &grown[object->symbol_count];
	*symbol = (struct object_symbol){
		.name = strdup(name),
		.vaddr = sym->st_value,
		.size_bytes = sym->st_size,
		.is_exported = is_exported,
		.is_ifunc = GELF_ST_TYPE(sym->st_info) == STT_GNU_IFUNC,
	};
	if (!symbol->name)
		return -ENOMEM;
	object->symbol_count++;
	return read_code(r, symbol);
}

/* ---- sightings ---------------------------------------------------------------------------- */

static bool fits(const char *pattern, const char *name, size_t size)
{
	size_t length = strlen(pattern) - 1;

	if (size < length)
		return false;
	return pattern[0] == '*' ? !memcmp(name + size - length, pattern + 1, length)
				 : !memcmp(name, pattern, length);
}

static bool fits_one(const struct object_reader *r, const char *name, size_t size)
{
	size_t i;

	for (i = 0; i < r->pattern_count; i++)
		if ((r->patterns[i][0] == '*' || r->patterns[i][0] == name[0]) &&
		    fits(r->patterns[i], name, size))
			return true;
	return false;
}

/* Names are at most as long as a C++ compiler makes them; longer ones are nothing to look for. */
#define MAX_SIGHTED_NAME 256

static int note_sighting(struct object_reader *r, const char *name, const GElf_Sym *sym,
			 bool is_exported)
{
	unsigned bind = GELF_ST_BIND(sym->st_info);
	struct object *object = r->object;
	struct object_sighting *grown;
	size_t size = strcspn(name, "@");

	if (size > MAX_SIGHTED_NAME || !fits_one(r, name, size) ||
	    object->sighting_count == OBJECT_MAX_SIGHTINGS)
		return 0;
	if ((object->sighting_count & (object->sighting_count - 1)) == 0) {
		grown = reallocarray(object->sightings, 2 * object->sighting_count + 1,
				     sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		object->sightings = grown;
	}
	grown = &object->sightings[object->sighting_count];
	grown->is_public = is_exported || ((bind == STB_GLOBAL || bind == STB_WEAK) &&
					   GELF_ST_VISIBILITY(sym->st_other) == STV_DEFAULT);
	grown->name = strndup(name, size);
	if (!grown->name)
		return -ENOMEM;
	object->sighting_count++;
	return 0;
}

static int compare_sightings(const void *a, const void *b)
{
	const struct object_sighting *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* A name may stand in both tables, and there in several versions. */
static void merge_sightings(struct object *object)
{
	struct object_sighting *list = object->sightings;
	size_t i, kept = 0;

	if (object->sighting_count)
		qsort(list, object->sighting_count, sizeof(*list), compare_sightings);
	for (i = 0; i < object->sighting_count; i++) {
		if (kept && !strcmp(list[kept - 1].name, list[i].name)) {
			list[kept - 1].is_public |= list[i].is_public;
			free(list[i].name);
		} else {
			list[kept++] = list[i];
		}
	}
	object->sighting_count = kept;
}

/* ---- tables of symbols -------------------------------------------------------------------- */

/* A label of hand-written code is a start where it is, but may stand anywhere in a function. */
static void note_start(const struct object_reader *r, const GElf_Sym *sym)
{
	for (size_t i = 0; i < r->address_count; i++) {
		struct object_symbol *asked = &r->object->symbols[i];
		uint64_t size = GELF_ST_TYPE(sym->st_info) == STT_NOTYPE ? 1 : sym->st_size ?: 1;

		if (sym->st_value <= asked->vaddr && asked->vaddr - sym->st_value < size &&
		    sym->st_value > asked->start_vaddr)
			asked->start_vaddr = sym->st_value;
	}
}

static int look_at_symbol(struct object_reader *r, const GElf_Sym *sym, const char *strings,
			  uint64_t strings_size, bool is_exported)
{
	unsigned type = GELF_ST_TYPE(sym->st_info);
	const char *name;

	/* NOTYPE: functions written in assembly often come without a type. */
	if (sym->st_shndx == SHN_UNDEF || sym->st_name >= strings_size ||
	    (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
		return 0;
	note_start(r, sym);
	if (type == STT_GNU_IFUNC && object_returns_argument(strings + sym->st_name) &&
	    r->resolver_count < ARRAY_SIZE(r->resolvers))
		r->resolvers[r->resolver_count++] = sym->st_value;
	name = find_name(r, strings + sym->st_name);
	if (object_is_noreturn_name(strings + sym->st_name)) {
		int result = object_add_noreturn(r->object, sym->st_value);

		if (result || !name)
			return result;
	}
	if (name)
		return object_add_symbol(r, name, sym, is_exported);
	return note_sighting(r, strings + sym->st_name, sym, is_exported);
}

/* `strings` must end in NUL; a table that does not is cut behind its last one. */
static uint64_t cut_strings(const char *strings, uint64_t size)
{
	while (size > 0 && strings[size - 1] != '\0')
		size--;
	return size;
}

static int scan_symbols(struct object_reader *r, Elf_Data *symbols, Elf_Data *strings,
			bool is_exported)
{
	uint64_t strings_size, i;
	GElf_Sym sym;
	int result;

	if (!symbols || !symbols->d_buf || !strings || !strings->d_buf)
		return 0;
	strings_size = cut_strings(strings->d_buf, strings->d_size);
	for (i = 0; i < symbols->d_size / sizeof(Elf64_Sym) && i <= INT32_MAX; i++) {
		if (!gelf_getsym(symbols, i, &sym))
			break;
		result = look_at_symbol(r, &sym, strings->d_buf, strings_size, is_exported);
		if (result < 0)
			return result;
	}
	return 0;
}

static int read_symbol_section(struct object_reader *r, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Scn *strings = elf_getscn(r->elf, sh->sh_link);
	GElf_Shdr strings_sh;

	if (!strings || !gelf_getshdr(strings, &strings_sh) || strings_sh.sh_type != SHT_STRTAB ||
	    sh->sh_size > OBJECT_MAX_TABLE_BYTES || strings_sh.sh_size > OBJECT_MAX_TABLE_BYTES)
		return 0;
	return scan_symbols(r, elf_getdata(scn, NULL), elf_getdata(strings, NULL),
			    sh->sh_type == SHT_DYNSYM);
}

static int read_sections(struct object_reader *r)
{
	Elf_Scn *scn = NULL;
	size_t names = 0, count = 0;
	const char *name;
	GElf_Shdr sh;
	int result;

	elf_getshdrstrndx(r->elf, &names);
	while ((scn = elf_nextscn(r->elf, scn)) && count++ < MAX_SECTIONS) {
		if (!gelf_getshdr(scn, &sh))
			continue;
		r->has_sections = true;
		name = elf_strptr(r->elf, names, sh.sh_name);
		if (name && (!strcmp(name, ".go.buildinfo") || !strcmp(name, ".gopclntab")))
			r->object->desc.is_go = true;
		/* A static program has no dynamic segment that names these. */
		if (sh.sh_type == SHT_RELA && sh.sh_flags & SHF_ALLOC && r->jmprel_size == 0) {
			r->jmprel = sh.sh_addr;
			r->jmprel_size = sh.sh_size;
		}
		if (sh.sh_type != SHT_SYMTAB && sh.sh_type != SHT_DYNSYM)
			continue;
		if (sh.sh_type == SHT_SYMTAB)
			r->object->desc.has_symtab = true;
		else
			r->has_dynsym = true;
		result = read_symbol_section(r, scn, &sh);
		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- symbols without section headers ------------------------------------------------------ */

static bool read_u32(const struct object_reader *r, uint64_t vaddr, uint32_t *ret)
{
	uint64_t offset, left;

	return object_offset_of_data(r->object, vaddr, &offset, &left) && left >= 4 &&
	       pread(r->fd, ret, 4, offset) == 4;
}

/* The dynamic segment does not say how many symbols there are; DT_HASH has a chain entry for each
 * (gABI, "Hash Table"), DT_GNU_HASH ends its last chain with an odd word. */
static uint64_t count_dynamic_symbols(const struct object_reader *r)
{
	uint32_t buckets, first, bloom_words, bucket, last = 0, word = 0, i, steps = 0;
	uint64_t at;

	if (r->hash && read_u32(r, r->hash + 4, &word))
		return word;
	if (!r->gnu_hash || !read_u32(r, r->gnu_hash, &buckets) ||
	    !read_u32(r, r->gnu_hash + 4, &first) || !read_u32(r, r->gnu_hash + 8, &bloom_words) ||
	    buckets > MAX_HASH_WORDS || bloom_words > r->file_size / 8)
		return 0;
	at = r->gnu_hash + 16 + 8ull * bloom_words;
	for (i = 0; i < buckets; i++)
		if (read_u32(r, at + 4ull * i, &bucket) && bucket > last)
			last = bucket;
	if (last < first)
		return first;
	at += 4ull * buckets;
	while (read_u32(r, at + 4ull * (last - first), &word) && !(word & 1) && last < UINT32_MAX &&
	       steps++ < MAX_HASH_WORDS)
		last++;
	return (uint64_t)last + 1;
}

static int read_dynamic_symbols(struct object_reader *r)
{
	uint64_t count = count_dynamic_symbols(r), symbols_at, strings_at, left, size;
	Elf_Data *symbols, *strings;

	size = count * sizeof(Elf64_Sym);
	if (count == 0 || size > OBJECT_MAX_TABLE_BYTES ||
	    r->strtab_size > OBJECT_MAX_TABLE_BYTES ||
	    !object_offset_of_data(r->object, r->symtab, &symbols_at, &left) || left < size ||
	    !object_offset_of_data(r->object, r->strtab, &strings_at, &left) ||
	    left < r->strtab_size)
		return 0;
	symbols = elf_getdata_rawchunk(r->elf, symbols_at, size, ELF_T_SYM);
	strings = elf_getdata_rawchunk(r->elf, strings_at, r->strtab_size, ELF_T_BYTE);
	return scan_symbols(r, symbols, strings, true);
}

/* "+0xADDR": code without a symbol. */
static int add_addresses(struct object_reader *r)
{
	GElf_Sym sym = { .st_info = GELF_ST_INFO(STB_LOCAL, STT_FUNC) };
	size_t i;
	char *end;
	int result;

	for (i = 0; i < r->name_count; i++) {
		if (r->names[i][0] != '+')
			continue;
		errno = 0;
		sym.st_value = strtoull(r->names[i] + 1, &end, 16);
		if (errno || *end || end == r->names[i] + 1)
			continue;
		result = object_add_symbol(r, r->names[i], &sym, false);
		if (result < 0)
			return result;
	}
	r->address_count = r->object->symbol_count;
	return 0;
}

static bool is_pattern(const char *name)
{
	size_t size = strlen(name);

	return size > 1 && (name[0] == '*' || name[size - 1] == '*');
}

static int collect_names(struct object_reader *r, const char *const *names)
{
	size_t count = 0, i;

	while (names && names[count])
		count++;
	r->names = calloc(count + 1, sizeof(*r->names));
	r->patterns = calloc(count + 1, sizeof(*r->patterns));
	if (!r->names || !r->patterns)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		if (is_pattern(names[i]))
			r->patterns[r->pattern_count++] = names[i];
		else
			r->names[r->name_count++] = names[i];
	}
	qsort(r->names, r->name_count, sizeof(*r->names), compare_names);
	return 0;
}

int object_read_symbols(struct object_reader *r, const char *const *names)
{
	int result = collect_names(r, names);

	if (result == 0) /* first: what the symbols say of them is noted on the way */
		result = add_addresses(r);
	if (result == 0)
		result = read_sections(r);
	if (result == 0 && !r->has_dynsym && r->symtab && r->strtab)
		result = read_dynamic_symbols(r);
	merge_sightings(r->object);
	if (result == 0)
		result = object_add_tails(r);
	return result;
}
