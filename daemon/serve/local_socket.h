#pragma once
/* local_socket: a unix socket that only those may use who may ask dhatd (P6).
 *
 * Its mode lets its owner in, and its group too where one is given; at no moment more people.
 */
#include <sys/un.h>

#include "peers.h"

struct local_socket {
	int fd; /* listens, does not block; -1: there is none */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	dev_t dev; /* of the socket file, to remove no other's */
	ino_t inode;
};
#define LOCAL_SOCKET_NONE ((struct local_socket){ .fd = -1 })

/* A socket that nobody listens at any more is replaced; a live one is an error
 * (DHAT_EXIT_ALREADY). option: which gave the path, for a message. *ret is to be freed by
 * local_socket_deinit() in any case. */
int local_socket_init(struct local_socket *ret, const char *path, const struct peers *peers,
		      const char *option, int backlog, struct dhat_error *err);
/* One that listens already, bound by a service manager, whose owner and mode are the manager's. fd
 * is borrowed, and the file stays. */
int local_socket_share(struct local_socket *ret, int fd, struct dhat_error *err);
/* Closes it, and removes its file. */
void local_socket_deinit(struct local_socket *local);
