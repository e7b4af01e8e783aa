/* The worker: its sandbox lets nothing out, and what brings it down costs one request. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/worker/worker.h"
#include "daemon/worker/worker_ask.h"
#include "daemon/worker/worker_link.h"
#include "daemon/worker/worker_main.h"
#include "proto/base/cleanup.h"
#include "tests/unit/table_find.h"
#include "tests/unit/workers.h"

DEFINE_CLEANUP_PTR(struct worker *, worker_free)
DEFINE_CLEANUP_PTR(struct names *, names_free)
DEFINE_CLEANUP_PTR(struct survey *, survey_free)
DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)

/* ---- inside the worker ---- */

enum trial { ESCAPE = 1, HANG, BOMB, CRASH, IDENTITY, WISHES };

/* Whatever the kernel would have said of the arguments: the filter speaks first. (Writing to a file
 * opened for reading is refused by the kernel.) */
static bool was_let(long result)
{
	return result != -1 || (errno != EPERM && errno != EACCES);
}
#define is_let(...) was_let(syscall(__VA_ARGS__))

/* Every way out that comes to mind; the names of those that were open are the answer. */
static void try_escape(int fd, struct wire_writer *answer)
{
	static char stack[65536];
	struct rlimit more = { RLIM_INFINITY, RLIM_INFINITY };
	const struct {
		const char *name;
		bool is_open;
	} trials[] = {
		{ "open", is_let(SYS_open, "/etc/passwd", O_RDONLY) },
		{ "openat", is_let(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY) },
		{ "openat2", is_let(SYS_openat2, AT_FDCWD, "/", (long[3]){ 0 }, 24) },
		{ "open_by_handle_at", is_let(SYS_open_by_handle_at, AT_FDCWD, stack, O_RDONLY) },
		{ "creat", is_let(SYS_creat, "/tmp/escaped", 0600) },
		{ "stat", is_let(SYS_stat, "/", stack) },
		{ "readlink", is_let(SYS_readlink, "/proc/self/exe", stack, 100) },
		{ "unlink", is_let(SYS_unlink, "/tmp/escaped") },
		{ "mkdir", is_let(SYS_mkdir, "/tmp/escaped", 0700) },
		{ "chdir", is_let(SYS_chdir, "/") },
		{ "chroot", is_let(SYS_chroot, "/") },
		{ "mount", is_let(SYS_mount, "x", "/tmp", "tmpfs", 0, NULL) },
		{ "socket", is_let(SYS_socket, AF_INET, SOCK_STREAM, 0) },
		{ "socket unix", is_let(SYS_socket, AF_UNIX, SOCK_STREAM, 0) },
		{ "socketpair", is_let(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, stack) },
		{ "connect", is_let(SYS_connect, WORKER_SOCKET, stack, 16) },
		{ "fork", is_let(SYS_fork) },
		{ "vfork", is_let(SYS_vfork) },
		{ "clone", is_let(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) },
		{ "clone3", is_let(SYS_clone3, stack, 88) },
		{ "execve", is_let(SYS_execve, "/bin/true", NULL, NULL) },
		{ "execveat", is_let(SYS_execveat, fd, "", NULL, NULL, AT_EMPTY_PATH) },
		{ "ptrace", is_let(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) },
		{ "process_vm_readv",
		  is_let(SYS_process_vm_readv, getppid(), stack, 0, stack, 0, 0) },
		{ "kill", is_let(SYS_kill, 1, 0) },
		{ "tgkill", is_let(SYS_tgkill, 1, 1, 0) },
		{ "setuid", is_let(SYS_setuid, 0) },
		{ "setresuid", is_let(SYS_setresuid, 0, 0, 0) },
		{ "setgroups", is_let(SYS_setgroups, 0, NULL) },
		{ "capset", is_let(SYS_capset, stack, stack) },
		{ "unshare", is_let(SYS_unshare, 0x10000000) },
		{ "setns", is_let(SYS_setns, fd, 0) },
		{ "bpf", is_let(SYS_bpf, 0, stack, 64) },
		{ "perf_event_open", is_let(SYS_perf_event_open, stack, 0, -1, -1, 0) },
		{ "io_uring_setup", is_let(SYS_io_uring_setup, 8, stack) },
		{ "memfd_create", is_let(SYS_memfd_create, "x", 0) },
		{ "seccomp", is_let(SYS_seccomp, 1, 0, NULL) },
		{ "prctl dumpable", is_let(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0) },
		{ "prlimit", is_let(SYS_prlimit64, 0, RLIMIT_NOFILE, &more, NULL) },
		{ "setrlimit", is_let(SYS_setrlimit, RLIMIT_DATA, &more) },
		{ "write to the file", is_let(SYS_write, fd, "x", 1) },
		{ "pwrite", is_let(SYS_pwrite64, fd, "x", 1, 0) },
		{ "ftruncate", is_let(SYS_ftruncate, fd, 0) },
		{ "fchmod", is_let(SYS_fchmod, fd, 0777) },
		{ "fchown", is_let(SYS_fchown, fd, 0, 0) },
		{ "ioctl", is_let(SYS_ioctl, fd, 0, 0) },
		{ "fcntl setfl", is_let(SYS_fcntl, fd, F_SETFL, O_NONBLOCK) },
		{ "mmap exec", is_let(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) },
		{ "mmap file exec", is_let(SYS_mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE, fd, 0) },
		{ "mprotect exec",
		  is_let(SYS_mprotect, (uintptr_t)stack & ~4095ul, 4096, PROT_READ | PROT_EXEC) },
		{ "mmap file shared and writable",
		  is_let(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) },
		{ "memory_file", is_let(SYS_open, "/proc/self/mem", O_RDWR) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		if (trials[i].is_open)
			wire_put_string(answer, trials[i].name);
	/* and the memory that is there may be used */
	if (syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == -1)
		wire_put_string(answer, "(cannot read the file)");
}

static void raise_fault(void)
{
	volatile int *volatile nowhere = NULL;

	*nowhere = 1;
}

static void hang(void)
{
	for (;;)
		__asm__ volatile("");
}

static void bomb(struct wire_writer *answer)
{
	uint64_t got = 0;

	wire_put_u32(answer, 0); /* its room, while there is some */
	for (; got < 1ull << 40; got += 1 << 20) {
		char *block = malloc(1 << 20);

		if (!block)
			break;
		memset(block, 1, 1 << 20);
	}
	wire_put_u64(answer, got);
}

/* Wish for so many files; how many came. */
static int wish(uint32_t count, struct wire_writer *answer)
{
	struct wire_writer wish = { 0 };
	uint32_t granted = 0;

	wire_put_u32(&wish, WISH_ALTLINK);
	wire_put_string(&wish, "a file");
	wire_put_bytes(&wish, NULL, 0);
	for (uint32_t i = 0; i < count; i++) {
		_cleanup_free_ uint8_t *data = NULL;
		struct worker_head head;
		int fd = -1;

		if (worker_send(WORKER_SOCKET, WORKER_WISH, wish.data, wish.size, -1, 0) ||
		    worker_receive(WORKER_SOCKET, 0, 0, &head, &data, &fd))
			return -EIO;
		granted += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	wire_put_u32(answer, granted);
	wire_writer_deinit(&wish);
	return 0;
}

enum { TRIAL = 1000 }; /* a request that the product does not know */

int run_trial(struct wire_reader *request, int fd, struct wire_writer *answer);
int run_trial(struct wire_reader *request, int fd, struct wire_writer *answer)
{
	switch (wire_get_u32(request)) {
	case ESCAPE:
		try_escape(fd, answer);
		return 0;
	case HANG:
		hang();
		return 0;
	case BOMB:
		bomb(answer);
		return 0;
	case CRASH:
		raise_fault();
		return 0;
	case WISHES:
		return wish(wire_get_u32(request), answer);
	default:
		return -EINVAL;
	}
}

static int answer_or_try(uint32_t type, int fd, struct wire_reader *request,
			 struct wire_writer *answer, struct dhat_error *err)
{
	return type == TRIAL ? run_trial(request, fd, answer)
			     : worker_answer(type, fd, request, answer, err);
}

/* ---- outside ---- */

static const struct worker_options short_times = { .name_seconds = 2 };

static struct worker *new_worker(const struct worker_options *options)
{
	struct dhat_error err = { 0 };
	struct worker *worker = NULL;

	if (worker_new(options, &worker, &err))
		fail_msg("%s", err.message);
	return worker;
}

static int try_with(struct worker *worker, int fd, const uint32_t trial[2],
		    const struct wish_granter *granter, uint8_t **ret, size_t *ret_size,
		    struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = TRIAL,
		.kind = WORKER_NAMES,
		.fd = fd,
		.request = &request,
		.max_answer = 1u << 20,
		.granter = granter,
	};
	int r;

	wire_put(&request, trial, 2 * sizeof(*trial));
	r = worker_ask(worker, &question, ret, ret_size, err);
	wire_writer_deinit(&request);
	return r;
}

static int try(struct worker *worker, uint32_t trial, int fd, uint8_t **ret, size_t *ret_size,
	       struct dhat_error *err)
{
	memset(err, 0, sizeof(*err));
	return try_with(worker, fd, (const uint32_t[2]){ trial }, NULL, ret, ret_size, err);
}

static int open_self(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int open_copy_of_self(void)
{
	_cleanup_close_ int from = open_self();
	struct stat st;
	int fd = memfd_create("copy", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(from, &st), 0);
	for (off_t offset = 0; offset < st.st_size;)
		assert_true(sendfile(fd, from, &offset, st.st_size - offset) > 0);
	return fd;
}

static int name_main(struct worker *worker, int fd, char *ret, size_t size, struct dhat_error *err);

static void test_nothing_gets_out(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int fd = open_self();
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader;
	struct dhat_error err;
	size_t size;

	assert_int_equal(try(worker, ESCAPE, fd, &answer, &size, &err), 0);
	reader = (struct wire_reader){ .data = answer, .size = size };
	while (reader.size) {
		_cleanup_free_ char *name = wire_get_string(&reader);

		print_error("the worker could: %s\n", name ? name : "?");
	}
	assert_int_equal(size, 0);
}

static bool has_line(const char *text, const char *line)
{
	return strstr(text, line) != NULL;
}

/* What the kernel says of it, from outside. */
static void test_identity(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int fd = open_self();
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], text[8192] = "", name[64];
	struct dhat_error err = { 0 };
	int pids[2];

	assert_int_equal(name_main(worker, fd, name, sizeof(name), &err), 0);
	workers_pids(pids);
	assert_true(pids[0] > 0);
	snprintf(path, sizeof(path), "/proc/%d/status", pids[0]);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	assert_true(has_line(text, "CapEff:\t0000000000000000\n"));
	assert_true(has_line(text, "CapPrm:\t0000000000000000\n"));
	assert_true(has_line(text, "CapInh:\t0000000000000000\n"));
	assert_true(has_line(text, "CapAmb:\t0000000000000000\n"));
	assert_true(has_line(text, "NoNewPrivs:\t1\n"));
	assert_true(has_line(text, "Seccomp:\t2\n"));
	if (geteuid() == 0) {
		assert_true(has_line(text, "Uid:\t65534\t65534\t65534\t65534\n"));
		assert_true(has_line(text, "Gid:\t65534\t65534\t65534\t65534\n"));
		assert_true(has_line(text, "Groups:\t \n"));
	}
}

/* Between requests it holds its socket and /dev/null three times. */
static void test_holds_no_files(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int fd = open_self();
	struct dhat_error err = { 0 };
	char name[64], path[64];
	int pids[2], count = 0;

	if (geteuid())
		skip();
	assert_int_equal(name_main(worker, fd, name, sizeof(name), &err), 0);
	workers_pids(pids);
	for (int i = 0; i < 1024; i++) {
		char target[128] = "";

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pids[0], i);
		if (readlink(path, target, sizeof(target) - 1) < 0)
			continue;
		count++;
		if (i < WORKER_SOCKET)
			assert_string_equal(target, "/dev/null");
		else
			assert_int_equal(strncmp(target, "socket:", 7), 0);
	}
	assert_int_equal(count, WORKER_SOCKET + 1);
}

/* Names a place in this very program, through the worker. */
static int name_main(struct worker *worker, int fd, char *ret, size_t size, struct dhat_error *err)
{
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	_cleanup_(names_free_ptr) struct names *names = NULL;
	char wanted[] = "free:self:run_trial(ptr=arg1)", *customs[] = { wanted, NULL };
	const struct survey_question question = { .path = "/opt/self", .customs = customs };
	struct name_query query = { .is_exact_pc = true };
	const struct name_location *last;
	int r = worker_survey(worker, fd, &question, &survey, err);

	if (r)
		return r;
	assert_int_equal(survey->customs_error, 0);
	assert_int_equal(survey->customs.count, 1);
	query.file_offset = survey->customs.list[0].function_offset;
	r = worker_name(worker, fd, &query, 1, false, NULL, &names, err);
	if (r)
		return r;
	assert_true(names->frames[0].location_count > 0);
	assert_int_equal(names->frames[0].vaddr, survey->customs.list[0].function_vaddr);
	last = &names->locations[names->frames[0].first_location + names->frames[0].location_count -
				 1];
	snprintf(ret, size, "%s", names->texts.list[last->function]);
	return 0;
}

static void assert_works(struct worker *worker)
{
	_cleanup_close_ int fd = open_copy_of_self();
	struct dhat_error err = { 0 };
	char name[64] = "";

	if (name_main(worker, fd, name, sizeof(name), &err))
		fail_msg("%s", err.message);
	assert_string_equal(name, "run_trial");
}

static void test_requests(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_(cfi_table_free_ptr) struct cfi_table *table = NULL, *none = NULL;
	_cleanup_close_ int fd = open_self();
	struct dhat_error err = { 0 };

	assert_works(worker);
	assert_int_equal(worker_build_cfi(worker, fd, 1u << 20, &table, &err), 0);
	assert_true(table->row_count > 100);
	assert_non_null(cfi_table_find(table, table->first_page_vaddr + 0x10000));
	/* the worker's own errors come through, and it lives on */
	assert_int_equal(worker_build_cfi(worker, fd, 3, &none, &err), -E2BIG);
	assert_null(none);
	assert_true(strlen(err.message) > 0);
	assert_works(worker);
}

static void test_wrong_files(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int text = memfd_create("text", MFD_CLOEXEC);
	struct name_query query = { .file_offset = 1 };
	const struct survey_question question = { .path = "" };
	struct survey *survey = NULL;
	struct names *names = NULL;
	struct dhat_error err = { 0 };

	assert_true(worker_survey(worker, null, &question, &survey, &err) < 0);
	assert_string_equal(err.message, "not a regular file");
	assert_true(worker_survey(worker, -1, &question, &survey, NULL) < 0);
	assert_int_equal(write(text, "no ELF file", 11), 11);
	memset(&err, 0, sizeof(err));
	assert_int_equal(worker_name(worker, text, &query, 1, false, NULL, &names, &err), -ENOEXEC);
	assert_string_equal(err.message, "not an ELF file");
	assert_null(survey);
	assert_null(names);
	assert_works(worker);
}

static void test_crash(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int fd = open_self();
	uint8_t *answer = NULL;
	struct dhat_error err;
	size_t size;

	assert_true(try(worker, CRASH, fd, &answer, &size, &err) < 0);
#ifdef __SANITIZE_ADDRESS__
	assert_non_null(strstr(err.message, "the ELF worker ended")); /* by the sanitizer */
#else
	assert_string_equal(err.message,
			    "the ELF worker was ended by signal 11 (SIGSEGV) while reading it");
#endif
	/* this file is not tried again … */
	assert_true(try(worker, CRASH, fd, &answer, &size, &err) < 0);
	assert_non_null(strstr(err.message, "not tried again"));
	/* … and others are as before */
	assert_works(worker);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void test_hang(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(&short_times);
	_cleanup_close_ int fd = open_self();
	uint64_t began = now_ms();
	uint8_t *answer = NULL;
	struct dhat_error err;
	size_t size;

	assert_int_equal(try(worker, HANG, fd, &answer, &size, &err), -ETIMEDOUT);
	assert_string_equal(err.message, "reading it took the ELF worker longer than 2 s");
	assert_true(now_ms() - began >= 2000);
	assert_works(worker);
}

#ifndef __SANITIZE_ADDRESS__ /* its shadow memory knows no limit: sandbox.c sets none */
static const struct worker_options little_memory = { .memory_bytes = 256u << 20 };

static void test_memory(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_free_ uint8_t *answer = NULL;
	_cleanup_close_ int fd = open_self();
	struct wire_reader reader;
	struct dhat_error err;
	uint64_t got;
	size_t size;

	worker = new_worker(&little_memory);
	assert_int_equal(try(worker, BOMB, fd, &answer, &size, &err), 0);
	reader = (struct wire_reader){ .data = answer, .size = size };
	wire_get_u32(&reader);
	got = wire_get_u64(&reader);
	assert_true(got <= little_memory.memory_bytes);
	assert_true(got > little_memory.memory_bytes / 2);
	assert_works(worker);
}
#endif

/* Kills the names worker again and again. */
struct killer {
	struct worker *worker;
	atomic_int kills;
	atomic_bool is_done;
};

static void *kill_workers(void *context)
{
	struct killer *killer = context;

	while (!killer->is_done) {
		siginfo_t info;
		int pids[2];

		usleep(3000);
		workers_pids(pids);
		if (pids[0] <= 0 || kill(pids[0], SIGKILL))
			continue;
		killer->kills++;
		/* dead before we are done, or the kill meets a request that comes after us */
		waitid(P_PID, pids[0], &info, WEXITED | WNOWAIT);
	}
	return NULL;
}

/* Whenever it is killed, a request either works or says so; and nothing is held against the file.
 */
static void test_kill_in_the_middle(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	struct killer killer = { .worker = worker };
	_cleanup_close_ int fd = open_self();
	int failures = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, kill_workers, &killer), 0);
	/* however the two threads take turns */
	for (int i = 0; i < 100 || killer.kills < 10 || failures == 0; i++) {
		struct dhat_error err = { 0 };
		char name[64] = "";

		if (!name_main(worker, fd, name, sizeof(name), &err)) {
			assert_string_equal(name, "run_trial");
			continue;
		}
		failures++;
		assert_true(strlen(err.message) > 0);
		assert_null(strstr(err.message, "not tried again"));
	}
	killer.is_done = true;
	pthread_join(thread, NULL);
	assert_works(worker);
}

