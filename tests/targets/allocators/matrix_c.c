/* matrix_c: the functions of the C library, under whatever allocator is linked or preloaded. */
#include <malloc.h>
#include <stdlib.h>

#include "matrix.h"

#define PAGE 4096
#define GRAIN 16

SITE void *use_malloc(size_t size)
{
	return malloc(size);
}

SITE void *use_calloc(size_t size)
{
	/* Two factors, where the size has two. */
	return size % 4 == 0 ? calloc(4, size / 4) : calloc(1, size);
}

SITE void *use_realloc_of_null(size_t size)
{
	/* Of size 0, realloc(NULL, 0) means malloc(0) everywhere. */
	return realloc(NULL, size);
}

SITE void *use_posix_memalign(size_t size)
{
	void *block = NULL;

	return posix_memalign(&block, 64, size) ? NULL : block;
}

SITE void *use_aligned_alloc(size_t size)
{
	/* C11 7.22.3.1 and mimalloc want a multiple of the alignment. */
	return aligned_alloc(GRAIN, ((size ? size : 1) + GRAIN - 1) / GRAIN * GRAIN);
}

SITE void *use_memalign(size_t size)
{
	return memalign(256, size);
}

SITE void *use_valloc(size_t size)
{
	return valloc(size);
}

SITE void put_free(void *block, size_t size)
{
	(void)size;
	free(NULL);
	free(block);
}

SITE void *resize_realloc(void *block, size_t *size)
{
	return realloc(block, *size);
}

SITE void *use_reallocarray_of_null(size_t size)
{
	return size % 2 == 0 ? reallocarray(NULL, 2, size / 2) : reallocarray(NULL, 1, size);
}

SITE void *resize_reallocarray(void *block, size_t *size)
{
	return *size % 2 == 0 ? reallocarray(block, 2, *size / 2) : reallocarray(block, 1, *size);
}

#ifndef NO_PVALLOC
SITE void *use_pvalloc(size_t size)
{
	return pvalloc(size ? size : 1);
}
#endif

const struct api c_apis[] = {
	{ "use_malloc", use_malloc, put_free, resize_realloc, 0 },
	{ "use_calloc", use_calloc, put_free, resize_realloc, 0 },
	{ "use_realloc_of_null", use_realloc_of_null, put_free, resize_realloc, 0 },
	{ "use_posix_memalign", use_posix_memalign, put_free, resize_realloc, 0 },
	{ "use_aligned_alloc", use_aligned_alloc, put_free, NULL, GRAIN },
	{ "use_memalign", use_memalign, put_free, NULL, 0 },
	{ "use_valloc", use_valloc, put_free, NULL, 0 },
	{ "use_reallocarray_of_null", use_reallocarray_of_null, put_free, resize_reallocarray, 0 },
#ifndef NO_PVALLOC
	{ "use_pvalloc", use_pvalloc, put_free, NULL, PAGE },
#endif
	{ NULL, NULL, NULL, NULL, 0 },
};
