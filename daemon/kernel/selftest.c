#include "selftest.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bpf/selftest.skel.h"
#include "daemon/object/machine/machine.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "refusal.h"

#define PATIENCE_MS 5000 /* the child needs microseconds; a loaded machine may need more */
#define ANSWER 42

/* The probed function. Kept whole and out of line: the probe goes on its first instruction. */
__attribute__((noinline, noclone, used, optimize("no-omit-frame-pointer"))) static int
selftest_victim(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x;
}

/* ---- the child: after fork in a process with threads, so only system calls ------------------ */

#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),                                         \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What the child needs to answer and to end, and nothing else. By hand: libseccomp takes memory,
 * which a child of a process with threads may not. */
static bool confine(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, this_machine.audit, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_read),
		ALLOW(__NR_write),
		ALLOW(__NR_exit),
		ALLOW(__NR_exit_group),
		ALLOW(__NR_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Not _exit(): the sanitizers look for leaks in theirs, by calls that the filter does not know. */
__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

static void child(int fd, const struct selftest_prober *prober)
{
	char byte = 'r';
	int (*volatile call)(int) = prober->function ?: selftest_victim;
	int answer = prober->function ? prober->answer : ANSWER;

	/* Ends with its parent, and leaves no core file when it is killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!confine() || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		leave(1);
	byte = call(ANSWER) == answer;
	if (!byte || write(fd, &byte, 1) != 1)
		leave(1);
	leave(0);
}

/* ---- the parent ---------------------------------------------------------------------------- */

static int offset_in_file(uint64_t addr, uint64_t *ret)
{
	struct procmaps maps = { 0 };
	int r = procmaps_read(getpid(), &maps);
	size_t i;

	if (r < 0)
		return r;
	r = -ENOENT;
	for (i = 0; i < maps.count; i++) {
		const struct procmaps_entry *e = &maps.entries[i];

		if (addr >= e->start && addr < e->end) {
			*ret = addr - e->start + e->file_offset;
			r = 0;
		}
	}
	procmaps_deinit(&maps);
	return r;
}

static int victim_offset(const struct selftest_prober *prober, uint64_t *ret)
{
	int (*function)(int) = prober->function ?: selftest_victim;

	return offset_in_file((uint64_t)(uintptr_t)function, ret);
}

static bool wait_byte(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&pollfd, 1, PATIENCE_MS) == 1 && read(fd, &byte, 1) == 1;
}

/* Ends the child in any case. */
static int reap(pid_t pid)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	int status = 0, i;

	for (i = 0; i < PATIENCE_MS; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return status;
}

static int judge(const struct selftest_prober *prober, int status, enum selftest_result *ret,
		 struct dhat_error *err)
{
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV ||
				    WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP)) {
		*ret = SELFTEST_KILLED;
		return 0;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return dhat_error_set(err, ECHILD, DHAT_EXIT_FAILED,
				      "the seccomp self-test came to no end (wait status %d)",
				      status);
	if (!prober->was_hit(prober->context))
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_FAILED,
				      "the seccomp self-test tells nothing: its probe was not hit");
	*ret = SELFTEST_UNHARMED;
	return 0;
}

int selftest_run(const struct selftest_prober *prober, enum selftest_result *ret,
		 struct dhat_error *err)
{
	_cleanup_close_ int ours = -1, its = -1;
	uint64_t offset = 0;
	int fds[2], r, status;
	pid_t pid;

	r = victim_offset(prober, &offset);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot find the self-test's function");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return dhat_error_errno(err, errno, "cannot start the seccomp self-test");
	ours = fds[0];
	its = fds[1];
	pid = fork();
	if (pid < 0)
		return dhat_error_errno(err, errno, "cannot start the seccomp self-test");
	if (pid == 0)
		child(its, prober);
	close(take_fd(its));
	r = wait_byte(ours) ? prober->attach(prober->context, pid, offset, err)
			    : dhat_error_set(err, ECHILD, DHAT_EXIT_FAILED,
					     "the seccomp self-test's child does not answer");
	if (r < 0)
		kill(pid, SIGKILL);
	else if (send(ours, "g", 1, MSG_NOSIGNAL) == 1)
		wait_byte(ours);
	status = reap(pid);
	return r < 0 ? r : judge(prober, status, ret, err);
}

static void *call_victim(void *unused)
{
	int (*volatile call)(int) = selftest_victim;

	call(ANSWER);
	return NULL;
}

int selftest_run_threads(const struct selftest_prober *prober, bool *ret_sees_all,
			 struct dhat_error *err)
{
	sigset_t all, before;
	uint64_t offset = 0;
	pthread_t thread;
	int r = victim_offset(prober, &offset);

	if (r < 0)
		return dhat_error_errno(err, -r, "cannot find the self-test's function");
	r = prober->attach(prober->context, getpid(), offset, err);
	if (r < 0)
		return r;
	/* signals are for those who wait for them */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, call_victim, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return dhat_error_errno(err, r, "cannot start the self-test's thread");
	pthread_join(thread, NULL);
	*ret_sees_all = prober->was_hit(prober->context);
	return 0;
}

/* ---- with a real probe --------------------------------------------------------------------- */

struct real {
	enum uprobe_kind kind;
	bool wants_return, writes_registers;
	struct selftest_bpf *skeleton;
	struct holder *holder;
};

