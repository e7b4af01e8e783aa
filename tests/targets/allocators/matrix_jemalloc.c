/* matrix_jemalloc: jemalloc's own functions, under the prefix that this copy was built with. */
#include <stddef.h>

#include "matrix.h"

#ifndef PREFIX
#define PREFIX
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define JE(name) JOIN(PREFIX, name)

#define ALIGN_64 6 /* MALLOCX_LG_ALIGN(6) */
#define ZERO 0x40  /* MALLOCX_ZERO */

void *JE(malloc)(size_t size);
void *JE(calloc)(size_t count, size_t size);
void *JE(realloc)(void *block, size_t size);
void JE(free)(void *block);
int JE(posix_memalign)(void **ret, size_t alignment, size_t size);
void *JE(aligned_alloc)(size_t alignment, size_t size);
void *JE(mallocx)(size_t size, int flags);
void *JE(rallocx)(void *block, size_t size, int flags);
size_t JE(xallocx)(void *block, size_t size, size_t extra, int flags);
void JE(sdallocx)(void *block, size_t size, int flags);
void JE(dallocx)(void *block, int flags);

/* mallocx(0) is undefined; so is sdallocx with another size than was asked for. */
SITE void *use_mallocx(size_t size)
{
	return JE(mallocx)(size ? size : 1, 0);
}

SITE void *use_mallocx_aligned(size_t size)
{
	return JE(mallocx)(size ? size : 1, ALIGN_64 | ZERO);
}

SITE void put_dallocx(void *block, size_t size)
{
	(void)size;
	JE(dallocx)(block, 0);
}

SITE void put_sdallocx(void *block, size_t size)
{
	JE(sdallocx)(block, size ? size : 1, ALIGN_64);
}

SITE void *resize_rallocx(void *block, size_t *size)
{
	return JE(rallocx)(block, *size, 0);
}

SITE void *resize_rallocx_aligned(void *block, size_t *size)
{
	return JE(rallocx)(block, *size, ALIGN_64);
}

SITE void *use_mallocx_in_place(size_t size)
{
	return JE(mallocx)(size ? size : 1, 0);
}

/* In place or not at all: the answer is what the block has then. */
SITE void *resize_xallocx(void *block, size_t *size)
{
	if (JE(xallocx)(block, *size, 0, 0) < *size)
		*size = 0;
	return block;
}

SITE void *use_je_malloc(size_t size)
{
	return JE(malloc)(size);
}

SITE void *use_je_calloc(size_t size)
{
	return JE(calloc)(1, size);
}

SITE void *use_je_posix_memalign(size_t size)
{
	void *block = NULL;

	return JE(posix_memalign)(&block, 128, size) ? NULL : block;
}

SITE void *use_je_aligned_alloc(size_t size)
{
	return JE(aligned_alloc)(32, size);
}

SITE void *resize_je_realloc(void *block, size_t *size)
{
	return JE(realloc)(block, *size);
}

SITE void put_je_free(void *block, size_t size)
{
	(void)size;
	JE(free)(block);
}

const struct api jemalloc_apis[] = {
	{ "use_mallocx", use_mallocx, put_dallocx, resize_rallocx, 0 },
	{ "use_mallocx_aligned", use_mallocx_aligned, put_sdallocx, resize_rallocx_aligned, 0 },
	{ "use_mallocx_in_place", use_mallocx_in_place, put_dallocx, resize_xallocx, 0 },
	{ "use_je_malloc", use_je_malloc, put_je_free, resize_je_realloc, 0 },
	{ "use_je_calloc", use_je_calloc, put_je_free, resize_je_realloc, 0 },
	{ "use_je_posix_memalign", use_je_posix_memalign, put_je_free, NULL, 0 },
	{ "use_je_aligned_alloc", use_je_aligned_alloc, put_je_free, NULL, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
