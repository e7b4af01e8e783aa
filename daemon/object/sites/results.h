#pragma once
/* results: of the functions that hand out blocks, those whose calls can be seen where the block and
 * its size are both known, by one trap: daemon/object/machine/result_sites.h. Part of the
 * surveyor's work. */
#include "allocators.h"

/* Gives the sites of a file (allocators_find()) such places, where they can be proven: returns
 * becomes SITE_RETURNS_RESULTS; else place.note says why not, if it says nothing yet. may_execute:
 * at instructions that programs of ours execute, too, where those of the kernel's do not do. */
int results_find(int fd, const struct object *object, bool may_execute,
		 struct allocator_site *sites, size_t count);
