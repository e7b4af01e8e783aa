#include "family.h"

#include <string.h>

#include "proto/base/cleanup.h"

const struct allocator_family *const allocator_families[] = {
	&family_mimalloc, &family_gperftools, &family_tcmalloc,	 &family_rpmalloc, &family_snmalloc,
	&family_jemalloc, &family_scudo,      &family_sanitizer, &family_musl,	   &family_glibc,
};
const size_t allocator_family_count = ARRAY_SIZE(allocator_families);

const struct object_symbol *family_symbol(const struct object *object, const char *prefix,
					  const char *name)
{
	size_t i, length = strlen(prefix);

	for (i = 0; i < object->symbol_count; i++)
		if (!strncmp(object->symbols[i].name, prefix, length) &&
		    !strcmp(object->symbols[i].name + length, name))
			return &object->symbols[i];
	return NULL;
}

bool family_has(const struct object *object, const char *prefix, const char *name)
{
	return family_symbol(object, prefix, name);
}

bool family_has_one(const struct object *object, const char *prefix, const char *const *names)
{
	for (; *names; names++)
		if (family_has(object, prefix, *names))
			return true;
	return false;
}

bool family_looks_like(const struct allocator_family *family, const char *name)
{
	static const char *const words[] = { "alloc", "free",	  "new",     "delete",
					     "dup",   "memalign", "realpath" };
	const char *const *at;
	size_t i;

	if (!family->begins)
		return plain_looks_like(name);
	for (at = family->harmless; at && *at; at++)
		if (!strcmp(*at, name))
			return false;
	for (at = family->begins; *at && strncmp(name, *at, strlen(*at)); at++)
		;
	if (!*at)
		return false;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(name, words[i]))
			return true;
	return false;
}
