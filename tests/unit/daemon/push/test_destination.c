/* destination: what becomes of a profile by what a server does; the server is a thread of this
 * test, which answers what it is told, one connection after the other. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/push/client.h"
#include "daemon/push/destination.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "tests/unit/folder.h"
#include "tests/unit/sample.h"

#define SECOND_NS 1000000000ull
#define MILLISECOND_NS 1000000ull
#define DEADLINE_NS (60 * SECOND_NS)
#define ANSWERS_MAX 8

/* What it does with a connection, beside an answer's text. */
#define HANG "hang"		/* answers nothing, and stays */
#define CUT "cut"		/* closes before the request is whole */
#define FLOOD "flood"		/* a 200, and bytes without end */
#define HEAD_FLOOD "head flood" /* headers without end */

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	const char *answers[ANSWERS_MAX]; /* the last is given for ever */
	pthread_mutex_t lock;
	unsigned requests;
	char head[4096]; /* of the last request */
};

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static const char unavailable[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n"
				  "Connection: close\r\n\r\nbusy";

static bool read_request(int fd, struct server *server)
{
	char buffer[65536], *end = NULL;
	size_t used = 0, length;
	ssize_t n;

	while (!end && used < sizeof(buffer) - 1 &&
	       (n = read(fd, buffer + used, sizeof(buffer) - 1 - used)) > 0) {
		used += n;
		buffer[used] = '\0';
		end = strstr(buffer, "\r\n\r\n");
	}
	if (!end)
		return false;
	pthread_mutex_lock(&server->lock);
	snprintf(server->head, sizeof(server->head), "%.*s", (int)(end - buffer), buffer);
	pthread_mutex_unlock(&server->lock);
	length = strtoul(strstr(buffer, "Content-Length: ") + 16, NULL, 10);
	used -= end + 4 - buffer;
	while (used < length && (n = read(fd, buffer, sizeof(buffer))) > 0)
		used += n;
	return used >= length;
}

static void flood(int fd, const char *begin, const char *more)
{
	ssize_t n = send(fd, begin, strlen(begin), MSG_NOSIGNAL);

	while (n > 0)
		n = send(fd, more, strlen(more), MSG_NOSIGNAL);
}

static void answer(int fd, const char *text, struct server *server)
{
	char byte;

	if (strcmp(text, CUT) == 0 || !read_request(fd, server))
		return;
	if (strcmp(text, HANG) == 0)
		while (read(fd, &byte, 1) > 0)
			;
	else if (strcmp(text, FLOOD) == 0)
		flood(fd, "HTTP/1.1 200 OK\r\n\r\n", "more and more and more and more\n");
	else if (strcmp(text, HEAD_FLOOD) == 0)
		flood(fd, "HTTP/1.1 200 OK\r\n", "X-More: and more and more\r\n");
	else if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return;
}

static void *serve(void *server_)
{
	struct server *server = server_;
	size_t next = 0;
	int fd;

	while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		pthread_mutex_lock(&server->lock); /* first: who has an answer may look */
		server->requests++;
		pthread_mutex_unlock(&server->lock);
		answer(fd, server->answers[next], server);
		close(fd);
		if (next + 1 < ANSWERS_MAX && server->answers[next + 1])
			next++;
	}
	return NULL;
}

static struct server *server_new(const char *first, const char *second)
{
	struct server *server = calloc(1, sizeof(*server));
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof(address);

	server->answers[0] = first;
	server->answers[1] = second;
	pthread_mutex_init(&server->lock, NULL);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->fd, 8), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	return server;
}