static void *use_worker(void *context)
{
	for (int i = 0; i < 10; i++)
		assert_works(context);
	return NULL;
}

static void test_threads(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_worker, worker), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
}

struct hanging {
	struct worker *worker;
	pthread_t thread;
	int result;
	atomic_bool is_over;
};

static void *hang_for_tables(void *context)
{
	struct hanging *hanging = context;
	_cleanup_close_ int fd = open_copy_of_self();
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = TRIAL,
		.kind = WORKER_TABLES,
		.fd = fd,
		.request = &request,
		.max_answer = 64,
	};
	struct dhat_error err = { 0 };
	uint8_t *answer = NULL;
	size_t size;

	wire_put(&request, (const uint32_t[2]){ HANG }, 2 * sizeof(uint32_t));
	hanging->result = worker_ask(hanging->worker, &question, &answer, &size, &err);
	wire_writer_deinit(&request);
	hanging->is_over = true;
	return NULL;
}

/* Two files take as long as they may: a third one's description and table are made meanwhile. Each
 * has a worker, and where one serves, no other is started. */
static void test_slow_tables_delay_no_other(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	struct hanging hanging[2] = { { .worker = worker }, { .worker = worker } };
	time_t end = time(NULL) + 60;
	int pid;

	for (int i = 0; i < 3; i++)
		assert_works(worker);
	assert_int_equal(workers_of("tables", &pid), 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&hanging[i].thread, NULL, hang_for_tables, &hanging[i]), 0);
	while (workers_of("tables", &pid) < 2 && time(NULL) < end)
		usleep(1000);
	for (int i = 0; i < 3; i++)
		assert_works(worker);
	assert_int_equal(workers_of("tables", &pid), 3);
	assert_false(hanging[0].is_over || hanging[1].is_over);
	worker_stop_looking(worker);
	for (int i = 0; i < 2; i++) {
		pthread_join(hanging[i].thread, NULL);
		assert_int_equal(hanging[i].result, -ECANCELED);
	}
}

