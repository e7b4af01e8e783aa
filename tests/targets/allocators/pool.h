#pragma once
/* pool: an allocator of a program's own, which no profiler knows by name.
 *
 * Blocks come from one static arena by size class, with a free list each; nothing in it calls
 * malloc. The context stands first in the argument lists, so size and block are not argument 1.
 */
#include <stddef.h>

struct pool;

struct pool *pool_open(void);
void *pool_take(struct pool *pool, size_t size);
void *pool_take_zeroed(struct pool *pool, size_t count, size_t size);
void *pool_change(struct pool *pool, void *block, size_t size);
void pool_give(struct pool *pool, void *block);
