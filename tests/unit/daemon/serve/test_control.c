/* The socket server, with a table of its own. */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/serve/control.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/wire/frame.h"

#define STREAM_PARTS 50
#define PATIENCE_S 60 /* of the tests; nothing takes so long but a fault */
static char directory[64], path[96];

static uint64_t in_ms(uint64_t ms)
{
	return clock_now_ns(CLOCK_MONOTONIC) + ms * 1000000ull;
}

/* ---- the table under test ------------------------------------------------------------------ */

static int answer_status(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Status status = DHAT__STATUS__INIT;

	status.tool_version = context;
	status.daemon_pid = getpid();
	response.is_last = true;
	response.body_case = DHAT__RESPONSE__BODY_STATUS;
	response.status = &status;
	return control_reply(reply, &response, err);
}

static int answer_snapshot(void *context, const Dhat__Request *request, struct control_reply *reply,
			   struct dhat_error *err)
{
	Dhat__Response response = DHAT__RESPONSE__INIT;
	Dhat__Done done = DHAT__DONE__INIT;
	_cleanup_free_ char *text = malloc(100001);
	int r = 0;

	memset(text, 'x', 100000);
	text[100000] = 0;
	done.message = text;
	response.body_case = DHAT__RESPONSE__BODY_DONE;
	response.done = &done;
	for (int i = 0; i < STREAM_PARTS && r == 0; i++) {
		response.is_last = i == STREAM_PARTS - 1;
		r = control_reply(reply, &response, err);
	}
	return r;
}

static int answer_attach(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS, "no process %u",
			      request->attach->pid);
}

static int answer_detach(void *context, const Dhat__Request *request, struct control_reply *reply,
			 struct dhat_error *err)
{
	return 0;
}

/* Takes until nobody waits for it. */
static atomic_int begun, given_up;

static int answer_rss(void *context, const Dhat__Request *request, struct control_reply *reply,
		      struct dhat_error *err)
{
	uint64_t end_ns = in_ms(PATIENCE_S * 1000);

	atomic_fetch_add(&begun, 1);
	while (!atomic_load(control_peer_gone(reply)) && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		usleep(1000);
	atomic_fetch_add(&given_up, atomic_load(control_peer_gone(reply)));
	return 0;
}

static const struct control_entry table[] = {
	{ DHAT__REQUEST__BODY_STATUS, CONTROL_READ, answer_status },
	{ DHAT__REQUEST__BODY_SNAPSHOT, CONTROL_READ, answer_snapshot },
	{ DHAT__REQUEST__BODY_ATTACH, CONTROL_MANAGE, answer_attach },
	{ DHAT__REQUEST__BODY_DETACH, CONTROL_MANAGE, answer_detach },
	{ DHAT__REQUEST__BODY_RSS, CONTROL_READ, answer_rss },
	{ 0 },
};

/* limit_ns: for a request to come, and for a frame to be taken. */
static struct control *start_limited(const char *group, uint64_t limit_ns)
{
	struct control_options options = {
		.path = path,
		.group = group,
		.table = table,
		.context = "the context",
		.receive_ns = limit_ns,
		.send_ns = limit_ns,
	};
	struct dhat_error err = { 0 };
	struct control *control = NULL;

	if (control_new(&options, &control, &err) < 0)
		fail_msg("%s", err.message);
	return control;
}

/* Time enough for a busy machine. */
static struct control *start(const char *group)
{
	return start_limited(group, PATIENCE_S * 1000000000ull);
}

/* ---- a client ------------------------------------------------------------------------------ */

static int connect_to(const char *where)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, where);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static Dhat__Response *receive(int fd)
{
	_cleanup_free_ uint8_t *payload = NULL;
	size_t size;

	if (dhat_frame_receive(fd, DHAT_FRAME_RESPONSE_MAX, in_ms(PATIENCE_S * 1000), &payload,
			       &size, NULL) < 0)
		return NULL;
	return (Dhat__Response *)dhat_frame_unpack(&dhat__response__descriptor, payload, size);
}

