#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object_entry.h"
#include "object_maker.h"
#include "object_reader.h"
#include "object_version.h"
#include "proto/base/cleanup.h"

/* Bounds of what is read of one file. The largest symbol table seen in the field is about 200 MB
 * (a browser with all symbols). */
#define MAX_SEGMENTS 1024
#define MAX_SECTIONS 100000
#define MAX_DYNAMIC_BYTES (1u << 20)
#define MAX_NOTE_BYTES (1u << 20)
#define MAX_HASH_WORDS (4u << 20) /* each is a system call: seconds, not minutes, for a liar */

static void close_elf(Elf **elf)
{
	if (*elf)
		elf_end(*elf);
}

static void free_names(const char ***names)
{
	free(*names);
}

static bool in_file(const struct object_reader *r, uint64_t offset, uint64_t size)
{
	return size <= r->file_size && offset <= r->file_size - size;
}

/* ---- program headers ---------------------------------------------------------------------- */

static bool segment_holds(const struct object_segment *s, uint64_t vaddr, uint64_t *ret_offset)
{
	if (vaddr < s->vaddr || vaddr - s->vaddr >= s->file_size)
		return false;
	*ret_offset = s->file_offset + (vaddr - s->vaddr);
	return true;
}

bool object_offset_of_vaddr(const struct object *object, uint64_t vaddr, uint64_t *ret)
{
	size_t i;

	for (i = 0; i < object->desc.segment_count; i++)
		if (object->desc.segments[i].is_executable &&
		    segment_holds(&object->desc.segments[i], vaddr, ret))
			return true;
	return false;
}

bool object_offset_of_data(const struct object *object, uint64_t vaddr, uint64_t *ret_offset,
			   uint64_t *ret_left)
{
	size_t i;

	for (i = 0; i < object->desc.segment_count; i++) {
		if (segment_holds(&object->desc.segments[i], vaddr, ret_offset)) {
			*ret_left = object->desc.segments[i].file_size -
				    (vaddr - object->desc.segments[i].vaddr);
			return true;
		}
	}
	return false;
}

static void add_segment(struct object_reader *r, const GElf_Phdr *ph)
{
	struct object_segment *s = &r->object->desc.segments[r->object->desc.segment_count];

	if (ph->p_offset >= r->file_size || ph->p_vaddr + ph->p_memsz < ph->p_vaddr)
		return;
	*s = (struct object_segment){
		.vaddr = ph->p_vaddr,
		.file_offset = ph->p_offset,
		.file_size = ph->p_filesz,
		.memory_size = ph->p_memsz,
		.is_executable = ph->p_flags & PF_X,
		.is_writable = ph->p_flags & PF_W,
	};
	if (s->file_size > r->file_size - s->file_offset)
		s->file_size = r->file_size - s->file_offset;
	r->object->desc.segment_count++;
}

static void read_build_id(struct object_reader *r, Elf_Data *data)
{
	size_t at = 0, next, name_at, desc_at;
	GElf_Nhdr note;

	while (r->object->desc.build_id_size == 0 &&
	       (next = gelf_getnote(data, at, &note, &name_at, &desc_at)) > at) {
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp((char *)data->d_buf + name_at, "GNU", 4) && note.n_descsz > 0 &&
		    note.n_descsz <= sizeof(r->object->desc.build_id)) {
			memcpy(r->object->desc.build_id, (char *)data->d_buf + desc_at,
			       note.n_descsz);
			r->object->desc.build_id_size = note.n_descsz;
		}
		at = next;
	}
}

static void read_soname(struct object_reader *r, uint64_t strtab_index)
{
	uint64_t offset, left;
	char name[sizeof(r->object->desc.soname)];
	ssize_t n;

	if (strtab_index >= r->strtab_size || r->strtab + strtab_index < r->strtab ||
	    !object_offset_of_data(r->object, r->strtab + strtab_index, &offset, &left))
		return;
	if (left > sizeof(name))
		left = sizeof(name);
	n = pread(r->fd, name, left, offset);
	if (n > 0 && memchr(name, '\0', n))
		strcpy(r->object->desc.soname, name);
}

