#pragma once
/* allocators: which functions of which allocators exist, what they do, and which of them an
 * object holds, and where they are probed. A pure search in what families/ know.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/object/elf/object.h"
#include "daemon/object/families/family.h"
#include "daemon/object/machine/probe_place.h"
#include "daemon/object/machine/result_sites.h"
#include "site.h"

/* A function found, and the place chosen for its probe. */
struct allocator_site {
	struct allocator_function function; /* a copy; the name is the symbol's, or the option's */
	const struct object_symbol *symbol; /* borrowed from the object */
	struct prologue_site place;
	uint64_t place_file_offset;
	uint8_t arg_reg[3]; /* for the cookie: registers of the role's arguments at the place */
	char allocator[64]; /* "glibc 2.36", "jemalloc 5.3.0", …: for people only */
	const struct allocator_family *family; /* NULL: none of the known ones */
	bool is_unknown;  /* looks like one of theirs and is in no table: of a newer version */
	bool is_operator; /* operator new or delete by its own name */
	bool is_refused;  /* cannot be probed: place.note says why; allocations go unseen */
	enum site_returns returns;
	/* Where the function may be left, the ways out of those that it tail-calls included. Other
	 * functions may share them: an exit is this call's when the stack pointer is what it was at
	 * the call's entry. Ascending. */
	struct site_exit *exits;
	size_t exit_count;
	struct result_sites results; /* SITE_RETURNS_RESULTS */
};

struct allocator_options {
	bool may_fork;
	bool use_exit_probes; /* for every returning function, not only those that may throw */
	bool may_execute;     /* programs of ours may execute instructions: bpf/places.h */
};

/* Describe an object with all that may be an allocator's, and the functions of these names besides
 * (NULL-terminated, or NULL); otherwise as object_describe(). */
int allocators_describe(int fd, const char *const *besides, struct object **ret,
			struct dhat_error *err);

/* The sites to probe in an object: one for each address (aliases once), sorted by file offset. A
 * function that does nothing but jump on to another of them has none: reallocarray in glibc. None
 * when the object has no allocator. path: names an allocator that is none of the known ones.
 * The caller frees
 * *ret with allocators_sites_free(), before the object. */
int allocators_find(const struct object *object, const char *path,
		    const struct allocator_options *options, struct allocator_site **ret,
		    size_t *ret_count);
/* The functions by which the program maps memory itself, if this object is the C library. What the
 * allocator maps for itself is a nested call of those. */
int allocators_find_mappers(const struct object *object, const struct allocator_options *options,
			    struct allocator_site **ret, size_t *ret_count);
void allocators_sites_free(struct allocator_site *sites, size_t count);

/* One site for one function, whatever the object: for functions named by an option. -ENOTSUP: no
 * place in it where a probe would be safe; -EINVAL: its bytes are no code. */
int allocators_place(const struct object *object, const struct object_symbol *symbol,
		     const struct allocator_function *function,
		     const struct allocator_options *options, struct allocator_site *ret);
/* Where programs of ours may execute instructions, a probe on each ret costs no more than one at
 * the return does, and needs nothing of the kernel's in the process: of functions with a return
 * probe those get exits whose ways out are all known. */
int allocators_prefer_exits(const struct object *object, const struct allocator_options *options,
			    struct allocator_site *sites, size_t count);
