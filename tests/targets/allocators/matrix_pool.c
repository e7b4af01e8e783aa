/* matrix_pool: a program's own allocator. */
#include "matrix.h"
#include "pool.h"

SITE void *use_pool_take(size_t size)
{
	return pool_take(pool_open(), size);
}

SITE void *use_pool_take_zeroed(size_t size)
{
	return size % 4 == 0 ? pool_take_zeroed(pool_open(), size / 4, 4)
			     : pool_take_zeroed(pool_open(), 1, size);
}

SITE void put_pool_give(void *block, size_t size)
{
	(void)size;
	pool_give(pool_open(), block);
}

SITE void *resize_pool_change(void *block, size_t *size)
{
	return pool_change(pool_open(), block, *size);
}

const struct api pool_apis[] = {
	{ "use_pool_take", use_pool_take, put_pool_give, resize_pool_change, 0 },
	{ "use_pool_take_zeroed", use_pool_take_zeroed, put_pool_give, resize_pool_change, 0 },
	{ NULL, NULL, NULL, NULL, 0 },
};
