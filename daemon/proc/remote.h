#pragma once
/* remote: the memory of another process, read from outside. Never written, never stopped.
 *
 * R1: Looking costs the process no memory. /proc/PID/mem is read, not process_vm_readv(2), which
 * pins pages and by that gives each process that shares one after fork() a copy of its own. R2:
 * Only pages are read that are in memory or in swap (/proc/PID/pagemap). So nothing is faulted in:
 * no page of zeros, no page of a file, no page table; nobody waits for a slow file system or a
 * userfaultfd handler; device memory is never touched. A page in swap comes back by it. R3: Reading
 * ends. After the deadline, or when the stop flag is raised, each call fails, and remote_error()
 * tells why.
 *
 * Opening needs the rights of ptrace, but attaches nothing. Memory that the process itself may not
 * read (PROT_NONE) is read like any other. What is read may change at any time: users check what
 * they see.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/machine.h"

#define REMOTE_PAGE ((uint64_t)DHAT_PAGE_BYTES)

struct remote;

/* Where the bytes come from: a process, or what a test makes up. */
struct remote_source {
	/* As pread(2): the bytes that could be read, or -errno. */
	ssize_t (*read)(void *context, uint64_t addr, void *buffer, size_t size);
	/* Of count pages from addr (of a page) on, which exist: how many were told about, or
	 * -errno. */
	ssize_t (*pages)(void *context, uint64_t addr, bool *are_there, size_t count);
	/* The robust futex lists (get_robust_list(2)) of all threads that live, for the caller to
	 * free; 0 for one that has none. */
	int (*threads)(void *context, uint64_t **ret_lists, size_t *ret_count);
	/* Let the process go on for a while. May be NULL. */
	void (*wait)(void *context, unsigned ms);
	void (*close)(void *context);
	void *context;
};

/* The source is closed by remote_free(), also on failure. */
int remote_new(const struct remote_source *source, struct remote **ret);
/* -ESRCH, -EPERM, … */
int remote_open(pid_t pid, struct remote **ret);
void remote_free(struct remote *remote);

/* stop may be NULL, or is raised by another thread; deadline_ns: CLOCK_MONOTONIC, 0: none. */
void remote_limit(struct remote *remote, const atomic_bool *stop, uint64_t deadline_ns);
/* 0, -ETIMEDOUT, or -ECANCELED. Loops over what is read ask for it. */
int remote_error(const struct remote *remote);

/* All of it: 0, or -EFAULT (not mapped, or never touched), -ESRCH, remote_error(). */
int remote_read(struct remote *remote, uint64_t addr, void *buffer, size_t size);
/* As much as there is from addr on without a gap: bytes read, 0 if none. */
size_t remote_read_some(struct remote *remote, uint64_t addr, void *buffer, size_t size);
/* What there is, and zeros for the rest. */
void remote_read_sparse(struct remote *remote, uint64_t addr, void *buffer, size_t size);
/* The first page from addr (of a page) on that exists; end if there is none below it. */
uint64_t remote_next_page(struct remote *remote, uint64_t addr, uint64_t end);

/* size bytes (4,096 at most) at addr, from a window of memory read ahead; valid until the next
 * call. NULL when they cannot be read. *ret_moved: the window was read anew. */
const void *remote_window(struct remote *remote, uint64_t addr, size_t size, int *ret_moved);
void remote_forget_window(struct remote *remote); /* what is in it may be outdated */

/* See remote_source. */
void remote_wait(struct remote *remote, unsigned ms);
int remote_threads(struct remote *remote, uint64_t **ret_lists, size_t *ret_count);
