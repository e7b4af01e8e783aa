/* libc: the allocators of C libraries, and those that the sanitizers put in their place. All of
 * their functions have plain names. */
#include "family.h"

#include <stdio.h>
#include <string.h>

/* ---- glibc -------------------------------------------------------------------------------- */

static bool is_glibc(const struct object *object, const char *prefix)
{
	(void)prefix;
	if (strncmp(object->desc.soname, "libc.so", 7) && !object->desc.is_static)
		return false;
	return !strncmp(object->desc.libc_version, "glibc", 5) ||
	       family_has(object, "__libc_", "malloc");
}

static void name_glibc(const struct object *object, char *ret, size_t size)
{
	bool is_told = !strncmp(object->desc.libc_version, "glibc", 5);

	snprintf(ret, size, "%s", is_told ? object->desc.libc_version : "glibc");
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

static bool is_musl(const struct object *object, const char *prefix)
{
	(void)prefix;
	return HAS_ONE(object, "", MUSL_NEW, MUSL_OLD) ||
	       !strncmp(object->desc.libc_version, "musl", 4);
}

static void name_musl(const struct object *object, char *ret, size_t size)
{
	snprintf(ret, size, "%s",
		 object->desc.libc_version[0] ? object->desc.libc_version : "musl");
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

static bool is_sanitizer(const struct object *object, const char *prefix)
{
	(void)prefix;
	return HAS_ONE(object, "", SANITIZERS);
}

static void name_sanitizer(const struct object *object, char *ret, size_t size)
{
	(void)object;
	snprintf(ret, size, "sanitizer");
}

const struct allocator_family family_sanitizer = {
	.marks = (const char *const[]){ SANITIZERS, NULL },
	.is_present = is_sanitizer,
	.tell_name = name_sanitizer,
	.maker = OBJECT_MAKER_COUNT,
	.owns_plain = true,
};
