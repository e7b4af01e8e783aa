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
#define MAX_DYNAMIC_BYTES (1u << 20)
#define MAX_NOTE_BYTES (1u << 20)

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

/* ---- the whole ------------------------------------------------------------------------------ */

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
	result = object_read_symbols(r, names);
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

int object_describe(int fd, const char *const *names, const struct object *before,
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
