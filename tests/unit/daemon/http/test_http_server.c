/* Connections by HTTP, with a handler of the test's own: those that are slow, half, huge and many.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/http/places.h"
#include "daemon/http/server.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#define PATIENCE_S 60	      /* of the tests; nothing takes so long but a fault */
#define BIG_BYTES (16u << 20) /* more than sockets hold */
#define SOON_NS 200000000ull
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static char directory[64], path[96];
static atomic_int begun, given_up, may_go_on, big, wellness;

static void answer_text(struct http_answer *ret, const char *text)
{
	*ret = (struct http_answer){ .status = 200, .type = "text/plain", .body = strdup(text) };
	ret->size = strlen(text);
}

static void until(atomic_int *value, int wanted)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;

	while (atomic_load(value) < wanted && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		usleep(1000);
	assert_int_equal(atomic_load(value), wanted);
}

/* Until nobody waits for it. */
static void wait_until_gone(const struct http_request *request)
{
	uint64_t end_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;

	atomic_fetch_add(&begun, 1);
	while (!atomic_load(request->gone) && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		usleep(1000);
	atomic_fetch_add(&given_up, atomic_load(request->gone));
}

static void handle(void *context, const struct http_request *request, struct http_answer *ret)
{
	const char *argument = http_request_argument(request, "say");

	assert_string_equal(context, "the context");
	if (strcmp(request->path, "/big") == 0) {
		*ret = (struct http_answer){ .status = 200,
					     .type = "text/plain",
					     .body = calloc(1, BIG_BYTES),
					     .size = BIG_BYTES };
		atomic_fetch_add(&big, 1);
		return;
	}
	if (strcmp(request->path, "/late") == 0) {
		atomic_fetch_add(&begun, 1);
		until(&may_go_on, 1);
		answer_text(ret, http_request_has_room(request) ? "room" : "no room");
		return;
	}
	if (strcmp(request->path, "/wait") == 0)
		wait_until_gone(request);
	if (strcmp(request->path, "/nothing") != 0)
		answer_text(ret, argument ?: "hello");
}

static struct http_server *start(const char *listen, uint64_t limit_ns)
{
	const struct http_server_options options = {
		.listen = listen,
		.handler = handle,
		.context = "the context",
		.receive_ns = limit_ns,
		.send_ns = limit_ns,
		.send_bytes_per_second = limit_ns ? 1u << 30 : 0,
	};
	struct http_server *server = NULL;
	struct dhat_error err = { 0 };

	if (http_server_new(&options, &server, &err) < 0)
		fail_msg("%s", err.message);
	return server;
}

static int set_up(void **state)
{
	strcpy(directory, "/tmp/dhatd-http-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/http.sock", directory);
	atomic_store(&begun, 0);
	atomic_store(&given_up, 0);
	atomic_store(&may_go_on, 0);
	atomic_store(&big, 0);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(directory); /* the socket is gone */
}

static int connect_to(const struct http_server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *url = http_server_url(server);
	struct http_address tcp;
	char text[64];
	int fd, r;

	if (*url == '/') {
		strcpy(address.sun_path, url);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	} else {
		assert_int_equal(sscanf(url, "http://%63[^/]/", text), 1);
		assert_int_equal(http_address_parse(text, &tcp, NULL), 0);
		fd = socket(tcp.tcp.ss_family, SOCK_STREAM, 0);
		r = connect(fd, (struct sockaddr *)&tcp.tcp, tcp.tcp_size);
	}
	assert_int_equal(r, 0);
	return fd;
}

static void put(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* All that comes until the other side closes; its length, -1 if it has not within the patience. */
static ssize_t read_all(int fd, char *ret, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char dropped[65536];
	ssize_t used = 0, got;

	while (poll(&ready, 1, PATIENCE_S * 1000) == 1) {
		bool has_room = (size_t)used + 1 < size;

		got = has_room ? read(fd, ret + used, size - used - 1)
			       : read(fd, dropped, sizeof(dropped));
		if (got <= 0) {
			if (size)
				ret[(size_t)used < size ? (size_t)used : size - 1] = '\0';
			return used;
		}
		used += got;
	}
	return -1;
}

/* The status of an answer; 0: the connection was closed without one. */
static unsigned status_of(int fd, char *ret, size_t size)
{
	unsigned status = 0;

	assert_true(read_all(fd, ret, size) >= 0);
	sscanf(ret, "HTTP/1.1 %u", &status);
	return status;
}

static unsigned ask(const struct http_server *server, const char *request)
{
	_cleanup_close_ int fd = connect_to(server);
	char answer[4096];

	put(fd, request);
	return status_of(fd, answer, sizeof(answer));
}

static void test_unix_socket(void **state)
{
	struct http_server *server = start(path, 0);
	_cleanup_close_ int fd = connect_to(server);
	char answer[4096];
	struct stat info;

	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	put(fd, GET("/x?say=this"));
	assert_int_equal(status_of(fd, answer, sizeof(answer)), 200);
	assert_non_null(strstr(answer, "\r\n\r\nthis"));
	assert_non_null(strstr(answer, "\r\nContent-Security-Policy: default-src 'none'\r\n"));
	assert_non_null(strstr(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
	assert_null(strstr(answer, "Access-Control"));
	http_server_free(server);
	assert_int_equal(access(path, F_OK), -1);
}

/* The kernel tells that it is us at the other end. */
static void test_loopback(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:0", "[::1]:0", "[::]:0" };
	struct http_server *server;

	for (size_t i = 0; i < 2; i++) {
		server = start(addresses[i], 0);
		assert_int_equal(ask(server, GET("/x")), 200);
		assert_int_equal(ask(server, "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403);
		assert_int_equal(ask(server,
				     "GET /x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: "
				     "cross-site\r\n\r\n"),
				 403);
		assert_int_equal(ask(server, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
		http_server_free(server);
	}
}

static void test_refusals(void **state)
{
	struct http_server *server = start("127.0.0.1:0", 0);

	assert_int_equal(ask(server, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
				     "1\r\n\r\na"),
			 405);
	assert_int_equal(ask(server, "DELETE /x HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405);
	assert_int_not_equal(ask(server, "GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
					 "1\r\n\r\na"),
			     200);
	assert_int_not_equal(ask(server, "\x16\x03\x01 no HTTP at all\r\n\r\n"), 200);
	assert_int_equal(ask(server, GET("/nothing")), 500);
	assert_int_equal(ask(server, GET("/x")), 200);
	http_server_free(server);
}

static void test_huge_requests(void **state)
{
	struct http_server *server = start("127.0.0.1:0", 0);
	_cleanup_free_ char *request = malloc(4 * HTTP_REQUEST_BYTES);
	size_t used = sprintf(request, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: ");

	memset(request + used, 'x', 2 * HTTP_REQUEST_BYTES);
	strcpy(request + used + 2 * HTTP_REQUEST_BYTES, "\r\n\r\n");
	assert_int_not_equal(ask(server, request), 200);
	used = sprintf(request, "GET /");
	memset(request + used, 'x', 2 * HTTP_REQUEST_BYTES);
	strcpy(request + used + 2 * HTTP_REQUEST_BYTES, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_int_not_equal(ask(server, request), 200);
	assert_int_equal(ask(server, GET("/x")), 200);
	http_server_free(server);
}

/* Nobody waits for them; they are cut. */
static void test_half_requests(void **state)
{
	static const char *const halves[] = { "", "GET /x HT", "GET /x HTTP/1.1\r\nHost: local" };
	struct http_server *server = start("127.0.0.1:0", SOON_NS);
	char answer[4096];
	int fds[ARRAY_SIZE(halves)];

	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		fds[i] = connect_to(server);
		put(fds[i], halves[i]);
	}
	assert_int_equal(ask(server, GET("/x")), 200);
	for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
		assert_int_equal(status_of(fds[i], answer, sizeof(answer)), 0);
		close(fds[i]);
	}
	http_server_free(server);
}

/* One byte now and then is no request in time either. */
static void test_slow_requests(void **state)
{
	struct http_server *server = start("127.0.0.1:0", SOON_NS);
	_cleanup_close_ int fd = connect_to(server);
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC);

	put(fd, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: ");
	while (poll(&ready, 1, 20) == 0 &&
	       clock_now_ns(CLOCK_MONOTONIC) - begin_ns < PATIENCE_S * 1000000000ull)
		put(fd, "x");
	assert_true(clock_now_ns(CLOCK_MONOTONIC) - begin_ns >= SOON_NS);
	assert_true(clock_now_ns(CLOCK_MONOTONIC) - begin_ns < PATIENCE_S * 1000000000ull);
	http_server_free(server);
}

static void test_slow_readers(void **state)
{
	struct http_server *server = start("127.0.0.1:0", SOON_NS);
	_cleanup_close_ int fd = connect_to(server);
	struct pollfd gone = { .fd = fd, .events = POLLRDHUP };

	put(fd, GET("/big"));
	assert_int_equal(poll(&gone, 1, PATIENCE_S * 1000), 1); /* reset, though nothing was read */
	assert_int_equal(ask(server, GET("/x")), 200);
	assert_true(read_all(fd, NULL, 0) < (ssize_t)BIG_BYTES);
	http_server_free(server);
}

static void test_big_answers(void **state)
{
	struct http_server *server = start(path, 0);
	_cleanup_close_ int fd = connect_to(server);

	put(fd, GET("/big"));
	assert_true(read_all(fd, NULL, 0) > (ssize_t)BIG_BYTES);
	http_server_free(server);
}

/* Each place taken: who comes is told so, and has one when they are cut. */
static void test_many_connections(void **state)
{
	struct http_server *server = start("127.0.0.1:0", 10 * SOON_NS);
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC);
	uint64_t end_ns = begin_ns + PATIENCE_S * 1000000000ull;
	int fds[HTTP_MAX_CONNECTIONS];
	unsigned status;

	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS; i++)
		fds[i] = connect_to(server);
	status = ask(server, GET("/x"));
	assert_true(status == 503 || !status ||
		    clock_now_ns(CLOCK_MONOTONIC) - begin_ns >= 10 * SOON_NS);
	do {
		status = ask(server, GET("/x"));
		/* turned away, or cut before that was read */
	} while ((status == 503 || !status) && clock_now_ns(CLOCK_MONOTONIC) < end_ns);
	assert_int_equal(status, 200);
	for (size_t i = 0; i < HTTP_MAX_CONNECTIONS; i++)
		close(fds[i]);
	http_server_free(server);
}

static void test_who_goes_is_not_waited_for(void **state)
{
	const char *const addresses[] = { path, "127.0.0.1:0" };

	for (int i = 0; i < (int)ARRAY_SIZE(addresses); i++) {
		struct http_server *server = start(addresses[i], 0);
		int fd = connect_to(server);

		put(fd, GET("/wait"));
		until(&begun, i + 1);
		assert_int_equal(ask(server, GET("/x")), 200);
		close(fd);
		until(&given_up, i + 1);
		http_server_free(server);
	}
}

/* At a unix socket it is known that somebody who will say nothing more is still there. */
static void test_who_listens_on_is_waited_for(void **state)
{
	struct http_server *server = start(path, 0);
	int fd = connect_to(server);
	char text[1024];

	put(fd, GET("/late"));
	until(&begun, 1);
	shutdown(fd, SHUT_WR);
	/* before the second is let in all peers are looked at */
	assert_int_equal(ask(server, GET("/x")), 200);
	assert_int_equal(ask(server, GET("/x")), 200);
	atomic_store(&may_go_on, 1);
	assert_int_equal(status_of(fd, text, sizeof(text)), 200);
	http_server_free(server);
}

/* What was let in while nothing was held yet asks again before it makes something. */
static void test_room_for_answers(void **state)
{
	enum { READERS = HTTP_HELD_BYTES / BIG_BYTES + 1 };
	struct http_server *server = start(path, 0);
	int late = connect_to(server), fds[READERS];
	char text[1024];

	put(late, GET("/late"));
	until(&begun, 1);
	for (int i = 0; i < READERS; i++) {
		fds[i] = connect_to(server);
		put(fds[i], GET("/big"));
		until(&big, i + 1);
	}
	/* the last of them is held as soon as its head comes */
	for (int i = 0; i < READERS; i++)
		assert_int_equal(read(fds[i], text, 1), 1);
	atomic_store(&may_go_on, 1);
	assert_int_equal(status_of(late, text, sizeof(text)), 200);
	assert_non_null(strstr(text, "no room"));
	assert_int_equal(ask(server, GET("/x")), 503);
	for (int i = 0; i < READERS; i++)
		close(fds[i]);
	http_server_free(server);
}

static bool is_well(void *context)
{
	assert_string_equal(context, "the context");
	return atomic_load(&wellness);
}

static void test_health(void **state)
{
	const struct http_server_options options = {
		.listen = path,
		.handler = handle,
		.is_well = is_well,
		.context = "the context",
	};
	struct http_server *server = NULL;

	assert_int_equal(http_server_new(&options, &server, NULL), 0);
	atomic_store(&wellness, 1);
	assert_int_equal(ask(server, GET("/healthz")), 200);
	atomic_store(&wellness, 0);
	assert_int_equal(ask(server, GET("/healthz")), 503);
	http_server_free(server);
}

static void test_end_while_somebody_waits(void **state)
{
	struct http_server *server = start("127.0.0.1:0", 0);
	_cleanup_close_ int fd = connect_to(server), idle = connect_to(server);

	put(fd, GET("/wait"));
	until(&begun, 1);
	http_server_free(server);
	assert_int_equal(atomic_load(&given_up), 1);
}

static void test_address_in_use(void **state)
{
	struct http_server *server = start("127.0.0.1:0", 0), *second = NULL;
	struct http_server_options options = { .handler = handle };
	struct dhat_error err = { 0 };
	char text[64];

	assert_int_equal(sscanf(http_server_url(server), "http://%63[^/]/", text), 1);
	options.listen = text;
	assert_true(http_server_new(&options, &second, &err) < 0);
	assert_int_equal(err.code, DHAT_EXIT_ALREADY);
	assert_non_null(strstr(err.message, text));
	http_server_free(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unix_socket),
		TEST(test_loopback),
		TEST(test_refusals),
		TEST(test_huge_requests),
		TEST(test_half_requests),
		TEST(test_slow_requests),
		TEST(test_slow_readers),
		TEST(test_big_answers),
		TEST(test_many_connections),
		TEST(test_who_goes_is_not_waited_for),
		TEST(test_who_listens_on_is_waited_for),
		TEST(test_room_for_answers),
		TEST(test_health),
		TEST(test_end_while_somebody_waits),
		TEST(test_address_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
