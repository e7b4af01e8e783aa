/* By hand: it is one datagram, and libsystemd would be one more library in a process of root's. */
#include "notify.h"

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 2

static const char *owed; /* what there was no room for; NULL: nothing */

/* False: there is no room for it. */
static bool tell(const char *state, int flags)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	_cleanup_close_ int fd = -1;
	size_t length = path ? strlen(path) : 0;

	if ((length < 2 || length >= sizeof(address.sun_path)) || (*path != '/' && *path != '@'))
		return true;
	memcpy(address.sun_path, path, length);
	if (*path == '@') /* of the abstract name space: unix(7) */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return sendto(fd, state, strlen(state), MSG_NOSIGNAL | flags, (struct sockaddr *)&address,
		      offsetof(struct sockaddr_un, sun_path) + length) >= 0 ||
	       errno != EAGAIN;
}

void notify(const char *state)
{
	owed = tell(state, 0) ? NULL : state;
}

bool notify_again(void)
{
	if (owed && tell(owed, MSG_DONTWAIT))
		owed = NULL;
	return owed;
}

void notify_alive(const char *state)
{
	tell(state, MSG_DONTWAIT);
}

void notify_reloading(void)
{
	char text[96];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 clock_now_ns(CLOCK_MONOTONIC) / 1000);
	owed = NULL; /* it is not ready now */
	tell(text, 0);
}

/* A variable that is for the process of this number, and for nobody who inherits it. */
static bool is_for_us(const char *name)
{
	const char *text = getenv(name);

	return text && strtoll(text, NULL, 10) == getpid();
}

uint64_t notify_watchdog_ns(void)
{
	const char *text = getenv("WATCHDOG_USEC");

	if (!text || (getenv("WATCHDOG_PID") && !is_for_us("WATCHDOG_PID")))
		return 0;
	return strtoull(text, NULL, 10) * 1000;
}

static bool is_listening_unix_socket(int fd)
{
	int domain = 0, type = 0, listens = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens;
}

#define FIRST_SOCKET 3 /* SD_LISTEN_FDS_START */
#define MOST_SOCKETS 64

int notify_take_socket(void)
{
	const char *text = getenv("LISTEN_FDS");
	int count = text && is_for_us("LISTEN_PID") ? atoi(text) : 0, ret = 0;

	for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + count && count <= MOST_SOCKETS; fd++) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (!ret && is_listening_unix_socket(fd))
			ret = fd;
	}
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return ret;
}
