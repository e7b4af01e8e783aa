#include "asker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static bool read_id(const char *variable, unsigned long *ret)
{
	const char *text = getenv(variable);
	unsigned long id;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno || *end || id >= (uid_t)-1)
		return false;
	*ret = id;
	return true;
}

bool dhat_asker(uid_t *ret_uid, gid_t *ret_gid)
{
	unsigned long uid, gid = (gid_t)-1; /* chown(2): the group stays as it is */

	if (geteuid() != 0 || !read_id("SUDO_UID", &uid))
		return false;
	read_id("SUDO_GID", &gid);
	*ret_uid = uid;
	*ret_gid = gid;
	return true;
}
