#pragma once
/* package: the split units of a program in one file, a .dwp.
 *
 * Runs inside the worker. An index of hashes tells which part of each section is a unit's. From
 * those parts an image of the .dwo file is made that the unit once was, which any libdw reads.
 * DWARF 5 section 7.3.5, and the GNU extension to DWARF 4 that came before it
 * (https://gcc.gnu.org/wiki/DebugFissionDWP). Type units of a package are left out: they have no
 * code.
 */
#include <stdint.h>

#include "daemon/object/elf/elf_image.h"

struct package;

/* Takes fd. NULL: not a package, or one that makes no sense. */
struct package *package_open(int fd);
void package_free(struct package *package);

/* Its descriptor once more, owned by the caller; -1 on failure. */
int package_dup(const struct package *package);

/* The .dwo file of a unit. -ENOENT: it is not in there; else as elf_image_make(). */
int package_cut(struct package *package, uint64_t unit_id, struct elf_image *ret);
