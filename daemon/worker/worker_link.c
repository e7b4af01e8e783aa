#include "worker_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"

static int wait_until(int sock, short events, uint64_t deadline_ns)
{
	struct pollfd poll_fd = { .fd = sock, .events = events };
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	int timeout_ms, r;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	timeout_ms = (deadline_ns - now) / 1000000 + 1;
	r = poll(&poll_fd, 1, timeout_ms);
	if (r < 0 && errno != EINTR)
		return -errno;
	return 0; /* whoever calls tries again, and comes back here if it was too early */
}

static int send_some(int sock, struct msghdr *message, uint64_t deadline_ns, size_t *ret_sent)
{
	int flags = MSG_NOSIGNAL | (deadline_ns ? MSG_DONTWAIT : 0);

	for (;;) {
		ssize_t sent = sendmsg(sock, message, flags);
		int r;

		if (sent >= 0) {
			*ret_sent = sent;
			return 0;
		}
		if (errno == ECONNRESET)
			return -EPIPE;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = errno == EAGAIN && deadline_ns ? wait_until(sock, POLLOUT, deadline_ns) : 0;
		if (r)
			return r;
	}
}

union fd_control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void attach_fd(struct msghdr *message, union fd_control *control, int fd)
{
	struct cmsghdr *head;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->bytes;
	message->msg_controllen = sizeof(control->bytes);
	head = CMSG_FIRSTHDR(message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
}

static int send_bytes(int sock, const void *data, uint64_t size, int fd, uint64_t deadline_ns)
{
	const uint8_t *at = data;

	while (size) {
		struct iovec part = { without_qualifiers(at), size };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
		union fd_control control;
		size_t sent = 0;
		int r;

		if (fd >= 0)
			attach_fd(&message, &control, fd);
		r = send_some(sock, &message, deadline_ns, &sent);
		if (r)
			return r;
		at += sent;
		size -= sent;
		fd = -1; /* goes with the first byte */
	}
	return 0;
}

int worker_send(int sock, uint32_t type, const void *data, uint64_t size, int fd,
		uint64_t deadline_ns)
{
	struct worker_head head = { .type = type, .size = size };
	int r = send_bytes(sock, &head, sizeof(head), fd, deadline_ns);

	return r ? r : send_bytes(sock, data, size, -1, deadline_ns);
}

/* Keeps the first descriptor of a message and closes any other. */
static void take_fds(struct msghdr *message, int *fd)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head;
	     head = CMSG_NXTHDR(message, head)) {
		size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int got;

			memcpy(&got, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
			if (*fd < 0)
				*fd = got;
			else
				close(got);
		}
	}
}

static int receive_bytes(int sock, void *data, uint64_t size, int *fd, uint64_t deadline_ns)
{
	uint8_t *at = data;

	while (size) {
		struct iovec part = { at, size };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
		union fd_control control;
		ssize_t got;
		int r;

		if (fd) { /* without room for them the kernel throws descriptors away */
			message.msg_control = control.bytes;
			message.msg_controllen = sizeof(control.bytes);
		}
		got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC | (deadline_ns ? MSG_DONTWAIT : 0));
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			return -EPIPE;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (got < 0) {
			r = errno == EAGAIN && deadline_ns ? wait_until(sock, POLLIN, deadline_ns)
							   : 0;
			if (r)
				return r;
			continue;
		}
		if (fd)
			take_fds(&message, fd);
		at += got;
		size -= got;
	}
	return 0;
}

int worker_receive(int sock, uint64_t max_size, uint64_t deadline_ns, struct worker_head *ret_head,
		   uint8_t **ret_data, int *ret_fd)
{
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_close_ int fd = -1;
	struct worker_head head;
	int r = receive_bytes(sock, &head, sizeof(head), ret_fd ? &fd : NULL, deadline_ns);

	if (r)
		return r;
	if (head.size > max_size)
		return -EMSGSIZE;
	data = malloc(head.size ? head.size : 1);
	if (!data)
		return -ENOMEM;
	r = receive_bytes(sock, data, head.size, NULL, deadline_ns);
	if (r)
		return r;
	*ret_head = head;
	*ret_data = take_ptr(data);
	if (ret_fd)
		*ret_fd = take_fd(fd);
	return 0;
}
