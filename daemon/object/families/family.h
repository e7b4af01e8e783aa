#pragma once
/* family: what is known of the allocators, a file each: which functions hand out, resize or take
 * blocks, and how one sees that an object holds them.
 *
 * Pure tables and questions to a description. A name is put together from a prefix, which whoever
 * builds an allocator may choose, and the function's own name.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/object/elf/object.h"
#include "role.h"

struct function_list {
	const struct allocator_function *list;
	size_t count;
};

/* Rows of a table: name, role, the numbers of the role's arguments. */
#define FUNCTION(symbol, does, a, b, c)                                                            \
	{                                                                                          \
		.name = symbol, .role = DHAT_ROLE_##does, .arg = { a, b, c }                       \
	}
#define THROWING(symbol, does, a, b, c)                                                            \
	{                                                                                          \
		.name = symbol, .role = DHAT_ROLE_##does, .arg = { a, b, c }, .may_throw = true    \
	}
#define FUNCTIONS(table)                                                                           \
	{                                                                                          \
		table, sizeof(table) / sizeof((table)[0])                                          \
	}

struct allocator_family {
	/* Those under its own names, and those it has beside malloc, free and their like when these
	 * are its own. */
	struct function_list functions, beside_plain;
	/* Prefixes of `functions` that are looked for in every object; NULL-terminated. */
	const char *const *prefixes;
	/* Where any other prefix may stand: functions by which it is noticed, or NULL. */
	const char *const *anchors;
	/* How the names of all its functions begin, behind the prefix; NULL: not in a way of their
	 * own. A name for others to call that begins so and speaks of blocks is a function of a
	 * newer version, unless it is known to hand out and take nothing. Both NULL-terminated. */
	const char *const *begins, *const *harmless;
	/* Symbols that is_present() and tell_name() want to see besides, or NULL. */
	const char *const *marks;
	bool (*is_present)(const struct object *object, const char *prefix);
	/* "jemalloc 5.3.0": for people only. */
	void (*tell_name)(const struct object *object, char *ret, size_t size);
	/* Whose texts a file has that holds it; OBJECT_MAKER_COUNT: none are known. */
	enum object_maker maker;
	bool are_aliases; /* its own names are other names of the plain ones, which people know
			     better */
	bool owns_plain;  /* with the prefix "", malloc, free and so on of its file are its own */
	bool has_header;  /* the word before a block is glibc's chunk size */
};

/* All of them. Whoever comes first owns an object's plain names. */
extern const struct allocator_family *const allocator_families[];
extern const size_t allocator_family_count;

/* malloc, free and so on, and operator new and delete, whoever provides them. */
extern const struct function_list plain_functions, operator_functions;
extern const char *const plain_marks[];

/* The object provides malloc and free under these names. */
bool plain_is_present(const struct object *object);

/* The name (behind a prefix) looks like malloc, free or one of their sisters in a newer standard: a
 * word of theirs, and suffixes that such names have had so far. */
bool plain_looks_like(const char *name);
/* What has to be sighted to know such names: their beginnings; NULL-terminated. */
extern const char *const plain_beginnings[];
/* The same question for names that begin as the family's do. */
bool family_looks_like(const struct allocator_family *family, const char *name);

/* A symbol of this name, or NULL. */
const struct object_symbol *family_symbol(const struct object *object, const char *prefix,
					  const char *name);
bool family_has(const struct object *object, const char *prefix, const char *name);
/* One of a NULL-terminated list. */
bool family_has_one(const struct object *object, const char *prefix, const char *const *names);
#define HAS_ONE(object, prefix, ...)                                                               \
	family_has_one(object, prefix, (const char *const[]){ __VA_ARGS__, NULL })

extern const struct allocator_family family_glibc, family_musl, family_sanitizer, family_jemalloc,
	family_mimalloc, family_gperftools, family_tcmalloc, family_rpmalloc, family_snmalloc,
	family_scudo;
