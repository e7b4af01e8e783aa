#include "copiers.h"

#include <string.h>

#define HUGIFY "__bolt_hugify"

const char *const copiers_patterns[] = {
	HUGIFY "*",			/* LLVM bolt/runtime/hugify.cpp */
	"_ZN2DB15remapExecutable*",	/* ClickHouse, if remap_executable is set */
	"*MapStaticCodeToLargePagesEv", /* node, if --use-largepages is */
	"MapStaticCodeToLargePages*",	/* Intel's iodlr, linked in */
	"MapDSOToLargePages*",
	NULL,
};

static bool fits(const char *name, const char *pattern)
{
	size_t size = strlen(pattern) - 1, length = strlen(name);

	if (pattern[0] != '*')
		return strncmp(name, pattern, size) == 0;
	return length >= size && strcmp(name + length - size, pattern + 1) == 0;
}

enum copier copiers_find(const struct object_desc *desc, const char **ret_function)
{
	for (size_t i = 0; i < desc->sighting_count; i++) {
		const char *name = desc->sightings[i].name;

		for (size_t j = 0; copiers_patterns[j]; j++) {
			if (!fits(name, copiers_patterns[j]))
				continue;
			*ret_function = name;
			return j == 0 ? COPIER_DOES : COPIER_MAY;
		}
	}
	return COPIER_NONE;
}
