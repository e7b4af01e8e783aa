#include "package.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elffile.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

struct bytes {
	const uint8_t *data;
	uint64_t size;
};

/* Kinds of sections that a unit has a part of. */
enum kind {
	KIND_INFO,
	KIND_ABBREV,
	KIND_LINE,
	KIND_STR_OFFSETS,
	KIND_RNGLISTS,
	KIND_COUNT,
};

static const char *const section_names[KIND_COUNT] = {
	[KIND_INFO] = ".debug_info.dwo",	 [KIND_ABBREV] = ".debug_abbrev.dwo",
	[KIND_LINE] = ".debug_line.dwo",	 [KIND_STR_OFFSETS] = ".debug_str_offsets.dwo",
	[KIND_RNGLISTS] = ".debug_rnglists.dwo",
};

struct package {
	struct elffile file; /* its dwarf is of no use */
	struct elf_image unpacked;
	Elf *elf; /* of the two above, the one to read */
	struct bytes sections[KIND_COUNT], strings;
	struct bytes index;
	uint32_t version, column_count, unit_count, slot_count;
	uint64_t hashes_at, rows_at, columns_at, offsets_at, sizes_at; /* in the index */
	enum kind kinds[16];					       /* of the columns */
};

DEFINE_CLEANUP_PTR(struct package *, package_free)

static uint32_t get_u32(const struct bytes *bytes, uint64_t at)
{
	uint32_t value;

	memcpy(&value, bytes->data + at, sizeof(value));
	return value;
}

static uint64_t get_u64(const struct bytes *bytes, uint64_t at)
{
	uint64_t value;

	memcpy(&value, bytes->data + at, sizeof(value));
	return value;
}

/* ---- opening ---- */

static struct bytes section_bytes(Elf *elf, const char *wanted)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return (struct bytes){ 0 };
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		GElf_Chdr packed;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (!name || strcmp(name, wanted))
			continue;
		if ((header.sh_flags & SHF_COMPRESSED) &&
		    (!gelf_getchdr(section, &packed) || packed.ch_size > ELF_IMAGE_MAX_BYTES ||
		     elf_compress(section, 0, 0) < 0))
			break;
		data = elf_rawdata(section, NULL);
		if (data && data->d_buf)
			return (struct bytes){ data->d_buf, data->d_size };
		break;
	}
	return (struct bytes){ 0 };
}

/* The numbers of sections in an index: of DWARF 5, and of the GNU extension. -1: not needed. */
static int kind_of(uint32_t version, uint32_t id)
{
	switch (id) {
	case 1:
		return KIND_INFO;
	case 3:
		return KIND_ABBREV;
	case 4:
		return KIND_LINE;
	case 6:
		return KIND_STR_OFFSETS;
	case 8:
		return version == 5 ? KIND_RNGLISTS : KIND_COUNT;
	default:
		return KIND_COUNT;
	}
}

/* Head: u32 version (DWARF 5: u16 and two bytes of padding), columns, units, slots. Then a u64 hash
 * and a u32 row for each slot, a u32 section for each column, and two tables of rows, offsets and
 * sizes. */
static int read_index(struct package *package)
{
	const struct bytes *index = &package->index;
	uint64_t table;

	if (index->size < 16)
		return -ENOENT;
	package->version = get_u32(index, 0) & 0xffff;
	package->column_count = get_u32(index, 4);
	package->unit_count = get_u32(index, 8);
	package->slot_count = get_u32(index, 12);
	if ((package->version != 2 && package->version != 5) || !package->column_count ||
	    package->column_count > ARRAY_SIZE(package->kinds) || !package->slot_count ||
	    (package->slot_count & (package->slot_count - 1)))
		return -EBADMSG;
	table = 4ull * package->column_count * package->unit_count;
	package->hashes_at = 16;
	package->rows_at = package->hashes_at + 8ull * package->slot_count;
	package->columns_at = package->rows_at + 4ull * package->slot_count;
	package->offsets_at = package->columns_at + 4ull * package->column_count;
	package->sizes_at = package->offsets_at + table;
	if (package->sizes_at + table > index->size)
		return -EBADMSG;
	for (uint32_t i = 0; i < package->column_count; i++)
		package->kinds[i] =
			kind_of(package->version, get_u32(index, package->columns_at + 4ull * i));
	return 0;
}

static int read_package(struct package *package)
{
	int r = elf_image_unpack(package->file.elf, elffile_is_for_naming, &package->unpacked);

	if (r)
		return r;
	package->elf = package->unpacked.elf ?: package->file.elf;
	if (gelf_getclass(package->elf) != ELFCLASS64 ||
	    elf64_getehdr(package->elf)->e_ident[EI_DATA] != ELFDATA2LSB)
		return -EBADMSG;
	package->index = section_bytes(package->elf, ".debug_cu_index");
	package->strings = section_bytes(package->elf, ".debug_str.dwo");
	for (int i = 0; i < KIND_COUNT; i++)
		package->sections[i] = section_bytes(package->elf, section_names[i]);
	return read_index(package);
}

struct package *package_open(int fd)
{
	_cleanup_(package_free_ptr) struct package *package = calloc(1, sizeof(*package));
	_cleanup_close_ int own_fd = fd;

	if (!package || elffile_open(own_fd, &package->file, NULL))
		return NULL;
	take_fd(own_fd);
	return read_package(package) ? NULL : take_ptr(package);
}

void package_free(struct package *package)
{
	if (!package)
		return;
	elf_image_deinit(&package->unpacked);
	elffile_deinit(&package->file);
	free(package);
}

