#include "copiers.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"

static const struct {
	const char *pattern;
	enum copier copier;
} known[] = {
	{ "__bolt_hugify*", COPIER_DOES },		/* LLVM bolt/runtime/hugify.cpp */
	{ "_ZN2DB15remapExecutable*", COPIER_MAY },	/* ClickHouse, if remap_executable is set */
	{ "*MapStaticCodeToLargePagesEv", COPIER_MAY }, /* node, if --use-largepages is */
	{ "MapStaticCodeToLargePages*", COPIER_MAY },	/* Intel's iodlr, linked in */
	{ "MapDSOToLargePages*", COPIER_MAY },
};

const char *copiers_pattern(size_t number)
{
	return number < ARRAY_SIZE(known) ? known[number].pattern : NULL;
}

static bool fits(const char *name, const char *pattern)
{
	size_t size = strlen(pattern) - 1, length = strlen(name);

	if (pattern[0] != '*')
		return strncmp(name, pattern, size) == 0;
	return length >= size && strcmp(name + length - size, pattern + 1) == 0;
}

void copiers_look(struct object *object)
{
	struct object_desc *desc = &object->desc;

	for (size_t i = 0; i < object->sighting_count && !desc->copier; i++)
		for (size_t j = 0; j < ARRAY_SIZE(known) && !desc->copier; j++) {
			if (!fits(object->sightings[i].name, known[j].pattern))
				continue;
			desc->copier = known[j].copier;
			snprintf(desc->copier_name, sizeof(desc->copier_name), "%s",
				 object->sightings[i].name);
		}
}
