#include "worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"
#include "worker_main.h"

#define SECOND_NS 1000000000ull

void worker_process_init(struct worker_process *process, enum worker_kind kind)
{
	*process = (struct worker_process){ .kind = kind, .sock = -1, .owner = WORKER_OWNER_NONE };
	pthread_mutex_init(&process->sock_lock, NULL);
}

/* posix_spawn and not fork: no copy of the daemon's page tables, no moment in which a child holds
 * its descriptors. */
static int spawn(char **argv, int sock, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	char *environment[] = { NULL };
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	r = posix_spawn_file_actions_adddup2(&actions, sock, WORKER_SOCKET);
	for (int fd = 0; !r && fd < WORKER_SOCKET; fd++)
		r = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_SOCKET + 1);
	if (!r)
		r = posix_spawn(ret, "/proc/self/exe", &actions, &attributes, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

void worker_process_set_socket(struct worker_process *process, int sock)
{
	pthread_mutex_lock(&process->sock_lock);
	cleanup_close_fd(&process->sock);
	process->sock = sock;
	if (sock >= 0 && process->is_stopped)
		shutdown(sock, SHUT_RDWR);
	pthread_mutex_unlock(&process->sock_lock);
}

int worker_process_start(struct worker_process *process, uint64_t memory_bytes,
			 struct dhat_error *err)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	static const char *const kinds[WORKER_KINDS] = { "names", "tables", "scans" }; /* for ps */
	char memory[24];
	char *argv[] = { "dhatd-worker", WORKER_ARGUMENT, memory,
			 without_qualifiers(kinds[process->kind]), NULL };
	int pair[2], r;

	snprintf(memory, sizeof(memory), "%llu", (unsigned long long)memory_bytes);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return dhat_error_errno(err, errno, "cannot start the ELF worker");
	ours = pair[0];
	theirs = pair[1];
	/* posix_spawn's dup2 of 3 to 3 would keep close-on-exec */
	if (theirs == WORKER_SOCKET) {
		theirs = fcntl(theirs, F_DUPFD_CLOEXEC, WORKER_SOCKET + 1);
		close(WORKER_SOCKET);
		if (theirs < 0)
			return dhat_error_errno(err, errno, "cannot start the ELF worker");
	}
	r = spawn(argv, theirs, &process->pid);
	if (r) {
		process->pid = 0;
		return dhat_error_errno(err, -r, "cannot start the ELF worker");
	}
	worker_process_set_socket(process, take_fd(ours));
	process->owner = WORKER_OWNER_NONE;
	return 0;
}

/* It is nobody's process: root without CAP_KILL may not end it. An idle one ends with its socket;
 * one that is busy is left behind, with nobody to answer to. */
#define PATIENCE_NS SECOND_NS

static int wait_for_end(pid_t pid)
{
	uint64_t until_ns = clock_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0 && clock_now_ns(CLOCK_MONOTONIC) < until_ns)
		usleep(1000);
	return status;
}

int worker_process_stop(struct worker_process *process)
{
	int status = 0;

	if (!process->pid)
		return 0;
	if (kill(process->pid, SIGKILL)) {
		worker_process_set_socket(process, -1);
		status = wait_for_end(process->pid);
	} else {
		while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	process->pid = 0;
	worker_process_set_socket(process, -1);
	return status;
}

void worker_process_limit_cpu(const struct worker_process *process, uint64_t limit_ns)
{
	struct rlimit limit;
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(process->pid, &clock) || clock_gettime(clock, &used) ||
	    prlimit(process->pid, RLIMIT_CPU, NULL, &limit))
		return;
	limit.rlim_cur = used.tv_sec + limit_ns / SECOND_NS + 2;
	prlimit(process->pid, RLIMIT_CPU, &limit, NULL);
}
