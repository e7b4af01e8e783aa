#pragma once
/* object_maker: which allocators a file holds, by the texts in its read-only data.
 *
 * An allocator that was linked in statically and stripped has no names any more, but still the
 * messages with which it would complain. Part of object.c's work.
 */
#include "object_reader.h"

/* Sets object->desc.makers. Reads at most OBJECT_MAKER_SCAN_BYTES of what is neither code nor
 * writable. */
void object_find_makers(struct object_reader *r);

#define OBJECT_MAKER_SCAN_BYTES (256ull << 20)
