#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_BYTES 65536u
#define STEP_BYTES (4u << 20)

static int begin(struct shared *shared)
{
	if (shared->fd < 0)
		shared->fd = memfd_create("dhatd-table", MFD_CLOEXEC);
	return shared->fd < 0 ? -errno : 0;
}

static void *map(const struct shared *shared, size_t bytes)
{
	return shared->memory
		       ? mremap(shared->memory, shared->bytes, bytes, MREMAP_MAYMOVE)
		       : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd, 0);
}

/* How many have addresses, and how many of those memory, where there is room for so many. */
static size_t addresses_with(const struct shared *shared, size_t bytes)
{
	size_t wanted = shared->bytes ? shared->bytes : FIRST_BYTES;

	while (wanted < bytes)
		wanted *= 2;
	return wanted;
}

static size_t filled_with(const struct shared *shared, size_t bytes, size_t addresses)
{
	size_t until = (bytes + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;

	if (bytes <= shared->filled_bytes)
		return shared->filled_bytes;
	return until < addresses ? until : addresses;
}

size_t shared_bytes_with(const struct shared *shared, size_t bytes)
{
	return filled_with(shared, bytes, addresses_with(shared, bytes));
}

/* Writing where the kernel has no memory left to give would be a SIGBUS. */
static int fill(struct shared *shared, size_t bytes)
{
	size_t until = filled_with(shared, bytes, shared->bytes);

	if (bytes <= shared->filled_bytes)
		return 0;
	while (fallocate(shared->fd, 0, shared->filled_bytes, until - shared->filled_bytes))
		if (errno != EINTR)
			return -errno;
	shared->filled_bytes = until;
	return 0;
}

int shared_make_room(struct shared *shared, size_t bytes)
{
	size_t wanted = addresses_with(shared, bytes);
	void *memory;
	int r;

	if (shared->memory && bytes <= shared->bytes)
		return fill(shared, bytes);
	r = begin(shared);
	if (r)
		return r;
	if (ftruncate(shared->fd, wanted))
		return -errno;
	memory = map(shared, wanted);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	shared->memory = memory;
	shared->bytes = wanted;
	return fill(shared, bytes);
}

int shared_lend(const struct shared *shared)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", shared->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void shared_deinit(struct shared *shared)
{
	if (shared->memory)
		munmap(shared->memory, shared->bytes);
	if (shared->fd >= 0)
		close(shared->fd);
	*shared = (struct shared)SHARED_NONE;
}
