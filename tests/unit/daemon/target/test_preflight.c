/* preflight: real processes of every kind that needs no rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/target/preflight.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

#define _cleanup_preflight_ _cleanup_(preflight_deinit)

static const struct preflight_hazard *find(const struct preflight *preflight, const char *name)
{
	size_t i;

	for (i = 0; i < preflight->count; i++)
		if (!strcmp(preflight->hazards[i].name, name))
			return &preflight->hazards[i];
	return NULL;
}

static const struct preflight_hazard *must_find(const struct preflight *preflight, const char *name,
						bool is_blocking)
{
	const struct preflight_hazard *hazard = find(preflight, name);

	if (!hazard)
		fail_msg("no hazard %s; %zu others, first %s", name, preflight->count,
			 preflight->count ? preflight->hazards[0].detail : "none");
	assert_true(hazard->is_blocking == is_blocking);
	assert_true(strlen(hazard->detail) > 20);
	return hazard;
}

static struct preflight look_at(pid_t pid)
{
	struct preflight preflight = { 0 };

	assert_int_equal(preflight_process(&preflight, pid), 0);
	return preflight;
}

static void expect_error(const struct preflight *preflight, int error, enum dhat_exit code)
{
	struct dhat_error err = { 0 };

	assert_int_equal(preflight_verdict(preflight, &err), -error);
	assert_int_equal(err.code, code);
}

/* ---- children ----------------------------------------------------------------------------- */

