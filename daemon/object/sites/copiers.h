#pragma once
/* copiers: programs that copy their own code into other memory, mostly to have it in huge pages.
 *
 * Pure. A copy made while the code is probed has the breakpoints in it, behind which no uprobe
 * stands there: the process dies of them. So it is known by the functions that do it.
 */
#include "daemon/object/elf/object.h"

/* Patterns for object_describe(), from 0 on; NULL behind the last. */
const char *copiers_pattern(size_t number);
/* Fills desc.copier from the object's sightings. */
void copiers_look(struct object *object);
