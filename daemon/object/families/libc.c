/* libc: the allocators of C libraries, and those that the sanitizers put in their place. All of
 * their functions have plain names. */
#include "family.h"

#include <stdio.h>
#include <string.h>

/* ---- glibc -------------------------------------------------------------------------------- */

static bool is_glibc(const struct object_desc *desc, const char *prefix)
{
	(void)prefix;
	if (strncmp(desc->soname, "libc.so", 7) && !desc->is_static)
		return false;
	return !strncmp(desc->libc_version, "glibc", 5) || family_has(desc, "__libc_", "malloc");
}

static void name_glibc(const struct object_desc *desc, char *ret, size_t size)
{
	bool is_told = !strncmp(desc->libc_version, "glibc", 5);

	snprintf(ret, size, "%s", is_told ? desc->libc_version : "glibc");
}

const struct allocator_family family_glibc = {
	.marks = (const char *const[]){ "_int_malloc", NULL }, /* with .symtab */
	.is_present = is_glibc,
	.tell_name = name_glibc,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
	.has_header = true,
};

/* ---- musl --------------------------------------------------------------------------------- */

#define MUSL_NEW "__libc_malloc_impl" /* mallocng */
#define MUSL_OLD "__bin_chunk"	      /* before 1.2.1 */

static bool is_musl(const struct object_desc *desc, const char *prefix)
{
	(void)prefix;
	return HAS_ONE(desc, "", MUSL_NEW, MUSL_OLD) || !strncmp(desc->libc_version, "musl", 4);
}

static void name_musl(const struct object_desc *desc, char *ret, size_t size)
{
	snprintf(ret, size, "%s", desc->libc_version[0] ? desc->libc_version : "musl");
}

const struct allocator_family family_musl = {
	.marks = (const char *const[]){ MUSL_NEW, MUSL_OLD, NULL },
	.is_present = is_musl,
	.tell_name = name_musl,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
};

/* ---- sanitizers --------------------------------------------------------------------------- */

/* AddressSanitizer's run-time library and its sisters, by any linkage. */
#define SANITIZERS "__asan_init", "__tsan_init", "__msan_init", "__hwasan_init", "__lsan_init"

static bool is_sanitizer(const struct object_desc *desc, const char *prefix)
{
	(void)prefix;
	return HAS_ONE(desc, "", SANITIZERS);
}

static void name_sanitizer(const struct object_desc *desc, char *ret, size_t size)
{
	(void)desc;
	snprintf(ret, size, "sanitizer");
}

const struct allocator_family family_sanitizer = {
	.marks = (const char *const[]){ SANITIZERS, NULL },
	.is_present = is_sanitizer,
	.tell_name = name_sanitizer,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
};