/* A child that has done `prepare` when this returns, and then waits to be killed. */
static pid_t start(void (*prepare)(void))
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		if (prepare)
			prepare();
		if (write(fds[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Runs a file as a program; it is there when its exe link points at it. -ENOEXEC: this machine runs
 * no such programs. */
static pid_t start_program(const char *path)
{
	char link[64], target[512];
	pid_t pid = fork();
	ssize_t n;
	int i, status;

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, "60", NULL);
		_exit(errno);
	}
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	for (i = 0; i < 60000; i++) {
		n = readlink(link, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (!strcmp(target, path))
			return pid;
		if (waitpid(pid, &status, WNOHANG) == pid && WIFEXITED(status) &&
		    WEXITSTATUS(status) == ENOEXEC)
			return -ENOEXEC;
		usleep(1000);
	}
	fail_msg("%s did not start", path);
	return -1;
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_an_ordinary_process(void **state)
{
	pid_t pid = start(NULL);
	_cleanup_preflight_ struct preflight p = look_at(pid);

	end_child(pid);
	assert_int_equal(preflight_verdict(&p, NULL), 0);
	assert_null(find(&p, "container"));
	assert_null(find(&p, "seccomp"));
	assert_null(find(&p, "traced"));
	assert_false(p.has_seccomp);
}

static void test_no_such_process(void **state)
{
	_cleanup_preflight_ struct preflight p = look_at(0x7ffffff0), q = look_at(-1);

	must_find(&p, "no process", true);
	expect_error(&p, ESRCH, DHAT_EXIT_NO_PROCESS);
	expect_error(&q, ESRCH, DHAT_EXIT_NO_PROCESS);
}

static void test_zombie(void **state)
{
	pid_t pid = fork();
	siginfo_t info;
	struct preflight p;

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	p = look_at(pid);
	waitpid(pid, NULL, 0);
	must_find(&p, "zombie", true);
	expect_error(&p, ESRCH, DHAT_EXIT_NO_PROCESS);
	preflight_deinit(&p);
}

static void *tell_tid(void *ret)
{
	*(pid_t *)ret = syscall(SYS_gettid);
	pause();
	return NULL;
}

static void test_a_thread_and_myself(void **state)
{
	_cleanup_preflight_ struct preflight self = look_at(getpid());
	struct preflight p;
	pthread_t thread;
	volatile pid_t tid = 0;

	must_find(&self, "myself", true);
	assert_int_equal(pthread_create(&thread, NULL, tell_tid, without_qualifiers(&tid)), 0);
	while (tid == 0)
		usleep(100);
	p = look_at(tid);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	must_find(&p, "a thread", true);
	expect_error(&p, EINVAL, DHAT_EXIT_UNSUITABLE);
	preflight_deinit(&p);
}

static void test_kernel_thread(void **state)
{
	_cleanup_preflight_ struct preflight p = { 0 };
	char comm[32] = "";
	FILE *f = fopen("/proc/2/comm", "re");

	if (f) {
		assert_non_null(fgets(comm, sizeof(comm), f));
		fclose(f);
	}
	/* In a pid namespace of its own there are no kernel threads to look at. */
	if (strcmp(comm, "kthreadd\n"))
		return;
	p = look_at(2);
	must_find(&p, "kernel thread", true);
	expect_error(&p, EINVAL, DHAT_EXIT_UNSUITABLE);
}

static void filter_nothing(void)
{
	struct {
		unsigned short code;
		unsigned char jt, jf;
		unsigned k;
	} allow = { 6 /* BPF_RET */, 0, 0, SECCOMP_RET_ALLOW };
	struct {
		unsigned short length;
		void *filter;
	} program = { 1, &allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void test_seccomp(void **state)
{
	pid_t pid = start(filter_nothing);
	_cleanup_preflight_ struct preflight p = look_at(pid);

	end_child(pid);
	assert_non_null(strstr(must_find(&p, "seccomp", false)->detail, "1 seccomp filter:"));
	assert_true(p.has_seccomp);
	assert_int_equal(preflight_verdict(&p, NULL), 0);
}

static void be_traced(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void test_traced(void **state)
{
	pid_t pid = start(be_traced);
	_cleanup_preflight_ struct preflight p = look_at(pid);
	char own[32];

	end_child(pid);
	snprintf(own, sizeof(own), "process %d", (int)getpid());
	assert_non_null(strstr(must_find(&p, "traced", false)->detail, own));
}

static void test_stopped(void **state)
{
	pid_t pid = start(NULL);
	siginfo_t info;
	struct preflight p;

	kill(pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
	p = look_at(pid);
	end_child(pid);
	must_find(&p, "stopped", false);
	preflight_deinit(&p);
}

/* A program under a name that only an emulator has. */
static void test_emulated_program(void **state)
{
	char directory[] = "/tmp/test_preflight.XXXXXX", path[64], command[128];
	struct preflight p;
	pid_t pid;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/qemu-aarch64", directory);
	snprintf(command, sizeof(command), "cp /bin/sleep %s", path);
	assert_int_equal(system(command), 0);
	pid = start_program(path);
	p = look_at(pid);
	end_child(pid);
	unlink(path);
	rmdir(directory);
	must_find(&p, "emulator", true);
	expect_error(&p, ENOTSUP, DHAT_EXIT_UNSUITABLE);
	preflight_deinit(&p);
}

/* The smallest 32-bit program: pause(), again and again. */
struct tiny32 {
	Elf32_Ehdr eh;
	Elf32_Phdr ph;
	uint8_t code[12];
};

static void test_32_bit_program(void **state)
{
	static const struct tiny32 program = {
		.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_386,
			.e_version = EV_CURRENT,
			.e_entry = 0x8048000 + offsetof(struct tiny32, code),
			.e_phoff = offsetof(struct tiny32, ph),
			.e_ehsize = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 1 },
		.ph = { .p_type = PT_LOAD,
			.p_vaddr = 0x8048000,
			.p_filesz = sizeof(struct tiny32),
			.p_memsz = sizeof(struct tiny32),
			.p_flags = PF_R | PF_X,
			.p_align = 0x1000 },
		.code = { 0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7 },
	};
	char directory[] = "/tmp/test_preflight.XXXXXX", path[64];
	struct preflight p;
	pid_t pid;
	int fd;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/tiny", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_int_equal(write(fd, &program, sizeof(program)), sizeof(program));
	close(fd);
	pid = start_program(path);
	if (pid > 0) {
		p = look_at(pid);
		end_child(pid);
	} else { /* a machine of 64 bits alone: what its file says, then */
		Elf64_Ehdr head;

		memcpy(&head, &program, sizeof(head));
		p = (struct preflight){ 0 };
		preflight_machine(&p, &head, 1);
	}
	unlink(path);
	rmdir(directory);
	must_find(&p, "32-bit", true);
	expect_error(&p, ENOTSUP, DHAT_EXIT_UNSUITABLE);
	preflight_deinit(&p);
}

static void test_executable(void **state)
{
	struct object_desc go = { .is_go = true, .is_static = true },
			   stripped = { .is_static = true },
			   bare = { .is_static = true, .has_symtab = true };
	_cleanup_preflight_ struct preflight p = { 0 }, q = { 0 }, r = { 0 }, s = { 0 }, t = { 0 };

	assert_int_equal(preflight_executable(&p, &go, "/bin/x", 0), 0);
	must_find(&p, "go", true);
	expect_error(&p, ENOTSUP, DHAT_EXIT_NO_ALLOCATOR);
	assert_int_equal(preflight_executable(&q, &go, "/bin/x", 8), 0);
	must_find(&q, "go", false);
	assert_int_equal(preflight_executable(&r, &stripped, "/bin/x", 0), 0);
	assert_non_null(strstr(must_find(&r, "static and stripped", true)->detail, "--alloc"));
	expect_error(&r, ENOENT, DHAT_EXIT_NO_ALLOCATOR);
	assert_int_equal(preflight_executable(&s, &bare, "/bin/x", 0), 0);
	assert_non_null(strstr(must_find(&s, "no allocator", true)->detail, "--alloc"));
	assert_int_equal(preflight_executable(&t, &bare, "/bin/x", 1), 0);
	assert_int_equal(preflight_executable(&t, NULL, "", 1), 0);
	assert_int_equal(t.count, 0);
}

static void test_sites(void **state)
{
	char malloc_name[] = "malloc", free_name[] = "free", calloc_name[] = "calloc",
	     realloc_name[] = "realloc";
	struct site list[] = {
		{ .function = malloc_name, .is_emulated = true },
		{ .function = free_name },
		{ .function = calloc_name, .is_refused = true, .note = "not probed: an IFUNC" },
		{ .function = realloc_name, .is_emulated = true, .is_repeated = true },
	};
	const struct sites sites = { list, ARRAY_SIZE(list) };
	_cleanup_preflight_ struct preflight p = { 0 };

	assert_int_equal(preflight_sites(&p, &sites, "/lib/x.so"), 0);
	assert_int_equal(p.count, 3);
	assert_non_null(strstr(must_find(&p, "slow probe", false)->detail, "free of /lib/x.so"));
	assert_non_null(strstr(must_find(&p, "unseen function", false)->detail, "IFUNC"));
	assert_non_null(strstr(must_find(&p, "repeated probe", false)->detail, "realloc"));
}

/* In a child without any capability. */
static void test_rights(void **state)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct preflight p = { 0 };
		const struct preflight_hazard *hazard;

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		if (preflight_host(&p) < 0)
			_exit(3);
		hazard = find(&p, "no rights");
		_exit(hazard && hazard->is_blocking && hazard->code == DHAT_EXIT_NOT_PERMITTED &&
				      strstr(hazard->detail, "sudo")
			      ? 0
			      : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define CAPS(...) caps_of((const int[]){ __VA_ARGS__, -1 })
static unsigned long long caps_of(const int *list)
{
	unsigned long long caps = 0;

	for (; *list >= 0; list++)
		caps |= 1ull << *list;
	return caps;
}

/* What a unit file left out is named, before it fails as something else. */
static void test_some_rights(void **state)
{
	static const struct {
		const char *blames; /* NULL: nothing is in the way */
		unsigned long long lacks;
		bool is_root, is_blocking;
	} cases[] = {
		{ NULL, 0, true, false },
		{ NULL, 1ull << CAP_KILL, true, false },
		{ "CAP_BPF", 1ull << CAP_BPF, true, true },
		{ "CAP_PERFMON", 1ull << CAP_PERFMON, true, true },
		{ "CAP_SETUID and CAP_SETGID", 1ull << CAP_SETUID, true, true },
		{ "CAP_SETUID and CAP_SETGID", 1ull << CAP_SETGID, true, true },
		{ "CAP_SYS_PTRACE", 1ull << CAP_SYS_PTRACE, true, false },
		/* who is nobody's root has nothing to give up */
		{ NULL, 1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_KILL, false, false },
	};
	const unsigned long long minimal =
		CAPS(CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_SETUID, CAP_SETGID, CAP_KILL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_preflight_ struct preflight preflight = { 0 };

		assert_int_equal(
			preflight_rights(&preflight, minimal & ~cases[i].lacks, cases[i].is_root),
			0);
		assert_int_equal(preflight.count, cases[i].blames != NULL);
		if (!cases[i].blames)
			continue;
		assert_non_null(strstr(preflight.hazards[0].detail, cases[i].blames));
		assert_true(preflight.hazards[0].is_blocking == cases[i].is_blocking);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_ordinary_process),
		cmocka_unit_test(test_no_such_process),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_a_thread_and_myself),
		cmocka_unit_test(test_kernel_thread),
		cmocka_unit_test(test_seccomp),
		cmocka_unit_test(test_traced),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_emulated_program),
		cmocka_unit_test(test_32_bit_program),
		cmocka_unit_test(test_executable),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_some_rights),
	};

	return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
