/* mimalloc: mimalloc.h of 2.0.9 to 3.6.0. */
#include "family.h"

#include <stdio.h>
#include <string.h>

/* h is 1 for the forms whose first argument is a heap. */
#define OF_A_HEAP(prefix, h)                                                                       \
	FUNCTION(prefix "malloc", MALLOC, h, 0, 0), FUNCTION(prefix "zalloc", MALLOC, h, 0, 0),    \
		FUNCTION(prefix "malloc_small", MALLOC, h, 0, 0),                                  \
		FUNCTION(prefix "zalloc_small", MALLOC, h, 0, 0),                                  \
		FUNCTION(prefix "calloc", CALLOC, h, h + 1, 0),                                    \
		FUNCTION(prefix "mallocn", CALLOC, h, h + 1, 0),                                   \
		FUNCTION(prefix "realloc", REALLOC, h, h + 1, 0),                                  \
		FUNCTION(prefix "reallocf", REALLOCF, h, h + 1, 0),                                \
		FUNCTION(prefix "rezalloc", REALLOC, h, h + 1, 0),                                 \
		FUNCTION(prefix "reallocn", REALLOCARRAY, h, h + 1, h + 2),                        \
		FUNCTION(prefix "recalloc", REALLOCARRAY, h, h + 1, h + 2),                        \
		FUNCTION(prefix "malloc_aligned", MALLOC, h, 0, 0),                                \
		FUNCTION(prefix "malloc_aligned_at", MALLOC, h, 0, 0),                             \
		FUNCTION(prefix "zalloc_aligned", MALLOC, h, 0, 0),                                \
		FUNCTION(prefix "zalloc_aligned_at", MALLOC, h, 0, 0),                             \
		FUNCTION(prefix "calloc_aligned", CALLOC, h, h + 1, 0),                            \
		FUNCTION(prefix "calloc_aligned_at", CALLOC, h, h + 1, 0),                         \
		FUNCTION(prefix "realloc_aligned", REALLOC, h, h + 1, 0),                          \
		FUNCTION(prefix "realloc_aligned_at", REALLOC, h, h + 1, 0),                       \
		FUNCTION(prefix "rezalloc_aligned", REALLOC, h, h + 1, 0),                         \
		FUNCTION(prefix "rezalloc_aligned_at", REALLOC, h, h + 1, 0),                      \
		FUNCTION(prefix "recalloc_aligned", REALLOCARRAY, h, h + 1, h + 2),                \
		FUNCTION(prefix "recalloc_aligned_at", REALLOCARRAY, h, h + 1, h + 2)

#define STRINGS(prefix, h)                                                                         \
	FUNCTION(prefix "strdup", STRDUP, 0, 0, 0), FUNCTION(prefix "strndup", STRDUP, 0, 0, 0),   \
		FUNCTION(prefix "realpath", REALPATH, h + 1, 0, 0)

#define ALLOC_NEW(prefix)                                                                          \
	THROWING(prefix "alloc_new", MALLOC, 1, 0, 0),                                             \
		THROWING(prefix "alloc_new_n", CALLOC, 1, 2, 0),                                   \
		FUNCTION(prefix "alloc_new_nothrow", MALLOC, 1, 0, 0)

