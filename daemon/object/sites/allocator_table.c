#include "allocator_table.h"

#include "bpf/dhat_abi.h"
#include "proto/base/cleanup.h"

/* { name, role, { argument numbers of the role's arguments }, may_throw }, family */
#define F(family, name, role, a, b, c)                                                             \
	{                                                                                          \
		{ name, DHAT_ROLE_##role, { a, b, c }, false }, FAMILY_##family                    \
	}
#define THROWS(family, name, role, a, b, c)                                                        \
	{                                                                                          \
		{ name, DHAT_ROLE_##role, { a, b, c }, true }, FAMILY_##family                     \
	}

/* malloc(3), posix_memalign(3); free_sized and free_aligned_sized: C23 7.24.3. */
#define STANDARD(family, prefix)                                                                   \
	F(family, prefix "malloc", MALLOC, 0, 0, 0), F(family, prefix "calloc", CALLOC, 0, 1, 0),  \
		F(family, prefix "realloc", REALLOC, 0, 1, 0),                                     \
		F(family, prefix "free", FREE, 0, 0, 0),                                           \
		F(family, prefix "posix_memalign", POSIX_MEMALIGN, 0, 1, 2),                       \
		F(family, prefix "aligned_alloc", MEMALIGN, 0, 1, 0),                              \
		F(family, prefix "memalign", MEMALIGN, 0, 1, 0),                                   \
		F(family, prefix "valloc", MALLOC, 0, 0, 0),                                       \
		F(family, prefix "pvalloc", PVALLOC, 0, 0, 0),                                     \
		F(family, prefix "reallocarray", REALLOCARRAY, 0, 1, 2),                           \
		F(family, prefix "cfree", FREE, 0, 0, 0),                                          \
		F(family, prefix "free_sized", FREE, 0, 0, 0),                                     \
		F(family, prefix "free_aligned_sized", FREE, 0, 0, 0)

/* jemalloc(3), "Non-standard API": the last argument is flags; xallocx(ptr, size, extra, flags)
 * returns the size that the block has then. */
#define EXTENDED(family, prefix)                                                                   \
	F(family, prefix "mallocx", MALLOC, 0, 0, 0),                                              \
		F(family, prefix "rallocx", REALLOC, 0, 1, 0),                                     \
		F(family, prefix "xallocx", RESIZE, 0, 1, 0),                                      \
		F(family, prefix "dallocx", FREE, 0, 0, 0),                                        \
		F(family, prefix "sdallocx", FREE, 0, 0, 0)

/* operator new and delete in the Itanium C++ ABI's mangling: size_t is m; the forms with
 * std::nothrow_t return null instead of throwing. */
#define OPERATORS(array)                                                                           \
	THROWS(OPERATORS, "_Zn" array "m", MALLOC, 0, 0, 0),                                       \
		F(OPERATORS, "_Zn" array "mRKSt9nothrow_t", MALLOC, 0, 0, 0),                      \
		THROWS(OPERATORS, "_Zn" array "mSt11align_val_t", MALLOC, 0, 0, 0),                \
		F(OPERATORS, "_Zn" array "mSt11align_val_tRKSt9nothrow_t", MALLOC, 0, 0, 0)
#define DELETES(array)                                                                             \
	F(OPERATORS, "_Zd" array "Pv", FREE, 0, 0, 0),                                             \
		F(OPERATORS, "_Zd" array "Pvm", FREE, 0, 0, 0),                                    \
		F(OPERATORS, "_Zd" array "PvRKSt9nothrow_t", FREE, 0, 0, 0),                       \
		F(OPERATORS, "_Zd" array "PvSt11align_val_t", FREE, 0, 0, 0),                      \
		F(OPERATORS, "_Zd" array "PvmSt11align_val_t", FREE, 0, 0, 0),                     \
		F(OPERATORS, "_Zd" array "PvSt11align_val_tRKSt9nothrow_t", FREE, 0, 0, 0)

/* gperftools/tcmalloc.h */
#define TC_NEW(new)                                                                                \
	THROWS(GPERFTOOLS, "tc_" new, MALLOC, 0, 0, 0),                                            \
		F(GPERFTOOLS, "tc_" new "_nothrow", MALLOC, 0, 0, 0),                              \
		THROWS(GPERFTOOLS, "tc_" new "_aligned", MALLOC, 0, 0, 0),                         \
		F(GPERFTOOLS, "tc_" new "_aligned_nothrow", MALLOC, 0, 0, 0)
#define TC_DELETE(delete)                                                                          \
	F(GPERFTOOLS, "tc_" delete, FREE, 0, 0, 0),                                                \
		F(GPERFTOOLS, "tc_" delete "_sized", FREE, 0, 0, 0),                               \
		F(GPERFTOOLS, "tc_" delete "_nothrow", FREE, 0, 0, 0),                             \
		F(GPERFTOOLS, "tc_" delete "_aligned", FREE, 0, 0, 0),                             \
		F(GPERFTOOLS, "tc_" delete "_sized_aligned", FREE, 0, 0, 0),                       \
		F(GPERFTOOLS, "tc_" delete "_aligned_nothrow", FREE, 0, 0, 0)

/* mimalloc.h: h is 1 for the mi_heap_… forms, whose first argument is the heap. */
#define MIMALLOC(prefix, h)                                                                        \
	F(MIMALLOC, prefix "malloc", MALLOC, h, 0, 0),                                             \
		F(MIMALLOC, prefix "zalloc", MALLOC, h, 0, 0),                                     \
		F(MIMALLOC, prefix "malloc_small", MALLOC, h, 0, 0),                               \
		F(MIMALLOC, prefix "zalloc_small", MALLOC, h, 0, 0),                               \
		F(MIMALLOC, prefix "calloc", CALLOC, h, h + 1, 0),                                 \
		F(MIMALLOC, prefix "mallocn", CALLOC, h, h + 1, 0),                                \
		F(MIMALLOC, prefix "realloc", REALLOC, h, h + 1, 0),                               \
		F(MIMALLOC, prefix "reallocf", REALLOC, h, h + 1, 0),                              \
		F(MIMALLOC, prefix "rezalloc", REALLOC, h, h + 1, 0),                              \
		F(MIMALLOC, prefix "reallocn", REALLOCARRAY, h, h + 1, h + 2),                     \
		F(MIMALLOC, prefix "recalloc", REALLOCARRAY, h, h + 1, h + 2),                     \
		F(MIMALLOC, prefix "malloc_aligned", MALLOC, h, 0, 0),                             \
		F(MIMALLOC, prefix "malloc_aligned_at", MALLOC, h, 0, 0),                          \
		F(MIMALLOC, prefix "zalloc_aligned", MALLOC, h, 0, 0),                             \
		F(MIMALLOC, prefix "zalloc_aligned_at", MALLOC, h, 0, 0),                          \
		F(MIMALLOC, prefix "calloc_aligned", CALLOC, h, h + 1, 0),                         \
		F(MIMALLOC, prefix "calloc_aligned_at", CALLOC, h, h + 1, 0),                      \
		F(MIMALLOC, prefix "realloc_aligned", REALLOC, h, h + 1, 0),                       \
		F(MIMALLOC, prefix "realloc_aligned_at", REALLOC, h, h + 1, 0),                    \
		F(MIMALLOC, prefix "rezalloc_aligned", REALLOC, h, h + 1, 0),                      \
		F(MIMALLOC, prefix "rezalloc_aligned_at", REALLOC, h, h + 1, 0),                   \
		F(MIMALLOC, prefix "recalloc_aligned", REALLOCARRAY, h, h + 1, h + 2),             \
		F(MIMALLOC, prefix "recalloc_aligned_at", REALLOCARRAY, h, h + 1, h + 2)

const struct allocator_entry allocator_table[] = {
	STANDARD(PLAIN, ""),
	/* glibc's own names for the same code; in a static program sometimes the only ones. */
	F(PLAIN, "__libc_malloc", MALLOC, 0, 0, 0),
	F(PLAIN, "__libc_calloc", CALLOC, 0, 1, 0),
	F(PLAIN, "__libc_realloc", REALLOC, 0, 1, 0),
	F(PLAIN, "__libc_free", FREE, 0, 0, 0),
	F(PLAIN, "__libc_cfree", FREE, 0, 0, 0),
	F(PLAIN, "__libc_memalign", MEMALIGN, 0, 1, 0),
	F(PLAIN, "__libc_valloc", MALLOC, 0, 0, 0),
	F(PLAIN, "__libc_pvalloc", PVALLOC, 0, 0, 0),
	F(PLAIN, "__libc_reallocarray", REALLOCARRAY, 0, 1, 2),
	F(PLAIN, "__posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	EXTENDED(JEMALLOC, ""),
	STANDARD(JE, "je_"),
	EXTENDED(JE, "je_"),
	STANDARD(RJEM, "_rjem_"),
	EXTENDED(RJEM, "_rjem_"),
	STANDARD(GPERFTOOLS, "tc_"),
	TC_NEW("new"),
	TC_NEW("newarray"),
	TC_DELETE("delete"),
	TC_DELETE("deletearray"),
	MIMALLOC("mi_", 0),
	MIMALLOC("mi_heap_", 1),
	F(MIMALLOC, "mi_free", FREE, 0, 0, 0),
	F(MIMALLOC, "mi_free_size", FREE, 0, 0, 0),
	F(MIMALLOC, "mi_free_aligned", FREE, 0, 0, 0),
	F(MIMALLOC, "mi_free_size_aligned", FREE, 0, 0, 0),
	F(MIMALLOC, "mi_expand", REALLOC, 0, 1, 0),
	F(MIMALLOC, "mi__expand", REALLOC, 0, 1, 0),
	F(MIMALLOC, "mi_posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
	F(MIMALLOC, "mi_memalign", MEMALIGN, 0, 1, 0),
	F(MIMALLOC, "mi_aligned_alloc", MEMALIGN, 0, 1, 0),
	F(MIMALLOC, "mi_valloc", MALLOC, 0, 0, 0),
	F(MIMALLOC, "mi_pvalloc", PVALLOC, 0, 0, 0),
	F(MIMALLOC, "mi_reallocarray", REALLOCARRAY, 0, 1, 2),
	F(MIMALLOC, "mi_aligned_recalloc", REALLOCARRAY, 0, 1, 2),
	F(MIMALLOC, "mi_aligned_offset_recalloc", REALLOCARRAY, 0, 1, 2),
	THROWS(MIMALLOC, "mi_new", MALLOC, 0, 0, 0),
	THROWS(MIMALLOC, "mi_new_n", CALLOC, 0, 1, 0),
	THROWS(MIMALLOC, "mi_new_aligned", MALLOC, 0, 0, 0),
	F(MIMALLOC, "mi_new_nothrow", MALLOC, 0, 0, 0),
	F(MIMALLOC, "mi_new_aligned_nothrow", MALLOC, 0, 0, 0),
	THROWS(MIMALLOC, "mi_new_realloc", REALLOC, 0, 1, 0),
	THROWS(MIMALLOC, "mi_new_reallocn", REALLOCARRAY, 0, 1, 2),
	THROWS(MIMALLOC, "mi_heap_alloc_new", MALLOC, 1, 0, 0),
	THROWS(MIMALLOC, "mi_heap_alloc_new_n", CALLOC, 1, 2, 0),
	OPERATORS("w"),
	OPERATORS("a"),
	DELETES("l"),
	DELETES("a"),
};
const size_t allocator_table_count = ARRAY_SIZE(allocator_table);

const char *const allocator_marks[] = {
	"__libc_malloc_impl", /* musl's mallocng */
	"__bin_chunk",	      /* musl's older malloc */
	"_int_malloc",	      /* glibc, with .symtab */
	"mallctl",	      /* jemalloc */
	"mi_version",	      /* mimalloc */
	"tc_version",	      /* gperftools */
	"__asan_init",	      /* AddressSanitizer's run-time library, by any linkage */
	"__tsan_init",
	"__msan_init",
	"__hwasan_init",
	"__lsan_init",
};
const size_t allocator_mark_count = ARRAY_SIZE(allocator_marks);
