/* Names are kept; debug files are looked for where they may lie, and only taken if they are fit. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/lookup/debugfiles.h"
#include "daemon/lookup/symbolizer.h"
#include "daemon/object/elf/object.h"
#include "daemon/worker/worker_main.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/wire/frame.h"
#include "tests/unit/workers.h"

DEFINE_CLEANUP_PTR(struct worker *, worker_free)
DEFINE_CLEANUP_PTR(struct symbolizer *, symbolizer_free)
DEFINE_CLEANUP_PTR(struct object *, object_free)

static char directory[] = "/tmp/dhat-symbolizer-XXXXXX";

__attribute__((format(printf, 1, 2))) static void sh(const char *format, ...)
{
	char command[2048];
	va_list args;
	int used = snprintf(command, sizeof(command), "cd %s && ", directory);

	va_start(args, format);
	vsnprintf(command + used, sizeof(command) - used, format, args);
	va_end(args);
	if (system(command))
		fail_msg("failed: %s", command);
}

static const char *in_directory(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* A program with separate debug information, and a copy of its symbols' places. */
static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	sh("printf 'static inline __attribute__((always_inline)) int inner(int n) { volatile int m "
	   "= n;"
	   " return m * 3; }\\nint outer(int n) { return inner(n); }\\n"
	   "int main(int c, char **v) { return outer(c); }\\n' >a.c");
	sh("gcc -g -O2 -Wl,--build-id=sha1 a.c -o full && mkdir debug && "
	   "objcopy --only-keep-debug full debug/a.debug && objcopy -S full stripped");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

struct world {
	struct worker *worker;
	struct symbolizer *symbolizer;
};

static uint64_t offset_of(const char *file, const char *symbol, struct object **ret)
{
	_cleanup_close_ int fd = open(in_directory(file), O_RDONLY | O_CLOEXEC);
	const char *const names[] = { symbol, NULL };

	assert_int_equal(object_describe(fd, names, NULL, ret, NULL), 0);
	assert_int_equal((*ret)->symbol_count, 1);
	return (*ret)->symbols[0].file_offset;
}

/* Names one exact place; returns the function of the innermost location, "" without one. */
static void name_one(struct symbolizer *symbolizer, const struct symbolizer_object *object,
		     uint64_t offset, char *ret, size_t size, uint32_t *ret_depth)
{
	const struct name_query query = { offset, true };
	struct symbolized symbolized;
	const struct names *names;
	const struct name_frame *frame;

	assert_int_equal(symbolizer_name(symbolizer, object, &query, 1, false, &symbolized), 0);
	names = symbolized.frames[0].names;
	*ret_depth = 0;
	if (!names) {
		snprintf(ret, size, "%s", symbolized.reason);
	} else {
		frame = &names->frames[symbolized.frames[0].frame];
		*ret_depth = frame->location_count;
		snprintf(ret, size, "%s",
			 frame->location_count
				 ? names->texts
					   .list[names->locations[frame->first_location].function]
				 : names->texts.list[frame->reason]);
	}
	symbolized_deinit(symbolizer, &symbolized);
}

/* ---- debuginfod ---- */