static int try_request(int fd, uint32_t version, Dhat__Request__BodyCase kind)
{
	Dhat__StatusRequest status = DHAT__STATUS_REQUEST__INIT;
	Dhat__SnapshotRequest snapshot = DHAT__SNAPSHOT_REQUEST__INIT;
	Dhat__AttachRequest attach = DHAT__ATTACH_REQUEST__INIT;
	Dhat__DetachRequest detach = DHAT__DETACH_REQUEST__INIT;
	Dhat__PlanRequest plan = DHAT__PLAN_REQUEST__INIT;
	Dhat__RssRequest rss = DHAT__RSS_REQUEST__INIT;
	Dhat__Request request = DHAT__REQUEST__INIT;

	attach.pid = 77;
	request.protocol_version = version;
	request.body_case = kind;
	if (kind == DHAT__REQUEST__BODY_STATUS)
		request.status = &status;
	if (kind == DHAT__REQUEST__BODY_SNAPSHOT)
		request.snapshot = &snapshot;
	if (kind == DHAT__REQUEST__BODY_ATTACH)
		request.attach = &attach;
	if (kind == DHAT__REQUEST__BODY_DETACH)
		request.detach = &detach;
	if (kind == DHAT__REQUEST__BODY_PLAN)
		request.plan = &plan;
	if (kind == DHAT__REQUEST__BODY_RSS)
		request.rss = &rss;
	return dhat_frame_send_message(fd, &request.base, DHAT_FRAME_REQUEST_MAX,
				       in_ms(PATIENCE_S * 1000), NULL);
}

static void send_request(int fd, uint32_t version, Dhat__Request__BodyCase kind)
{
	assert_int_equal(try_request(fd, version, kind), 0);
}

/* The answer is an error with this code, and the last one. Returns whether the connection was
 * closed after it. */
static bool expect_error(int fd, enum dhat_exit code, const char *text)
{
	Dhat__Response *response = receive(fd);
	char byte;

	assert_non_null(response);
	assert_int_equal(response->body_case, DHAT__RESPONSE__BODY_ERROR);
	assert_true(response->is_last);
	assert_int_equal(response->error->exit_code, code);
	if (!strstr(response->error->message, text))
		fail_msg("\"%s\" does not say \"%s\"", response->error->message, text);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void expect_served(int fd)
{
	Dhat__Response *response;

	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_STATUS);
	response = receive(fd);
	assert_non_null(response);
	assert_int_equal(response->body_case, DHAT__RESPONSE__BODY_STATUS);
	assert_string_equal(response->status->tool_version, "the context");
	assert_int_equal(response->status->daemon_pid, getpid());
	assert_true(response->is_last);
	protobuf_c_message_free_unpacked(&response->base, NULL);
}

/* How many parts of a stream there are to be had. */
static int receive_parts(int fd)
{
	Dhat__Response *response;
	bool is_last = false;
	int parts = 0;

	for (; !is_last && (response = receive(fd)); parts++) {
		is_last = response->is_last;
		protobuf_c_message_free_unpacked(&response->base, NULL);
	}
	return parts;
}

/* Until the other side has closed; what it has sent stays there to be read. */
static void await_hangup(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	assert_int_equal(poll(&poll_fd, 1, PATIENCE_S * 1000), 1);
	assert_true(poll_fd.revents & POLLHUP);
}

static void expect_closed(int fd)
{
	struct timeval limit = { .tv_sec = PATIENCE_S };
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_true(recv(fd, &byte, 1, 0) == 0 || errno == ECONNRESET);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_requests(void **state)
{
	struct control *control = start(NULL);
	_cleanup_close_ int fd = connect_to(path);
	Dhat__Response *response;
	bool is_last = false;
	int parts = 0;

	assert_true(fd >= 0);
	expect_served(fd);
	expect_served(fd);
	/* a stream */
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_SNAPSHOT);
	for (; !is_last; parts++) {
		response = receive(fd);
		assert_non_null(response);
		assert_int_equal(strlen(response->done->message), 100000);
		is_last = response->is_last;
		protobuf_c_message_free_unpacked(&response->base, NULL);
	}
	assert_int_equal(parts, STREAM_PARTS);
	/* a failure is an answer, and the connection goes on */
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_ATTACH);
	assert_false(expect_error(fd, DHAT_EXIT_NO_PROCESS, "no process 77"));
	/* a handler that says nothing */
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_DETACH);
	response = receive(fd);
	assert_non_null(response);
	assert_int_equal(response->body_case, DHAT__RESPONSE__BODY_DONE);
	assert_true(response->is_last);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	expect_served(fd);
	control_free(control);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_foreign_requests(void **state)
{
	struct control *control = start(NULL);
	_cleanup_close_ int fd = -1;

	fd = connect_to(path);
	send_request(fd, DHAT_PROTOCOL_VERSION + 1, DHAT__REQUEST__BODY_STATUS);
	expect_error(fd, DHAT_EXIT_PROTOCOL, "speaks protocol 1");
	expect_closed(fd);
	close(fd);
	fd = connect_to(path);
	send_request(fd, 0, DHAT__REQUEST__BODY_STATUS);
	expect_error(fd, DHAT_EXIT_PROTOCOL, "of protocol 0");
	close(fd);
	/* not in the table, and no request at all */
	fd = connect_to(path);
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_PLAN);
	expect_error(fd, DHAT_EXIT_PROTOCOL, "does not know this request");
	close(fd);
	fd = connect_to(path);
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY__NOT_SET);
	expect_error(fd, DHAT_EXIT_PROTOCOL, "does not know this request");
	control_free(control);
}

