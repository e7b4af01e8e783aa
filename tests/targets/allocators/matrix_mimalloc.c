/* matrix_mimalloc: mimalloc's functions by their own names. */
#include <mimalloc.h>

#include "matrix.h"

SITE void *use_mi_malloc(size_t size)
{
	return mi_malloc(size);
}

SITE void *use_mi_zalloc(size_t size)
{
	return mi_zalloc(size);
}

SITE void *use_mi_calloc(size_t size)
{
	return mi_calloc(1, size);
}

SITE void *use_mi_mallocn(size_t size)
{
	return mi_mallocn(1, size);
}

SITE void *use_mi_malloc_aligned(size_t size)
{
	return mi_malloc_aligned(size, 64);
}

SITE void *use_mi_malloc_small(size_t size)
{
	return size <= MI_SMALL_SIZE_MAX ? mi_malloc_small(size) : mi_malloc(size);
}

SITE void *use_mi_posix_memalign(size_t size)
{
	void *block = NULL;

	return mi_posix_memalign(&block, 128, size) ? NULL : block;
}

SITE void *use_mi_heap_malloc(size_t size)
{
	return mi_heap_malloc(mi_heap_get_default(), size);
}

SITE void put_mi_free(void *block, size_t size)
{
	(void)size;
	mi_free(block);
}

SITE void put_mi_free_size(void *block, size_t size)
{
	mi_free_size(block, size);
}

SITE void put_mi_free_aligned(void *block, size_t size)
{
	(void)size;
	mi_free_aligned(block, 64);
}

SITE void *resize_mi_realloc(void *block, size_t *size)
{
	return mi_realloc(block, *size);
}

SITE void *resize_mi_reallocn(void *block, size_t *size)
{
	return mi_reallocn(block, 1, *size);
}

SITE void *resize_mi_realloc_aligned(void *block, size_t *size)
{
	return mi_realloc_aligned(block, *size, 64);
}

const struct api mimalloc_apis[] = {
	{ "use_mi_malloc", use_mi_malloc, put_mi_free, resize_mi_realloc, 0 },
	{ "use_mi_zalloc", use_mi_zalloc, put_mi_free_size, NULL, 0 },
	{ "use_mi_calloc", use_mi_calloc, put_mi_free, resize_mi_reallocn, 0 },
	{ "use_mi_mallocn", use_mi_mallocn, put_mi_free, resize_mi_realloc, 0 },
	{ "use_mi_malloc_aligned", use_mi_malloc_aligned, put_mi_free_aligned,
	  resize_mi_realloc_aligned, 0 },
	{ "use_mi_malloc_small", use_mi_malloc_small, put_mi_free, NULL, 0 },
	{ "use_mi_posix_memalign", use_mi_posix_memalign, put_mi_free, NULL, 0 },
	{ "use_mi_heap_malloc", use_mi_heap_malloc, put_mi_free, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