int package_dup(const struct package *package)
{
	return dup(package->file.fd);
}

/* ---- one unit ---- */

/* Row of a unit, from 1 on; 0: none. The table is searched as it was filled: DWARF 5
 * section 7.3.5.3. */
static uint32_t find_row(const struct package *package, uint64_t unit_id)
{
	uint64_t mask = package->slot_count - 1, slot = unit_id & mask;
	uint64_t step = ((unit_id >> 32) & mask) | 1;

	for (uint32_t tries = 0; tries < package->slot_count; tries++) {
		uint32_t row = get_u32(&package->index, package->rows_at + 4 * slot);

		if (!row)
			return 0;
		if (get_u64(&package->index, package->hashes_at + 8 * slot) == unit_id)
			return row <= package->unit_count ? row : 0;
		slot = (slot + step) & mask;
	}
	return 0;
}

/* The unit's parts of all sections; false if one is not within its section. */
static bool find_parts(const struct package *package, uint32_t row, struct bytes *parts)
{
	for (uint32_t i = 0; i < package->column_count; i++) {
		uint64_t cell = 4 * ((uint64_t)(row - 1) * package->column_count + i);
		uint64_t offset = get_u32(&package->index, package->offsets_at + cell);
		uint64_t size = get_u32(&package->index, package->sizes_at + cell);
		const struct bytes *section;

		if (package->kinds[i] == KIND_COUNT)
			continue;
		section = &package->sections[package->kinds[i]];
		if (offset > section->size || size > section->size - offset)
			return false;
		if (size)
			parts[package->kinds[i]] = (struct bytes){ section->data + offset, size };
	}
	return parts[KIND_INFO].size && parts[KIND_ABBREV].size;
}

/* The strings of all units are one section, which may be large, and a unit has numbers of few of
 * them. So its offsets are copied, and lead into a section of its own. */
struct own_strings {
	uint8_t *offsets, *text;
	uint64_t offsets_size, text_size, capacity;
};

static void own_strings_deinit(struct own_strings *own)
{
	free(own->offsets);
	free(own->text);
}

static int add_text(struct own_strings *own, const uint8_t *text, uint64_t size)
{
	uint64_t wanted = own->capacity ? own->capacity : 4096;
	uint8_t *grown;

	while (wanted < own->text_size + size)
		wanted *= 2;
	if (wanted > ELF_IMAGE_MAX_BYTES)
		return -E2BIG;
	if (wanted > own->capacity) {
		grown = realloc(own->text, wanted);
		if (!grown)
			return -ENOMEM;
		own->text = grown;
		own->capacity = wanted;
	}
	memcpy(own->text + own->text_size, text, size);
	own->text_size += size;
	return 0;
}

static int copy_string(const struct package *package, struct own_strings *own, uint64_t at,
		       unsigned entry_size)
{
	const struct bytes whole = { own->offsets, own->offsets_size };
	uint64_t offset = entry_size == 8 ? get_u64(&whole, at) : get_u32(&whole, at);
	uint64_t new_offset = own->text_size;
	const uint8_t *text, *end;
	int r;

	if (offset >= package->strings.size)
		return -EBADMSG;
	text = package->strings.data + offset;
	end = memchr(text, '\0', package->strings.size - offset);
	if (!end)
		return -EBADMSG;
	r = add_text(own, text, end - text + 1);
	if (!r)
		memcpy(own->offsets + at, &new_offset, entry_size);
	return r;
}

static int copy_strings(const struct package *package, const struct bytes *part,
			struct own_strings *own)
{
	bool is_large = part->size >= 4 && get_u32(part, 0) == UINT32_MAX;
	/* DWARF 5: length, version, padding; the extension has offsets only */
	uint64_t at = package->version != 5 ? 0 : is_large ? 16 : 8;
	unsigned entry_size = package->version == 5 && is_large ? 8 : 4;
	int r = 0;

	own->offsets = malloc(part->size);
	if (!own->offsets)
		return -ENOMEM;
	memcpy(own->offsets, part->data, part->size);
	own->offsets_size = part->size;
	for (; !r && at + entry_size <= part->size; at += entry_size)
		r = copy_string(package, own, at, entry_size);
	return r;
}

static void add_part(struct elf_image_part *parts, size_t *count, const char *name,
		     const void *data, uint64_t size)
{
	if (size)
		parts[(*count)++] = (struct elf_image_part){
			.name = name, .bytes = data, .stored_size = size, .size = size, .align = 1
		};
}

int package_cut(struct package *package, uint64_t unit_id, struct elf_image *ret)
{
	_cleanup_(own_strings_deinit) struct own_strings own = { 0 };
	struct elf_image_part parts[KIND_COUNT + 1];
	struct bytes found[KIND_COUNT] = { 0 };
	uint32_t row = find_row(package, unit_id);
	size_t count = 0;
	int r = 0;

	if (!row || !find_parts(package, row, found))
		return -ENOENT;
	if (found[KIND_STR_OFFSETS].size)
		r = copy_strings(package, &found[KIND_STR_OFFSETS], &own);
	if (r)
		return r;
	for (int i = 0; i < KIND_COUNT; i++)
		if (i != KIND_STR_OFFSETS)
			add_part(parts, &count, section_names[i], found[i].data, found[i].size);
	add_part(parts, &count, section_names[KIND_STR_OFFSETS], own.offsets, own.offsets_size);
	add_part(parts, &count, ".debug_str.dwo", own.text, own.text_size);
	return elf_image_make(package->elf, parts, count, ret);
}
