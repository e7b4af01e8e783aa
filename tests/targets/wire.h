#pragma once
/* wire: lines over a unix stream socket, for service.c and load.c. Nothing here allocates. */
#include <sys/socket.h>
#include <sys/un.h>

#include "ledger.h"

#define WIRE_LINE_BYTES 512

struct wire {
	int fd;
	size_t filled;
	char buffer[WIRE_LINE_BYTES];
};

static inline struct sockaddr_un wire_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	CHECK(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	return address;
}

/* The next line without its newline; false at the end of the connection. */
static inline bool wire_get(struct wire *wire, char line[WIRE_LINE_BYTES])
{
	for (;;) {
		char *end = memchr(wire->buffer, '\n', wire->filled);
		ssize_t n;

		if (end) {
			size_t len = end - wire->buffer;

			memcpy(line, wire->buffer, len);
			line[len] = 0;
			wire->filled -= len + 1;
			memmove(wire->buffer, end + 1, wire->filled);
			return true;
		}
		if (wire->filled == sizeof(wire->buffer))
			return false;
		n = read(wire->fd, wire->buffer + wire->filled,
			 sizeof(wire->buffer) - wire->filled);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		wire->filled += n;
	}
}

static inline bool wire_put(struct wire *wire, const char *text)
{
	size_t len = strlen(text);

	return send(wire->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}
