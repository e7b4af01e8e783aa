/* A small service with a leak: service SOCKET [LEAK_ONE_IN].
 *
 * It answers "GET n" by "OK n n*n", a thread a connection. Every tenth request (by default) is
 * remembered and never forgotten: 128 bytes in remember_session(). "BOOK" is answered by its book
 * as JSON; "QUIT" ends it. load.c is its load generator. */
#include <pthread.h>

#include "wire.h"

#define SESSION_BYTES 128
#define WORK_BYTES 1024

struct request {
	char name[64];
	unsigned long number;
	char *answer;
};

static atomic_ulong request_count, connection_count;
static unsigned long leak_one_in = 10;

static __attribute__((noinline)) void remember_session(const struct request *request)
{
	char *session = malloc(SESSION_BYTES);

	OPAQUE(session);
	CHECK(session);
	ledger_add(SESSION_BYTES);
	snprintf(session, SESSION_BYTES, "session of %s", request->name);
	OPAQUE(session);
}

static __attribute__((noinline)) struct request *parse_request(const char *line)
{
	struct request *request = calloc(1, sizeof(*request));

	OPAQUE(request);
	CHECK(request);
	ledger_add(sizeof(*request));
	request->number = strtoul(line + 4, NULL, 10);
	snprintf(request->name, sizeof(request->name), "request %lu", request->number);
	return request;
}

static __attribute__((noinline)) void compute_answer(struct request *request)
{
	char *work = malloc(WORK_BYTES);

	OPAQUE(work);
	CHECK(work);
	ledger_add(WORK_BYTES);
	snprintf(work, WORK_BYTES, "OK %lu %lu\n", request->number,
		 request->number * request->number);
	request->answer = malloc(8);
	OPAQUE(request->answer);
	CHECK(request->answer);
	ledger_add(8);
	request->answer = realloc(request->answer, 64);
	OPAQUE(request->answer);
	CHECK(request->answer);
	ledger_resize(8, 64);
	memcpy(request->answer, work, 64);
	free(work);
	ledger_drop(WORK_BYTES);
}

static bool handle_request(struct wire *wire, const char *line)
{
	struct request *request = parse_request(line);
	bool is_sent;

	compute_answer(request);
	if (++request_count % leak_one_in == 0)
		remember_session(request);
	is_sent = wire_put(wire, request->answer);
	free(request->answer);
	ledger_drop(64);
	free(request);
	ledger_drop(sizeof(*request));
	return is_sent;
}

static bool send_book(struct wire *wire)
{
	char text[384];

	snprintf(text, sizeof(text),
		 "{\"total_bytes\":%llu,\"total_blocks\":%llu,\"live_bytes\":%llu,"
		 "\"live_blocks\":%llu,\"requests\":%lu,\"connections\":%lu}\n",
		 (unsigned long long)ledger.total_bytes, (unsigned long long)ledger.total_blocks,
		 (unsigned long long)ledger.live_bytes, (unsigned long long)ledger.live_blocks,
		 (unsigned long)request_count, (unsigned long)connection_count);
	return wire_put(wire, text);
}

static void *serve_connection(void *arg)
{
	struct wire wire = { .fd = (int)(intptr_t)arg };
	char line[WIRE_LINE_BYTES];
	bool goes_on = true;

	connection_count++;
	while (goes_on && wire_get(&wire, line)) {
		if (!strncmp(line, "GET ", 4))
			goes_on = handle_request(&wire, line);
		else if (!strcmp(line, "BOOK"))
			goes_on = send_book(&wire);
		else if (!strcmp(line, "QUIT"))
			_exit(0);
		else
			goes_on = false;
	}
	close(wire.fd);
	return NULL;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	pthread_attr_t attr;

	CHECK(own < argc);
	ledger.has_peak = false;
	leak_one_in = arg_number(argc, argv, own + 1, 10);
	CHECK(leak_one_in > 0);
	address = wire_address(argv[own]);
	CHECK(listener >= 0 && !bind(listener, (struct sockaddr *)&address, sizeof(address)));
	CHECK(!listen(listener, 64));
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	CHECK(!pthread_attr_setstacksize(&attr, 256 << 10));
	say("{\"ready\":true,\"pid\":%d}\n", (int)getpid());
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		CHECK(fd >= 0);
		CHECK(!pthread_create(&thread, &attr, serve_connection, (void *)(intptr_t)fd));
	}
}
