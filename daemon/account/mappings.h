#pragma once
/* mappings: the executable file mappings of one target, through time.
 *
 * Pure. A frame belongs to the mapping of the time at which its stack was taken: two plugins
 * loaded one after the other may get the same addresses. So frames are told as (object, offset) at
 * once (stack.h), and objects are numbered for good: a file has one number however often it is
 * mapped, and keeps it when it is gone. A file is known by device and inode; without an inode (the
 * vDSO) by its path.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mappings;

struct mapping {
	uint64_t start, end;  /* [start, end) */
	uint64_t file_offset; /* of start, bytes */
	uint32_t object;      /* index for mappings_object() */
};

/* A mapped file. The path is what /proc/PID/maps said, or NULL while nobody has looked yet. */
struct mapped_object {
	uint64_t inode;
	uint32_t dev_major, dev_minor;
	char *path;
	uint64_t some_start, some_end; /* its first mapping: names its /proc/PID/map_files entry */
	bool is_vdso;
};

#define MAPPINGS_NO_OBJECT UINT32_MAX
#define MAPPINGS_MAX_OBJECTS 16384 /* a target can map new files for ever */
#define MAPPINGS_MAX 65536	   /* executable mappings at a time (vm.max_map_count is 65530) */

int mappings_new(struct mappings **ret);
void mappings_free(struct mappings *mappings);

/* Later mappings replace what they overlap, as mmap does; the same range of the same file again is
 * no change. path may be NULL; it is copied. *ret_object (may be NULL): the object's number.
 * -EINVAL: start >= end. -ENOSPC: a bound is reached; what was there is unmapped all the same. */
int mappings_add(struct mappings *mappings, uint64_t start, uint64_t end, uint64_t file_offset,
		 uint64_t inode, uint32_t dev_major, uint32_t dev_minor, const char *path,
		 uint32_t *ret_object);
/* The number of an object that need not be mapped (any more); start and end are some place where it
 * is or was. Failures as of mappings_add(). */
int mappings_know(struct mappings *mappings, uint64_t start, uint64_t end, uint64_t inode,
		  uint32_t dev_major, uint32_t dev_minor, const char *path, uint32_t *ret_object);
/* May cut a mapping in two, or several away. -ENOMEM, -ENOSPC: there was no room for the second
 * half; it is taken for unmapped, too. */
int mappings_remove(struct mappings *mappings, uint64_t start, uint64_t end);

const struct mapping *mappings_find(const struct mappings *mappings, uint64_t addr);
size_t mappings_count(const struct mappings *mappings);
const struct mapping *mappings_at(const struct mappings *mappings, size_t i); /* sorted by start */
size_t mappings_object_count(const struct mappings *mappings);
const struct mapped_object *mappings_object(const struct mappings *mappings, uint32_t object);