static void server_free(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

/* ---- a destination ------------------------------------------------------------------------- */

static struct push_settings settings_for(uint16_t port)
{
	struct push_settings settings = { .every_ns = SECOND_NS };
	struct dhat_error err = { 0 };

	assert_true(asprintf(&settings.url, "http://127.0.0.1:%u", port) > 0);
	assert_int_equal(push_settings_settle(&settings, false, &err), 0);
	return settings;
}

static struct destination *begin_with(const struct push_settings *settings, uint64_t first_pause_ns)
{
	const struct destination_options options = { .settings = settings,
						     .folder = folder,
						     .first_pause_ns = first_pause_ns };
	struct destination *destination = NULL;
	struct dhat_error err = { 0 };

	if (destination_new(&options, &destination, &err))
		fail_msg("%s", err.message);
	return destination;
}

static struct destination *begin_pausing(uint16_t port, uint64_t first_pause_ns)
{
	struct push_settings settings = settings_for(port);
	struct destination *destination = begin_with(&settings, first_pause_ns);

	push_settings_deinit(&settings);
	return destination;
}

static struct destination *begin(uint16_t port)
{
	return begin_pausing(port, MILLISECOND_NS);
}

static void add(struct destination *destination)
{
	struct dhat_snapshot *snapshot = sample_snapshot();

	assert_int_equal(destination_add(destination, snapshot, 0), 0);
	dhat_snapshot_free(snapshot);
}

/* Until so many have arrived, been refused, or failed to be sent. */
static struct destination_state wait_for(struct destination *destination, uint64_t pushed,
					 uint64_t refused, uint64_t failed)
{
	uint64_t deadline_ns = clock_now_ns(CLOCK_MONOTONIC) + DEADLINE_NS;
	struct destination_state state;

	do {
		destination_look(destination, &state);
		if (state.pushed >= pushed && state.refused >= refused && state.failed >= failed)
			return state;
		usleep(1000);
	} while (clock_now_ns(CLOCK_MONOTONIC) < deadline_ns);
	fail_msg("%llu pushed, %llu refused, %llu failed: %s", (unsigned long long)state.pushed,
		 (unsigned long long)state.refused, (unsigned long long)state.failed,
		 state.trouble);
	return state;
}

static void test_arrives(void **state)
{
	struct server *server = server_new(ok, NULL);
	struct destination *destination = begin(server->port);
	struct destination_state seen;

	add(destination);
	add(destination);
	seen = wait_for(destination, 2, 0, 0);
	assert_int_equal(seen.waiting, 0);
	assert_int_equal(seen.waiting_bytes, 0);
	assert_int_equal(seen.failed, 0);
	assert_string_equal(seen.trouble, "");
	assert_int_equal(strncmp(server->head, "POST /ingest?name=service%7B", 28), 0);
	assert_non_null(strstr(server->head, "\r\nContent-Type: application/octet-stream"));
	assert_null(strstr(server->head, "Authorization"));
	destination_free(destination);
	server_free(server);
}

static void test_tries_again(void **state)
{
	static const char *const troubles[] = {
		unavailable,
		CUT,
		"HTTP/1.1 500 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"no HTTP at all\n",
		HEAD_FLOOD,
		"HTTP/1.1 408 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(troubles); i++) {
		struct server *server = server_new(troubles[i], ok);
		struct destination *destination = begin(server->port);
		struct destination_state seen;

		add(destination);
		seen = wait_for(destination, 1, 0, 1);
		assert_int_equal(seen.waiting, 0);
		assert_int_equal(seen.refused + seen.dropped, 0);
		assert_string_equal(seen.trouble, "");
		destination_free(destination);
		server_free(server);
	}
}

/* What is said at stderr meanwhile, by a file. */
static int said_fd = -1, stderr_fd = -1;

static void begin_listening(void)
{
	char path[sizeof(folder) + 8];

	snprintf(path, sizeof(path), "%s/said", folder);
	said_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	stderr_fd = dup(STDERR_FILENO);
	assert_true(said_fd >= 0 && stderr_fd >= 0);
	dup2(said_fd, STDERR_FILENO);
}

static void end_listening(char *ret, size_t size)
{
	ssize_t length = pread(said_fd, ret, size - 1, 0);

	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(said_fd);
	assert_true(length >= 0);
	ret[length] = '\0';
}

/* A server that is away is said once; that it then wants what it is not given, too. */
static void test_what_is_to_be_mended_is_said(void **state)
{
	static const char forbidden[] =
		"HTTP/1.1 403 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	struct server *server = server_new(unavailable, forbidden);
	struct destination *destination;
	char said[4096], *first;

	begin_listening();
	destination = begin(server->port);
	add(destination);
	wait_for(destination, 0, 0, 4);
	destination_free(destination);
	server_free(server);
	end_listening(said, sizeof(said));
	assert_non_null(strstr(said, "503 (busy); profiles wait on disk meanwhile"));
	first = strstr(said, "403; profiles wait on disk until that is mended");
	assert_non_null(first);
	assert_null(strstr(first + 1, "403"));
}

static void test_says_why(void **state)
{
	struct server *server = server_new(unavailable, NULL);
	struct destination *destination = begin(server->port);
	struct destination_state seen;

	add(destination);
	seen = wait_for(destination, 0, 0, 2);
	assert_string_equal(seen.trouble, "it answers 503 (busy)");
	assert_int_equal(seen.waiting, 1);
	destination_free(destination);
	server_free(server);
}

/* It is no profile to it: the next one may be. */
static void test_refused_for_good(void **state)
{
	struct server *server = server_new("HTTP/1.1 400 x\r\nContent-Length: 0\r\n"
					   "Connection: close\r\n\r\n",
					   ok);
	struct destination *destination = begin(server->port);
	struct destination_state seen;

	add(destination);
	wait_for(destination, 0, 1, 0);
	add(destination);
	seen = wait_for(destination, 1, 1, 0);
	assert_int_equal(seen.waiting, 0);
	assert_int_equal(seen.failed, 0);
	destination_free(destination);
	server_free(server);
}

static const char doubt[] = "HTTP/1.1 422 x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhmmm";

/* So Pyroscope answers when what stands behind it is away: none is lost. */
static void test_doubted_while_all_are(void **state)
{
	struct server *server = server_new(doubt, doubt);
	struct destination *destination;
	struct destination_state seen;

	for (size_t i = 2; i < 6; i++)
		server->answers[i] = doubt;
	server->answers[6] = ok;
	destination = begin(server->port);
	add(destination);
	seen = wait_for(destination, 0, 0, 1);
	assert_string_equal(seen.trouble, "it answers 422 (hmmm)");
	add(destination);
	add(destination);
	seen = wait_for(destination, 3, 0, 2);
	assert_int_equal(seen.refused + seen.dropped + seen.waiting, 0);
	assert_string_equal(seen.trouble, "");
	destination_free(destination);
	server_free(server);
}

/* One that it does not like does not hold up the others for ever. */
static void test_doubted_alone(void **state)
{
	struct server *server = server_new(doubt, doubt);
	struct destination *destination;
	struct destination_state seen;

	server->answers[2] = ok;    /* the newest */
	server->answers[3] = doubt; /* the oldest, again */
	server->answers[4] = ok;
	destination = begin_pausing(server->port, DEADLINE_NS);
	add(destination);
	wait_for(destination, 0, 0, 1);
	add(destination);
	destination_retry(destination); /* doubt, ok, doubt … */
	seen = wait_for(destination, 1, 1, 1);
	assert_int_equal(seen.waiting, 0);
	add(destination);
	seen = wait_for(destination, 2, 1, 1);
	assert_int_equal(seen.failed, 1);
	destination_free(destination);
	server_free(server);
}

/* Nothing is wrong with the profile: it stays until somebody has mended the rest. */
static void test_barred_is_kept(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 401 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 302 x\r\nLocation: /ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct server *server = server_new(answers[i], NULL);
		struct destination *destination = begin(server->port);
		struct destination_state seen;

		add(destination);
		seen = wait_for(destination, 0, 0, 2);
		assert_int_equal(seen.waiting, 1);
		assert_int_equal(seen.pushed + seen.refused + seen.dropped, 0);
		assert_null(strstr(server->head, "/ok")); /* led nowhere */
		destination_free(destination);
		server_free(server);
		assert_int_equal(remove_folder(NULL), 0);
		assert_int_equal(make_folder(NULL), 0);
	}
}

