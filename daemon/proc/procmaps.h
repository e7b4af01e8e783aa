#pragma once
/* procmaps: the lines of /proc/PID/maps.
 *
 * Pure: text in, structs out (proc(5)). Paths may hold any byte but NUL; the kernel writes a new
 * line as \012; " (deleted)" at the end is told apart from a name that ends so by is_deleted only
 * as a hint.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct procmaps_entry {
	uint64_t start, end, file_offset, inode;
	uint32_t dev_major, dev_minor;
	bool is_readable, is_writable, is_executable, is_shared, is_deleted;
	char *path; /* "" if there is none; unescaped, without " (deleted)" */
};

struct procmaps {
	struct procmaps_entry *entries;
	size_t count;
};

bool procmaps_is_same_file(const struct procmaps_entry *a, const struct procmaps_entry *b);
/* Does a probe at this offset of one of the files have two places? The kernel probes mappings that
 * are private and cannot be written to, whether or not they are executable (valid_vma(),
 * kernel/events/uprobes.c). */
bool procmaps_is_twice(const struct procmaps *maps, uint64_t file_offset);

/* The mapping that an address lies in; NULL: none. */
const struct procmaps_entry *procmaps_find(const struct procmaps *maps, uint64_t addr);

/* Lines that are not of the format are skipped and counted in *ret_bad (may be NULL). */
int procmaps_parse(const char *text, size_t size, struct procmaps *ret, size_t *ret_bad);
void procmaps_deinit(struct procmaps *maps);

/* Reads /proc/PID/maps whole. -ESRCH when the process is gone. */
int procmaps_read(int pid, struct procmaps *ret);
