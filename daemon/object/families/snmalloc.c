/* snmalloc: src/snmalloc/override of its source. Its C library's functions have plain names, or
 * sn_. */
#include "family.h"

#include <stdio.h>

static const struct allocator_function functions[] = {
	FUNCTION("sn_malloc", MALLOC, 0, 0, 0),
	FUNCTION("sn_calloc", CALLOC, 0, 1, 0),
	FUNCTION("sn_realloc", REALLOC, 0, 1, 0),
	FUNCTION("sn_reallocarray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("sn_reallocarr", REALLOCARR, 0, 1, 2),
	FUNCTION("sn_free", FREE, 0, 0, 0),
	FUNCTION("sn_cfree", FREE, 0, 0, 0),
	FUNCTION("sn_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("sn_aligned_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("sn_memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("sn_valloc", MALLOC, 0, 0, 0),
	FUNCTION("sn_pvalloc", PVALLOC, 0, 0, 0),
	/* for Rust: alignment and size; to resize, block, alignment, old and new size */
	FUNCTION("sn_rust_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("sn_rust_alloc_zeroed", MEMALIGN, 0, 1, 0),
	FUNCTION("sn_rust_realloc", REALLOC, 0, 3, 0),
	FUNCTION("sn_rust_dealloc", FREE, 0, 0, 0),
};

static const struct allocator_function beside_plain[] = {
	FUNCTION("reallocarr", REALLOCARR, 0, 1, 2),
};

static const char *const harmless[] = { "sn_malloc_usable_size", "sn_malloc_good_size", NULL };

static bool is_present(const struct object *object, const char *prefix)
{
	return (family_has(object, prefix, "sn_rust_alloc") &&
		family_has(object, prefix, "sn_rust_dealloc")) ||
	       (family_has(object, prefix, "sn_malloc") && family_has(object, prefix, "sn_free") &&
		HAS_ONE(object, prefix, "sn_realloc", "sn_calloc"));
}

static void tell_name(const struct object *object, char *ret, size_t size)
{
	(void)object;
	snprintf(ret, size, "snmalloc");
}

const struct allocator_family family_snmalloc = {
	.functions = FUNCTIONS(functions),
	.prefixes = (const char *const[]){ "", NULL },
	.beside_plain = FUNCTIONS(beside_plain),
	.begins = (const char *const[]){ "sn_", NULL },
	.harmless = harmless,
	.is_present = is_present,
	.tell_name = tell_name,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
};
