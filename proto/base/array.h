#pragma once
/* array: one growing array, the same everywhere: pointer, count, capacity. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* Room for element number `count`: array and capacity are pointers to the array's pointer and to
 * its capacity, of any integer type. The array doubles, from 64 elements on. 0, or -ENOMEM and
 * nothing has changed. */
#define array_make_room(array, capacity, count)                                                    \
	({                                                                                         \
		int room_ = 0;                                                                     \
                                                                                                   \
		if ((size_t)(count) >= (size_t) * (capacity)) {                                    \
			size_t wanted_ = *(capacity) ? 2 * (size_t) * (capacity) : 64;             \
			void *grown_ = reallocarray(*(array), wanted_, sizeof(**(array)));         \
                                                                                                   \
			if (grown_) {                                                              \
				*(array) = grown_;                                                 \
				*(capacity) = wanted_;                                             \
			} else {                                                                   \
				room_ = -ENOMEM;                                                   \
			}                                                                          \
		}                                                                                  \
		room_;                                                                             \
	})
