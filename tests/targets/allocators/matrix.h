#pragma once
/* matrix: one way to get, resize and give back a block.
 *
 * Each function stands in a function of its own that is never inlined, so that a profile shows
 * which way a block came: the caller of the allocator is use_NAME.
 */
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct api {
	const char *name;
	void *(*get)(size_t size);
	void (*put)(void *block, size_t size);
	/* NULL if the API has none. Returns the block; *size is the new size, which xallocx
	 * changes. */
	void *(*resize)(void *block, size_t *size);
	size_t granularity; /* the allocator is asked for a multiple of it: pvalloc counts whole
			       pages */
};

#define SITE __attribute__((noinline)) static

extern const struct api c_apis[], jemalloc_apis[], tcmalloc_apis[], mimalloc_apis[],
	rpmalloc_apis[], cxx_apis[], pool_apis[];

#ifdef __cplusplus
}
#endif
