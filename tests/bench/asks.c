/* asks: asks a server the same thing again and again, over some connections, and times the answers.
 *
 * asks PORT CONNECTIONS MILLISECONDS TEXT: escapes \r and \n in TEXT. Each connection asks when it
 * was answered; the first answer of all tells how long one is. Prints "ANSWERS_A_SECOND P50_US
 * P99_US".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define MAX_ANSWERS 4000000u
#define QUIET_MS 200 /* so long after its last byte an answer is taken to be whole */

struct connection {
	double asked;
	size_t answered; /* bytes of this answer */
};

static struct pollfd sockets[MAX_CONNECTIONS];
static struct connection connections[MAX_CONNECTIONS];
static char question[1024];
static size_t question_bytes, answer_bytes;
static float *times_us;
static size_t answers;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "asks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("connect");
	return fd;
}

static void take_text(const char *text)
{
	for (; *text && question_bytes < sizeof(question); text++) {
		char c = *text;

		if (c == '\\' && (text[1] == 'r' || text[1] == 'n'))
			c = *++text == 'r' ? '\r' : '\n';
		question[question_bytes++] = c;
	}
}

static void ask(size_t number)
{
	connections[number] = (struct connection){ .asked = now() };
	if (write(sockets[number].fd, question, question_bytes) != (ssize_t)question_bytes)
		die("write");
}

static size_t read_some(size_t number)
{
	char buffer[65536];
	ssize_t n = read(sockets[number].fd, buffer, sizeof(buffer));

	if (n <= 0)
		die("the server has gone");
	return n;
}

static void measure_an_answer(void)
{
	ask(0);
	while (poll(sockets, 1, answer_bytes ? QUIET_MS : -1) > 0)
		answer_bytes += read_some(0);
}

static void hear(size_t number, double end)
{
	struct connection *connection = &connections[number];
	double at;

	connection->answered += read_some(number);
	if (connection->answered > answer_bytes)
		die("an answer of another length");
	if (connection->answered < answer_bytes)
		return;
	at = now();
	if (answers < MAX_ANSWERS)
		times_us[answers++] = (at - connection->asked) * 1e6;
	if (at < end)
		ask(number);
	else
		sockets[number].events = 0;
}

static int compare(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	size_t count = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	double begin, end;

	if (!count || count > MAX_CONNECTIONS) {
		fprintf(stderr, "usage: asks PORT CONNECTIONS MILLISECONDS TEXT\n");
		return 2;
	}
	times_us = malloc(MAX_ANSWERS * sizeof(*times_us));
	if (!times_us)
		die("malloc");
	take_text(argv[4]);
	for (size_t i = 0; i < count; i++)
		sockets[i] = (struct pollfd){ connect_to(atoi(argv[1])), POLLIN, 0 };
	measure_an_answer();
	begin = now();
	end = begin + strtoul(argv[3], NULL, 10) / 1e3;
	for (size_t i = 0; i < count; i++)
		ask(i);
	while (now() < end && poll(sockets, count, 1000) > 0)
		for (size_t i = 0; i < count; i++)
			if (sockets[i].revents)
				hear(i, end);
	if (!answers)
		die("no answer");
	end = now();
	qsort(times_us, answers, sizeof(*times_us), compare);
	printf("%.1f %.1f %.1f\n", answers / (end - begin), times_us[answers / 2],
	       times_us[answers * 99 / 100]);
	return 0;
}