/* A file of an owner's. */
static int open_of(uid_t owner)
{
	char name[] = "/tmp/test_worker.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fchown(fd, owner, -1), 0);
	return fd;
}

struct grants {
	const uid_t *owners; /* of one after the other */
	int count;
	unsigned takes_ms;
};

static int grant_next(void *context, const struct wish *wish)
{
	struct grants *grants = context;

	usleep(grants->takes_ms * 1000);
	return open_of(grants->owners[grants->count++ % 4]);
}

/* How many of four files of these owners are handed over for an object of `owner`; ret_pid: by whom
 * they were seen. */
static uint32_t wish_for(struct worker *worker, uid_t owner, const uid_t owners[4], int *ret_pid)
{
	const uint32_t request[] = { WISHES, 4 };
	struct grants grants = { .owners = owners };
	const struct wish_granter granter = { grant_next, &grants };
	_cleanup_close_ int fd = open_of(owner);
	_cleanup_free_ uint8_t *answer = NULL;
	struct dhat_error err = { 0 };
	uint32_t granted;
	size_t size = 0;
	int pids[2];

	if (try_with(worker, fd, request, &granter, &answer, &size, &err))
		fail_msg("%s", err.message);
	assert_int_equal(size, sizeof(granted));
	memcpy(&granted, answer, size);
	workers_pids(pids);
	*ret_pid = pids[0];
	return granted;
}

