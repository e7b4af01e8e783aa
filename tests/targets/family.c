/* A parent and children that live on: family [CHILDREN]. It prints their numbers. After a line on
 * stdin child number i (from 1) makes i blocks of 1,000 bytes and frees the one its parent left it;
 * then "worked" is printed. All are there until another line comes. */
#include <sys/wait.h>

#include "ledger.h"

static char *inherited;
static int ready_pipe[2], work_pipe[2], end_pipe[2];

/* The end of the pipe: the parent has closed it, or is gone. */
static void await_end(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0 && errno == EINTR)
		;
}

static __attribute__((noinline)) void child_block(void)
{
	char *p = malloc(1000);

	OPAQUE(p);
	if (!p)
		_exit(2);
}

static void child_life(long number)
{
	close(work_pipe[1]);
	close(end_pipe[1]);
	await_end(work_pipe[0]);
	for (long i = 0; i < number; i++)
		child_block();
	free(inherited);
	if (write(ready_pipe[1], "r", 1) != 1)
		_exit(3);
	await_end(end_pipe[0]);
	_exit(0);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv), status;
	long count = arg_number(argc, argv, own, 3);
	char c, pids[256] = "";

	CHECK(count > 0 && count < 20 && !pipe(ready_pipe) && !pipe(work_pipe) && !pipe(end_pipe));
	inherited = malloc(500);
	OPAQUE(inherited);
	CHECK(inherited);
	ledger_add(500);
	for (long i = 1; i <= count; i++) {
		size_t len = strlen(pids);
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid == 0)
			child_life(i);
		snprintf(pids + len, sizeof(pids) - len, "%s%d", len ? "," : "", (int)pid);
	}
	say("{\"total_blocks\":1,\"live_bytes\":500,\"children\":[%s]}\n", pids);
	wait_for_line();
	close(work_pipe[1]);
	for (long i = 0; i < count; i++)
		CHECK(read(ready_pipe[0], &c, 1) == 1);
	say("worked\n");
	wait_for_line();
	close(end_pipe[1]);
	for (long i = 0; i < count; i++)
		CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}
