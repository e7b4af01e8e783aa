#pragma once
/* pointees: what blocks are, as the types of the variables and members say that point to them.
 *
 * Runs inside the worker; the files are hostile. From a variable on, pointer by pointer: a block
 * has the type that what points to its beginning is declared to point to, if that is as large as
 * the block; and what stands in it is a member of that type. Nothing is said where it could be
 * wrong: of void and of bytes, of a union's pointers if it has several, of a type that is not
 * complete, and of a structure that is smaller than the block, since a pointer to a base class, or
 * to a first member, looks the same. Of what has no parts that could be a base, numbers and
 * pointers, a block may be an array. Bounds: members.h.
 */
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "members.h"
#include "names.h"

#define POINTEES_NAME_CHARS 256

/* What is known of the blocks of a query. */
struct pointee {
	Dwarf_Die type;		/* of one, or of an element */
	uint64_t element_bytes; /* 0: it is not known */
	bool is_array;
};

struct pointee_root {			/* what `at` of a query is in that has no parent */
	const Dwarf_Die *type;		/* NULL: not known */
	uint64_t within;		/* how far into it */
	char place[MEMBERS_PATH_CHARS]; /* in words */
};

/* Before those that it is the parent of. names: frame `number` gets a location with the type for
 * its function, "" if it is not known, and for its file the member in which the pointer stands, or
 * the place in the variable; and another one, whose file is the member at self_at, if that is asked
 * for. -ENOMEM. */
int pointees_answer(struct names *names, uint32_t number, const struct pointee_query *queries,
		    struct pointee *pointees, const struct pointee_root *root);
