/* What allocators give, against what they say: this process's glibc; jemalloc 5.3.0's nallocx(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account/size_classes.h"
#include "proto/base/cleanup.h"

static void names(void **state)
{
	assert_int_equal(size_classes_of("glibc 2.36"), SIZE_CLASSES_GLIBC);
	assert_int_equal(size_classes_of("jemalloc 5.3.0"), SIZE_CLASSES_JEMALLOC);
	assert_int_equal(size_classes_of("jemalloc 3.6.0"), SIZE_CLASSES_NOT_KNOWN);
	assert_int_equal(size_classes_of("jemalloc"), SIZE_CLASSES_NOT_KNOWN);
	assert_int_equal(size_classes_of("musl"), SIZE_CLASSES_NOT_KNOWN);
	assert_string_equal(size_classes_name(SIZE_CLASSES_NOT_KNOWN), "");
	assert_int_equal(size_classes_usable(SIZE_CLASSES_NOT_KNOWN, 17), 17);
}

#ifndef __SANITIZE_ADDRESS__ /* whose allocator is another one */
/* A chunk whose rest would be too small is larger by 16; below the first threshold of mmap. */
static void glibc(void **state)
{
	size_t as_it_is = 0, count = 0;

	for (size_t size = 1; size < 120000; size += size < 2000 ? 1 : 997, count++) {
		_cleanup_free_ void *block = malloc(size);
		uint64_t usable = size_classes_usable(SIZE_CLASSES_GLIBC, size);
		size_t told = malloc_usable_size(block);

		if (told != usable && told != usable + 16)
			fail_msg("%zu: %zu, and not %zu", size, told, (size_t)usable);
		as_it_is += told == usable;
	}
	assert_true(as_it_is * 10 > count * 9);
}
#endif

static void jemalloc(void **state)
{
	static const uint64_t known[][2] = {
		{ 1, 8 },
		{ 8, 8 },
		{ 9, 16 },
		{ 17, 32 },
		{ 33, 48 },
		{ 112, 112 },
		{ 113, 128 },
		{ 128, 128 },
		{ 129, 160 },
		{ 160, 160 },
		{ 161, 192 },
		{ 225, 256 },
		{ 257, 320 },
		{ 1000, 1024 },
		{ 1025, 1280 },
		{ 1793, 2048 },
		{ 8193, 10240 },
		{ 14336, 14336 },
		{ 14337, 16384 },
		{ 16385, 20480 },
		{ 100000, 114688 },
		{ 114689, 131072 },
		{ 1 << 20, 1 << 20 },
		{ (1 << 20) + 1, 1310720 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		assert_int_equal(size_classes_usable(SIZE_CLASSES_JEMALLOC, known[i][0]),
				 known[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(glibc),
#endif
		cmocka_unit_test(jemalloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
