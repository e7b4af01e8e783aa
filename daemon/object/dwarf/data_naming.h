#pragma once
/* data_naming: names for addresses of an object's variables, from its symbol tables.
 *
 * Runs inside the worker process; the files are hostile. Sources: .symtab and .dynsym of the object
 * and of its separate debug file.
 */
#include <stdbool.h>

#include "names.h"
#include "pointees.h"
#include "proto/base/error.h"
#include "wish.h"

/* Of file offsets: those of the file's data and constants, and behind it those that its bss would
 * have. A frame's vaddr is the variable's, its one location the name; none: no variable covers it.
 * With is_exact_pc the location's file is where in the variable it is ("+16"; "" at its beginning);
 * with_members: as its debugging information, if there is any, calls that place (members.h).
 * Fails only when fd is no ELF file or memory is short. */
int data_name(int fd, const struct name_query *queries, uint32_t count, bool with_members,
	      const struct wish_granter *granter, struct names **ret, struct dhat_error *err);

/* What blocks are that such variables point to, and those that these point to (pointees.h): one
 * frame for each query. Fails as data_name() does. */
int data_pointees(int fd, const struct pointee_query *queries, uint32_t count,
		  const struct wish_granter *granter, struct names **ret, struct dhat_error *err);
