/* tap: a dhatd that hands on each record of its ring, as the kernel side has written it, to the
 * file that DHATD_TAP names: `make test-sites` holds two of them against each other. The linker
 * takes what is here for collector_feed_all() where that is called (--wrap), by one thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/account/collector.h"

void __real_collector_feed_all(struct collector *collector, const struct iovec *records,
			       size_t count);
void __wrap_collector_feed_all(struct collector *collector, const struct iovec *records,
			       size_t count);

static char buffer[1 << 20];
static size_t used;

/* Half a log would be taken for a whole one. */
static void fail(const char *what)
{
	fprintf(stderr, "tap: %s: %s\n", what, strerror(errno));
	abort();
}

static void hand_on(int fd)
{
	for (size_t done = 0; done < used;) {
		ssize_t n = write(fd, buffer + done, used - done);

		if (n <= 0)
			fail("write");
		done += n;
	}
	used = 0;
}

static int tap_fd(void)
{
	static int fd = -1;
	const char *path = getenv("DHATD_TAP");

	if (fd < 0)
		fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		fail("DHATD_TAP");
	return fd;
}

void __wrap_collector_feed_all(struct collector *collector, const struct iovec *records,
			       size_t count)
{
	int fd = tap_fd();

	for (size_t i = 0; i < count; i++) {
		const struct dhat_record *record = records[i].iov_base;

		if (record->size > records[i].iov_len)
			fail("a record that is cut");
		if (used + record->size > sizeof(buffer))
			hand_on(fd);
		memcpy(buffer + used, record, record->size);
		used += record->size; /* the kernel side may have had room for more */
	}
	hand_on(fd);
	__real_collector_feed_all(collector, records, count);
}