/* What is wrong with each costs its sender the connection, at once; a client beside them is served,
 * and so are those who still have time. */
static void test_bad_clients(void **state)
{
	struct control *control = start(NULL);
	_cleanup_close_ int good = connect_to(path), half = connect_to(path),
			    large = connect_to(path), garbage = connect_to(path),
			    silent = connect_to(path), lazy = connect_to(path);

	assert_int_equal(write(half, "\x40\0\0\0abc", 7), 7);
	assert_int_equal(write(large, "\x01\0\x01\0xyz", 7), 7); /* 64 KiB and 1 */
	assert_int_equal(write(garbage, "\x04\0\0\0\xff\xff\xff\xff", 8), 8);
	/* asks for five megabytes and takes nothing, yet */
	send_request(lazy, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_SNAPSHOT);
	expect_served(good);
	expect_error(large, DHAT_EXIT_PROTOCOL, "65537 bytes");
	expect_closed(large);
	expect_error(garbage, DHAT_EXIT_PROTOCOL, "no request");
	expect_closed(garbage);
	expect_served(good);
	expect_served(silent);
	assert_int_equal(receive_parts(lazy), STREAM_PARTS);
	control_free(control);
}

/* Who says nothing, half of it, or takes nothing of its answer, loses the connection in the end. */
static void test_limits(void **state)
{
	struct control *control = start_limited(NULL, 300000000);
	_cleanup_close_ int half = connect_to(path), silent = connect_to(path),
			    lazy = connect_to(path);
	int parts;

	(void)!write(half, "\x40\0\0\0abc", 7);
	try_request(lazy, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_SNAPSHOT);
	expect_closed(half);
	expect_closed(silent);
	/* if it was quick to ask, it finds the beginning of its answer, but not the end */
	await_hangup(lazy);
	parts = receive_parts(lazy);
	assert_in_range(parts, 0, STREAM_PARTS - 1);
	control_free(control);
}

/* One that takes its answer piece by piece ends, too. */
static void test_answers_have_an_end(void **state)
{
	struct control_options options = {
		.path = path,
		.table = table,
		.context = "the context",
		.answer_ns = 200000000,
	};
	struct control *control = NULL;
	Dhat__Response *response;
	int fd, parts = 0;

	assert_int_equal(control_new(&options, &control, NULL), 0);
	fd = connect_to(path);
	send_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_SNAPSHOT);
	while ((response = receive(fd))) {
		assert_false(response->is_last);
		protobuf_c_message_free_unpacked(&response->base, NULL);
		assert_in_range(++parts, 1, STREAM_PARTS - 1);
		usleep(20000);
	}
	close(fd);
	control_free(control);
}

static void test_too_many_connections(void **state)
{
	struct control *control = start(NULL);
	int fds[CONTROL_MAX_CONNECTIONS], extra;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_to(path);
		assert_true(fds[i] >= 0);
	}
	extra = connect_to(path);
	expect_error(extra, DHAT_EXIT_FAILED, "busy");
	close(extra);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	/* places come free again, soon */
	for (int tries = 0;; tries++) {
		assert_in_range(tries, 0, PATIENCE_S * 100);
		extra = connect_to(path);
		try_request(extra, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_DETACH);
		Dhat__Response *response = receive(extra);
		bool is_served = response && response->body_case == DHAT__RESPONSE__BODY_DONE;

		if (response)
			protobuf_c_message_free_unpacked(&response->base, NULL);
		close(extra);
		if (is_served)
			break;
		usleep(10000);
	}
	control_free(control);
}

/* Ending cuts who is still there, and waits for its thread. */
static void test_free_with_clients(void **state)
{
	struct control *control = start(NULL);
	_cleanup_close_ int idle = connect_to(path), streaming = connect_to(path);

	send_request(streaming, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_SNAPSHOT);
	control_free(control);
	expect_closed(idle);
}

