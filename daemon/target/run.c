#include "run.h"

#include "guard.h"
#include "private.h"
#include "proto/base/cleanup.h"
#include "proto/base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROT_EXEC_BIT 4

/* gate: its end comes when the parent traces, or has died. Keeps P1: who is traced from before exec
 * on stops there for an event, and not for a SIGTRAP (ptrace(2), PTRACE_TRACEME), which the kernel
 * would deliver if dhatd died before it had taken notice: the program would die of it. */
__attribute__((noreturn)) static void become_program(char *const argv[], int gate)
{
	sigset_t none;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGCONT); /* keeps P1: not left stopped if dhatd dies now */
	while (read(gate, &byte, 1) < 0 && errno == EINTR)
		;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	unsetenv("NOTIFY_SOCKET"); /* it is dhatd that the service manager hears */
	execvp(argv[0], argv);
	dhat_say("dhatd", "cannot run %s: %s", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Until it stops: 0, and *ret as of wait(2). 1: it has ended; its status stays for whoever asks. */
static int wait_for_stop(pid_t pid, int *ret)
{
	siginfo_t info = { 0 };

	while (waitid(P_PID, pid, &info, WSTOPPED | WEXITED | WNOWAIT | __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
		return 1;
	return waitpid(pid, ret, __WALL | WUNTRACED) == pid ? 0 : -ECHILD;
}

/* Wait for the stop in exec; signals that come before are passed on. */
static int wait_for_exec(pid_t pid, const char *name, struct dhat_error *err)
{
	int status = 0, error = wait_for_stop(pid, &status);

	while (error == 0 && status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
		bool is_signal = status >> 16 == 0;

		ptrace(PTRACE_CONT, pid, NULL, (void *)(is_signal ? (long)WSTOPSIG(status) : 0));
		error = wait_for_stop(pid, &status);
	}
	if (error < 0)
		return dhat_error_errno(err, -error, "cannot wait for %s", name);
	if (error)
		waitpid(pid, NULL, __WALL);
	return error ? dhat_error_set(err, ENOENT, DHAT_EXIT_FAILED, "%s could not be started",
				      name)
		     : 0;
}

/* A child that has become the program, and has run nothing of it. */
static int start_program(char *const argv[], pid_t *ret, struct dhat_error *err)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
	int gate[2], error = 0;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC))
		return dhat_error_errno(err, errno, "cannot start %s", argv[0]);
	pid = fork();
	if (pid == 0) {
		close(gate[1]);
		become_program(argv, gate[0]);
	}
	if (pid < 0) {
		error = errno;
	} else if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)options)) {
		error = errno;
		kill(pid, SIGKILL); /* ours, and it has not begun */
		waitpid(pid, NULL, __WALL);
	}
	close(gate[0]);
	close(gate[1]);
	if (error)
		return dhat_error_errno(err, error, "cannot start %s", argv[0]);
	*ret = pid;
	return wait_for_exec(pid, argv[0], err);
}

/* Where the system call at which the child stopped came from, and whether it has just mapped code.
 */
static bool mapped_code(const struct __ptrace_syscall_info *info,
			const struct __ptrace_syscall_info *entry)
{
	return info->op == PTRACE_SYSCALL_INFO_EXIT && !info->exit.is_error &&
	       entry->op == PTRACE_SYSCALL_INFO_ENTRY && entry->entry.nr == SYS_mmap &&
	       (entry->entry.args[2] & PROT_EXEC_BIT) && (int)entry->entry.args[4] >= 0;
}

/* Is this address in the dynamic loader? Until the program's own code runs, all calls come from
 * there. The loader is what was mapped right after exec besides the program: AT_BASE. */
struct loader {
	uint64_t start, end;
};

static int find_loader(struct target *target, struct loader *ret)
{
	const struct mapping *mapping = NULL;

	for (size_t i = 0; i < mappings_count(target->mappings); i++) {
		const struct mapping *at = mappings_at(target->mappings, i);
		const struct mapped_object *object = mappings_object(target->mappings, at->object);

		/* the program itself is mapped first; the vDSO is no loader */
		if (!object->is_vdso && object->path &&
		    strcmp(object->path, target->identity.executable) != 0)
			mapping = at;
	}
	if (!mapping)
		return -ENOENT;
	ret->start = mapping->start;
	ret->end = mapping->end;
	return 0;
}

/* Let the child go on to its next stop; signals that come are passed on. 1: it has ended. */
static int step(pid_t pid, int *signal_to_pass, struct __ptrace_syscall_info *ret)
{
	int status = 0, error;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)*signal_to_pass))
		return -errno;
	*signal_to_pass = 0;
	error = wait_for_stop(pid, &status);
	if (error)
		return error;
	ret->op = PTRACE_SYSCALL_INFO_NONE;
	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(*ret), ret);
	else if (status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP)
		*signal_to_pass = WSTOPSIG(status);
	return 0;
}