static const struct allocator_function functions[] = {
	OF_A_HEAP("mi_", 0),
	OF_A_HEAP("mi_heap_", 1),
	OF_A_HEAP("mi_theap_", 1), /* 3.6: a heap's share of one thread */
	FUNCTION("mi_free", FREE, 0, 0, 0),
	FUNCTION("mi_free_size", FREE, 0, 0, 0),
	FUNCTION("mi_free_aligned", FREE, 0, 0, 0),
	FUNCTION("mi_free_size_aligned", FREE, 0, 0, 0),
	FUNCTION("mi_cfree", FREE, 0, 0, 0),
	FUNCTION("mi_free_small", FREE, 0, 0, 0),
	FUNCTION("mi_free_small_nonnull", FREE, 0, 0, 0),
	FUNCTION("mi_free_small_local", FREE, 0, 0, 0),
	FUNCTION("mi_free_small_local_nonnull", FREE, 0, 0, 0),
	FUNCTION("mi_expand", REALLOC, 0, 1, 0),
	FUNCTION("mi__expand", REALLOC, 0, 1, 0),
	FUNCTION("mi_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	FUNCTION("mi_memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("mi_aligned_alloc", MEMALIGN, 0, 1, 0),
	FUNCTION("mi_valloc", MALLOC, 0, 0, 0),
	FUNCTION("mi_pvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("mi_reallocarray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("mi_aligned_recalloc", REALLOCARRAY, 0, 1, 2),
	FUNCTION("mi_aligned_offset_recalloc", REALLOCARRAY, 0, 1, 2),
	THROWING("mi_new", MALLOC, 0, 0, 0),
	THROWING("mi_new_n", CALLOC, 0, 1, 0),
	THROWING("mi_new_aligned", MALLOC, 0, 0, 0),
	FUNCTION("mi_new_nothrow", MALLOC, 0, 0, 0),
	FUNCTION("mi_new_aligned_nothrow", MALLOC, 0, 0, 0),
	THROWING("mi_new_realloc", REALLOC, 0, 1, 0),
	THROWING("mi_new_reallocn", REALLOCARRAY, 0, 1, 2),
	ALLOC_NEW("mi_heap_"),
	ALLOC_NEW("mi_theap_"),
	/* 3.6: these tell a block's size by a last argument */
	FUNCTION("mi_umalloc", MALLOC, 0, 0, 0),
	FUNCTION("mi_umalloc_small", MALLOC, 0, 0, 0),
	FUNCTION("mi_umalloc_aligned", MALLOC, 0, 0, 0),
	FUNCTION("mi_uzalloc", MALLOC, 0, 0, 0),
	FUNCTION("mi_uzalloc_small", MALLOC, 0, 0, 0),
	FUNCTION("mi_uzalloc_aligned", MALLOC, 0, 0, 0),
	FUNCTION("mi_ucalloc", CALLOC, 0, 1, 0),
	FUNCTION("mi_urealloc", REALLOC, 0, 1, 0),
	FUNCTION("mi_ufree", FREE, 0, 0, 0),
	FUNCTION("mi_reallocarr", REALLOCARR, 0, 1, 2),
	STRINGS("mi_", 0),
	STRINGS("mi_heap_", 1),
	STRINGS("mi_theap_", 1),
	FUNCTION("mi_mbsdup", STRDUP, 0, 0, 0),
	FUNCTION("mi_dupenv_s", DUPENV, 0, 0, 0),
	/* of wide characters, for Windows */
	FUNCTION("mi_wcsdup", UNKNOWN, 0, 0, 0),
	FUNCTION("mi_wdupenv_s", UNKNOWN, 0, 0, 0),
	/* these free what is left in a heap, without a word of the blocks */
	FUNCTION("mi_heap_destroy", UNKNOWN, 0, 0, 0),
	FUNCTION("mi_subproc_destroy", UNKNOWN, 0, 0, 0),
};

/* Of BSD, and Windows: what the arguments of _aligned_malloc are has changed from version to
 * version. */
static const struct allocator_function beside_plain[] = {
	FUNCTION("reallocf", REALLOCF, 0, 1, 0), FUNCTION("reallocarr", REALLOCARR, 0, 1, 2),
	FUNCTION("vfree", FREE, 0, 0, 0),	 FUNCTION("_aligned_malloc", UNKNOWN, 0, 0, 0),
	FUNCTION("strdup", STRDUP, 0, 0, 0),	 FUNCTION("strndup", STRDUP, 0, 0, 0),
	FUNCTION("realpath", REALPATH, 1, 0, 0),
};

static bool is_present(const struct object *object, const char *prefix)
{
	return HAS_ONE(object, prefix, "mi_malloc", "mi_malloc_aligned") &&
	       family_has(object, prefix, "mi_free") &&
	       HAS_ONE(object, prefix, "mi_heap_malloc", "mi_version", "mi_realloc",
		       "mi_zalloc_aligned", "mi_realloc_aligned");
}

/* Objects of its own, questions, and what gets the notice of a free. */
static const char *const harmless[] = {
	"mi_heap_new",
	"mi_heap_new_ex",
	"mi_heap_new_in_arena",
	"mi_heap_new_qsbr",
	"mi_heap_try_new",
	"mi_heap_delete",
	"mi_theap_delete",
	"mi_subproc_new",
	"mi_subproc_delete",
	"mi_pprof_profiler_new",
	"mi_pprof_profiler_delete",
	"mi_malloc_size",
	"mi_malloc_good_size",
	"mi_malloc_usable_size",
	"mi_register_deferred_free",
	NULL,
};

/* int mi_version(void) is "mov $number, %eax": MMmp of 209 (2.0.9), one digit for each of the last
 * two parts; since 3.0.2 MMmmpp of 30600 (3.6.0). mimalloc.h, MI_MALLOC_VERSION. */
static bool read_version(const struct object *object, uint32_t *ret)
{
	const struct object_symbol *s = family_symbol(object, "", "mi_version");
	size_t at = 0;

	if (!s)
		return false;
	if (s->code_size >= 4 && !memcmp(s->code, "\xf3\x0f\x1e\xfa", 4))
		at = 4; /* endbr64 */
	if (s->code_size < at + 5 || s->code[at] != 0xb8)
		return false;
	memcpy(ret, s->code + at + 1, 4);
	return *ret < 1000000;
}

static void tell_name(const struct object *object, char *ret, size_t size)
{
	uint32_t v;

	if (!read_version(object, &v))
		snprintf(ret, size, "mimalloc");
	else if (v < 10000)
		snprintf(ret, size, "mimalloc %u.%u.%u", v / 100, v / 10 % 10, v % 10);
	else
		snprintf(ret, size, "mimalloc %u.%u.%u", v / 10000, v / 100 % 100, v % 100);
}

const struct allocator_family family_mimalloc = {
	.functions = FUNCTIONS(functions),
	.beside_plain = FUNCTIONS(beside_plain),
	.prefixes = (const char *const[]){ "", NULL },
	.begins = (const char *const[]){ "mi_", NULL },
	.harmless = harmless,
	.anchors =
		(const char *const[]){ "mi_malloc", "mi_malloc_aligned", "mi_heap_malloc", NULL },
	.marks = (const char *const[]){ "mi_version", NULL },
	.is_present = is_present,
	.tell_name = tell_name,
	.maker = OBJECT_MAKER_MIMALLOC,
	.owns_plain = true,
};
