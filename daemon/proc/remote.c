#include "remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Copying 64 KiB takes about 10 µs: little of a heap changes meanwhile. */
#define WINDOW_BYTES 65536
#define BATCH 512 /* addresses a call; IOV_MAX is 1024 */

struct remote {
	pid_t pid;
	uint64_t window_addr;
	size_t window_size;
	uint8_t window[WINDOW_BYTES];
};

int remote_new(pid_t pid, struct remote **ret)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return -ENOMEM;
	remote->pid = pid;
	*ret = remote;
	return 0;
}

void remote_free(struct remote *remote)
{
	free(remote);
}

static ssize_t read_at(const struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	struct iovec local = { buffer, size }, there = { (void *)(uintptr_t)addr, size };

	return process_vm_readv(remote->pid, &local, 1, &there, 1, 0);
}

int remote_read(const struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	ssize_t n = read_at(remote, addr, buffer, size);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EFAULT;
}

size_t remote_read_some(const struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	ssize_t n = read_at(remote, addr, buffer, size);

	return n < 0 ? 0 : n;
}

/* The call ends at the first address that cannot be read: go on behind it. */
static int gather_batch(const struct remote *remote, const uint64_t *addrs, size_t count,
			size_t size, uint8_t *buffer)
{
	struct iovec there[BATCH];
	size_t done = 0;

	while (done < count) {
		struct iovec local = { buffer + done * size, (count - done) * size };
		ssize_t n;

		for (size_t i = done; i < count; i++)
			there[i] = (struct iovec){ (void *)(uintptr_t)addrs[i], size };
		n = process_vm_readv(remote->pid, &local, 1, there + done, count - done, 0);
		if (n < 0 && errno != EFAULT)
			return -errno;
		if (n > 0)
			done += n / size;
		if (done < count) {
			memset(buffer + done * size, 0, size);
			done++;
		}
	}
	return 0;
}

int remote_gather(const struct remote *remote, const uint64_t *addrs, size_t count, size_t size,
		  void *buffer)
{
	uint8_t *at = buffer;

	for (size_t done = 0; done < count; done += BATCH) {
		size_t n = count - done < BATCH ? count - done : BATCH;
		int err = gather_batch(remote, addrs + done, n, size, at + done * size);

		if (err)
			return err;
	}
	return 0;
}

const void *remote_window(struct remote *remote, uint64_t addr, size_t size, int *ret_moved)
{
	*ret_moved = 0;
	if (addr < remote->window_addr || size > remote->window_size ||
	    addr - remote->window_addr > remote->window_size - size) {
		*ret_moved = 1;
		remote->window_addr = addr;
		remote->window_size =
			remote_read_some(remote, addr, remote->window, sizeof(remote->window));
		if (remote->window_size < size)
			return NULL;
	}
	return remote->window + (addr - remote->window_addr);
}

void remote_forget_window(struct remote *remote)
{
	remote->window_size = 0;
}
