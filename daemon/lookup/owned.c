#include "owned.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/proc/regular.h"
#include "proto/base/cleanup.h"

/* A file system that only stores files: on a block device, or one of these. Not the kernel's own,
 * of which a read may do something, and not FUSE, where a user's program may keep the reader
 * waiting. */
static bool is_storage(int fd)
{
	static const long without_device[] = {
		TMPFS_MAGIC,
		RAMFS_MAGIC,
		OVERLAYFS_SUPER_MAGIC,
		BTRFS_SUPER_MAGIC,
		NFS_SUPER_MAGIC,
		V9FS_MAGIC,
		CIFS_SUPER_MAGIC,
		SMB2_SUPER_MAGIC,
		CEPH_SUPER_MAGIC,
		AFS_FS_MAGIC,
		ECRYPTFS_SUPER_MAGIC,
		0x2fc12fc1 /* ZFS */,
		0xca451a4e /* bcachefs */,
	};
	struct statfs fs;
	struct stat st, root;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return false;
	/* what this system stands on, whatever that is: a guest's virtiofs has FUSE's number */
	if (stat("/", &root) == 0 && st.st_dev == root.st_dev)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(without_device); i++)
		if (fs.f_type == without_device[i])
			return true;
	return major(st.st_dev) != 0;
}

static int open_as_ourselves(int root_fd, const char *path, int flags)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | flags,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int found = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return found >= 0 && is_storage(found) ? regular_open(found) : -1;
}

/* Whether a user may read a file, all the folders above it may tell, and access control lists: the
 * kernel knows. So this thread looks with the user's eyes (his groups apart, which are not known
 * here), which takes root's rights from it until it is itself again. */
#define NO_GROUP ((gid_t)-2)

int owned_open(int root_fd, const char *path, uid_t uid, int flags)
{
	_cleanup_free_ gid_t *groups = NULL;
	int fd = -1, count = getgroups(0, NULL);

	if (uid == 0 || (uid == geteuid() && uid == getuid()))
		return open_as_ourselves(root_fd, path, flags);
	groups = calloc(count + 1, sizeof(*groups));
	count = groups ? getgroups(count, groups) : -1;
	/* glibc's setgroups() would do it to all threads */
	if (count < 0 || syscall(SYS_setgroups, 0, NULL))
		return -1;
	setfsgid(NO_GROUP);
	setfsuid(uid);
	if ((uid_t)setfsuid(-1) == uid && (gid_t)setfsgid(-1) == NO_GROUP)
		fd = open_as_ourselves(root_fd, path, flags);
	setfsuid(geteuid());
	setfsgid(getegid());
	syscall(SYS_setgroups, (size_t)count, groups);
	return fd;
}
