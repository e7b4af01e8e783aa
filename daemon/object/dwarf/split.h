#pragma once
/* split: lets libdw find split DWARF where there are no paths, and in packages.
 *
 * libdw opens the .dwo file of a unit by itself, by open(2) with the path that the compiler wrote.
 * In the worker no path can be opened. So this program has an open() and an elf_begin() of its own,
 * which shared libraries use instead of libc's and libelf's: while a unit is being looked up, they
 * ask the wish granter for the file, or for the object's package (.dwp: package.h), and hand libdw
 * the part of it that is wanted; at any other time they are libc's and libelf's. (libdw itself
 * reads packages since 0.191, if it can find their path, and zstd since 0.189, if it was built so.)
 */
#include <elfutils/libdw.h>

#include "wish.h"

/* What was opened for one object. */
struct split;

/* Of the images of all units that libdw reads in. */
#define SPLIT_MAX_BYTES (1ull << 30)

/* granter (may be NULL) must outlive the result, and the result the DWARF. */
int split_new(const struct wish_granter *granter, struct split **ret);
void split_free(struct split *split);

/* The root of a skeleton unit's functions. False if that is not to be had. */
bool split_open(struct split *split, Dwarf_CU *cu, Dwarf_Die *ret);
/* Why it was not to be had the last time; a sentence for a frame. */
const char *split_reason(const struct split *split);
