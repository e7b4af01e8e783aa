#include "peers.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/asker.h"
#include "proto/base/cleanup.h"

int peers_init(struct peers *peers, const char *group_name, struct dhat_error *err)
{
	struct group *group;
	uid_t uid;
	gid_t gid;

	*peers = (struct peers){ .owner = dhat_asker(&uid, &gid) ? uid : geteuid() };
	if (!group_name)
		return 0;
	errno = 0;
	group = getgrnam(group_name);
	if (!group)
		return dhat_error_set(err, ENOENT, DHAT_EXIT_USAGE, "--group %s: no such group",
				      group_name);
	peers->group = group->gr_gid;
	peers->has_group = true;
	return 0;
}

bool peers_is_owner(const struct peers *peers, uid_t uid)
{
	return uid == 0 || uid == peers->owner;
}

static bool is_group_member(int fd, const struct ucred *peer, gid_t group)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t size = 0;

	if (peer->gid == group)
		return true;
	/* the first call tells the size */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

bool peers_may_connect(const struct peers *peers, int fd, const struct ucred *peer)
{
	return peers_is_owner(peers, peer->uid) ||
	       (peers->has_group && is_group_member(fd, peer, peers->group));
}
