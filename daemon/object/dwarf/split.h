#pragma once
/* split: lets libdw find split DWARF where there are no paths.
 *
 * libdw opens the .dwo file of a unit by itself, by open(2) with the path that the compiler wrote.
 * In the worker no path can be opened. So this program has an open() of its own, which shared
 * libraries use instead of libc's: while a unit is being looked up it asks the wish granter for the
 * file; at any other time it is libc's. (.dwp packages are not read: libdw 0.188 cannot.)
 */
#include <elfutils/libdw.h>

#include "wish.h"

/* The root of a skeleton unit's functions, from its .dwo file. False if that is not to be had. */
bool split_open(Dwarf_CU *cu, const struct wish_granter *granter, Dwarf_Die *ret);
