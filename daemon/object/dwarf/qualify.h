#pragma once
/* qualify: the whole name of a function that has no linkage name.
 *
 * Functions of anonymous namespaces, of local types, and lambdas have only a plain one in DWARF
 * ("operator()"). What it stands in makes it a name: "shop::work::{lambda at line 12}::operator()".
 */
#include <elfutils/libdw.h>

/* plain: the function's own name. The caller frees; NULL: there is nothing to add (C), or no
 * memory. */
char *qualify(Dwarf_Die *function, const char *plain);

/* The DIE that tells a function's place in the source: its declaration, or its abstract instance.
 */
Dwarf_Die qualify_origin(const Dwarf_Die *function);