static void await_count(atomic_int *count, int value)
{
	uint64_t end_ns = in_ms(PATIENCE_S * 1000);

	while (atomic_load(count) < value && clock_now_ns(CLOCK_MONOTONIC) < end_ns)
		usleep(1000);
	assert_int_equal(atomic_load(count), value);
}

/* What takes long is told when its peer has gone, the same connection's place is as new to the next
 * one, and all are told at the end. */
static void test_peers_that_leave(void **state)
{
	struct control *control = start(NULL);
	int leaving = connect_to(path);
	_cleanup_close_ int staying = -1;

	atomic_store(&begun, 0);
	atomic_store(&given_up, 0);
	send_request(leaving, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_RSS);
	await_count(&begun, 1);
	assert_int_equal(atomic_load(&given_up), 0);
	close(leaving);
	await_count(&given_up, 1);
	staying = connect_to(path);
	expect_served(staying);
	send_request(staying, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_RSS);
	await_count(&begun, 2);
	assert_int_equal(atomic_load(&given_up), 1);
	control_free(control);
	assert_int_equal(atomic_load(&given_up), 2);
	expect_closed(staying);
}

static int try_new(const char *where, const char *group, struct dhat_error *err)
{
	struct control_options options = { .path = where, .group = group, .table = table };
	struct control *control = NULL;
	int r;

	*err = (struct dhat_error){ 0 };
	r = control_new(&options, &control, err);
	assert_null(r < 0 ? control : NULL);
	if (r == 0)
		control_free(control);
	return r;
}

static void test_the_socket_file(void **state)
{
	struct control *control;
	struct dhat_error err;
	struct stat stat;
	char text[256];
	FILE *file;

	/* nobody else may use it, whatever the umask */
	umask(0);
	control = start(NULL);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 0777, 0600);
	/* in use */
	assert_int_equal(try_new(path, NULL, &err), -EADDRINUSE);
	assert_int_equal(err.code, DHAT_EXIT_ALREADY);
	assert_non_null(strstr(err.message, "answers at"));
	/* another one's socket at our path is not ours to remove */
	snprintf(text, sizeof(text), "%s.away", path);
	assert_int_equal(rename(path, text), 0);
	file = fopen(path, "w");
	fclose(file);
	control_free(control);
	assert_int_equal(access(path, F_OK), 0);
	/* a file is no socket, and stays */
	assert_int_equal(try_new(path, NULL, &err), -EEXIST);
	assert_int_equal(err.code, DHAT_EXIT_ALREADY);
	unlink(path);
	/* what is left of a dead daemon */
	assert_int_equal(rename(text, path), 0);
	assert_int_equal(try_new(path, NULL, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	/* paths and groups that cannot be */
	memset(text, 'a', 108);
	text[108] = 0;
	assert_int_equal(try_new(text, NULL, &err), -ENAMETOOLONG);
	assert_int_equal(err.code, DHAT_EXIT_USAGE);
	assert_int_equal(try_new("", NULL, &err), -ENAMETOOLONG);
	snprintf(text, sizeof(text), "%s/none/s", directory);
	assert_int_equal(try_new(text, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.message, "--socket"));
	assert_int_equal(try_new(path, "no such group", &err), -ENOENT);
	assert_int_equal(err.code, DHAT_EXIT_USAGE);
}

/* In a child that is somebody else: 0 if served, else the exit code of the error. */
static int ask_as(uid_t uid, gid_t gid, Dhat__Request__BodyCase kind)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		Dhat__Response *response;
		int fd;

		if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(100);
		fd = connect_to(path);
		if (fd < 0)
			_exit(101);
		/* who is refused may be so before the request is sent: the answer counts */
		try_request(fd, DHAT_PROTOCOL_VERSION, kind);
		response = receive(fd);
		if (!response)
			_exit(102);
		_exit(response->body_case == DHAT__RESPONSE__BODY_ERROR ? response->error->exit_code
									: 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A child that is a member of the group and holds as many connections as it gets, until it is
 * killed; how many. */
static int hold_all(uid_t uid, gid_t gid, pid_t *ret_pid)
{
	int counts[2];
	char count = 0;

	assert_int_equal(pipe(counts), 0);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(100);
		for (int i = 0; i < CONTROL_MAX_CONNECTIONS; i++) {
			int fd = connect_to(path);
			Dhat__Response *response;

			try_request(fd, DHAT_PROTOCOL_VERSION, DHAT__REQUEST__BODY_STATUS);
			response = receive(fd);
			count += response && response->body_case == DHAT__RESPONSE__BODY_STATUS;
		}
		if (write(counts[1], &count, 1) != 1)
			_exit(101);
		pause();
	}
	close(counts[1]);
	assert_int_equal(read(counts[0], &count, 1), 1);
	close(counts[0]);
	return count;
}

static void test_members_leave_places(void **state)
{
	const struct group *group = getgrnam("daemon");
	const int most = CONTROL_MAX_CONNECTIONS - CONTROL_OWNER_PLACES;
	struct control *control;
	int members = 0, status, own[CONTROL_OWNER_PLACES];
	pid_t pids[5];

	if (geteuid() != 0) {
		print_message("SKIP: to be somebody else needs root\n");
		skip();
	}
	assert_int_equal(chmod(directory, 0755), 0);
	control = start("daemon");
	for (int i = 0; i < 5; i++) {
		int count = hold_all(60001 + i, group->gr_gid, &pids[i]);

		assert_int_equal(count, most - members < CONTROL_MEMBER_PLACES
						? most - members
						: CONTROL_MEMBER_PLACES);
		members += count;
	}
	assert_int_equal(members, most);
	for (int i = 0; i < CONTROL_OWNER_PLACES; i++) {
		own[i] = connect_to(path);
		expect_served(own[i]);
	}
	for (int i = 0; i < CONTROL_OWNER_PLACES; i++)
		close(own[i]);
	for (int i = 0; i < 5; i++) {
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
	}
	control_free(control);
}

/* Who cannot be accepted is told so, instead of keeping the thread awake. */
static void test_no_descriptors_left(void **state)
{
	struct control *control = start(NULL);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), later, fillers[64], count = 0;
	struct rlimit limit, low;

	strcpy(address.sun_path, path);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = fd + ARRAY_SIZE(fillers);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (count < (int)ARRAY_SIZE(fillers) && (fillers[count] = dup(fd)) >= 0)
		count++;
	assert_int_equal(errno, EMFILE);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_error(fd, DHAT_EXIT_FAILED, "descriptors");
	while (count > 0)
		close(fillers[--count]);
	close(fd);
	later = connect_to(path);
	expect_served(later);
	close(later);
	setrlimit(RLIMIT_NOFILE, &limit);
	control_free(control);
}