static int real_load(struct real *real, struct dhat_error *err)
{
	int type = uprobe_attach_type(real->kind), r;

	real->skeleton = selftest_bpf__open();
	r = real->skeleton ? 0 : -errno;
	if (r == 0) {
		struct bpf_program *hit = real->skeleton->progs.selftest_hit;
		struct bpf_program *entry = real->skeleton->progs.selftest_entry;
		struct bpf_program *answer = real->skeleton->progs.selftest_answer;

		bpf_program__set_autoload(answer, real->writes_registers);
		bpf_program__set_expected_attach_type(answer, type);
		bpf_program__set_expected_attach_type(hit, type);
		bpf_program__set_expected_attach_type(entry, type);
		r = selftest_bpf__load(real->skeleton);
	}
	if (r == 0)
		r = holder_new(&real->holder);
	if (r == 0)
		return 0;
	return refusal_explain(
		r, real->skeleton ? (const char *)real->skeleton->rodata->compiled_by : "", err);
}

static void real_deinit(struct real *real)
{
	holder_free(real->holder);
	selftest_bpf__destroy(real->skeleton);
}

static int real_attach(void *context, pid_t pid, uint64_t file_offset, struct dhat_error *err)
{
	struct real *real = context;
	int hit = bpf_program__fd(real->skeleton->progs.selftest_hit);
	int entry = bpf_program__fd(real->skeleton->progs.selftest_entry);
	int answer = bpf_program__fd(real->skeleton->progs.selftest_answer);
	struct uprobe_programs programs = { .entry = real->writes_registers ? answer
						     : real->wants_return   ? hit
									    : entry,
					    .on_return = hit };
	struct uprobe_site site = { .file_offset = file_offset,
				    .wants_return = real->wants_return };

	return uprobe_attach(real->kind, &programs, pid, "/proc/self/exe", &site, 1, real->holder,
			     err);
}

/* At the entry, and at the return if it was wanted. */
static bool real_was_hit(void *context)
{
	struct real *real = context;
	uint64_t count = __atomic_load_n(&real->skeleton->bss->hit_count, __ATOMIC_ACQUIRE);

	return count == (real->wants_return ? 2 : 1);
}

int selftest_seccomp(enum uprobe_kind kind, enum selftest_result *ret, struct dhat_error *err)
{
	_cleanup_(real_deinit) struct real real = { .kind = kind, .wants_return = true };
	struct selftest_prober prober = { .attach = real_attach,
					  .was_hit = real_was_hit,
					  .context = &real };
	int r = real_load(&real, err);

	return r < 0 ? r : selftest_run(&prober, ret, err);
}

bool selftest_writes_registers(enum uprobe_kind kind)
{
	/* with sessions, places whose return nobody wants are of multi links */
	_cleanup_(real_deinit) struct real real = { .kind = kind == UPROBE_SESSION ? UPROBE_MULTI
										   : kind,
						    .writes_registers = true };
	struct selftest_prober prober = { .attach = real_attach,
					  .was_hit = real_was_hit,
					  .context = &real,
					  .function = machine_answering_function,
					  .answer = ANSWER + 1 };
	enum selftest_result result = SELFTEST_KILLED;

	return real_load(&real, NULL) == 0 && selftest_run(&prober, &result, NULL) == 0 &&
	       result == SELFTEST_UNHARMED;
}

int selftest_links(enum uprobe_kind kind, struct dhat_error *err)
{
	_cleanup_(real_deinit) struct real real = { .kind = kind };
	int r = real_load(&real, err);

	if (r == 0) {
		const struct uprobe_programs programs = {
			.entry = bpf_program__fd(real.skeleton->progs.selftest_hit),
			.on_return = bpf_program__fd(real.skeleton->progs.selftest_hit),
		};

		r = uprobe_try(kind, &programs, err);
	}
	return r;
}

int selftest_threads(enum uprobe_kind kind, struct dhat_error *err)
{
	_cleanup_(real_deinit) struct real real = { .kind = kind };
	struct selftest_prober prober = { .attach = real_attach,
					  .was_hit = real_was_hit,
					  .context = &real };
	bool sees_all = false;
	int r;

	r = real_load(&real, err);
	if (r == 0)
		r = selftest_run_threads(&prober, &sees_all, err);
	if (r < 0)
		return r;
	if (!sees_all)
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUPPORTED,
				      "this kernel's %s links see one thread of a process only: "
				      "leave --link out, or try --link perf",
				      uprobe_kind_name(kind));
	return 0;
}

#define TRAP_CALLS 200
#define TRAP_BATCHES 8 /* 2 ms in all where a trap takes a microsecond */

int selftest_trap(enum uprobe_kind kind, uint64_t *ret_ns, struct dhat_error *err)
{
	_cleanup_(real_deinit) struct real real = { .kind = kind };
	void (*volatile call)(void) = machine_emulated_function;
	uint64_t offset = 0, least_ns = UINT64_MAX;
	int r = real_load(&real, err);

	if (r < 0)
		return r;
	r = offset_in_file((uint64_t)(uintptr_t)machine_emulated_function, &offset);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot find the self-test's function");
	r = real_attach(&real, getpid(), offset, err);
	for (int batch = 0; batch < TRAP_BATCHES && r == 0; batch++) {
		uint64_t begin_ns = clock_now_ns(CLOCK_THREAD_CPUTIME_ID), ns;

		for (int i = 0; i < TRAP_CALLS; i++)
			call();
		ns = clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns;
		if (ns < least_ns)
			least_ns = ns;
	}
	if (r < 0)
		return r;
	/* other threads may have called it, too: another self-test's */
	if (__atomic_load_n(&real.skeleton->bss->hit_count, __ATOMIC_ACQUIRE) <
	    TRAP_CALLS * TRAP_BATCHES)
		return dhat_error_set(err, ENOTSUP, DHAT_EXIT_UNSUPPORTED,
				      "this kernel's %s links have not seen each call",
				      uprobe_kind_name(kind));
	*ret_ns = least_ns / TRAP_CALLS;
	return 0;
}
