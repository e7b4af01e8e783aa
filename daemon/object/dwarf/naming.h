#pragma once
/* naming: names for addresses of one object, from its symbol tables and DWARF.
 *
 * Runs inside the worker process; the files are hostile. For each address: the function with file,
 * line and column, and before it every function that was inlined there, innermost first, each with
 * the place of the call as the next one's line. Sources, best first: DWARF (in the object, in its
 * separate debug file, split units), .symtab, .gnu_debugdata, .dynsym.
 */
#include "names.h"
#include "proto/base/error.h"
#include "wish.h"

/* Fails only when fd is no ELF file or memory is short; an address that has no name gets a reason
 * instead. places_only: fill vaddr and build id, nothing else. granter may be NULL. */
int symbol_name(int fd, const struct name_query *queries, uint32_t count, bool places_only,
		const struct wish_granter *granter, struct names **ret, struct dhat_error *err);
