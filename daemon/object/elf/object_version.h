#pragma once
/* object_version: what an object's read-only data says of its maker. Part of object.c's work. */
#include "object.h"

/* Fills libc_version and malloc_version. Reads at most OBJECT_VERSION_SCAN_BYTES. */
void object_find_versions(int fd, struct object *object);

/* Sets is_go by the build info's magic; for files without section headers. */
void object_find_go(int fd, struct object *object);

#define OBJECT_VERSION_SCAN_BYTES (64ull << 20)
