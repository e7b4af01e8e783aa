/* rpmalloc: rpmalloc.h of 2.0.1, with its first-class heaps. */
#include "family.h"

#include <stdio.h>

static const struct allocator_function functions[] = {
	FUNCTION("rpmalloc", MALLOC, 0, 0, 0),
	FUNCTION("rpzalloc", MALLOC, 0, 0, 0),
	FUNCTION("rpcalloc", CALLOC, 0, 1, 0),
	FUNCTION("rprealloc", REALLOC, 0, 1, 0),
	FUNCTION("rpaligned_realloc", REALLOC, 0, 2, 0),
	FUNCTION("rpaligned_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("rpaligned_zalloc", MEMALIGN, 0, 1, 0),
	FUNCTION("rpaligned_calloc", CALLOC, 1, 2, 0),
	FUNCTION("rpmemalign", MEMALIGN, 0, 1, 0),
	FUNCTION("rpposix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("rpvalloc", MALLOC, 0, 0, 0),
	FUNCTION("rppvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("rpreallocarray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("rpreallocarr", REALLOCARR, 0, 1, 2),
	FUNCTION("rpfree", FREE, 0, 0, 0),
	FUNCTION("rpmalloc_heap_alloc", MALLOC, 1, 0, 0),
	FUNCTION("rpmalloc_heap_aligned_alloc", MEMALIGN, 1, 2, 0),
	FUNCTION("rpmalloc_heap_aligned_zalloc", MEMALIGN, 1, 2, 0),
	FUNCTION("rpmalloc_heap_calloc", CALLOC, 1, 2, 0),
	FUNCTION("rpmalloc_heap_aligned_calloc", CALLOC, 2, 3, 0),
	FUNCTION("rpmalloc_heap_realloc", REALLOC, 1, 2, 0),
	FUNCTION("rpmalloc_heap_aligned_realloc", REALLOC, 1, 3, 0),
	FUNCTION("rpmalloc_heap_free", FREE, 1, 0, 0),
	/* without a word of the blocks */
	FUNCTION("rpmalloc_heap_free_all", UNKNOWN, 0, 0, 0),
};

static const struct allocator_function beside_plain[] = {
	FUNCTION("reallocf", REALLOCF, 0, 1, 0),
	FUNCTION("reallocarr", REALLOCARR, 0, 1, 2),
	FUNCTION("vfree", FREE, 0, 0, 0),
	FUNCTION("_aligned_malloc", UNKNOWN, 0, 0, 0),
	/* operator new with an alignment, before C++ had one */
	FUNCTION("_Znwmm", MALLOC, 0, 0, 0),
	FUNCTION("_Znamm", MALLOC, 0, 0, 0),
};

static const char *const begins[] = {
	"rpmalloc",	    "rpzalloc", "rpcalloc",  "rprealloc", "rpaligned_", "rpmemalign",
	"rpposix_memalign", "rpvalloc", "rppvalloc", "rpfree",	  NULL,
};

static const char *const harmless[] = {
	"rpmalloc_initialize",
	"rpmalloc_initialize_config",
	"rpmalloc_config",
	"rpmalloc_finalize",
	"rpmalloc_thread_initialize",
	"rpmalloc_thread_finalize",
	"rpmalloc_thread_collect",
	"rpmalloc_thread_statistics",
	"rpmalloc_global_statistics",
	"rpmalloc_dump_statistics",
	"rpmalloc_is_thread_initialized",
	"rpmalloc_linker_reference",
	"rpmalloc_set_main_thread",
	"rpmalloc_usable_size",
	"rpmalloc_good_size",
	"rpmalloc_heap_acquire",
	"rpmalloc_heap_release",
	"rpmalloc_heap_statistics",
	"rpmalloc_heap_thread_set_current",
	NULL,
};

static bool is_present(const struct object *object, const char *prefix)
{
	return family_has(object, prefix, "rpmalloc") && family_has(object, prefix, "rpfree") &&
	       HAS_ONE(object, prefix, "rprealloc", "rpcalloc", "rpaligned_alloc", "rpmemalign");
}

static void tell_name(const struct object *object, char *ret, size_t size)
{
	(void)object;
	snprintf(ret, size, "rpmalloc");
}

const struct allocator_family family_rpmalloc = {
	.functions = FUNCTIONS(functions),
	.beside_plain = FUNCTIONS(beside_plain),
	.prefixes = (const char *const[]){ "", NULL },
	.begins = begins,
	.harmless = harmless,
	.is_present = is_present,
	.tell_name = tell_name,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
};