/* A granted file's author may have taken the worker over as well as the object's. */
static void test_owners_of_granted_files(void **state)
{
	static const uid_t roots[4] = { 0 }, ones[4] = { 0, 1001, 1001, 0 },
			   twos[4] = { 1002, 0, 1002, 1002 }, both[4] = { 1001, 1002, 0, 1001 };
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	int first, pid;

	if (geteuid() != 0) {
		print_message("SKIP: to give files away needs root\n");
		skip();
	}
	assert_int_equal(wish_for(worker, 0, roots, &first), 4);
	assert_int_equal(wish_for(worker, 0, ones, &pid), 4);
	assert_int_equal(pid, first); /* it is 1001's from now on */
	assert_int_equal(wish_for(worker, 1001, ones, &pid), 4);
	assert_int_equal(pid, first);
	assert_int_equal(wish_for(worker, 0, twos, &pid), 4); /* nothing of another's gets there */
	assert_int_not_equal(pid, first);
	first = pid;
	assert_int_equal(wish_for(worker, 0, roots, &pid), 4); /* nor of root's */
	assert_int_not_equal(pid, first);
	first = pid;
	assert_int_equal(wish_for(worker, 1001, roots, &pid), 4);
	assert_int_equal(pid, first);
	assert_int_equal(wish_for(worker, 0, ones, &pid), 4);
	assert_int_not_equal(pid, first);
	/* one request with files of two */
	assert_int_equal(wish_for(worker, 0, both, &pid), 3);
	assert_int_equal(wish_for(worker, 1001, twos, &pid), 1);
}