static void read_dynamic(struct object_reader *r, const GElf_Phdr *ph)
{
	uint64_t soname = UINT64_MAX;
	Elf_Data *data;
	GElf_Dyn dyn;
	int i;

	if (ph->p_filesz > MAX_DYNAMIC_BYTES || !in_file(r, ph->p_offset, ph->p_filesz))
		return;
	data = elf_getdata_rawchunk(r->elf, ph->p_offset, ph->p_filesz, ELF_T_DYN);
	for (i = 0; data && gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		switch (dyn.d_tag) {
		case DT_NEEDED:
			r->has_needed = true;
			break;
		case DT_FLAGS_1:
			r->is_pie = dyn.d_un.d_val & DF_1_PIE;
			break;
		case DT_SONAME:
			soname = dyn.d_un.d_val;
			break;
		case DT_STRTAB:
			r->strtab = dyn.d_un.d_ptr;
			break;
		case DT_STRSZ:
			r->strtab_size = dyn.d_un.d_val;
			break;
		case DT_SYMTAB:
			r->symtab = dyn.d_un.d_ptr;
			break;
		case DT_HASH:
			r->hash = dyn.d_un.d_ptr;
			break;
		case DT_GNU_HASH:
			r->gnu_hash = dyn.d_un.d_ptr;
			break;
		case DT_RELA:
			r->rela = dyn.d_un.d_ptr;
			break;
		case DT_RELASZ:
			r->rela_size = dyn.d_un.d_val;
			break;
		case DT_JMPREL:
			r->jmprel = dyn.d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			r->jmprel_size = dyn.d_un.d_val;
			break;
		}
	}
	if (soname != UINT64_MAX)
		read_soname(r, soname);
}

static int read_program_headers(struct object_reader *r, struct dhat_error *err)
{
	GElf_Phdr ph;
	size_t count, i;

	if (elf_getphdrnum(r->elf, &count) < 0)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "broken ELF file: program headers: %s", elf_errmsg(-1));
	if (count > MAX_SEGMENTS)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "broken ELF file: %zu program headers", count);
	r->object->desc.segments = calloc(count + 1, sizeof(*r->object->desc.segments));
	if (!r->object->desc.segments)
		return dhat_error_errno(err, ENOMEM, "cannot read an ELF file");
	for (i = 0; i < count; i++) {
		if (!gelf_getphdr(r->elf, i, &ph))
			break;
		if (ph.p_type == PT_LOAD)
			add_segment(r, &ph);
		else if (ph.p_type == PT_INTERP)
			r->has_interp = true;
	}
	/* These two need all of the segments. */
	for (i = 0; i < count; i++) {
		Elf_Data *data;

		if (!gelf_getphdr(r->elf, i, &ph))
			break;
		if (ph.p_type == PT_DYNAMIC)
			read_dynamic(r, &ph);
		if (ph.p_type != PT_NOTE || ph.p_filesz > MAX_NOTE_BYTES ||
		    !in_file(r, ph.p_offset, ph.p_filesz))
			continue;
		data = elf_getdata_rawchunk(r->elf, ph.p_offset, ph.p_filesz,
					    ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
		if (data)
			read_build_id(r, data);
	}
	return 0;
}

/* ---- symbols ------------------------------------------------------------------------------ */

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
	if (object_is_noreturn_name(strings + sym->st_name))
		return object_add_noreturn(r->object, sym->st_value);
	name = find_name(r, strings + sym->st_name);
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

/* ---- the whole ---------------------------------------------------------------------------- */

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

static int read_symbols(struct object_reader *r, const char *const *names)
{
	int result = collect_names(r, names);

	if (result == 0) /* first: what the symbols say of them is noted on the way */
		result = add_addresses(r);
	if (result == 0)
		result = read_sections(r);
	if (result == 0 && !r->has_dynsym && r->symtab && r->strtab)
		result = read_dynamic_symbols(r);
	if (result == 0)
		result = object_add_tails(r);
	return result;
}

