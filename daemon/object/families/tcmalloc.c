/* tcmalloc: gperftools' (gperftools/tcmalloc.h of 2.10 to 2.18) and Google's, which has gone its
 * own way since (github.com/google/tcmalloc). */
#include "family.h"

#include <stdio.h>
#include <string.h>

/* ---- gperftools --------------------------------------------------------------------------- */

#define TC_NEW(new)                                                                                \
	THROWING("tc_" new, MALLOC, 0, 0, 0), FUNCTION("tc_" new "_nothrow", MALLOC, 0, 0, 0),     \
		THROWING("tc_" new "_aligned", MALLOC, 0, 0, 0),                                   \
		FUNCTION("tc_" new "_aligned_nothrow", MALLOC, 0, 0, 0)
#define TC_DELETE(delete)                                                                          \
	FUNCTION("tc_" delete, FREE, 0, 0, 0), FUNCTION("tc_" delete "_sized", FREE, 0, 0, 0),     \
		FUNCTION("tc_" delete "_nothrow", FREE, 0, 0, 0),                                  \
		FUNCTION("tc_" delete "_aligned", FREE, 0, 0, 0),                                  \
		FUNCTION("tc_" delete "_sized_aligned", FREE, 0, 0, 0),                            \
		FUNCTION("tc_" delete "_aligned_nothrow", FREE, 0, 0, 0)