/* Looking for files may take long, each time; what a worker can make dhatd do has an end. */
static void test_wishes_have_an_end(void **state)
{
	static const struct worker_options options = { .grant_seconds = 1 };
	static const uid_t roots[4] = { 0 };
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(&options);
	const uint32_t request[] = { WISHES, 1000 };
	struct grants grants = { .owners = roots, .takes_ms = 300 };
	const struct wish_granter granter = { grant_next, &grants };
	_cleanup_free_ uint8_t *answer = NULL;
	_cleanup_close_ int fd = open_self();
	struct dhat_error err = { 0 };
	size_t size = 0;

	assert_int_equal(try_with(worker, fd, request, &granter, &answer, &size, &err), 0);
	/* the worker goes on with what there was */
	assert_in_range(grants.count, 1, 4);
	assert_int_equal(*(uint32_t *)answer, grants.count);
}

/* What an owner's file may have done to a worker does not reach another owner's names. */
static void test_owners(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	_cleanup_close_ int one = -1, other = -1, root = open_self();
	struct dhat_error err = { 0 };
	int pids[4][2];
	char name[64];

	if (geteuid())
		skip();
	one = open_copy_of_self();
	other = open_copy_of_self();
	assert_int_equal(fchown(one, 1001, 1001), 0);
	assert_int_equal(fchown(other, 1002, 1002), 0);
	assert_int_equal(name_main(worker, root, name, sizeof(name), &err), 0);
	workers_pids(pids[0]);
	assert_int_equal(name_main(worker, one, name, sizeof(name), &err), 0);
	workers_pids(pids[1]);
	assert_int_equal(name_main(worker, other, name, sizeof(name), &err), 0);
	workers_pids(pids[2]);
	assert_int_equal(name_main(worker, root, name, sizeof(name), &err), 0);
	workers_pids(pids[3]);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pids[0][i], pids[1][i]);
		assert_int_not_equal(pids[1][i], pids[2][i]);
		assert_int_not_equal(pids[2][i], pids[3][i]);
	}
}

