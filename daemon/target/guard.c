#include "guard.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

struct guard {
	pid_t pid;
	int sock; /* its end comes when the last of ours is closed */
};

/* What is ours goes with us: probes, the terminal, others' ends of sockets. */
static void close_all_but(unsigned first, unsigned second)
{
	unsigned low = first < second ? first : second, high = first < second ? second : first;

	if (low > 0)
		close_range(0, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, UINT_MAX, 0);
}

/* Only system calls: we have threads. */
__attribute__((noreturn)) static void wait_for_the_end(int sock, int pidfd)
{
	ssize_t got;
	char byte;

	setsid(); /* what is meant for our group is not for it */
	prctl(PR_SET_NAME, "dhatd-guard", 0, 0, 0);
	close_all_but(sock, pidfd);
	do
		got = read(sock, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got != 1) /* not let go: dhatd has died */
		syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
	_exit(0);
}

struct guard *guard_new(int pidfd)
{
	_cleanup_free_ struct guard *guard = calloc(1, sizeof(*guard));
	sigset_t all, before;
	int fds[2];

	if (!guard || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return NULL;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* SIGTERM to all of us is not for it */
	guard->pid = fork();
	if (guard->pid == 0)
		wait_for_the_end(fds[1], pidfd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	guard->sock = fds[0];
	if (guard->pid < 0) {
		close(fds[0]);
		return NULL;
	}
	return take_ptr(guard);
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	send(guard->sock, "g", 1, MSG_NOSIGNAL); /* by a byte: others may hold our end, too */
	close(guard->sock);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(guard);
}
