/* matrix_rpmalloc: rpmalloc's functions by their own names. */
#include <rpmalloc.h>
#include <stdlib.h>

#include "matrix.h"

SITE void *use_rpmalloc(size_t size)
{
	return rpmalloc(size);
}

SITE void *use_rpzalloc(size_t size)
{
	return rpzalloc(size);
}

SITE void *use_rpcalloc(size_t size)
{
	return rpcalloc(1, size);
}

SITE void *use_rpaligned_alloc(size_t size)
{
	return rpaligned_alloc(64, size);
}

SITE void *use_rpaligned_zalloc(size_t size)
{
	return rpaligned_zalloc(64, size);
}

SITE void *use_rpaligned_calloc(size_t size)
{
	return rpaligned_calloc(64, 1, size);
}

SITE void *use_rpmemalign(size_t size)
{
	return rpmemalign(128, size);
}

SITE void *use_rpposix_memalign(size_t size)
{
	void *block = NULL;

	return rpposix_memalign(&block, 128, size) ? NULL : block;
}

SITE void put_rpfree(void *block, size_t size)
{
	(void)size;
	rpfree(block);
}

SITE void *resize_rprealloc(void *block, size_t *size)
{
	return rprealloc(block, *size);
}

SITE void *resize_rpaligned_realloc(void *block, size_t *size)
{
	return rpaligned_realloc(block, 64, *size, 0, 0);
}

const struct api rpmalloc_apis[] = {
	{ "use_rpmalloc", use_rpmalloc, put_rpfree, resize_rprealloc, 0 },
	{ "use_rpzalloc", use_rpzalloc, put_rpfree, resize_rprealloc, 0 },
	{ "use_rpcalloc", use_rpcalloc, put_rpfree, NULL, 0 },
	{ "use_rpaligned_alloc", use_rpaligned_alloc, put_rpfree, resize_rpaligned_realloc, 0 },
	{ "use_rpaligned_zalloc", use_rpaligned_zalloc, put_rpfree, NULL, 0 },
	{ "use_rpaligned_calloc", use_rpaligned_calloc, put_rpfree, NULL, 0 },
	{ "use_rpmemalign", use_rpmemalign, put_rpfree, NULL, 0 },
	{ "use_rpposix_memalign", use_rpposix_memalign, put_rpfree, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
