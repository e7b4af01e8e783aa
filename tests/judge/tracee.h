#pragma once
/* tracee: a program under ptrace that stops where it allocates.
 *
 * Each breakpoint is both in a debug register, which works where a uprobe has put its own
 * instruction, and an instruction: in virtual machines by PVM the registers never fire. Not INT3:
 * where another process has a uprobe, the kernel takes that in a watched one for its own, and
 * removes it. Threads are followed, child processes are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACEE_PLACES 4 /* debug registers there are */

struct tracee {
	pid_t pid;
	uint64_t places[TRACEE_PLACES]; /* 0: none */
	uint64_t armed[TRACEE_PLACES];	/* 0: no instruction of ours is there */
	uint8_t bytes[TRACEE_PLACES];	/* what was */
};

/* Read the tracee's memory; all or nothing. */
static inline int tracee_read(const struct tracee *tracee, void *dst, size_t size, uint64_t addr)
{
	char path[32];
	ssize_t n;
	int fd;

	/* not by process_vm_readv(2): daemon/proc/remote.h, R1 */
	snprintf(path, sizeof(path), "/proc/%d/mem", tracee->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = pread(fd, dst, size, addr);
	close(fd);
	return n == (ssize_t)size ? 0 : -1;
}

static inline int tracee_set_register(pid_t tid, int number, uint64_t value)
{
	size_t offset = offsetof(struct user, u_debugreg) + 8 * (size_t)number;

	return ptrace(PTRACE_POKEUSER, tid, offset, value) < 0 ? -errno : 0;
}

static inline int tracee_poke(pid_t tid, uint64_t at, uint8_t byte, uint8_t *ret_was)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, tid, at, NULL);
	if (errno)
		return -errno;
	if (ret_was)
		*ret_was = (uint8_t)word;
	return ptrace(PTRACE_POKETEXT, tid, at, (word & ~0xffl) | byte) < 0 ? -errno : 0;
}

#define TRACEE_TRAP 0xf4 /* HLT: SIGSEGV, at the instruction itself */

static inline int tracee_arm_code(struct tracee *tracee, pid_t tid)
{
	int i, r = 0;

	for (i = 0; i < TRACEE_PLACES && r == 0; i++) {
		if (tracee->armed[i] == tracee->places[i])
			continue;
		if (tracee->armed[i])
			r = tracee_poke(tid, tracee->armed[i], tracee->bytes[i], NULL);
		tracee->armed[i] = 0;
		if (r == 0 && tracee->places[i])
			r = tracee_poke(tid, tracee->places[i], TRACEE_TRAP, &tracee->bytes[i]);
		if (r == 0)
			tracee->armed[i] = tracee->places[i];
	}
	return r;
}

/* Let this thread, which is stopped, stop at the places (Intel SDM vol. 3, 17.2.4). */
static inline int tracee_arm(struct tracee *tracee, pid_t tid)
{
	int i, r = tracee_set_register(tid, 7, 0);
	uint64_t enable = 0;

	for (i = 0; i < TRACEE_PLACES && r == 0; i++) {
		if (!tracee->places[i])
			continue;
		r = tracee_set_register(tid, i, tracee->places[i]);
		enable |= 1u << (2 * i);
	}
	if (r == 0)
		r = tracee_set_register(tid, 7, enable);
	return r ? r : tracee_arm_code(tracee, tid);
}

/* From a stop of tracee_wait(). Another thread may pass the place meanwhile. -1: it has ended. */
static inline int tracee_go_on(struct tracee *tracee, pid_t tid)
{
	struct user_regs_struct regs;
	uint8_t byte = 0;
	int i, status;

	for (i = 0; i < TRACEE_PLACES; i++) {
		if (!tracee->armed[i] || ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0 ||
		    regs.rip != tracee->armed[i])
			continue;
		if (tracee_read(tracee, &byte, 1, regs.rip) == 0 && byte != TRACEE_TRAP)
			break; /* a uprobe's: the register has stopped it */
		if (tracee_poke(tid, tracee->armed[i], tracee->bytes[i], NULL) < 0 ||
		    ptrace(PTRACE_SINGLESTEP, tid, NULL, 0L) < 0 ||
		    waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status) ||
		    tracee_poke(tid, tracee->armed[i], TRACEE_TRAP, NULL) < 0)
			return -1;
		break;
	}
	return ptrace(PTRACE_CONT, tid, NULL, 0L) < 0 ? -1 : 0;
}

/* Go on until a thread stops at a place. Returns it, or 0 when the program has ended. */
static inline pid_t tracee_wait(struct tracee *tracee)
{
	struct user_regs_struct regs;
	int status, event, i;
	pid_t tid;

	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0 || (tid == tracee->pid && !WIFSTOPPED(status)))
			return 0;
		if (!WIFSTOPPED(status))
			continue; /* a thread has ended */
		event = status >> 16;
		if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP)
			tracee_arm(tracee, tid); /* a new thread */
		if (event == 0 && (WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSEGV) &&
		    ptrace(PTRACE_GETREGS, tid, NULL, &regs) == 0) {
			for (i = 0; i < TRACEE_PLACES; i++) {
				if (tracee->places[i] && tracee->places[i] == regs.rip)
					return tid;
			}
		}
		/* all other signals are the program's own */
		ptrace(PTRACE_CONT, tid, NULL,
		       event || WSTOPSIG(status) == SIGTRAP ? 0L : (long)WSTOPSIG(status));
	}
}

static inline uint64_t tracee_entry(pid_t pid)
{
	uint64_t pairs[128] = {}, entry = 0;
	char path[64];
	size_t i;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, pairs, sizeof(pairs) - 16) < 0)
		pairs[0] = AT_NULL;
	for (i = 0; i + 1 < 128 && pairs[i] != AT_NULL; i += 2) {
		if (pairs[i] == AT_ENTRY)
			entry = pairs[i + 1];
	}
	if (fd >= 0)
		close(fd);
	return entry;
}

/* Start argv and stop it at its entry point, when its libraries are there. in, out: its standard
 * input and output, or -1 for /dev/null. -errno. */
static inline int tracee_start(struct tracee *tracee, char *const *argv, const char *in)
{
	int status, null;
	pid_t pid;

	*tracee = (struct tracee){};
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		null = open(in ? in : "/dev/null", O_RDONLY);
		dup2(null, 0);
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		raise(SIGSTOP);
		execvp(argv[0], argv);
		_exit(127);
	}
	tracee->pid = pid;
	if (waitpid(pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SEIZE, pid, NULL,
		   PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		return -errno;
	kill(pid, SIGCONT);
	do { /* the stops that SIGSTOP and SIGCONT make, then exec */
		if (waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 16 == PTRACE_EVENT_EXEC)
			break;
	} while (ptrace(PTRACE_CONT, pid, NULL, 0L) == 0);
	tracee->places[0] = tracee_entry(pid);
	if (tracee_arm(tracee, pid) < 0 || ptrace(PTRACE_CONT, pid, NULL, 0L) < 0)
		return -errno;
	return tracee_wait(tracee) == pid ? 0 : -ESRCH;
}

static inline void tracee_end(struct tracee *tracee)
{
	int status;

	kill(tracee->pid, SIGKILL);
	while (waitpid(-1, &status, __WALL) > 0)
		;
}
