/* jemalloc: jemalloc(3), as 5.3.1 has it. Built with a prefix in most programs that hold a copy of
 * it: je_, _rjem_ (Rust's tikv-jemallocator), duckdb_je_, je_arrow_. */
#include "family.h"

#include <stdio.h>
#include <string.h>

static const struct allocator_function functions[] = {
	FUNCTION("malloc", MALLOC, 0, 0, 0),
	FUNCTION("calloc", CALLOC, 0, 1, 0),
	FUNCTION("realloc", REALLOC, 0, 1, 0),
	FUNCTION("free", FREE, 0, 0, 0),
	FUNCTION("posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("aligned_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("valloc", MALLOC, 0, 0, 0),
	FUNCTION("pvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("reallocarray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("free_sized", FREE, 0, 0, 0),
	FUNCTION("free_aligned_sized", FREE, 0, 0, 0),
	/* duckdb's copy has put its prefix before one that was there */
	FUNCTION("je_free_sized", FREE, 0, 0, 0),
	FUNCTION("je_free_aligned_sized", FREE, 0, 0, 0),
	/* "Non-standard API": the last argument is flags; xallocx(ptr, size, extra, flags) returns
	 * the size that the block has then. */
	FUNCTION("mallocx", MALLOC, 0, 0, 0),
	FUNCTION("rallocx", REALLOC, 0, 1, 0),
	FUNCTION("xallocx", RESIZE, 0, 1, 0),
	FUNCTION("dallocx", FREE, 0, 0, 0),
	FUNCTION("sdallocx", FREE, 0, 0, 0),
	/* What takes all blocks of an arena at once; the latter for mallctlbymib(). */
	FUNCTION("mallctl", CONTROL, 0, 0, 0),
	FUNCTION("mallctlnametomib", CONTROL, 0, 0, 0),
};

/* Those that nobody else has. */
static const char *const own[] = { "mallocx", "sdallocx", "rallocx", NULL };

static bool is_present(const struct object *object, const char *prefix)
{
	if (!prefix[0])
		return family_has(object, "", "mallocx") && family_has(object, "", "sdallocx") &&
		       HAS_ONE(object, "", "rallocx", "dallocx");
	if (!HAS_ONE(object, prefix, "malloc", "mallocx") ||
	    !HAS_ONE(object, prefix, "free", "sdallocx", "dallocx"))
		return false;
	/* Where a linker left out what is not called, the usual prefixes have to do. */
	return family_has_one(object, prefix, own) || !strcmp(prefix, "_rjem_") ||
	       (!strcmp(prefix, "je_") && HAS_ONE(object, prefix, "realloc", "calloc"));
}

static void tell_name(const struct object *object, char *ret, size_t size)
{
	bool is_told = !strncmp(object->desc.malloc_version, "jemalloc ", 9);

	snprintf(ret, size, "%s", is_told ? object->desc.malloc_version : "jemalloc");
}

const struct allocator_family family_jemalloc = {
	.functions = FUNCTIONS(functions),
	.prefixes = (const char *const[]){ "", "je_", "_rjem_", NULL },
	.anchors = own,
	.marks = (const char *const[]){ "mallctl", NULL },
	.is_present = is_present,
	.tell_name = tell_name,
	.maker = OBJECT_MAKER_JEMALLOC,
	.owns_plain = true,
};
