#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

int secret_read(const char *path, size_t least, size_t most, char *ret, struct dhat_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat info;
	ssize_t size;

	if (fd < 0 || fstat(fd, &info) < 0)
		return dhat_error_errno(err, errno, "cannot read the token in %s", path);
	if (info.st_mode & S_IRWXO)
		return dhat_error_set(err, EPERM, DHAT_EXIT_USAGE,
				      "every user may read the token in %s: chmod o= it first",
				      path);
	size = read(fd, ret, most + 1);
	if (size < 0)
		return dhat_error_errno(err, errno, "cannot read the token in %s", path);
	while (size > 0 && strchr(" \t\r\n", ret[size - 1]))
		size--;
	if ((size_t)size < least || (size_t)size > most)
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE,
				      "the token in %s is to have %zu to %zu characters: head -c "
				      "24 /dev/urandom | base64 makes one",
				      path, least, most);
	ret[size] = '\0';
	for (ssize_t i = 0; i < size; i++)
		if (ret[i] < '!' || ret[i] > '~')
			return dhat_error_set(
				err, EINVAL, DHAT_EXIT_USAGE,
				"the token in %s is to be one word of printable ASCII", path);
	return 0;
}
