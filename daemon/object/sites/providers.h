#pragma once
/* providers: whose allocator functions an object holds, and under which prefix. Part of
 * allocators.c's work. */
#include "daemon/object/families/family.h"

#define PROVIDER_PREFIX_BYTES 64

struct provider {
	struct function_list functions;
	char prefix[PROVIDER_PREFIX_BYTES];
	const struct allocator_family *family; /* NULL: none of the known ones */
	bool are_operators;		       /* the plain operator new and delete */
	bool has_own_names;		       /* the family's own, not those of C and C++ */
};

/* In the order in which a name is looked up: of several names of one address the first counts. The
 * caller frees *ret. */
int providers_find(const struct object *object, struct provider **ret, size_t *ret_count);

/* Whose function a name looks like that is in nobody's table; NULL: nobody's, or it is known. */
const struct provider *providers_unknown(const struct provider *providers, size_t count,
					 const char *name);

/* Names to ask an object for: known to be there before it was looked at (object is NULL), or those
 * that its sightings make worth asking for. Strings that are to be freed with the list, by
 * provider_names_free(). An empty list: nothing more to ask. */
struct provider_names {
	char **list; /* NULL-terminated */
	size_t count;
};
int provider_names_new(const struct object *object, struct provider_names *ret);
int provider_names_add(struct provider_names *names, const char *prefix, const char *name);
void provider_names_deinit(struct provider_names *names);
