/* The frame codec, on socket pairs. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/wire/dhat.pb-c.h"
#include "proto/wire/frame.h"

#define MS 1000000ull
#define LONG_MS 60000 /* where a limit is not what is tested */

static uint64_t in_ms(uint64_t ms)
{
	return clock_now_ns(CLOCK_MONOTONIC) + ms * MS;
}

static void test_head_is_little_endian(void **state)
{
	uint8_t head[4];

	dhat_frame_encode_head(head, 0x01020384);
	assert_memory_equal(head, "\x84\x03\x02\x01", 4);
	assert_int_equal(dhat_frame_decode_head(head), 0x01020384);
	dhat_frame_encode_head(head, UINT32_MAX);
	assert_int_equal(dhat_frame_decode_head(head), UINT32_MAX);
}

static void test_there_and_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 3, 100, 10000 };
	_cleanup_close_ int a = -1, b = -1;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a = fds[0];
	b = fds[1];
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ uint8_t *got = NULL, *sent = malloc(sizes[i] + 1);
		size_t got_size = 99;

		memset(sent, (int)i + 1, sizes[i] + 1);
		assert_int_equal(dhat_frame_send(a, sent, sizes[i], 10000, in_ms(LONG_MS), NULL),
				 0);
		assert_int_equal(
			dhat_frame_receive(b, 10000, in_ms(LONG_MS), &got, &got_size, NULL), 0);
		assert_int_equal(got_size, sizes[i]);
		assert_memory_equal(got, sent, sizes[i]);
	}
}

/* A frame larger than any socket buffer passes in pieces. */
#define BIG_BYTES (8u << 20)
static void *send_big(void *fd)
{
	_cleanup_free_ uint8_t *bytes = malloc(BIG_BYTES);
	int r;

	for (size_t i = 0; i < BIG_BYTES; i++)
		bytes[i] = i * 7 >> 3;
	r = dhat_frame_send(*(int *)fd, bytes, BIG_BYTES, BIG_BYTES, in_ms(LONG_MS), NULL);
	return (void *)(intptr_t)r;
}

static void test_large_frame(void **state)
{
	_cleanup_close_ int a = -1, b = -1;
	_cleanup_free_ uint8_t *got = NULL;
	size_t size = 0, wrong = 0;
	pthread_t thread;
	void *sent;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a = fds[0];
	b = fds[1];
	assert_int_equal(pthread_create(&thread, NULL, send_big, &a), 0);
	assert_int_equal(dhat_frame_receive(b, BIG_BYTES, in_ms(LONG_MS), &got, &size, NULL), 0);
	pthread_join(thread, &sent);
	assert_int_equal((intptr_t)sent, 0);
	assert_int_equal(size, BIG_BYTES);
	for (size_t i = 0; i < BIG_BYTES; i++)
		wrong += got[i] != (uint8_t)(i * 7 >> 3);
	assert_int_equal(wrong, 0);
}

