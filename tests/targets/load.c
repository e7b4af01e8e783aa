/* Load for service.c: load SOCKET CONNECTIONS REQUESTS [PAUSE_US].
 *
 * Each connection sends its requests one after the other and checks every answer. REQUESTS 0: until
 * a line comes on stdin, five minutes at most. Prints what was sent and what was answered right. */
#include <poll.h>
#include <pthread.h>

#include "wire.h"

static atomic_ulong sent_count, right_count;
static atomic_bool is_over;
static unsigned long requests, pause_us;
static const char *socket_path;

static bool ask(struct wire *wire, unsigned long number)
{
	char line[WIRE_LINE_BYTES], wanted[WIRE_LINE_BYTES];

	snprintf(line, sizeof(line), "GET %lu\n", number);
	sent_count++;
	if (!wire_put(wire, line) || !wire_get(wire, line))
		return false;
	snprintf(wanted, sizeof(wanted), "OK %lu %lu", number, number * number);
	right_count += !strcmp(line, wanted);
	return true;
}

static void *run_connection(void *arg)
{
	struct sockaddr_un address = wire_address(socket_path);
	struct wire wire = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	CHECK(wire.fd >= 0 && !connect(wire.fd, (struct sockaddr *)&address, sizeof(address)));
	for (unsigned long i = 0; !is_over && (!requests || i < requests); i++) {
		if (!ask(&wire, i))
			break;
		if (pause_us)
			usleep(pause_us);
	}
	close(wire.fd);
	return NULL;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long connections = arg_number(argc, argv, own + 1, 4);
	pthread_t threads[64];

	CHECK(own < argc && connections > 0 && connections <= 64);
	socket_path = argv[own];
	requests = arg_number(argc, argv, own + 2, 1000);
	pause_us = arg_number(argc, argv, own + 3, 0);
	for (long i = 0; i < connections; i++)
		CHECK(!pthread_create(&threads[i], NULL, run_connection, NULL));
	if (!requests) {
		struct pollfd stdin_poll = { .fd = 0, .events = POLLIN };

		poll(&stdin_poll, 1, 300 * 1000);
		is_over = true;
	}
	for (long i = 0; i < connections; i++)
		CHECK(!pthread_join(threads[i], NULL));
	say("{\"sent\":%lu,\"answered\":%lu}\n", (unsigned long)sent_count,
	    (unsigned long)right_count);
	return sent_count == right_count ? 0 : 1;
}
