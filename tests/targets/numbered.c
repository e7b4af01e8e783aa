/* numbered DIGITS PROGRAM [ARGUMENT]…: runs the program as a process whose number has so many
 * digits, and ends as it does. Programs that keep process numbers as text (bash: PPID) need blocks
 * of their length. */
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ledger.h"

/* fork(), with a number of one's choice (needs CAP_SYS_ADMIN, and Linux 5.5) */
static pid_t fork_as(pid_t number)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&number,
		.set_tid_size = 1,
	};

	return syscall(SYS_clone3, &args, sizeof(args));
}

int main(int argc, char **argv)
{
	pid_t first = 1, child = -1;
	int status;

	CHECK(argc > 2);
	for (long digits = strtol(argv[1], NULL, 10); digits > 1; digits--)
		first *= 10;
	for (pid_t number = 2 * first; number < 3 * first && child < 0; number++) {
		child = fork_as(number);
		CHECK(child >= 0 || errno == EEXIST);
	}
	CHECK(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[2], argv + 2);
		fail(argv[2]);
	}
	CHECK(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