/* What receive makes of these bytes, followed by a closed connection or by silence. */
static int receive_raw(const void *bytes, size_t size, size_t max, bool is_closed,
		       uint64_t limit_ms, struct dhat_error *err)
{
	_cleanup_close_ int a = -1, b = -1;
	_cleanup_free_ uint8_t *got = NULL;
	size_t got_size;
	int fds[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a = fds[0];
	b = fds[1];
	assert_int_equal(write(a, bytes, size), size);
	if (is_closed)
		shutdown(a, SHUT_WR);
	r = dhat_frame_receive(b, max, in_ms(limit_ms), &got, &got_size, err);
	assert_true(r == 0 || !got);
	return r;
}

static void test_bad_input(void **state)
{
	struct dhat_error err = { 0 };

	/* the end between two frames is none of an error */
	assert_int_equal(receive_raw("", 0, 100, true, LONG_MS, &err), -ENODATA);
	assert_int_equal(err.code, DHAT_EXIT_OK);
	/* in the head, in the payload, right behind the head */
	assert_int_equal(receive_raw("\x05\0", 2, 100, true, LONG_MS, &err), -EPIPE);
	assert_int_equal(err.code, DHAT_EXIT_PROTOCOL);
	assert_int_equal(receive_raw("\x05\0\0\0ab", 6, 100, true, LONG_MS, NULL), -EPIPE);
	assert_int_equal(receive_raw("\x05\0\0\0", 4, 100, true, LONG_MS, NULL), -EPIPE);
	/* the same with a peer that says no more */
	assert_int_equal(receive_raw("", 0, 100, false, 30, NULL), -ETIMEDOUT);
	assert_int_equal(receive_raw("\x05\0", 2, 100, false, 30, NULL), -ETIMEDOUT);
	assert_int_equal(receive_raw("\x05\0\0\0ab", 6, 100, false, 30, NULL), -ETIMEDOUT);
	/* too long: refused by its head alone */
	assert_int_equal(receive_raw("\x65\0\0\0", 4, 100, false, LONG_MS, NULL), -EMSGSIZE);
	assert_int_equal(receive_raw("\xff\xff\xff\xff", 4, 100, false, LONG_MS, NULL), -EMSGSIZE);
}

static void test_sending_fails(void **state)
{
	_cleanup_free_ uint8_t *bytes = calloc(1, BIG_BYTES);
	_cleanup_close_ int a = -1, b = -1;
	struct dhat_error err = { 0 };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a = fds[0];
	b = fds[1];
	assert_int_equal(dhat_frame_send(a, bytes, 11, 10, in_ms(LONG_MS), NULL), -EMSGSIZE);
	/* nobody takes it */
	assert_int_equal(dhat_frame_send(a, bytes, BIG_BYTES, BIG_BYTES, in_ms(30), &err),
			 -ETIMEDOUT);
	assert_int_equal(err.code, DHAT_EXIT_PROTOCOL);
	close(take_fd(b));
	assert_int_equal(dhat_frame_send(a, bytes, 1, 10, in_ms(LONG_MS), NULL), -EPIPE);
}

static void test_messages(void **state)
{
	Dhat__Done done = DHAT__DONE__INIT, *got_done;
	_cleanup_close_ int a = -1, b = -1;
	_cleanup_free_ uint8_t *got = NULL;
	size_t size;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a = fds[0];
	b = fds[1];
	done.message = "detached";
	assert_int_equal(dhat_frame_send_message(a, &done.base, 5, in_ms(LONG_MS), NULL),
			 -EMSGSIZE);
	assert_int_equal(dhat_frame_send_message(a, &done.base, 100, in_ms(LONG_MS), NULL), 0);
	assert_int_equal(dhat_frame_receive(b, 100, in_ms(LONG_MS), &got, &size, NULL), 0);
	got_done = (Dhat__Done *)dhat_frame_unpack(&dhat__done__descriptor, got, size);
	assert_non_null(got_done);
	assert_string_equal(got_done->message, "detached");
	protobuf_c_message_free_unpacked(&got_done->base, NULL);
	assert_null(dhat_frame_unpack(&dhat__done__descriptor, (uint8_t *)"\xff\xff", 2));
}

/* A million empty messages in two bytes each must not become a hundred million bytes. */
static void test_unpacking_is_bounded(void **state)
{
	enum { COUNT = 1000000 };
	_cleanup_free_ uint8_t *bytes = malloc(2 * COUNT);

	for (size_t i = 0; i < COUNT; i++) {
		bytes[2 * i] = 1 << 3 | 2; /* field 1, length-delimited */
		bytes[2 * i + 1] = 0;
	}
	assert_null(dhat_frame_unpack(&dhat__point_batch__descriptor, bytes, 2 * COUNT));
	/* while a few of them are no harm */
	ProtobufCMessage *few = dhat_frame_unpack(&dhat__point_batch__descriptor, bytes, 20);
	assert_non_null(few);
	assert_int_equal(((Dhat__PointBatch *)few)->n_points, 10);
	protobuf_c_message_free_unpacked(few, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_is_little_endian), cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_large_frame),	      cmocka_unit_test(test_bad_input),
		cmocka_unit_test(test_sending_fails),	      cmocka_unit_test(test_messages),
		cmocka_unit_test(test_unpacking_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
