#pragma once
/* custom: allocators that no table knows, as a person names them.
 *
 * Pure. The text is "KIND:SPEC" as in AttachOptions.custom of dhat.proto:
 *   alloc:BINARY:FUNCTION(size=arg1)              p = f(size)
 *   alloc:BINARY:FUNCTION(count=arg1,size=arg2)   p = f(count, size)
 *   free:BINARY:FUNCTION(ptr=arg1)
 *   realloc:BINARY:FUNCTION(ptr=arg1,size=arg2)   a count as well, for an array
 *   KIND:BINARY+0xADDRESS(…)                      a function by its link-time address (nm, objdump)
 * BINARY is the file's name, or its whole path as the target sees it; arguments are counted from 1.
 */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/object/families/role.h"
#include "proto/base/error.h"

/* Blocks of custom allocators are told apart from the process's own: a pool's first block often
 * has the address of the malloc block that the pool lies in. */
#define CUSTOM_DOMAIN 1

struct custom {
	char *text;			    /* as given: for messages */
	char *binary;			    /* a base name, or a path when it has a slash */
	char *symbol;			    /* a name, or "+0x…" as object_describe() takes it */
	struct allocator_function function; /* its name is `symbol` */
};

struct customs {
	struct custom *list;
	size_t count;
};

/* texts: NULL-terminated, may be NULL. The caller frees *ret with customs_free(). */
int customs_new(char *const *texts, struct customs **ret, struct dhat_error *err);
void customs_free(struct customs *customs);

bool custom_is_in(const struct custom *custom, const char *path);
