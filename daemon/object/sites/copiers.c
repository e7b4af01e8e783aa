#include "copiers.h"

#include <stdio.h>
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

void copiers_look(struct object_desc *desc)
{
	for (size_t i = 0; i < desc->sighting_count && !desc->copier[0]; i++)
		for (size_t j = 0; copiers_patterns[j]; j++)
			if (fits(desc->sightings[i].name, copiers_patterns[j]))
				snprintf(desc->copier, sizeof(desc->copier), "%s",
					 desc->sightings[i].name);
}

enum copier copiers_kind(const struct object_desc *desc)
{
	if (!desc->copier[0])
		return COPIER_NONE;
	return strncmp(desc->copier, HUGIFY, strlen(HUGIFY)) ? COPIER_MAY : COPIER_DOES;
}
