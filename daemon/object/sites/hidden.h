#pragma once
/* hidden: allocators that are in a file, and none of whose functions can be found by name.
 *
 * Pure. Nothing of what they hand out is counted, which a person has to be told.
 */
#include "daemon/object/elf/object_desc.h"

/* What it is called, with its version if the file tells that. */
const char *hidden_name(const struct object_desc *desc, unsigned maker);

/* How what is set begins, in the environment of a process in which a runtime takes all its blocks
 * from malloc: "PYTHONMALLOC=malloc"; NULL: it is no runtime, or there is none. */
const char *hidden_setting(unsigned maker);

#define HIDDEN_TEXT_CHARS 560
/* The key and the sentence of partials_say() for one of them; path: as the target sees the file. */
void hidden_key(const char *path, unsigned maker, char *ret, size_t size);
void hidden_describe(const struct object_desc *desc, const char *path, unsigned maker, char *ret,
		     size_t size);
