#include "elffile.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <gelf.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/base/cleanup.h"

static Elf_Data *find_section(Elf *elf, const char *wanted)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (name && !strcmp(name, wanted))
			return elf_rawdata(section, NULL);
	}
	return NULL;
}

static bool has_debug_info(Elf *elf)
{
	return find_section(elf, ".debug_info") || find_section(elf, ".zdebug_info");
}

static int check_elf(Elf *elf, struct dhat_error *err)
{
	if (!elf)
		return dhat_error_set(err, ENOEXEC, DHAT_EXIT_FAILED, "cannot read ELF file: %s",
				      elf_errmsg(-1));
	if (elf_kind(elf) != ELF_K_ELF || gelf_getclass(elf) == ELFCLASSNONE)
		return dhat_error_set(err, ENOEXEC, DHAT_EXIT_FAILED, "not an ELF file");
	return 0;
}

/* Locations of variables, tables to look up by name and macros are large, and of no use to us. */
bool elffile_is_for_naming(const char *name)
{
	static const char *const unused[] = { ".debug_loc",   ".debug_macro", ".debug_macinfo",
					      ".debug_frame", ".debug_pub",   ".debug_gnu_pub",
					      ".debug_names" };

	for (size_t i = 0; i < ARRAY_SIZE(unused); i++)
		if (!strncmp(name, unused[i], strlen(unused[i])))
			return false;
	return !strncmp(name, ".debug_", 7) || !strcmp(name, ".gnu_debugaltlink");
}

static void open_dwarf(struct elffile *file)
{
	int r = elf_image_unpack(file->elf, elffile_is_for_naming, &file->unpacked);

	if (r == -E2BIG)
		file->trouble =
			"no lines: its debug information, packed by zstd, is too large to be "
			"unpacked (more than 1 GiB)";
	else if (r)
		file->trouble =
			"no lines: its debug information, packed by zstd, cannot be unpacked";
	else
		file->dwarf = dwarf_begin_elf(file->unpacked.elf ?: file->elf, DWARF_C_READ, NULL);
	if (!r && !file->dwarf)
		file->trouble = "no lines: its debug information cannot be read";
}

int elffile_open(int fd, struct elffile *ret, struct dhat_error *err)
{
	Elf *elf;
	int r;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	r = check_elf(elf, err);
	if (r) {
		elf_end(elf);
		return r;
	}
	*ret = (struct elffile){ .fd = fd, .elf = elf };
	if (has_debug_info(elf))
		open_dwarf(ret);
	return 0;
}

void elffile_deinit(struct elffile *file)
{
	if (file->dwarf)
		dwarf_end(file->dwarf);
	elf_image_deinit(&file->unpacked);
	if (file->elf)
		elf_end(file->elf);
	free(file->memory);
	cleanup_close_fd(&file->fd);
	*file = ELFFILE_NONE;
}

size_t elffile_build_id(const struct elffile *file, const void **ret)
{
	ssize_t size = dwelf_elf_gnu_build_id(file->elf, ret);

	return size > 0 && size <= 64 ? size : 0;
}

static bool has_build_id(const struct elffile *file, const void *build_id, size_t size)
{
	const void *other;

	return size && elffile_build_id(file, &other) == size && !memcmp(build_id, other, size);
}

/* The file's own bytes, not the sections': what objcopy --add-gnu-debuglink sums up. */
static bool has_crc(const struct elffile *file, uint32_t expected)
{
	size_t size;
	const char *bytes = elf_rawfile(file->elf, &size);

	return bytes && crc32_z(0, (const Bytef *)bytes, size) == expected;
}

static bool open_wish(const struct wish_granter *granter, const struct wish *wish,
		      struct elffile *ret)
{
	int fd = granter ? granter->grant(granter->context, wish) : -1;

	if (fd < 0)
		return false;
	if (elffile_open(fd, ret, NULL)) {
		close(fd);
		return false;
	}
	return true;
}

void elffile_find_debug(const struct elffile *object, const struct wish_granter *granter,
			struct elffile *ret)
{
	struct wish wish = { .kind = WISH_BUILD_ID, .name = "" };
	struct elffile file = ELFFILE_NONE;
	const void *build_id = NULL;
	GElf_Word crc;

	wish.build_id_size = elffile_build_id(object, &build_id);
	wish.build_id = build_id;
	*ret = ELFFILE_NONE;
	if (wish.build_id_size && open_wish(granter, &wish, &file)) {
		if (has_build_id(&file, build_id, wish.build_id_size)) {
			*ret = file;
			return;
		}
		elffile_deinit(&file);
	}
	wish.kind = WISH_DEBUGLINK;
	wish.name = dwelf_elf_gnu_debuglink(object->elf, &crc);
	if (!wish.name || !open_wish(granter, &wish, &file))
		return;
	if (has_build_id(&file, build_id, wish.build_id_size) || has_crc(&file, crc))
		*ret = file;
	else
		elffile_deinit(&file);
}

void elffile_find_alt(struct elffile *debug, const struct wish_granter *granter,
		      struct elffile *ret)
{
	struct wish wish = { .kind = WISH_ALTLINK };
	struct elffile file = ELFFILE_NONE;
	const void *build_id;
	ssize_t size;

	*ret = ELFFILE_NONE;
	if (!debug->dwarf)
		return;
	size = dwelf_dwarf_gnu_debugaltlink(debug->dwarf, &wish.name, &build_id);
	if (size <= 0 || size > 64)
		return;
	wish.build_id = build_id;
	wish.build_id_size = size;
	if (!open_wish(granter, &wish, &file))
		return;
	if (!file.dwarf || !has_build_id(&file, build_id, size)) {
		elffile_deinit(&file);
		return;
	}
	dwarf_setalt(debug->dwarf, file.dwarf);
	*ret = file;
}

/* Unpacks in doubling steps: what the stream says of its own size is not to be trusted. */
static void *unpack_xz(const void *packed, size_t packed_size, size_t *ret_size)
{
	_cleanup_free_ uint8_t *out = NULL;
	lzma_stream stream = LZMA_STREAM_INIT;
	size_t capacity = 0;
	lzma_ret r = LZMA_OK;

	if (lzma_stream_decoder(&stream, 64u << 20, LZMA_CONCATENATED) != LZMA_OK)
		return NULL;
	stream.next_in = packed;
	stream.avail_in = packed_size;
	while (r == LZMA_OK) {
		if (!stream.avail_out) {
			size_t grown_size = capacity ? capacity * 2 : 1u << 20;
			uint8_t *grown = grown_size > ELFFILE_MAX_MINI_BYTES
						 ? NULL
						 : realloc(out, grown_size);

			if (!grown)
				break;
			out = grown;
			stream.next_out = out + capacity;
			stream.avail_out = grown_size - capacity;
			capacity = grown_size;
		}
		r = lzma_code(&stream, LZMA_FINISH);
	}
	*ret_size = stream.total_out;
	lzma_end(&stream);
	return r == LZMA_STREAM_END ? take_ptr(out) : NULL;
}

void elffile_unpack_mini(const struct elffile *object, struct elffile *ret)
{
	Elf_Data *data = find_section(object->elf, ".gnu_debugdata");
	_cleanup_free_ void *memory = NULL;
	size_t size;
	Elf *elf;

	*ret = ELFFILE_NONE;
	if (!data || !data->d_buf)
		return;
	memory = unpack_xz(data->d_buf, data->d_size, &size);
	if (!memory)
		return;
	elf = elf_memory(memory, size);
	if (check_elf(elf, NULL)) {
		elf_end(elf);
		return;
	}
	ret->memory = take_ptr(memory);
	ret->elf = elf;
}