/* Nothing of it is left: no process, no descriptor. */
/* ---- memory of a process ---- */

#define SCANNED_BLOCKS 3

/* A block holds the next one; the first is held by a word outside. */
static void test_scan(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_(reach_found_deinit) struct reach_found found = { 0 };
	_cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	const struct reach_limits limits = { 100, 100 };
	static uint64_t memory[1024] __attribute__((aligned(4096)));
	const struct reach_range range = { (uintptr_t)memory, (uintptr_t)(memory + 1024),
					   REACH_GLOBAL, 0 };
	struct shared shared = SHARED_NONE;
	struct reach_block *blocks;

	assert_int_equal(shared_make_room(&shared, SCANNED_BLOCKS * sizeof(*blocks)), 0);
	blocks = shared.memory;
	for (size_t i = 0; i < SCANNED_BLOCKS; i++) {
		blocks[i] = (struct reach_block){ (uintptr_t)&memory[100 * (i + 1)], 64, 1, 1, 0 };
		memory[100 * i] = blocks[i].addr;
	}
	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	for (int i = 0; i < 2; i++) { /* what has seen memory ends: each needs a new one */
		reach_found_deinit(&found);
		assert_int_equal(worker_scan(worker, fd, &shared, SCANNED_BLOCKS, &range, 1,
					     &limits, &found, NULL),
				 0);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child at all */
	}
	assert_int_equal(found.read_bytes, sizeof(memory));
	assert_int_equal(found.root_count, 1);
	assert_int_equal(found.runs[0].addr, (uintptr_t)memory);
	assert_int_equal(found.edge_count, 2);
	assert_int_equal(found.edges[0], 1);
	assert_int_equal(found.edges[1], 2);
	shared_deinit(&shared);
}