static int remove_file(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
	return kind == FTW_F && strstr(path, ".push") ? unlink(path) : 0;
}

/* Somebody made room on the disk: what comes after it does not wait behind it. */
static void test_what_is_gone_is_given_up(void **state)
{
	struct server *server = server_new(unavailable, ok);
	struct destination *destination = begin_pausing(server->port, 3600 * SECOND_NS);
	struct destination_state seen;

	add(destination);
	wait_for(destination, 0, 0, 1);
	assert_int_equal(nftw(folder, remove_file, 8, FTW_PHYS), 0);
	add(destination);
	destination_retry(destination);
	seen = wait_for(destination, 1, 0, 1);
	assert_int_equal(seen.waiting, 0);
	destination_free(destination);
	server_free(server);
}

static void test_waits_as_asked(void **state)
{
	struct server *server = server_new("HTTP/1.1 429 x\r\nRetry-After: 3000\r\n"
					   "Content-Length: 0\r\nConnection: close\r\n\r\n",
					   ok);
	struct destination *destination = begin(server->port);
	struct destination_state seen;
	uint64_t before_ns = clock_now_ns(CLOCK_MONOTONIC);

	add(destination);
	seen = wait_for(destination, 0, 0, 1);
	assert_true(seen.next_try_ns >= before_ns + 3000 * SECOND_NS);
	destination_retry(destination); /* a person asks: now */
	wait_for(destination, 1, 0, 1);
	destination_free(destination);
	server_free(server);
}

/* The status has come: what follows it is no matter. */
static void test_endless_answer(void **state)
{
	struct server *server = server_new(FLOOD, NULL);
	struct destination *destination = begin(server->port);

	add(destination);
	wait_for(destination, 1, 0, 0);
	destination_free(destination);
	server_free(server);
}

/* An end does not wait for it. */
static void test_hanging_server(void **state)
{
	struct server *server = server_new(HANG, NULL);
	struct destination *destination = begin(server->port);
	uint64_t begin_ns = clock_now_ns(CLOCK_MONOTONIC);
	struct destination_state seen;

	add(destination);
	add(destination); /* who adds does not wait, either */
	destination_end(destination, begin_ns + SECOND_NS / 10);
	assert_true(clock_now_ns(CLOCK_MONOTONIC) - begin_ns < PUSH_IDLE_SECONDS * SECOND_NS);
	destination_look(destination, &seen);
	assert_int_equal(seen.waiting, 2);
	assert_int_equal(seen.pushed + seen.refused + seen.dropped, 0);
	destination_free(destination);
	server_free(server);
}

