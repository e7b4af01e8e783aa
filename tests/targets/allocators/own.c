/* own: an allocator of a program, as a file that provides malloc has it: the C functions, and C++
 * operators that take blocks from the lists themselves. Blocks of a size class are kept in a list;
 * large ones are mapped. One thread only, as the matrix is.
 */
#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define CLASSES 40
#define CHUNK (1u << 20)
#define ALIGN                                                                                      \
	4096 /* of every block from a list, so that no alignment is special; its header before */
#define EXPORT __attribute__((visibility("default"), noinline, noipa))

struct header { /* the last bytes before a block */
	size_t room;
	struct header *next;
	uint32_t class;
};

static struct header *lists[CLASSES];
static char *chunk, *chunk_end;

/* Sizes are powers of two of pages: the classes. */
static uint32_t class_of(size_t size)
{
	uint32_t class = 0;

	while (((size_t)ALIGN << class) < size + ALIGN)
		class ++;
	return class;
}

static inline __attribute__((always_inline)) void *take(size_t size)
{
	uint32_t class = class_of(size);
	size_t room = ((size_t)ALIGN << class) + ALIGN;
	struct header *header;

	if (size > PTRDIFF_MAX / 4 || class >= CLASSES)
		return NULL;
	header = lists[class];
	if (header) {
		lists[class] = header->next;
		return header + 1;
	}
	if (room > (size_t)(chunk_end - chunk)) {
		size_t bytes = room > CHUNK ? room + ALIGN : CHUNK;

		chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		if (chunk == MAP_FAILED) {
			chunk = chunk_end = NULL;
			return NULL;
		}
		chunk_end = chunk + bytes;
	}
	header = (struct header *)(chunk + ALIGN) - 1;
	header->room = ((size_t)ALIGN << class);
	header->class = class;
	chunk += room;
	return header + 1;
}

static inline __attribute__((always_inline)) void give(void *block)
{
	struct header *header = (struct header *)block - 1;

	if (!block)
		return;
	header->next = lists[header->class];
	lists[header->class] = header;
}

EXPORT void *malloc(size_t size)
{
	return take(size);
}

EXPORT void free(void *block)
{
	give(block);
}

EXPORT void *calloc(size_t count, size_t size)
{
	void *block;

	if (size && count > PTRDIFF_MAX / size)
		return NULL;
	block = take(count * size);
	return block ? memset(block, 0, count * size) : NULL;
}

EXPORT void *realloc(void *old, size_t size)
{
	void *block = take(size);

	if (!block || !old)
		return block;
	memcpy(block, old,
	       size < ((struct header *)old)[-1].room ? size : ((struct header *)old)[-1].room);
	give(old);
	return block;
}

EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
	return size && count > PTRDIFF_MAX / size ? NULL : realloc(old, count * size);
}

EXPORT int posix_memalign(void **ret, size_t alignment, size_t size)
{
	(void)alignment;
	*ret = take(size);
	return *ret ? 0 : ENOMEM;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	(void)alignment;
	return take(size);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	(void)alignment;
	return take(size);
}

EXPORT void *valloc(size_t size)
{
	return take(size);
}

/* Of a version that nobody has told of. */
EXPORT void *malloc_typed(size_t size, uint64_t type)
{
	(void)type;
	return take(size);
}

/* Its own, and nothing that hands out blocks. */
EXPORT size_t malloc_usable_size(void *block)
{
	return ((struct header *)block)[-1].room;
}

/* ---- the operators, by their names in the Itanium C++ ABI ---------------------------------- */

#define NEW(array)                                                                                 \
	EXPORT void *_Zn##array##m(size_t size)                                                    \
	{                                                                                          \
		return take(size);                                                                 \
	}                                                                                          \
	EXPORT void *_Zn##array##mRKSt9nothrow_t(size_t size, const void *nothrow)                 \
	{                                                                                          \
		(void)nothrow;                                                                     \
		return take(size);                                                                 \
	}                                                                                          \
	EXPORT void *_Zn##array##mSt11align_val_t(size_t size, size_t alignment)                   \
	{                                                                                          \
		(void)alignment;                                                                   \
		return take(size);                                                                 \
	}                                                                                          \
	EXPORT void *_Zn##array##mSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,     \
								const void *nothrow)               \
	{                                                                                          \
		(void)alignment;                                                                   \
		(void)nothrow;                                                                     \
		return take(size);                                                                 \
	}
static volatile int array_deletes;

/* Not a jump: the inner free is no second one. */
static inline __attribute__((always_inline)) void give_by_free(void *block)
{
	free(block);
	array_deletes++;
}

#define DELETE(array, give)                                                                        \
	EXPORT void _Zd##array##Pv(void *block)                                                    \
	{                                                                                          \
		give(block);                                                                       \
	}                                                                                          \
	EXPORT void _Zd##array##Pvm(void *block, size_t size)                                      \
	{                                                                                          \
		(void)size;                                                                        \
		give(block);                                                                       \
	}                                                                                          \
	EXPORT void _Zd##array##PvRKSt9nothrow_t(void *block, const void *nothrow)                 \
	{                                                                                          \
		(void)nothrow;                                                                     \
		give(block);                                                                       \
	}                                                                                          \
	EXPORT void _Zd##array##PvSt11align_val_t(void *block, size_t alignment)                   \
	{                                                                                          \
		(void)alignment;                                                                   \
		give(block);                                                                       \
	}                                                                                          \
	EXPORT void _Zd##array##PvmSt11align_val_t(void *block, size_t size, size_t alignment)     \
	{                                                                                          \
		(void)size;                                                                        \
		(void)alignment;                                                                   \
		give(block);                                                                       \
	}

NEW(w)
NEW(a)
DELETE(l, give)
DELETE(a, give_by_free)
