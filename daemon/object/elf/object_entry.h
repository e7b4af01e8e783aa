#pragma once
/* object_entry: the ways into an allocator that has lost its names.
 *
 * Its messages are in .rodata, and the functions that refer to them lie close together in .text,
 * since it came as one library. Whoever allocates calls a function of that stretch from elsewhere:
 * directly, or through a slot of the GOT, as Rust does. Functions begin where .eh_frame_hdr says.
 * What each of the entries does is another question. Part of object.c's work.
 */
#include "object_reader.h"

/* Fills object->desc.entries for jemalloc and mimalloc; none without .eh_frame_hdr (LSB 10.6.2).
 * -ENOMEM is the only failure. Reads at most OBJECT_ENTRY_CODE_BYTES of code. */
int object_find_entries(struct object_reader *r);

#define OBJECT_ENTRY_CODE_BYTES (256ull << 20)
