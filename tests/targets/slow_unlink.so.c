/* For LD_PRELOAD with dhatd: while the file $SLOW_UNLINK is there, unlinkat(2), by which it lets go
 * of its probes, takes a second, and writes to that file first. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int unlinkat(int folder, const char *name, int flags)
{
	const struct timespec second = { .tv_sec = 1 };
	const char *mark = getenv("SLOW_UNLINK");
	int fd = mark ? open(mark, O_WRONLY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		if (write(fd, "!", 1) == 1)
			nanosleep(&second, NULL);
		close(fd);
	}
	return (int)syscall(SYS_unlinkat, folder, name, flags);
}
