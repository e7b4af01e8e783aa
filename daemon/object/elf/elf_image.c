#include "elf_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "proto/base/cleanup.h"

#ifndef ELFCOMPRESS_ZSTD /* gABI; glibc's elf.h has it since 2.37 */
#define ELFCOMPRESS_ZSTD 2
#endif

static const char section_names[] = ".shstrtab";

void elf_image_deinit(struct elf_image *image)
{
	if (image->elf)
		elf_end(image->elf);
	free(image->memory);
	*image = (struct elf_image){ 0 };
}

/* ---- making ---- */

/* Offsets in the image: the header, each part at a multiple of 16, the names, the section headers.
 */
struct layout {
	uint64_t names, headers, size;
	uint64_t parts[ELF_IMAGE_MAX_PARTS];
};

static int lay_out(const struct elf_image_part *parts, size_t count, struct layout *ret)
{
	uint64_t at = sizeof(Elf64_Ehdr), names = 1 + sizeof(section_names);

	if (count > ELF_IMAGE_MAX_PARTS)
		return -E2BIG;
	for (size_t i = 0; i < count; i++) {
		at = (at + 15) & ~15ull;
		ret->parts[i] = at;
		if (parts[i].size > ELF_IMAGE_MAX_BYTES - at)
			return -E2BIG;
		at += parts[i].size;
		names += strlen(parts[i].name) + 1;
	}
	ret->names = at;
	ret->headers = (at + names + 15) & ~15ull;
	ret->size = ret->headers + (count + 2) * sizeof(Elf64_Shdr);
	return ret->size > ELF_IMAGE_MAX_BYTES ? -E2BIG : 0;
}

static int fill(uint8_t *to, const struct elf_image_part *part)
{
	size_t size;

	if (!part->is_zstd) {
		if (part->size)
			memcpy(to, part->bytes, part->size);
		return 0;
	}
	size = ZSTD_decompress(to, part->size, part->bytes, part->stored_size);
	return ZSTD_isError(size) || size != part->size ? -EBADMSG : 0;
}

static uint32_t add_name(uint8_t *memory, const struct layout *layout, uint32_t *used,
			 const char *name)
{
	uint32_t at = *used;
	size_t size = strlen(name) + 1;

	memcpy(memory + layout->names + at, name, size);
	*used += size;
	return at;
}

int elf_image_make(Elf *like, const struct elf_image_part *parts, size_t count,
		   struct elf_image *ret)
{
	_cleanup_free_ uint8_t *memory = NULL;
	struct layout layout;
	Elf64_Ehdr header;
	Elf64_Shdr *sections;
	uint32_t used = 1;
	int r = lay_out(parts, count, &layout);

	*ret = (struct elf_image){ 0 };
	if (r)
		return r;
	if (gelf_getclass(like) != ELFCLASS64 || !elf64_getehdr(like) ||
	    elf64_getehdr(like)->e_ident[EI_DATA] != ELFDATA2LSB)
		return -EBADMSG;
	/* by calloc: of what is large, pages are taken as they are filled */
	memory = calloc(1, layout.size);
	if (!memory)
		return -ENOMEM;
	header = *elf64_getehdr(like);
	header.e_phoff = header.e_phnum = header.e_entry = 0;
	header.e_shoff = layout.headers;
	header.e_shentsize = sizeof(Elf64_Shdr);
	header.e_shnum = count + 2;
	header.e_shstrndx = count + 1;
	memcpy(memory, &header, sizeof(header));
	sections = (Elf64_Shdr *)(memory + layout.headers);
	for (size_t i = 0; !r && i < count; i++) {
		r = fill(memory + layout.parts[i], &parts[i]);
		sections[i + 1] = (Elf64_Shdr){
			.sh_name = add_name(memory, &layout, &used, parts[i].name),
			.sh_type = SHT_PROGBITS,
			.sh_flags = parts[i].flags,
			.sh_offset = layout.parts[i],
			.sh_size = parts[i].size,
			.sh_addralign = parts[i].align,
		};
	}
	if (r)
		return r;
	sections[count + 1] = (Elf64_Shdr){
		.sh_name = add_name(memory, &layout, &used, section_names),
		.sh_type = SHT_STRTAB,
		.sh_offset = layout.names,
		.sh_size = used,
		.sh_addralign = 1,
	};
	ret->elf = elf_memory((char *)memory, layout.size);
	if (!ret->elf)
		return -ENOMEM;
	ret->memory = take_ptr(memory);
	ret->size = layout.size;
	return 0;
}

/* ---- unpacking ---- */

/* A section as a part; false for one that has no bytes, or broken ones. */
static bool read_part(Elf_Scn *section, const char *name, const GElf_Shdr *header,
		      struct elf_image_part *ret)
{
	Elf_Data *data = header->sh_type == SHT_NOBITS ? NULL : elf_rawdata(section, NULL);
	Elf64_Chdr packed;

	if (!data || !data->d_buf)
		return false;
	*ret = (struct elf_image_part){
		.name = name,
		.bytes = data->d_buf,
		.stored_size = data->d_size,
		.size = data->d_size,
		.flags = header->sh_flags & SHF_COMPRESSED,
		.align = header->sh_addralign,
	};
	if (!ret->flags || data->d_size < sizeof(packed))
		return true;
	memcpy(&packed, data->d_buf, sizeof(packed));
	if (packed.ch_type != ELFCOMPRESS_ZSTD)
		return true;
	ret->is_zstd = true;
	ret->flags = 0;
	ret->bytes = (const uint8_t *)data->d_buf + sizeof(packed);
	ret->stored_size = data->d_size - sizeof(packed);
	ret->size = packed.ch_size;
	ret->align = 1;
	return true;
}

int elf_image_unpack(Elf *elf, bool (*is_wanted)(const char *name), struct elf_image *ret)
{
	struct elf_image_part parts[ELF_IMAGE_MAX_PARTS];
	Elf_Scn *section = NULL;
	size_t names, count = 0;
	bool has_zstd = false;

	*ret = (struct elf_image){ 0 };
	if (gelf_getclass(elf) != ELFCLASS64 || elf_getshdrstrndx(elf, &names))
		return 0;
	while ((section = elf_nextscn(elf, section)) && count < ELF_IMAGE_MAX_PARTS) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(section, &header))
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (!name || !is_wanted(name) || !read_part(section, name, &header, &parts[count]))
			continue;
		has_zstd |= parts[count++].is_zstd;
	}
	return has_zstd ? elf_image_make(elf, parts, count, ret) : 0;
}
