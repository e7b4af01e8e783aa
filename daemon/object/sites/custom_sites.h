#pragma once
/* custom_sites: where what a person has named (custom.h) is in an object. */
#include "allocators.h"
#include "custom.h"
#include "daemon/object/elf/object.h"

/* The sites of all of them that are in this object, as from allocators_find(). A binary of the
 * right name that lacks the function is an error: somebody mistyped it. */
int customs_find(const struct customs *customs, const struct object *object, const char *path,
		 const struct allocator_options *options, struct allocator_site **ret,
		 size_t *ret_count, struct dhat_error *err);
