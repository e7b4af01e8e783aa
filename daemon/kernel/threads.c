#include "threads.h"

#include <bpf/bpf.h>
#include <errno.h>
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

static int read_all(const struct bpf_link *link, struct dhat_thread_state **ret, size_t *ret_count)
{
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(link));
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

int threads_read(pid_t pid, struct dhat_thread_state **ret, size_t *ret_count,
		 struct dhat_error *err)
{
	_cleanup_(threads_bpf__destroy_ptr) struct threads_bpf *bpf = threads_bpf__open_and_load();
	union bpf_iter_link_info info = { .task = { .pid = pid } };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info,
		    .link_info_len = sizeof(info));
	int r;

	if (!bpf)
		return dhat_error_errno(err, errno, "this kernel does not tell threads' registers");
	bpf->links.tell_thread = bpf_program__attach_iter(bpf->progs.tell_thread, &options);
	r = bpf->links.tell_thread ? read_all(bpf->links.tell_thread, ret, ret_count) : -errno;
	return r ? dhat_error_errno(err, -r, "cannot look at the registers of process %d", (int)pid)
		 : 0;
}
