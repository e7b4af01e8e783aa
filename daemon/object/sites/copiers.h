#pragma once
/* copiers: programs that copy their own code into other memory, mostly to have it in huge pages.
 *
 * Pure. A copy made while the code is probed has the breakpoints in it, behind which no uprobe
 * stands there: the process dies of them. So it is known by the functions that do it.
 */
#include "daemon/object/elf/object.h"

enum copier {
	COPIER_NONE,
	COPIER_MAY, /* if a setting of its says so: ClickHouse, node */
	COPIER_DOES /* at its start, always: BOLT -hugify */
};

/* Patterns for object_describe(), NULL-terminated. */
extern const char *const copiers_patterns[];
/* Fills desc->copier from its sightings. */
void copiers_look(struct object_desc *desc);
enum copier copiers_kind(const struct object_desc *desc);
