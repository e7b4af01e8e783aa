#include "holder.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct holder {
	int bpffs;  /* root of the mount; -1: there is none */
	int *links; /* of each link its descriptor, or PINNED: the number is its name */
	size_t count, capacity;
	bool has_open; /* ever: not all could be pinned */
};
#define PINNED (-1)

/* ---- pinned ---------------------------------------------------------------------------------- */

/* A file system of our own that no path leads to. */
static int mount_bpffs(void)
{
	_cleanup_close_ int context = syscall(SYS_fsopen, "bpf", FSOPEN_CLOEXEC);

	if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
}

/* Debian 12's headers end before it: include/uapi/linux/bpf.h of 6.5 */
#define PIN_PATH_FD (1U << 14)

struct pin { /* the part of union bpf_attr for BPF_OBJ_PIN */
	uint64_t path;
	uint32_t link_fd, flags;
	int32_t path_fd;
	uint32_t pad;
};

/* By PATH_FD only, though older kernels could do it by a path through /proc/self/fd: both this and
 * that a worker lets go of what is unpinned are of 6.5. In 6.1 (since 6.1.158 or so; before, by the
 * luck of an RCU callback, it was a worker) the task that unpins lets go, which is against H1. */
static bool pin(const struct holder *holder, int link_fd)
{
	char name[24];
	struct pin attr = {
		.path = (uintptr_t)name,
		.link_fd = link_fd,
		.flags = PIN_PATH_FD,
		.path_fd = holder->bpffs,
	};

	snprintf(name, sizeof(name), "%zu", holder->count);
	return holder->bpffs >= 0 && syscall(SYS_bpf, BPF_OBJ_PIN, &attr, sizeof(attr)) == 0;
}

static void unpin(const struct holder *holder, size_t i)
{
	char name[24];

	snprintf(name, sizeof(name), "%zu", i);
	unlinkat(holder->bpffs, name, 0);
}

/* ---- not pinned ------------------------------------------------------------------------------ */

/* Nobody shall find a dhatd at its socket that is gone. Only sockets: what else we have may hold
 * breakpoints, too. Those of the start have low numbers. */
static void close_sockets(int sock)
{
	struct stat st;

	for (int fd = 0; fd < 256; fd++)
		if (fd != sock && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			close(fd);
}

/* Only system calls: we have threads. */
__attribute__((noreturn)) static void die_with_links(int sock, pid_t parent)
{
	char byte = 'h';

	close_sockets(sock);
	setsid(); /* what is meant for our group is not for it */
	/* The thread that waits for us: whatever ends that, the links go now. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() == parent && write(sock, &byte, 1) == 1)
		while (read(sock, &byte, 1) < 0 && errno == EINTR)
			;
	/* By a signal: one that came to a task that is about to exit would count as pending in it
	 * until its end, one that comes after another does not. */
	for (;;)
		kill(getpid(), SIGKILL);
}

/* Returns when it has all descriptors that we have. -1: no child could be had. */
static pid_t fork_child(int *ret_sock)
{
	_cleanup_close_ int ours = -1, its = -1;
	pid_t parent = getpid(), pid;
	int fds[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -1;
	ours = fds[0];
	its = fds[1];
	pid = fork();
	if (pid == 0)
		die_with_links(its, parent);
	close(take_fd(its)); /* so that its death is the end of what can be read */
	if (pid > 0) {
		while (read(ours, &byte, 1) < 0 && errno == EINTR)
			;
		*ret_sock = take_fd(ours);
	}
	return pid;
}

/* Keeps H1: when ours is closed, the child's is there. Its death is when the kernel takes
 * the probes out; wait for it, so that it is done. */
void holder_close(const int *links, size_t count)
{
	_cleanup_close_ int sock = -1;
	pid_t pid = fork_child(&sock);

	for (size_t i = 0; i < count; i++)
		close(links[i]); /* without a child: as well as we can */
	if (pid < 0)
		return;
	send(sock, "g", 1, MSG_NOSIGNAL); /* by a byte: other children may hold our end, too */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* ---- both ------------------------------------------------------------------------------------ */

int holder_new(struct holder **ret)
{
	struct holder *holder = calloc(1, sizeof(*holder));

	if (!holder)
		return -ENOMEM;
	holder->bpffs = mount_bpffs();
	*ret = holder;
	return 0;
}

void holder_free(struct holder *holder)
{
	if (!holder)
		return;
	holder_let_go(holder, 0);
	if (holder->bpffs >= 0)
		close(holder->bpffs);
	free(holder->links);
	free(holder);
}

int holder_keep(struct holder *holder, int link_fd)
{
	if (holder->count == holder->capacity) {
		size_t capacity = holder->capacity ? 2 * holder->capacity : 32;
		int *links = reallocarray(holder->links, capacity, sizeof(*links));

		if (!links)
			return -ENOMEM;
		holder->links = links;
		holder->capacity = capacity;
	}
	if (pin(holder, link_fd)) {
		close(link_fd);
		link_fd = PINNED;
	} else {
		holder->has_open = true;
	}
	holder->links[holder->count++] = link_fd;
	return 0;
}

size_t holder_count(const struct holder *holder)
{
	return holder->count;
}

void holder_let_go(struct holder *holder, size_t kept)
{
	size_t open_count = 0;
	int *open = holder->links + kept;

	for (size_t i = kept; i < holder->count; i++) {
		int fd = holder->links[i];

		if (fd == PINNED)
			unpin(holder, i);
		else
			open[open_count++] = fd;
	}
	holder->count = kept;
	if (open_count)
		holder_close(open, open_count);
}

bool holder_is_pinned(const struct holder *holder)
{
	return holder->bpffs >= 0 && !holder->has_open;
}