static const struct allocator_function gperftools_functions[] = {
	FUNCTION("tc_malloc", MALLOC, 0, 0, 0),
	FUNCTION("tc_calloc", CALLOC, 0, 1, 0),
	FUNCTION("tc_realloc", REALLOC, 0, 1, 0),
	FUNCTION("tc_free", FREE, 0, 0, 0),
	FUNCTION("tc_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("tc_aligned_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("tc_memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("tc_valloc", MALLOC, 0, 0, 0),
	FUNCTION("tc_pvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("tc_cfree", FREE, 0, 0, 0),
	FUNCTION("tc_free_sized", FREE, 0, 0, 0),
	FUNCTION("tc_free_aligned_sized", FREE, 0, 0, 0),
	FUNCTION("tc_malloc_skip_new_handler", MALLOC, 0, 0, 0),
	TC_NEW("new"),
	TC_NEW("newarray"),
	TC_DELETE("delete"),
	TC_DELETE("deletearray"),
};

static const char *const gperftools_harmless[] = { "tc_malloc_size",  "tc_nallocx",
						   "tc_malloc_stats", "tc_query_new_mode",
						   "tc_set_new_mode", NULL };

static bool is_gperftools(const struct object *object, const char *prefix)
{
	(void)prefix;
	return family_has(object, "tc_", "malloc") && family_has(object, "tc_", "free") &&
	       HAS_ONE(object, "tc_", "new", "realloc");
}

static void name_gperftools(const struct object *object, char *ret, size_t size)
{
	bool is_told = !strncmp(object->desc.malloc_version, "gperftools ", 11);

	snprintf(ret, size, "tcmalloc (%.40s)",
		 is_told ? object->desc.malloc_version : "gperftools");
}

const struct allocator_family family_gperftools = {
	.functions = FUNCTIONS(gperftools_functions),
	.prefixes = (const char *const[]){ "", NULL },
	.marks = (const char *const[]){ "tc_version", NULL },
	.begins = (const char *const[]){ "tc_", NULL },
	.harmless = gperftools_harmless,
	.is_present = is_gperftools,
	.tell_name = name_gperftools,
	.maker = OBJECT_MAKER_TCMALLOC,
	.owns_plain = true,
};

/* ---- Google's ----------------------------------------------------------------------------- */

/* Other names of malloc and so on, and sometimes the only ones:
 * tcmalloc/internal_malloc_extension.h and tcmalloc.h. A hint of how hot a block is comes last; {p,
 * n} of alloc_at_least and of the size-returning operators is p where a result is, and n more than
 * what was asked for. */
#define INTERNAL_NEW(array, hot)                                                                   \
	THROWING("New" array hot, MALLOC, 0, 0, 0),                                                \
		FUNCTION("New" array hot "Nothrow", MALLOC, 0, 0, 0),                              \
		THROWING("New" array "Aligned" hot, MALLOC, 0, 0, 0),                              \
		FUNCTION("New" array "Aligned" hot "Nothrow", MALLOC, 0, 0, 0)
#define INTERNAL_DELETE(array)                                                                     \
	FUNCTION("Delete" array, FREE, 0, 0, 0), FUNCTION("Delete" array "Sized", FREE, 0, 0, 0),  \
		FUNCTION("Delete" array "Nothrow", FREE, 0, 0, 0),                                 \
		FUNCTION("Delete" array "Aligned", FREE, 0, 0, 0),                                 \
		FUNCTION("Delete" array "SizedAligned", FREE, 0, 0, 0),                            \
		FUNCTION("Delete" array "AlignedNothrow", FREE, 0, 0, 0)

static const struct allocator_function internal_functions[] = {
	FUNCTION("Malloc", MALLOC, 0, 0, 0),
	FUNCTION("Calloc", CALLOC, 0, 1, 0),
	FUNCTION("Realloc", REALLOC, 0, 1, 0),
	FUNCTION("ReallocArray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("Free", FREE, 0, 0, 0),
	FUNCTION("Cfree", FREE, 0, 0, 0),
	FUNCTION("FreeSized", FREE, 0, 0, 0),
	FUNCTION("FreeAlignedSized", FREE, 0, 0, 0),
	FUNCTION("Sdallocx", FREE, 0, 0, 0),
	FUNCTION("PosixMemalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("AlignedAlloc", MEMALIGN, 0, 1, 0),
	FUNCTION("Memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("Valloc", MALLOC, 0, 0, 0),
	FUNCTION("Pvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("AllocAtLeast", MALLOC, 0, 0, 0),
	FUNCTION("AlignedAllocAtLeast", MEMALIGN, 0, 1, 0),
	INTERNAL_NEW("", ""),
	INTERNAL_NEW("", "HotCold"),
	INTERNAL_NEW("Array", ""),
	INTERNAL_NEW("Array", "HotCold"),
	INTERNAL_DELETE(""),
	INTERNAL_DELETE("Array"),
	THROWING("SizeReturningNew", MALLOC, 0, 0, 0),
	FUNCTION("SizeReturningNewNothrow", MALLOC, 0, 0, 0),
	THROWING("SizeReturningNewAligned", MALLOC, 0, 0, 0),
	FUNCTION("SizeReturningNewAlignedNothrow", MALLOC, 0, 0, 0),
	THROWING("SizeReturningNewHotCold", MALLOC, 0, 0, 0),
	FUNCTION("SizeReturningNewHotColdNothrow", MALLOC, 0, 0, 0),
	THROWING("SizeReturningNewAlignedHotCold", MALLOC, 0, 0, 0),
	FUNCTION("SizeReturningNewAlignedHotColdNothrow", MALLOC, 0, 0, 0),
};

#define HOT_COLD_NEW(array)                                                                        \
	THROWING("_Zn" array "m12__hot_cold_t", MALLOC, 0, 0, 0),                                  \
		FUNCTION("_Zn" array "mRKSt9nothrow_t12__hot_cold_t", MALLOC, 0, 0, 0),            \
		THROWING("_Zn" array "mSt11align_val_t12__hot_cold_t", MALLOC, 0, 0, 0),           \
		FUNCTION("_Zn" array "mSt11align_val_tRKSt9nothrow_t12__hot_cold_t", MALLOC, 0, 0, \
			 0)
#define SIZE_RETURNING "tcmalloc_size_returning_operator_new"

static const struct allocator_function beside_plain[] = {
	FUNCTION("sdallocx", FREE, 0, 0, 0),
	FUNCTION("alloc_at_least", MALLOC, 0, 0, 0),
	FUNCTION("aligned_alloc_at_least", MEMALIGN, 0, 1, 0),
	HOT_COLD_NEW("w"),
	HOT_COLD_NEW("a"),
	THROWING("__size_returning_new", MALLOC, 0, 0, 0),
	THROWING("__size_returning_new_aligned", MALLOC, 0, 0, 0),
	THROWING("__size_returning_new_hot_cold", MALLOC, 0, 0, 0),
	THROWING("__size_returning_new_aligned_hot_cold", MALLOC, 0, 0, 0),
	THROWING(SIZE_RETURNING, MALLOC, 0, 0, 0),
	THROWING(SIZE_RETURNING "_aligned", MALLOC, 0, 0, 0),
	THROWING(SIZE_RETURNING "_hot_cold", MALLOC, 0, 0, 0),
	THROWING(SIZE_RETURNING "_aligned_hot_cold", MALLOC, 0, 0, 0),
	FUNCTION(SIZE_RETURNING "_nothrow", MALLOC, 0, 0, 0),
	FUNCTION(SIZE_RETURNING "_aligned_nothrow", MALLOC, 0, 0, 0),
	FUNCTION(SIZE_RETURNING "_hot_cold_nothrow", MALLOC, 0, 0, 0),
	FUNCTION(SIZE_RETURNING "_aligned_hot_cold_nothrow", MALLOC, 0, 0, 0),
};

static bool is_tcmalloc(const struct object *object, const char *prefix)
{
	(void)prefix;
	return family_has(object, "TCMallocInternal", "Malloc") &&
	       family_has(object, "TCMallocInternal", "Free");
}

static void name_tcmalloc(const struct object *object, char *ret, size_t size)
{
	(void)object;
	snprintf(ret, size, "tcmalloc (Google)");
}

const struct allocator_family family_tcmalloc = {
	.functions = FUNCTIONS(internal_functions),
	.beside_plain = FUNCTIONS(beside_plain),
	.prefixes = (const char *const[]){ "TCMallocInternal", NULL },
	.is_present = is_tcmalloc,
	.are_aliases = true,
	.tell_name = name_tcmalloc,
	.maker = OBJECT_MAKER_TCMALLOC,
	.owns_plain = true,
};