static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);

	assert_int_equal(bind(sock, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(sock, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

static pid_t start_server(int port)
{
	char port_text[16], path[300];
	char *argv[] = { "debuginfod", "-d", ":memory:", "-p", port_text, "-F", path, NULL };
	posix_spawn_file_actions_t actions;
	extern char **environ;
	pid_t pid;

	snprintf(port_text, sizeof(port_text), "%d", port);
	snprintf(path, sizeof(path), "%s/debug", directory);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	assert_int_equal(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void stop_server(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The server needs a moment to start and to look through its files. It ends at once if its port was
 * taken meanwhile, as it cannot choose one by itself: then false. */
static bool is_fetched(pid_t server, struct debuginfod *debuginfod, const struct object *file)
{
	while (waitpid(server, NULL, WNOHANG) == 0) {
		/* a miss is remembered: a new cache each time */
		int fd =
			debuginfod_fetch(debuginfod, file->desc.build_id, file->desc.build_id_size);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		sh("rm -rf cache");
		usleep(200000);
	}
	return false;
}

static void test_debuginfod(void **state)
{
	_cleanup_(object_free_ptr) struct object *file = NULL;
	_cleanup_(symbolizer_free_ptr) struct symbolizer *asking = NULL, *silent = NULL;
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_close_ int fd = open(in_directory("stripped"), O_RDONLY | O_CLOEXEC);
	struct symbolizer_object object = { .fd = fd, .root_fd = -1, .path = "/srv/stripped" };
	struct symbolizer_options options = { 0 };
	char urls[64], cache[300], name[256];
	uint32_t depth;
	uint64_t offset;
	pid_t server;

	snprintf(cache, sizeof(cache), "%s/cache", directory);
	options.debuginfod = (struct debuginfod){ urls, cache, 10, 0 };
	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	offset = offset_of("full", "outer", &file);
	do {
		int port = free_port();

		snprintf(urls, sizeof(urls), "http://127.0.0.1:%d", port);
		server = start_server(port);
	} while (!is_fetched(server, &options.debuginfod, file));
	sh("rm -rf cache");
	assert_int_equal(symbolizer_new(worker, &options, &asking, NULL), 0);
	name_one(asking, &object, offset, name, sizeof(name), &depth);
	assert_true(depth > 0);
	assert_non_null(strstr("inner outer", name));
	/* it is opt-in */
	assert_int_equal(symbolizer_new(worker, NULL, &silent, NULL), 0);
	name_one(silent, &object, offset, name, sizeof(name), &depth);
	assert_int_equal(depth, 0);
	assert_string_equal(name, "stripped: no symbol table and no debug information found");
	stop_server(server);
}

/* How many have come since the last time. */
static int take_connections(int sock)
{
	int count = 0;

	assert_int_equal(fcntl(sock, F_SETFL, O_NONBLOCK), 0);
	for (int fd; (fd = accept(sock, NULL, NULL)) >= 0; count++)
		close(fd);
	return count;
}

/* A server that takes the connection and never answers costs the time limit, no more. */
static void test_silent_server(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);
	uint8_t build_id[20] = { 1, 2, 3 };
	char urls[64], cache[300];
	struct debuginfod debuginfod = { urls, cache, 3, 0 };

	assert_int_equal(bind(sock, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(sock, 8), 0);
	assert_int_equal(getsockname(sock, (struct sockaddr *)&address, &size), 0);
	snprintf(urls, sizeof(urls), "http://127.0.0.1:%d", ntohs(address.sin_port));
	snprintf(cache, sizeof(cache), "%s/silent", directory);
	assert_int_equal(debuginfod_fetch(&debuginfod, build_id, sizeof(build_id)), -1);
	assert_true(take_connections(sock) > 0);
	/* and only once */
	assert_int_equal(debuginfod_fetch(&debuginfod, build_id, sizeof(build_id)), -1);
	assert_int_equal(take_connections(sock), 0);
	assert_true(debuginfod.quiet_until_ns > 0);
}

/* ---- which files are handed over ---- */

static int grant_below(const char *root, uid_t uid, enum wish_kind kind, const char *name)
{
	_cleanup_close_ int root_fd = open(in_directory(root), O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct debugfiles files = { .root_fd = root_fd, .uid = uid, .object_path = "/bin/tool" };
	const struct wish wish = { .kind = kind, .name = name };

	assert_true(root_fd >= 0);
	return debugfiles_grant(&files, &wish);
}

static void assert_refused(uid_t uid, enum wish_kind kind, const char *name)
{
	assert_int_equal(grant_below("root", uid, kind, name), -1);
}

static void test_unfit_files(void **state)
{
	enum { SOMEBODY = 12345 };
	int fd;

	sh("mkdir -p root/bin root/bin/.debug && cp full root/bin/good.debug && "
	   "cp full root/bin/secret.debug && chmod 600 root/bin/secret.debug && "
	   "echo 'no ELF' >root/bin/text.debug && mkfifo root/bin/fifo.debug && "
	   "mkdir root/bin/directory.debug && : >root/bin/empty.debug && "
	   "ln -s /etc/passwd root/bin/link.debug && ln -s loop.debug root/bin/loop.debug && "
	   "ln -s %s/full root/bin/outside.debug",
	   directory);
	fd = grant_below("root", SOMEBODY, WISH_DEBUGLINK, "good.debug");
	assert_true(fd >= 0);
	close(fd);
	fd = grant_below("root", SOMEBODY, WISH_SPLIT, "/bin/good.debug");
	assert_true(fd >= 0);
	close(fd);
	if (geteuid() == 0) {
		/* what the owner may not read, he does not get by us */
		assert_refused(SOMEBODY, WISH_DEBUGLINK, "secret.debug");
		fd = grant_below("root", 0, WISH_DEBUGLINK, "secret.debug");
		assert_true(fd >= 0);
		close(fd);
	}
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "text.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "fifo.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "directory.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "empty.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "link.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "loop.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "none.debug");
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "");
	/* a name with a slash is no file name */
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "../bin/good.debug");
	/* an absolute link is taken below the root, where there is no such file */
	assert_refused(SOMEBODY, WISH_DEBUGLINK, "outside.debug");
	assert_refused(SOMEBODY, WISH_SPLIT, "/dev/null");
	assert_refused(SOMEBODY, WISH_ALTLINK, "/etc/shadow");
	assert_refused(SOMEBODY, WISH_ALTLINK, "");
}

/* ---- keeping ---- */

static void test_kept_after_the_end(void **state)
{
	_cleanup_(object_free_ptr) struct object *file = NULL;
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_(symbolizer_free_ptr) struct symbolizer *symbolizer = NULL;
	struct symbolizer_object object = { .root_fd = -1 };
	uint64_t offset;
	uint32_t depth;
	char name[256];
	int pids[2];

	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	assert_int_equal(symbolizer_new(worker, NULL, &symbolizer, NULL), 0);
	offset = offset_of("full", "outer", &file);
	sh("cp full removed");
	object.fd = open(in_directory("removed"), O_RDONLY | O_CLOEXEC);
	object.path = "/srv/removed";
	/* deleted while it is mapped: the descriptor still reads it */
	sh("rm removed");
	name_one(symbolizer, &object, offset, name, sizeof(name), &depth);
	assert_true(depth > 0);
	/* no worker is asked for what is known */
	workers_pids(pids);
	assert_true(pids[0] > 0);
	kill(pids[0], SIGSTOP);
	name_one(symbolizer, &object, offset, name, sizeof(name), &depth);
	assert_true(depth > 0);
	close(object.fd);
	object.fd = -1;
	name_one(symbolizer, &object, offset, name, sizeof(name), &depth);
	assert_int_equal(depth, 0);
	assert_string_equal(name, "its file could not be opened");
}

/* Kills a child of ours and waits until it is dead; somebody else reaps it. */
static void kill_and_wait(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

/* With room for nothing, all is named still, and forgotten. */
static void test_memory_bound(void **state)
{
	const struct symbolizer_options options = { .memory_bytes = 1 };
	_cleanup_(object_free_ptr) struct object *file = NULL;
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_(symbolizer_free_ptr) struct symbolizer *symbolizer = NULL;
	_cleanup_close_ int fd = open(in_directory("full"), O_RDONLY | O_CLOEXEC);
	const struct symbolizer_object object = { .fd = fd, .root_fd = -1, .path = "/srv/full" };
	uint32_t depth;
	char name[256];

	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	assert_int_equal(symbolizer_new(worker, &options, &symbolizer, NULL), 0);
	uint64_t offset = offset_of("full", "outer", &file);

	for (int i = 0; i < 5; i++) {
		int before[2], after[2];

		name_one(symbolizer, &object, offset, name, sizeof(name), &depth);
		assert_true(depth > 0);
		workers_pids(before);
		assert_true(before[0] > 0);
		kill_and_wait(before[0]); /* forgotten: a worker is asked again */
		name_one(symbolizer, &object, offset, name, sizeof(name), &depth);
		assert_true(depth > 0);
		workers_pids(after);
		assert_int_not_equal(before[0], after[0]);
	}
}

/* Many addresses of one object: each unit is read once, so 50,000 take a second or two. The limit
 * is generous, for machines under load. */
static void test_fifty_thousand(void **state)
{
	enum { COUNT = 50000 };
	_cleanup_free_ struct name_query *queries = calloc(COUNT, sizeof(*queries));
	_cleanup_(worker_free_ptr) struct worker *worker = NULL;
	_cleanup_(symbolizer_free_ptr) struct symbolizer *symbolizer = NULL;
	_cleanup_(object_free_ptr) struct object *file = NULL;
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const struct symbolizer_object object = { .fd = fd, .root_fd = -1, .path = "/srv/self" };
	const struct object_segment *code = NULL;
	struct symbolized symbolized;
	uint32_t named = 0;
	uint64_t began;

	assert_int_equal(worker_new(NULL, &worker, NULL), 0);
	assert_int_equal(symbolizer_new(worker, NULL, &symbolizer, NULL), 0);
	assert_int_equal(object_describe(fd, NULL, NULL, &file, NULL), 0);
	for (size_t i = 0; i < file->desc.segment_count; i++)
		if (file->desc.segments[i].is_executable)
			code = &file->desc.segments[i];
	assert_non_null(code);
	for (uint64_t i = 0; i < COUNT; i++)
		queries[i].file_offset = code->file_offset + 1 + i * (code->file_size - 1) / COUNT;
	began = clock_now_ns(CLOCK_MONOTONIC);
	assert_int_equal(symbolizer_name(symbolizer, &object, queries, COUNT, false, &symbolized),
			 0);
	print_message("  %d addresses in %.2f s\n", COUNT,
		      (clock_now_ns(CLOCK_MONOTONIC) - began) / 1e9);
	assert_true(clock_now_ns(CLOCK_MONOTONIC) - began < WORKER_NAME_SECONDS * 1000000000ull);
	for (uint32_t i = 0; i < COUNT; i++) {
		const struct symbolized_frame *at = &symbolized.frames[i];

		named += at->names->frames[at->frame].location_count > 0;
	}
	assert_true(named > COUNT * 9 / 10);
	symbolized_deinit(symbolizer, &symbolized);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_after_the_end), cmocka_unit_test(test_memory_bound),
		cmocka_unit_test(test_fifty_thousand),	   cmocka_unit_test(test_unfit_files),
		cmocka_unit_test(test_debuginfod),	   cmocka_unit_test(test_silent_server),
	};

	if (argc > 1 && !strcmp(argv[1], WORKER_ARGUMENT))
		return worker_main(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
