/* open_files: what a process has open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "daemon/proc/open_files.h"

struct seen {
	int epoll_fd;
	unsigned files, epolls;
};

static int see(void *seen_, const char *number, const char *link)
{
	struct seen *seen = seen_;

	seen->files++;
	seen->epolls += atoi(number) == seen->epoll_fd && !strcmp(link, "anon_inode:[eventpoll]");
	return 0;
}

static int end(void *calls, const char *number, const char *link)
{
	++*(unsigned *)calls;
	return -ECANCELED;
}

static void test_each_once(void **state)
{
	struct seen seen = { .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	unsigned calls = 0;

	assert_true(seen.epoll_fd >= 0);
	assert_int_equal(open_files_visit(getpid(), see, &seen), 0);
	assert_int_equal(seen.epolls, 1);
	assert_true(seen.files > 1);
	assert_int_equal(open_files_visit(getpid(), end, &calls), -ECANCELED);
	assert_int_equal(calls, 1);
	close(seen.epoll_fd);
}

static void test_no_such_process(void **state)
{
	unsigned calls = 0;

	assert_true(open_files_visit(INT32_MAX, end, &calls) < 0);
	assert_int_equal(calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_no_such_process),
	};

	return cmocka_run_group_tests_name("open_files", tests, NULL, NULL);
}
