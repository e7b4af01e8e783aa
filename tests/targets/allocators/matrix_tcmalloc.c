/* matrix_tcmalloc: gperftools' functions by their own names. */
#include <gperftools/tcmalloc.h>

#include "matrix.h"

/* The header shows these to C++ only. */
void *tc_new(size_t size);
void *tc_newarray_nothrow(size_t size, const void *nothrow);
void tc_delete(void *block);
void tc_deletearray_sized(void *block, size_t size);

SITE void *use_tc_malloc(size_t size)
{
	return tc_malloc(size);
}

SITE void *use_tc_calloc(size_t size)
{
	return tc_calloc(1, size);
}

SITE void *use_tc_memalign(size_t size)
{
	return tc_memalign(128, size);
}

SITE void *use_tc_posix_memalign(size_t size)
{
	void *block = NULL;

	return tc_posix_memalign(&block, 64, size) ? NULL : block;
}

SITE void *use_tc_valloc(size_t size)
{
	return tc_valloc(size);
}

SITE void *use_tc_new(size_t size)
{
	return tc_new(size);
}

SITE void *use_tc_newarray(size_t size)
{
	return tc_newarray_nothrow(size, NULL);
}

SITE void put_tc_free(void *block, size_t size)
{
	(void)size;
	tc_free(block);
}

SITE void put_tc_delete(void *block, size_t size)
{
	(void)size;
	tc_delete(block);
}

SITE void put_tc_deletearray(void *block, size_t size)
{
	tc_deletearray_sized(block, size);
}

SITE void put_tc_cfree(void *block, size_t size)
{
	(void)size;
	tc_cfree(block);
}

SITE void *resize_tc_realloc(void *block, size_t *size)
{
	return tc_realloc(block, *size);
}

const struct api tcmalloc_apis[] = {
	{ "use_tc_malloc", use_tc_malloc, put_tc_free, resize_tc_realloc, 0 },
	{ "use_tc_calloc", use_tc_calloc, put_tc_cfree, resize_tc_realloc, 0 },
	{ "use_tc_memalign", use_tc_memalign, put_tc_free, NULL, 0 },
	{ "use_tc_posix_memalign", use_tc_posix_memalign, put_tc_free, NULL, 0 },
	{ "use_tc_valloc", use_tc_valloc, put_tc_free, NULL, 0 },
	{ "use_tc_new", use_tc_new, put_tc_delete, NULL, 0 },
	{ "use_tc_newarray", use_tc_newarray, put_tc_deletearray, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
