#include "local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

/* A socket file that nobody listens at is a dead daemon's and goes away. */
static int remove_stale(const struct sockaddr_un *address, const char *option,
			struct dhat_error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat stat;

	if (lstat(address->sun_path, &stat) < 0)
		return errno == ENOENT ? 0
				       : dhat_error_errno(err, errno, "cannot use the socket %s",
							  address->sun_path);
	if (!S_ISSOCK(stat.st_mode))
		return dhat_error_set(err, EEXIST, DHAT_EXIT_ALREADY,
				      "%s exists and is not a socket: give another %s",
				      address->sun_path, option);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return dhat_error_errno(err, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return dhat_error_set(err, EADDRINUSE, DHAT_EXIT_ALREADY,
				      "a dhatd answers at %s already: add a target to it by "
				      "`dhatctl attach`, or give another %s",
				      address->sun_path, option);
	if (errno != ECONNREFUSED)
		return dhat_error_errno(err, errno, "cannot use the socket %s", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return dhat_error_errno(err, errno, "cannot remove the dead socket %s",
					address->sun_path);
	return 0;
}

static int bind_socket(struct local_socket *local, const struct sockaddr_un *address,
		       const struct peers *peers, const char *option, struct dhat_error *err)
{
	struct stat stat;
	mode_t mask;
	int r;

	local->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (local->fd < 0)
		return dhat_error_errno(err, errno, "cannot make a socket");
	/* by umask and not by chmod: at no moment is it open to more people */
	mask = umask(peers->has_group ? 0117 : 0177);
	r = bind(local->fd, (const struct sockaddr *)address, sizeof(*address));
	r = r < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return dhat_error_set(err, -r,
				      r == -EADDRINUSE ? DHAT_EXIT_ALREADY : dhat_exit_of_errno(-r),
				      "cannot make the socket %s: %s; give another %s",
				      address->sun_path, strerror(-r), option);
	if (lstat(address->sun_path, &stat) < 0)
		return dhat_error_errno(err, errno, "cannot use the socket %s", address->sun_path);
	local->dev = stat.st_dev;
	local->inode = stat.st_ino;
	memcpy(local->path, address->sun_path, sizeof(local->path));
	return 0;
}

int local_socket_init(struct local_socket *ret, const char *path, const struct peers *peers,
		      const char *option, int backlog, struct dhat_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	*ret = LOCAL_SOCKET_NONE;
	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return dhat_error_set(err, ENAMETOOLONG, DHAT_EXIT_USAGE,
				      "the socket's path is too long or empty, at most %zu "
				      "characters: %s",
				      sizeof(address.sun_path) - 1, path);
	strcpy(address.sun_path, path);
	r = remove_stale(&address, option, err);
	if (r == 0)
		r = bind_socket(ret, &address, peers, option, err);
	if (r < 0)
		return r;
	if (lchown(path, peers->owner == geteuid() ? (uid_t)-1 : peers->owner,
		   peers->has_group ? peers->group : (gid_t)-1) < 0)
		return dhat_error_errno(err, errno, "cannot give the socket %s to its owner", path);
	if (listen(ret->fd, backlog) < 0)
		return dhat_error_errno(err, errno, "cannot listen at %s", path);
	return 0;
}

int local_socket_share(struct local_socket *ret, int fd, struct dhat_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	*ret = LOCAL_SOCKET_NONE;
	ret->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/* accept4() must not wait for one who has gone again */
	if (ret->fd < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return dhat_error_errno(err, errno, "cannot use the socket that was handed over");
	return 0;
}

void local_socket_deinit(struct local_socket *local)
{
	struct stat stat;

	if (*local->path && lstat(local->path, &stat) == 0 && stat.st_dev == local->dev &&
	    stat.st_ino == local->inode)
		unlink(local->path);
	if (local->fd >= 0)
		close(local->fd);
	*local = LOCAL_SOCKET_NONE;
}
