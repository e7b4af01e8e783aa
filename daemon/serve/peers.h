#pragma once
/* peers: who may ask dhatd. P6: root, the owner, and the members of a group where one is given.
 *
 * The owner is the user who started dhatd; through sudo, the one behind it.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"

struct ucred;

struct peers {
	uid_t owner;
	gid_t group;
	bool has_group;
};

/* group: its name, of --group; NULL: none. */
int peers_init(struct peers *peers, const char *group, struct dhat_error *err);
/* The owner, or root. */
bool peers_is_owner(const struct peers *peers, uid_t uid);
/* fd: the connection, at a unix socket, of which the credentials (SO_PEERCRED) are. */
bool peers_may_connect(const struct peers *peers, int fd, const struct ucred *peer);
