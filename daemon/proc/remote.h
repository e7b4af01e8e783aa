#pragma once
/* remote: the memory of another process, read from outside. Never written, never stopped.
 *
 * By process_vm_readv(2), which needs the rights of ptrace but attaches nothing. What is read may
 * change at any time: users check what they see.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct remote;

int remote_new(pid_t pid, struct remote **ret);
void remote_free(struct remote *remote);

/* All of it: 0, or -EFAULT (not mapped), -ESRCH, -EPERM. */
int remote_read(const struct remote *remote, uint64_t addr, void *buffer, size_t size);
/* As much as is mapped from addr on: bytes read, 0 if none. */
size_t remote_read_some(const struct remote *remote, uint64_t addr, void *buffer, size_t size);
/* size bytes at each of count addresses, one after the other into buffer; zeros where nothing is
 * mapped. */
int remote_gather(const struct remote *remote, const uint64_t *addrs, size_t count, size_t size,
		  void *buffer);

/* size bytes (4,096 at most) at addr, from a window of memory read ahead; valid until the next
 * call. NULL when they cannot be read. *ret_moved: the window was read anew. */
const void *remote_window(struct remote *remote, uint64_t addr, size_t size, int *ret_moved);
void remote_forget_window(struct remote *remote); /* what is in it may be outdated */