static void test_scan_has_bounds(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	const struct reach_limits limits = { 1, 1 }, more = { 8, 8 };
	uint64_t memory[8];
	const struct reach_range range = { (uintptr_t)memory, (uintptr_t)(memory + 8), REACH_STACK,
					   0 };
	const struct reach_block block = { 0x1000, 8, 1, 1, 0 };
	struct shared shared = SHARED_NONE;
	struct reach_found found;
	struct dhat_error err = { 0 };

	assert_int_equal(shared_make_room(&shared, sizeof(block)), 0);
	memcpy(shared.memory, &block, sizeof(block));
	for (size_t i = 0; i < 8; i++)
		memory[i] = block.addr;
	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	assert_int_equal(worker_scan(worker, fd, &shared, 1, &range, 1, &limits, &found, &err),
			 -E2BIG);
	assert_non_null(strstr(err.message, "cannot scan memory"));
	/* so there is more room for the next one, by the same worker */
	assert_int_equal(worker_scan(worker, fd, &shared, 1, &range, 1, &more, &found, NULL), 0);
	assert_int_equal(found.root_count, 8);
	reach_found_deinit(&found);
	shared_deinit(&shared);
}

struct turn {
	struct worker *worker;
	atomic_bool stop;
	int result;
};

static void *wait_for_turn(void *turn_)
{
	struct turn *turn = turn_;

	turn->result = worker_take_scans(turn->worker, &turn->stop, false);
	return NULL;
}

