#include "threads.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#include "bpf/threads.skel.h"

DEFINE_CLEANUP_PTR(struct threads_bpf *, threads_bpf__destroy)

#define BUFFER_BYTES 32768

/* Records come whole, but several in one read, and one in two. */
static int take(const uint8_t *bytes, size_t *size, struct dhat_thread_state **list, size_t *room,
		size_t *count)
{
	size_t taken = 0;

	for (; *size - taken >= sizeof(**list); taken += sizeof(**list)) {
		if (array_make_room(list, room, *count))
			return -ENOMEM;
		memcpy(&(*list)[(*count)++], bytes + taken, sizeof(**list));
	}
	*size -= taken;
	return taken;
}

static int read_all(int link, struct dhat_thread_state **ret, size_t *ret_count)
{
	_cleanup_close_ int fd = bpf_iter_create(link);
	_cleanup_free_ struct dhat_thread_state *list = NULL;
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_BYTES);
	size_t room = 0, count = 0, size = 0;

	if (fd < 0)
		return -errno;
	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buffer + size, BUFFER_BYTES - size);
		int taken;

		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (got == 0)
			break;
		size += got > 0 ? got : 0;
		taken = take(buffer, &size, &list, &room, &count);
		if (taken < 0)
			return taken;
		memmove(buffer, buffer + taken, size);
	}
	if (!count)
		return -ESRCH;
	*ret = take_ptr(list);
	*ret_count = count;
	return 0;
}

/* Loading reads the kernel's types anew: 10 ms of CPU time, which those feel whose processes run
 * beside, for a program that is the same for all. So it is loaded once, and stays. */
static pthread_mutex_t program_lock = PTHREAD_MUTEX_INITIALIZER;
static int program_fd = -1;

static int load(void)
{
	_cleanup_(threads_bpf__destroy_ptr) struct threads_bpf *bpf = NULL;
	int fd;

	errno = ENOMEM; /* libbpf tells others */
	bpf = threads_bpf__open_and_load();
	if (!bpf)
		return -errno;
	fd = fcntl(bpf_program__fd(bpf->progs.tell_thread), F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* What could not be loaded is tried again: memory may have been short. */
static int get_program(void)
{
	int fd;

	pthread_mutex_lock(&program_lock);
	if (program_fd < 0)
		program_fd = load();
	fd = program_fd;
	pthread_mutex_unlock(&program_lock);
	return fd;
}

int threads_read(pid_t pid, struct dhat_thread_state **ret, size_t *ret_count,
		 struct dhat_error *err)
{
	union bpf_iter_link_info info = { .task = { .pid = pid } };
	LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &info,
		    .iter_info_len = sizeof(info));
	_cleanup_close_ int link = -1;
	int program = get_program(), r;

	if (program < 0)
		return dhat_error_errno(err, -program,
					"this kernel does not tell threads' registers");
	link = bpf_link_create(program, 0, BPF_TRACE_ITER, &options);
	r = link < 0 ? -errno : read_all(link, ret, ret_count);
	return r ? dhat_error_errno(err, -r, "cannot look at the registers of process %d", (int)pid)
		 : 0;
}
