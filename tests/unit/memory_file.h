#pragma once
/* memory_file: bytes as a file, for what reads one. */
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* A descriptor for the caller to close; -1: there is no memory. */
static inline int memory_file(const void *bytes, size_t size)
{
	int fd = memfd_create("bytes", MFD_CLOEXEC);

	if (fd >= 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}