/* Two do not look at once, and nobody has to wait, or to be answered, who does not want it. */
static void test_scans_are_one_s_own(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	struct turn first = { .worker = worker, .result = 1 }, second = first;
	_cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	const struct reach_limits limits = { 100, 100 };
	static uint64_t memory[8];
	const struct reach_range range = { (uintptr_t)memory, (uintptr_t)(memory + 8), REACH_GLOBAL,
					   0 };
	const struct reach_block block = { 0x1000, 8, 1, 1, 0 };
	struct shared shared = SHARED_NONE;
	struct reach_found found;
	struct dhat_error err = { 0 };
	atomic_bool is_unwanted = false;
	pthread_t waiting;

	assert_int_equal(shared_make_room(&shared, sizeof(block)), 0);
	memcpy(shared.memory, &block, sizeof(block));
	assert_int_equal(worker_take_scans(worker, &is_unwanted, true), 0);
	assert_int_equal(pthread_create(&waiting, NULL, wait_for_turn, &first), 0);
	atomic_store(&first.stop, true);
	pthread_join(waiting, NULL);
	assert_int_equal(first.result, -ECANCELED);

	assert_int_equal(pthread_create(&waiting, NULL, wait_for_turn, &second), 0);
	atomic_store(&is_unwanted, true);
	assert_int_equal(worker_scan(worker, fd, &shared, 1, &range, 1, &limits, &found, &err),
			 -ECANCELED);
	assert_non_null(strstr(err.message, "nobody waits"));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it was ended */
	worker_give_scans(worker);
	pthread_join(waiting, NULL);
	assert_int_equal(second.result, 0);
	assert_int_equal(worker_scan(worker, fd, &shared, 1, &range, 1, &limits, &found, NULL), 0);
	reach_found_deinit(&found);
	worker_give_scans(worker);
	shared_deinit(&shared);
}

#define NICEST 19

static void *ask_nicely(void *worker)
{
	setpriority(PRIO_PROCESS, syscall(SYS_gettid), NICEST);
	assert_works(worker);
	return NULL;
}

/* Whoever is nice hands that down; and the others need not wait for his worker. */
static void test_niceness(void **state)
{
	_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);
	int before = getpriority(PRIO_PROCESS, 0), first, second;
	pthread_t nice;

	assert_int_equal(pthread_create(&nice, NULL, ask_nicely, worker), 0);
	pthread_join(nice, NULL);
	assert_int_equal(workers_of("names", &first), 1);
	assert_int_equal(getpriority(PRIO_PROCESS, first), NICEST);
	assert_works(worker);
	assert_int_equal(workers_of("names", &second), 1);
	assert_int_equal(getpriority(PRIO_PROCESS, second), before);
	assert_true(before == NICEST || second != first);
	/* and the other way round it stays */
	assert_int_equal(pthread_create(&nice, NULL, ask_nicely, worker), 0);
	pthread_join(nice, NULL);
	assert_int_equal(workers_of("names", &first), 1);
	assert_int_equal(first, second);
}

static void test_no_leaks(void **state)
{
	int before = dup(0);

	assert_true(before >= 0);
	close(before);
	for (int i = 0; i < 10; i++) {
		_cleanup_(worker_free_ptr) struct worker *worker = new_worker(NULL);

		assert_works(worker);
	}
	int after = dup(0);
	close(after);
	assert_int_equal(before, after);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_wrong_files),
		cmocka_unit_test(test_nothing_gets_out),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_holds_no_files),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_hang),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_memory),
#endif
		cmocka_unit_test(test_kill_in_the_middle),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_slow_tables_delay_no_other),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_owners_of_granted_files),
		cmocka_unit_test(test_wishes_have_an_end),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_has_bounds),
		cmocka_unit_test(test_scans_are_one_s_own),
		cmocka_unit_test(test_niceness),
		cmocka_unit_test(test_no_leaks),
	};

	if (argc > 1 && !strcmp(argv[1], WORKER_ARGUMENT))
		return worker_loop(strtoull(argv[2], NULL, 10), answer_or_try);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