static bool has_addresses(const struct object_reader *r)
{
	for (size_t i = 0; i < r->name_count; i++)
		if (r->names[i][0] == '+')
			return true;
	return false;
}

/* A search through all read-only data, once for each file. */
static void find_texts(struct object_reader *r)
{
	const struct object *before = r->before;

	if (before)
		r->object->desc.makers = before->desc.makers;
	else
		object_find_makers(r);
	if (before && (before->symbol_count > 0 || before->desc.makers)) {
		strcpy(r->object->desc.libc_version, before->desc.libc_version);
		strcpy(r->object->desc.malloc_version, before->desc.malloc_version);
	} else if (r->object->symbol_count > 0 || r->object->desc.makers) {
		object_find_versions(r->fd, r->object);
	}
}

static int read_all(struct object_reader *r, const char *const *names, struct dhat_error *err)
{
	GElf_Ehdr eh;
	int result;

	if (!gelf_getehdr(r->elf, &eh))
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "broken ELF file: %s",
				      elf_errmsg(-1));
	r->object->desc.elf_class = eh.e_ident[EI_CLASS];
	r->object->desc.machine = eh.e_machine;
	if (r->object->desc.elf_class != ELFCLASS64)
		return 0;
	result = read_program_headers(r, err);
	if (result < 0)
		return result;
	r->object->desc.is_program = eh.e_type == ET_EXEC || r->has_interp || r->is_pie;
	r->object->desc.is_static = r->object->desc.is_program && !r->has_interp && !r->has_needed;
	result = read_symbols(r, names);
	if (result == -E2BIG)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "broken ELF file: more than %d symbols of the names wanted",
				      OBJECT_MAX_SYMBOLS);
	if (result < 0)
		return dhat_error_errno(err, -result, "cannot read an ELF file");
	if (!r->has_sections)
		object_find_go(r->fd, r->object);
	find_texts(r);
	/* who asks for addresses knows already where to look */
	if (r->object->desc.makers && !has_addresses(r) && object_find_entries(r) < 0)
		return dhat_error_errno(err, ENOMEM, "cannot read an ELF file");
	return 0;
}

DEFINE_CLEANUP_PTR(struct object *, object_free)

int object_describe(int fd, const char *const *names, struct object **ret, struct dhat_error *err)
{
	return object_describe_more(fd, names, NULL, ret, err);
}

int object_describe_more(int fd, const char *const *names, const struct object *before,
			 struct object **ret, struct dhat_error *err)
{
	_cleanup_(object_free_ptr) struct object *object = NULL;
	_cleanup_(close_elf) Elf *elf = NULL;
	_cleanup_(free_names) const char **sorted = NULL;
	_cleanup_(free_names) const char **patterns = NULL;
	struct object_reader r = { .fd = fd, .before = before };
	struct stat st;
	int result;

	elf_version(EV_CURRENT);
	if (fstat(fd, &st) < 0)
		return dhat_error_errno(err, errno, "cannot look at an ELF file");
	r.file_size = st.st_size;
	/* Not mapped: a file cut short under a mapping would end us with SIGBUS. */
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "not an ELF file");
	object = calloc(1, sizeof(*object));
	if (!object)
		return dhat_error_errno(err, ENOMEM, "cannot read an ELF file");
	r.elf = elf;
	r.object = object;
	result = read_all(&r, names, err);
	sorted = r.names;
	patterns = r.patterns;
	merge_sightings(object);
	if (result < 0)
		return result;
	*ret = take_ptr(object);
	return 0;
}

void object_free(struct object *object)
{
	size_t i;

	if (!object)
		return;
	for (i = 0; i < object->symbol_count; i++) {
		free(object->symbols[i].name);
		free(object->symbols[i].code);
	}
	for (i = 0; i < object->sighting_count; i++)
		free(object->sightings[i].name);
	free(object->sightings);
	free(object->symbols);
	free(object->stubs);
	free(object->noreturn);
	object_desc_deinit(&object->desc);
	free(object);
}
