#pragma once
/* elffile: an ELF file with its DWARF, and the further files its debug information may lie in.
 *
 * Runs inside the worker. Files that were wished for are taken only when they prove to be the right
 * ones: same build id, or the checksum of .gnu_debuglink. Not libdwfl: it wants to open what it
 * looks for by path, here and later, and the worker may open nothing.
 */
#include <elfutils/libdw.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/object/elf/elf_image.h"
#include "proto/base/error.h"
#include "wish.h"

struct elffile {
	int fd;			   /* -1: a memory image */
	void *memory;		   /* owned */
	Elf *elf;		   /* NULL: no file */
	Dwarf *dwarf;		   /* NULL: no DWARF in it (.dwo names do not count) */
	struct elf_image unpacked; /* what dwarf is read from if zstd had packed it */
	const char *trouble; /* why there is no dwarf though the file has some; NULL otherwise */
};
#define ELFFILE_NONE ((struct elffile){ .fd = -1 })

#define ELFFILE_MAX_MINI_BYTES (256u << 20) /* of an unpacked .gnu_debugdata */

/* Takes fd only on success. */
int elffile_open(int fd, struct elffile *ret, struct dhat_error *err);
void elffile_deinit(struct elffile *file);

/* Of a section that naming reads: of what is packed, no more is unpacked. */
bool elffile_is_for_naming(const char *section_name);

size_t elffile_build_id(const struct elffile *file, const void **ret);

/* Each leaves ELFFILE_NONE in *ret when there is no such (fitting) file. */
void elffile_find_debug(const struct elffile *object, const struct wish_granter *granter,
			struct elffile *ret);
/* dwz: the common file that debug's DWARF refers to; joined to it by dwarf_setalt(). */
void elffile_find_alt(struct elffile *debug, const struct wish_granter *granter,
		      struct elffile *ret);
/* MiniDebugInfo: an ELF file with a symbol table, packed by xz in .gnu_debugdata. */
void elffile_unpack_mini(const struct elffile *object, struct elffile *ret);
