#include "frame.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

void dhat_frame_encode_head(uint8_t head[DHAT_FRAME_HEAD_BYTES], uint32_t size_bytes)
{
	for (int i = 0; i < DHAT_FRAME_HEAD_BYTES; i++)
		head[i] = size_bytes >> (8 * i);
}

uint32_t dhat_frame_decode_head(const uint8_t head[DHAT_FRAME_HEAD_BYTES])
{
	return head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
}

/* Wait until the socket can take or give bytes. */
static int wait_ready(int fd, short events, uint64_t deadline_ns, struct dhat_error *err)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	uint64_t now, left_ms;
	int n;

	for (;;) {
		now = clock_now_ns(CLOCK_MONOTONIC);
		if (now >= deadline_ns)
			return dhat_error_set(err, ETIMEDOUT, DHAT_EXIT_PROTOCOL,
					      "the other side is too slow: %s",
					      events == POLLIN ? "nothing came in time"
							       : "it does not take its data");
		left_ms = (deadline_ns - now) / 1000000 + 1;
		n = poll(&pollfd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return dhat_error_errno(err, errno, "cannot wait for the socket");
	}
}

static int send_all(int fd, const uint8_t *bytes, size_t size, int flags, uint64_t deadline_ns,
		    struct dhat_error *err)
{
	size_t done = 0;
	ssize_t n;
	int r;

	while (done < size) {
		n = send(fd, bytes + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
		if (n >= 0) {
			done += n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			return dhat_error_set(err, EPIPE, DHAT_EXIT_PROTOCOL,
					      "the other side closed the connection");
		if (errno != EAGAIN)
			return dhat_error_errno(err, errno, "cannot send");
		r = wait_ready(fd, POLLOUT, deadline_ns, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* -ENODATA, with err untouched: the end came before the first byte. */
static int receive_all(int fd, uint8_t *bytes, size_t size, uint64_t deadline_ns,
		       struct dhat_error *err)
{
	size_t done = 0;
	ssize_t n;
	int r;

	while (done < size) {
		n = recv(fd, bytes + done, size - done, MSG_DONTWAIT);
		if (n > 0) {
			done += n;
			continue;
		}
		if (n == 0 || errno == ECONNRESET) {
			if (!done)
				return -ENODATA;
			return dhat_error_set(err, EPIPE, DHAT_EXIT_PROTOCOL,
					      "the other side closed the connection in the middle");
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return dhat_error_errno(err, errno, "cannot receive");
		r = wait_ready(fd, POLLIN, deadline_ns, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int dhat_frame_send(int fd, const void *payload, size_t size, size_t max_bytes,
		    uint64_t deadline_ns, struct dhat_error *err)
{
	uint8_t head[DHAT_FRAME_HEAD_BYTES];
	int r;

	if (size > max_bytes || size > UINT32_MAX)
		return dhat_error_set(err, EMSGSIZE, DHAT_EXIT_PROTOCOL,
				      "a message of %zu bytes is longer than the %zu allowed", size,
				      max_bytes);
	dhat_frame_encode_head(head, size);
	/* MSG_MORE: a small frame leaves in one piece */
	r = send_all(fd, head, sizeof(head), size ? MSG_MORE : 0, deadline_ns, err);
	if (r < 0)
		return r;
	return send_all(fd, payload, size, 0, deadline_ns, err);
}

int dhat_frame_receive(int fd, size_t max_bytes, uint64_t deadline_ns, uint8_t **ret,
		       size_t *ret_size, struct dhat_error *err)
{
	_cleanup_free_ uint8_t *payload = NULL;
	uint8_t head[DHAT_FRAME_HEAD_BYTES];
	uint32_t size;
	int r;

	r = receive_all(fd, head, sizeof(head), deadline_ns, err);
	if (r < 0)
		return r;
	size = dhat_frame_decode_head(head);
	if (size > max_bytes)
		return dhat_error_set(err, EMSGSIZE, DHAT_EXIT_PROTOCOL,
				      "a message of %u bytes was announced, %zu are allowed", size,
				      max_bytes);
	payload = malloc(size ? size : 1);
	if (!payload)
		return dhat_error_errno(err, ENOMEM, "cannot receive a message of %u bytes", size);
	r = receive_all(fd, payload, size, deadline_ns, err);
	if (r == -ENODATA)
		return dhat_error_set(err, EPIPE, DHAT_EXIT_PROTOCOL,
				      "the other side closed the connection in the middle");
	if (r < 0)
		return r;
	*ret = take_ptr(payload);
	*ret_size = size;
	return 0;
}

int dhat_frame_send_message(int fd, const ProtobufCMessage *message, size_t max_bytes,
			    uint64_t deadline_ns, struct dhat_error *err)
{
	_cleanup_free_ uint8_t *payload = NULL;
	size_t size = protobuf_c_message_get_packed_size(message);

	if (size > max_bytes)
		return dhat_error_set(err, EMSGSIZE, DHAT_EXIT_PROTOCOL,
				      "a message of %zu bytes is longer than the %zu allowed", size,
				      max_bytes);
	payload = malloc(size ? size : 1);
	if (!payload)
		return dhat_error_errno(err, ENOMEM, "cannot pack a message of %zu bytes", size);
	protobuf_c_message_pack(message, payload);
	return dhat_frame_send(fd, payload, size, max_bytes, deadline_ns, err);
}

/* An allocator with a budget, for protobuf-c. What it gives comes from malloc(), so that the
 * message may be freed by the default allocator. */
static void *budget_alloc(void *budget_, size_t size)
{
	size_t *budget = budget_, usable;
	void *memory;

	if (size > *budget)
		return NULL;
	memory = malloc(size);
	usable = malloc_usable_size(memory);
	*budget -= usable < *budget ? usable : *budget;
	return memory;
}

/* While it parses, protobuf-c takes and gives back scratch memory: that does not count. */
static void budget_free(void *budget_, void *memory)
{
	size_t *budget = budget_;

	*budget += malloc_usable_size(memory);
	free(memory);
}

ProtobufCMessage *dhat_frame_unpack(const ProtobufCMessageDescriptor *descriptor,
				    const uint8_t *payload, size_t size)
{
	size_t budget = 65536 + size * DHAT_UNPACK_FACTOR;
	ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };

	return protobuf_c_message_unpack(descriptor, &allocator, size, payload);
}