static uint16_t port_of_nobody(void)
{
	struct server *server = server_new(ok, NULL);
	uint16_t port = server->port;

	server_free(server);
	return port;
}

/* Nobody is there; the next dhatd sends it. What was added is what arrives, none twice. */
static void test_survives_outage_and_restart(void **state)
{
	struct destination *destination = begin(port_of_nobody());
	struct destination_state seen;
	struct server *server;

	for (int i = 0; i < 5; i++)
		add(destination);
	seen = wait_for(destination, 0, 0, 2);
	assert_int_equal(seen.waiting, 5);
	destination_free(destination);
	server = server_new(ok, NULL);
	destination = begin(server->port);
	seen = wait_for(destination, 5, 0, 0);
	assert_int_equal(seen.waiting, 0);
	assert_int_equal(server->requests, 5);
	destination_free(destination);
	server_free(server);
}

/* At the end what waits is tried once more, whatever pause there is. */
static void test_end_sends_what_waits(void **state)
{
	struct server *server = server_new("HTTP/1.1 503 x\r\nRetry-After: 3000\r\n"
					   "Content-Length: 0\r\nConnection: close\r\n\r\n",
					   ok);
	struct destination *destination = begin(server->port);
	struct destination_state seen;

	add(destination);
	wait_for(destination, 0, 0, 1);
	add(destination);
	destination_end(destination, clock_now_ns(CLOCK_MONOTONIC) + DEADLINE_NS);
	destination_look(destination, &seen);
	assert_int_equal(seen.pushed, 2);
	destination_free(destination);
	server_free(server);
}

static void write_token(const char *path, const char *token)
{
	FILE *file = fopen(path, "w");

	fprintf(file, "%s\n", token);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
}

/* The token of now, each time; and without one that can be read nothing is sent. */
static void test_token(void **state)
{
	struct server *server = server_new(ok, NULL);
	struct push_settings settings = settings_for(server->port);
	struct destination *destination;
	struct destination_state seen;

	assert_true(asprintf(&settings.token_path, "%s/token", folder) > 0);
	settings.tenant = strdup("team-a");
	destination = begin_with(&settings, MILLISECOND_NS);
	add(destination);
	seen = wait_for(destination, 0, 0, 1);
	assert_non_null(strstr(seen.trouble, "cannot read the token in "));
	assert_int_equal(server->requests, 0);
	write_token(settings.token_path, "first");
	destination_retry(destination);
	wait_for(destination, 1, 0, 1);
	assert_non_null(strstr(server->head, "\r\nAuthorization: Bearer first"));
	assert_non_null(strstr(server->head, "\r\nX-Scope-OrgID: team-a"));
	write_token(settings.token_path, "second");
	add(destination);
	wait_for(destination, 2, 0, 1);
	assert_non_null(strstr(server->head, "\r\nAuthorization: Bearer second"));
	destination_free(destination);
	push_settings_deinit(&settings);
	server_free(server);
}

static void test_statuses(void **state)
{
	static const struct {
		long status;
		enum push_outcome outcome;
	} cases[] = {
		{ 200, PUSH_TAKEN },   { 204, PUSH_TAKEN },   { 302, PUSH_BARRED },
		{ 400, PUSH_REFUSED }, { 401, PUSH_BARRED },  { 403, PUSH_BARRED },
		{ 404, PUSH_BARRED },  { 408, PUSH_LATER },   { 413, PUSH_REFUSED },
		{ 415, PUSH_REFUSED }, { 422, PUSH_DOUBTED }, { 429, PUSH_LATER },
		{ 500, PUSH_LATER },   { 503, PUSH_LATER },   { 599, PUSH_LATER },
		{ 101, PUSH_LATER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(push_outcome_of(cases[i].status), cases[i].outcome);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_arrives),
		TEST(test_tries_again),
		TEST(test_says_why),
		TEST(test_what_is_to_be_mended_is_said),
		TEST(test_refused_for_good),
		TEST(test_doubted_while_all_are),
		TEST(test_doubted_alone),
		TEST(test_barred_is_kept),
		TEST(test_what_is_gone_is_given_up),
		TEST(test_waits_as_asked),
		TEST(test_endless_answer),
		TEST(test_hanging_server),
		TEST(test_survives_outage_and_restart),
		TEST(test_end_sends_what_waits),
		TEST(test_token),
		cmocka_unit_test(test_statuses),
	};

	setenv("no_proxy", "*", true); /* of whoever runs this */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