/* Follow the loader. Ends at the first system call from elsewhere, with the child stopped there. */
static int follow_loader(struct target *target, const struct loader *loader, int *signal_to_pass,
			 struct dhat_error *err)
{
	struct __ptrace_syscall_info entry = { 0 }, info = { 0 };
	int error = 0;

	while (error == 0) {
		error = step(target->pid, signal_to_pass, &info);
		if (error == 1)
			return dhat_error_set(err, ESRCH, DHAT_EXIT_FAILED,
					      "%s ended in its dynamic loader, before its first "
					      "instruction",
					      target->identity.command);
		if (error < 0)
			return dhat_error_errno(err, -error, "cannot follow the start of %s",
						target->identity.command);
		if (info.op == PTRACE_SYSCALL_INFO_NONE)
			continue;
		if (info.instruction_pointer < loader->start ||
		    info.instruction_pointer >= loader->end)
			return 0;
		if (mapped_code(&info, &entry))
			error = target_look(target, err);
		entry = info;
	}
	return error;
}

static int attach_to_child(struct target *target, const char *link, int *signal_to_pass,
			   struct dhat_error *err)
{
	struct loader loader = { 0 };
	int error;

	pthread_mutex_lock(&target->map_lock);
	error = target_attach_links(target, link, err);
	if (error == 0) {
		target_open(target);
		/* a loader that is the C library itself (musl) is probed by now, and all the
		 * program's calls come from there */
		if (find_loader(target, &loader) == 0 && !target_probes_in(target, loader.start))
			error = follow_loader(target, &loader, signal_to_pass, err);
	}
	if (error == 0)
		error = target_check_found(target, err);
	if (error == 0)
		target_get_tables(target, tracer_epoch(target->tracer), 0);
	target->is_observed = true;
	pthread_mutex_unlock(&target->map_lock);
	return error;
}

static void tell_begin(const struct target *target)
{
	const struct target_hooks *hooks = &target->services.hooks;

	if (hooks->begins)
		hooks->begins(hooks->begins_context, target->pid);
}

/* Keeps P1: only with somebody who lets it go on, should we die. */
static void stop_on_change(struct target *target)
{
	target->guard = guard_new(target->pidfd);
	if (target->guard)
		tracer_set_stops_on_change(target->tracer, true);
	else
		findings_note(
			&target->findings,
			"what allocates in libraries that are loaded late may be missed "
			"until they are probed: there was no process to be had that would let "
			"the program go on, should dhatd die");
}

void target_send_on(struct target *target)
{
	syscall(SYS_pidfd_send_signal, target->pidfd, SIGCONT, NULL, 0);
}

void target_end_guard(struct target *target)
{
	guard_free(take_ptr(target->guard));
}

int target_run(char *const argv[], const struct target_options *options,
	       const struct target_services *services, struct target **ret, struct dhat_error *err)
{
	struct target_options from_start = *options;
	struct target *target = NULL;
	int signal_to_pass = 0, error;
	pid_t pid = 0;

	error = start_program(argv, &pid, err);
	if (error)
		return error;
	from_start.from_start = true;
	error = target_new(pid, &from_start, services, &target, err);
	if (error == 0)
		error = attach_to_child(target, options->link, &signal_to_pass, err);
	if (error) {
		target_unref(target);
		kill(pid, SIGKILL); /* ours, and it has not begun */
		waitpid(pid, NULL, __WALL);
		return error;
	}
	tell_begin(target);
	stop_on_change(target);
	ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)signal_to_pass);
	*ret = target;
	return 0;
}

/* It stands still (SIGSTOP), or will before its first instruction. */
static int seize(pid_t pid, int *signal_to_pass, struct dhat_error *err)
{
	int status = 0;

	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD))
		return dhat_error_errno(err, errno, "cannot trace process %d", (int)pid);
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL); /* should anybody have let it go on */
	if (wait_for_stop(pid, &status))
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS, "process %d has just ended",
				      (int)pid);
	/* the stop that was asked for is over; should another signal have been first, it is passed
	 * on */
	kill(pid, SIGCONT);
	if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
		*signal_to_pass = WSTOPSIG(status);
	return 0;
}

int target_run_on(pid_t pid, const struct target_options *options,
		  const struct target_services *services, struct target **ret,
		  struct dhat_error *err)
{
	struct target *target = NULL;
	int signal_to_pass = 0;
	int error = seize(pid, &signal_to_pass, err);

	if (error) {
		kill(pid, SIGCONT);
		return error;
	}
	error = target_new(pid, options, services, &target, err);
	if (error == 0)
		error = attach_to_child(target, options->link, &signal_to_pass, err);
	if (error == 0) {
		tell_begin(target);
		stop_on_change(target);
	}
	ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)signal_to_pass);
	if (error)
		target_unref(target);
	else
		*ret = target;
	return error;
}
