#pragma once
/* peer: who is at the other end of a connection, as the kernel tells. */
#include <stdbool.h>
#include <sys/types.h>

#include "address.h"

struct http_peer {
	bool is_known; /* uid is that of who made the socket at the other end */
	uid_t uid;
	struct sockaddr_storage address; /* of TCP */
};

/* fd: a connection that was accepted. At a unix socket by SO_PEERCRED; at a loopback address by
 * asking for the socket of the other end (sock_diag(7)). Where the kernel does not tell, and
 * elsewhere, nobody is known. */
void http_peer_of(int fd, struct http_peer *ret);
