/* pool: see pool.h. */
#include <stdint.h>
#include <string.h>

#include "pool.h"

#define ARENA_BYTES (64u << 20)
#define CLASSES 32

struct header {
	uint64_t class;
	uint64_t size;
};

struct free_block {
	struct free_block *next;
};

struct pool {
	size_t used;
	struct free_block *free_by_class[CLASSES];
	unsigned char arena[ARENA_BYTES] __attribute__((aligned(16)));
};

static struct pool the_pool;

struct pool *pool_open(void)
{
	return &the_pool;
}

/* Class n holds blocks of up to 16 << n bytes. */
static unsigned int class_of(size_t size)
{
	unsigned int class = 0;

	while (((size_t)16 << class) < size)
		class ++;
	return class;
}

void *pool_take(struct pool *pool, size_t size)
{
	unsigned int class = class_of(size);
	struct free_block *block = pool->free_by_class[class];
	struct header *header;
	size_t need = sizeof(*header) + ((size_t)16 << class);

	if (block) {
		pool->free_by_class[class] = block->next;
		header = (struct header *)block - 1;
	} else {
		if (need > ARENA_BYTES - pool->used)
			return NULL;
		header = (struct header *)(pool->arena + pool->used);
		pool->used += need;
	}
	*header = (struct header){ class, size };
	return header + 1;
}

void *pool_take_zeroed(struct pool *pool, size_t count, size_t size)
{
	void *block;

	if (size && count > SIZE_MAX / size)
		return NULL;
	block = pool_take(pool, count * size);
	return block ? memset(block, 0, count * size) : NULL;
}

void pool_give(struct pool *pool, void *block)
{
	struct header *header = (struct header *)block - 1;
	struct free_block *node = block;

	if (!block)
		return;
	node->next = pool->free_by_class[header->class];
	pool->free_by_class[header->class] = node;
}

void *pool_change(struct pool *pool, void *block, size_t size)
{
	struct header *header = (struct header *)block - 1;
	void *fresh;

	if (!block)
		return pool_take(pool, size);
	if (size <= (size_t)16 << header->class) {
		header->size = size;
		return block;
	}
	fresh = pool_take(pool, size);
	if (!fresh)
		return NULL;
	memcpy(fresh, block, header->size);
	pool_give(pool, block);
	return fresh;
}
