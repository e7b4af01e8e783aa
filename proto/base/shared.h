#pragma once
/* shared: memory of this process that another one may be lent, to read and never to write.
 *
 * What it has is there once, however many look at it.
 */
#include <stddef.h>

struct shared {
	int fd;
	void *memory;
	size_t bytes;	     /* as many have addresses */
	size_t filled_bytes; /* … and as many memory */
};
#define SHARED_NONE                                                                                \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* At least so many bytes, all of which can be written; what is there stays, and may move. 0, or a
 * negative errno, and what was there is. */
int shared_make_room(struct shared *shared, size_t bytes);
/* As many bytes as it would have memory for then. */
size_t shared_bytes_with(const struct shared *shared, size_t bytes);
/* A descriptor for another process, which cannot write by it; the caller's. Negative: an errno. */
int shared_lend(const struct shared *shared);
void shared_deinit(struct shared *shared);
