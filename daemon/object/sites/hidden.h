#pragma once
/* hidden: allocators that are in a file, and none of whose functions can be found by name.
 *
 * Pure. Nothing of what they hand out is counted, which a person has to be told.
 */
#include "allocators.h"
#include "daemon/object/elf/object.h"

/* Bits (1 << enum object_maker) of the allocators that the file's texts tell of, less those that
 * the sites found in it belong to. */
uint32_t hidden_makers(const struct object_desc *desc, const struct allocator_site *sites,
		       size_t count);

/* Whether functions that a person named hand out and take back: what is hidden is then found. */
bool hidden_is_named(const struct allocator_site *customs, size_t count);

#define HIDDEN_TEXT_CHARS 560
/* The key and the sentence of partials_say() for one of them; path: as the target sees the file. */
void hidden_key(const char *path, unsigned maker, char *ret, size_t size);
void hidden_describe(const struct object_desc *desc, const char *path, unsigned maker, char *ret,
		     size_t size);
