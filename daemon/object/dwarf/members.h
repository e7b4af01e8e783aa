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

/* ---- of types ---- */

/* What the pointer at a distance from its beginning points to. false: there is none, or in a union
 * several; or it points to void. */
bool members_pointee(const Dwarf_Die *type, uint64_t within, Dwarf_Die *ret);
/* false: it is not complete. */
bool members_size(const Dwarf_Die *type, uint64_t *ret);
/* Is its last member an array without an end? Where that begins, and how large each element is. */
bool members_open_end(const Dwarf_Die *type, uint64_t *ret_begin, uint64_t *ret_each);
/* Another name, or a qualifier, of another type; and without those. false: void. */
bool members_is_alias(Dwarf_Die *type);
bool members_peel(Dwarf_Die *type);
bool members_is_pointer(Dwarf_Die *peeled);
/* Of a pointer, an alias, a member: its type. */
bool members_type_of(Dwarf_Die *die, Dwarf_Die *ret);