static void test_peers_are_checked(void **state)
{
	struct control *control;
	struct group *group;
	struct stat stat;

	if (geteuid() != 0) {
		print_message("SKIP: to be somebody else needs root\n");
		skip();
	}
	assert_int_equal(chmod(directory, 0755), 0);
	control = start(NULL);
	/* the mode keeps them out … */
	assert_int_equal(ask_as(65534, 65534, DHAT__REQUEST__BODY_STATUS), 101);
	/* … and so do their credentials, should the mode be changed */
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(ask_as(65534, 65534, DHAT__REQUEST__BODY_STATUS), DHAT_EXIT_NOT_PERMITTED);
	control_free(control);

	/* the group may look, and no more */
	group = getgrnam("daemon");
	assert_non_null(group);
	control = start("daemon");
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 0777, 0660);
	assert_int_equal(stat.st_gid, group->gr_gid);
	assert_int_equal(ask_as(65534, group->gr_gid, DHAT__REQUEST__BODY_STATUS), 0);
	assert_int_equal(ask_as(65534, group->gr_gid, DHAT__REQUEST__BODY_DETACH),
			 DHAT_EXIT_NOT_PERMITTED);
	assert_int_equal(ask_as(65534, 65534, DHAT__REQUEST__BODY_STATUS), 101);
	control_free(control);

	/* who runs dhatd by sudo is its owner */
	setenv("SUDO_UID", "65534", 1);
	control = start(NULL);
	unsetenv("SUDO_UID");
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode & 0777, 0600);
	assert_int_equal(stat.st_uid, 65534);
	assert_int_equal(ask_as(65534, 65534, DHAT__REQUEST__BODY_DETACH), 0);
	assert_int_equal(ask_as(65533, 65534, DHAT__REQUEST__BODY_STATUS), 101);
	control_free(control);
}

static int set_up(void **state)
{
	unsetenv("SUDO_UID");
	snprintf(directory, sizeof(directory), "/tmp/dhat-control-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(directory); /* fails if a test has left something */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_foreign_requests),
		cmocka_unit_test(test_bad_clients),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_answers_have_an_end),
		cmocka_unit_test(test_too_many_connections),
		cmocka_unit_test(test_free_with_clients),
		cmocka_unit_test(test_peers_that_leave),
		cmocka_unit_test(test_the_socket_file),
		cmocka_unit_test(test_peers_are_checked),
		cmocka_unit_test(test_members_leave_places),
		cmocka_unit_test(test_no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
