#pragma once
/* kind: KIND(name) is a function that allocates; blocks of one kind are those that came by it, for
 * it is in their stack. */
#include <stdlib.h>

#define KIND(name)                                                                                 \
	static __attribute__((noinline, noclone)) void *name(size_t size)                          \
	{                                                                                          \
		void *block = calloc(1, size);                                                     \
                                                                                                   \
		__asm__ volatile("" : : "r"(block) : "memory");                                    \
		return block;                                                                      \
	}
