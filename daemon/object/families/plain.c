/* plain: the names of C and C++, whoever provides them. */
#include "family.h"

#include <string.h>

#include "proto/base/cleanup.h"

/* malloc(3), posix_memalign(3); free_sized and free_aligned_sized: C23 7.24.3. */
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
	FUNCTION("cfree", FREE, 0, 0, 0),
	FUNCTION("free_sized", FREE, 0, 0, 0),
	FUNCTION("free_aligned_sized", FREE, 0, 0, 0),
	/* glibc's own names for the same code; in a static program sometimes the only ones. Some
	 * that replace it have them, too. */
	FUNCTION("__libc_malloc", MALLOC, 0, 0, 0),
	FUNCTION("__libc_calloc", CALLOC, 0, 1, 0),
	FUNCTION("__libc_realloc", REALLOC, 0, 1, 0),
	FUNCTION("__libc_free", FREE, 0, 0, 0),
	FUNCTION("__libc_cfree", FREE, 0, 0, 0),
	FUNCTION("__libc_memalign", MEMALIGN, 0, 1, 0),
	FUNCTION("__libc_valloc", MALLOC, 0, 0, 0),
	FUNCTION("__libc_pvalloc", PVALLOC, 0, 0, 0),
	FUNCTION("__libc_reallocarray", REALLOCARRAY, 0, 1, 2),
	FUNCTION("__posix_memalign", POSIX_MEMALIGN, 0, 1, 2),
};
const struct function_list plain_functions = FUNCTIONS(functions);

/* operator new and delete in the Itanium C++ ABI's mangling: size_t is m; the forms with
 * std::nothrow_t return null instead of throwing. */
#define NEW(array)                                                                                 \
	THROWING("_Zn" array "m", MALLOC, 0, 0, 0),                                                \
		FUNCTION("_Zn" array "mRKSt9nothrow_t", MALLOC, 0, 0, 0),                          \
		THROWING("_Zn" array "mSt11align_val_t", MALLOC, 0, 0, 0),                         \
		FUNCTION("_Zn" array "mSt11align_val_tRKSt9nothrow_t", MALLOC, 0, 0, 0)
#define DELETE(array)                                                                              \
	FUNCTION("_Zd" array "Pv", FREE, 0, 0, 0), FUNCTION("_Zd" array "Pvm", FREE, 0, 0, 0),     \
		FUNCTION("_Zd" array "PvRKSt9nothrow_t", FREE, 0, 0, 0),                           \
		FUNCTION("_Zd" array "PvSt11align_val_t", FREE, 0, 0, 0),                          \
		FUNCTION("_Zd" array "PvmSt11align_val_t", FREE, 0, 0, 0),                         \
		FUNCTION("_Zd" array "PvSt11align_val_tRKSt9nothrow_t", FREE, 0, 0, 0)

static const struct allocator_function operators[] = {
	NEW("w"),
	NEW("a"),
	DELETE("l"),
	DELETE("a"),
};
const struct function_list operator_functions = FUNCTIONS(operators);

/* Whoever starts programs is the C library, or a program that was linked with it statically. */
const char *const plain_marks[] = { "__libc_start_main", NULL };

static bool exports(const struct object *object, const char *name)
{
	size_t i;

	for (i = 0; i < object->symbol_count; i++)
		if (object->symbols[i].is_exported && !strcmp(object->symbols[i].name, name))
			return true;
	return false;
}

/* glibc's dynamic linker has a malloc for its own start-up, which libc's replaces soon; counting
 * it would pair its blocks with frees that never come. */
static bool is_glibc_loader(const struct object *object)
{
	return !strncmp(object->desc.soname, "ld-linux", 8) ||
	       !strncmp(object->desc.soname, "ld64", 4);
}

bool plain_is_present(const struct object *object)
{
	if (is_glibc_loader(object))
		return false;
	if (exports(object, "malloc") && exports(object, "free"))
		return true;
	/* Not exported: a static program, or an allocator linked in privately. A lone function that
	 * happens to be called "free" is neither. Of musl only what is used is linked in. */
	if (family_has(object, "__libc_", "malloc") && family_has(object, "__libc_", "free"))
		return true;
	return HAS_ONE(object, "", "malloc", "__libc_malloc") &&
	       HAS_ONE(object, "", "free", "__libc_free") &&
	       HAS_ONE(object, "", "realloc", "__libc_realloc", "calloc", "__libc_calloc");
}

/* ---- names that are not known ------------------------------------------------------------- */

const char *const plain_beginnings[] = {
	"malloc", "calloc",  "realloc", "free",	    "memalign", "aligned_alloc", "posix_memalign",
	"valloc", "pvalloc", "zalloc",	"rezalloc", "recalloc", "smallocx",	 "alloc_at_least",
	"_Znw",	  "_Zna",    "_Zdl",	"_Zda",	    NULL,
};

/* Behind one of the words: free_sized, reallocarray, reallocf, mallocx, aligned_alloc_at_least,
 * smallocx_54eaed1d8b56b1aa528be3bdd1877e59c56fa90c; but not malloc_trim, free_list or
 * freeaddrinfo. */
static bool are_suffixes(const char *rest)
{
	static const char *const suffixes[] = {
		"_",	   "x",	       "f",  "array", "arr",   "sized", "aligned", "zeroed", "zero",
		"nothrow", "hot_cold", "at", "least", "small", "fast",	"type",	   "typed",
	};
	size_t i, length;

	while (*rest) {
		for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
			length = strlen(suffixes[i]);
			if (!strncmp(rest, suffixes[i], length) &&
			    (suffixes[i][0] == '_' || !rest[length] || rest[length] == '_'))
				break;
		}
		if (i == ARRAY_SIZE(suffixes))
			return false;
		rest += length;
	}
	return true;
}

bool plain_looks_like(const char *name)
{
	size_t i, length;

	/* mangled: any further form of the operators for void */
	if (!strncmp(name, "_Znwm", 5) || !strncmp(name, "_Znam", 5) ||
	    !strncmp(name, "_ZdlPv", 6) || !strncmp(name, "_ZdaPv", 6))
		return true;
	if (!strncmp(name, "smallocx_", 9))
		return true;
	for (i = 0; plain_beginnings[i] && plain_beginnings[i][0] != '_'; i++) {
		length = strlen(plain_beginnings[i]);
		if (!strncmp(name, plain_beginnings[i], length) && are_suffixes(name + length))
			return true;
	}
	return false;
}
