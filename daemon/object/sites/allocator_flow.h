#pragma once
/* allocator_flow: how calls of an allocator's functions end, or go on in another of them. Part of
 * allocators.c's work. */
#include "allocators.h"

/* All exits of a function and of what it jumps to, ascending; the caller frees.
 * -ENOTSUP: they cannot all be known. */
int allocator_find_exits(const struct object *object, const struct object_symbol *symbol,
			 struct site_exit **ret, size_t *ret_count);

/* Whether a call of site's function always goes on, by a jump and with the same block, in a
 * function that has a site of its own (or ends without having done anything). */
bool allocator_forwards(const struct object *object, const struct allocator_site *sites,
			size_t count, const struct allocator_site *site);

/* Whether site's function, a free, calls another one that has a site, or jumps to it with another
 * block than its own: the one that holds it, where a wrapper puts a header before each block. */
bool allocator_calls_free(const struct object *object, const struct allocator_site *sites,
			  size_t count, const struct allocator_site *site);

/* Whether every return of site's function comes after a call of another function that hands out
 * memory and has a site: what it returns is counted there. */
bool allocator_is_over(const struct object *object, const struct allocator_site *sites,
		       size_t count, const struct allocator_site *site);
