/* Preloaded: a malloc over glibc's that puts a header before each block, as libraries that count or
 * check do. Its free jumps on with the address of the header. */
/* build: -O2 -fno-builtin */
#include <stddef.h>
#include <stdint.h>

#define HEADER 16 /* keeps the alignment */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static void *begin(char *block, size_t size)
{
	if (!block)
		return NULL;
	*(size_t *)block = size;
	return block + HEADER;
}

void *malloc(size_t size)
{
	return begin(__libc_malloc(size + HEADER), size);
}

void *calloc(size_t count, size_t size)
{
	return begin(__libc_calloc(1, count * size + HEADER), count * size);
}

void *realloc(void *block, size_t size)
{
	return begin(__libc_realloc(block ? (char *)block - HEADER : NULL, size + HEADER), size);
}

void free(void *block)
{
	if (block)
		__libc_free((char *)block - HEADER);
}
