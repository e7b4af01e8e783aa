/* matrix_mimalloc: mimalloc's functions by their own names. */
#define _GNU_SOURCE
#include <mimalloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A string of size - 1 characters, of which no function below is told the size: use_mi_strdup(100)
 * has to be seen as 100 bytes. The buffer is also an environment variable's, without a call of
 * setenv. */
#define NAME "MATRIX="
#define LONGEST 400000
static char variable[sizeof(NAME) + LONGEST] = NAME;
static char *const text = variable + sizeof(NAME) - 1;

static char *text_of(size_t size)
{
	if (!*text)
		memset(text, 'x', LONGEST);
	text[size ? size - 1 : 0] = '\0';
	return text;
}

/* The text is whole again for the next. */
static void *mend(void *block, size_t size)
{
	text[size ? size - 1 : 0] = 'x';
	return block;
}

SITE void *use_mi_strdup(size_t size)
{
	return mend(mi_strdup(text_of(size)), size);
}

SITE void *use_mi_strndup(size_t size)
{
	text_of(LONGEST);
	return mi_strndup(text, size ? size - 1 : 0);
}

SITE void *use_mi_heap_strdup(size_t size)
{
	return mend(mi_heap_strdup(mi_heap_get_default(), text_of(size)), size);
}

SITE void *use_mi_dupenv(size_t size)
{
	static char *environment[] = { variable, NULL };
	char **before = environ, *block = NULL, *none = text;

	text_of(size);
	environ = environment;
	if (mi_dupenv_s(&none, NULL, "NOTHING") || none || mi_dupenv_s(&block, NULL, "MATRIX"))
		block = NULL;
	environ = before;
	return mend(block, size);
}

SITE void *use_mi_reallocarr(size_t size)
{
	void *block = NULL;

	return mi_reallocarr(&block, 1, size) ? NULL : block;
}

SITE void *resize_mi_reallocarr(void *block, size_t *size)
{
	return *size % 2 == 0 ? (mi_reallocarr(&block, 2, *size / 2) ? NULL : block)
			      : (mi_reallocarr(&block, 1, *size) ? NULL : block);
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

/* Frees the block when it fails. */
SITE void put_mi_reallocf(void *block, size_t size)
{
	(void)size;
	if (mi_reallocf(block, PTRDIFF_MAX))
		abort();
}

SITE void *resize_mi_realloc(void *block, size_t *size)
{
	return mi_realloc(block, *size);
}

SITE void *resize_mi_reallocn(void *block, size_t *size)
{
	volatile size_t much = 1ul << 33;

	/* fails, and leaves the block as it is: 2^33 * 2^31 is 0 in 64 bits, but that is no free */
	if (mi_reallocarray(block, much, 1ul << 31))
		abort();
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
	{ "use_mi_heap_malloc", use_mi_heap_malloc, put_mi_reallocf, NULL, 0 },
	{ "use_mi_strdup", use_mi_strdup, put_mi_free, resize_mi_realloc, 0 },
	{ "use_mi_strndup", use_mi_strndup, put_mi_free, NULL, 0 },
	{ "use_mi_heap_strdup", use_mi_heap_strdup, put_mi_free, NULL, 0 },
	{ "use_mi_dupenv", use_mi_dupenv, put_mi_free, NULL, 0 },
	{ "use_mi_reallocarr", use_mi_reallocarr, put_mi_free, resize_mi_reallocarr, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
