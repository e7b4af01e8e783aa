#pragma once
/* members: what stands at a place within a variable, as DWARF's types have it:
 * ".table.buckets", "[3].next".
 *
 * Runs inside the worker; the files are hostile. Variables are looked for where files and
 * namespaces define them, of all units once, since nothing indexes data; those of functions, and
 * of units whose DIEs are in a file of their own (split DWARF), are not found. Bounds:
 * MEMBERS_MAX_DIES are looked at; a path has MEMBERS_PATH_CHARS.
 */
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBERS_MAX_DIES (8u << 20) /* 0.05 us (C) to 0.5 us (Rust) each: 4 s */
#define MEMBERS_PATH_CHARS 192
#define MEMBERS_MAX_DEPTH 32 /* of types in one another */

struct members_variable {
	uint64_t vaddr; /* where it is; ascending in a list */
	bool is_found;
	Dwarf_Die type; /* of the Dwarf */
};

void members_find(Dwarf *dwarf, struct members_variable *list, size_t count);

/* The path from a variable of that type to the member at a distance from its beginning, with
 * "+N" behind it for what is left; "": it has no members, and nothing is left. false: the types do
 * not tell. Of a union's members the only one that has a pointer there is meant; where several, or
 * none, the path ends at the union. */
bool members_path(const Dwarf_Die *type, uint64_t within, char ret[MEMBERS_PATH_CHARS]);
