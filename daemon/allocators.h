#pragma once
/* allocators: which functions of which allocators exist, what they do, and which of them an
 * object holds. A table, and a pure search in it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "object.h"
#include "prologue.h"

struct allocator_function {
	const char *name;    /* symbol */
	uint8_t role;	     /* enum dhat_role */
	uint8_t arg[3];	     /* which psABI argument (0…5) is the role's argument 0, 1, 2 */
	bool may_throw;	     /* a C++ exception may pass: no return probe, exit probes instead */
};

/* A function found, and the place chosen for its probe. */
struct allocator_site {
	const struct allocator_function *function;
	const struct object_symbol *symbol; /* borrowed from the desc */
	struct prologue_site place;
	uint64_t place_file_offset;
	const char *allocator; /* "glibc", "jemalloc", … */
	uint64_t *exit_file_offsets; /* when returns are to be seen by exit probes */
	size_t exit_count;
};

/* NULL-terminated, for object_describe(). */
const char *const *allocators_symbol_names(void);

/* The sites to probe in an object: one for each address (aliases once), sorted by file offset.
 * *ret_allocator names the allocator ("glibc", "jemalloc", …; NULL when the object has none).
 * use_exit_probes: for every returning function, not only those that may throw. The caller frees
 * *ret with allocators_sites_free(). */
int allocators_find(const struct object_desc *desc, const char *path, bool may_fork,
		    bool use_exit_probes, struct allocator_site **ret, size_t *ret_count);
void allocators_sites_free(struct allocator_site *sites, size_t count);
