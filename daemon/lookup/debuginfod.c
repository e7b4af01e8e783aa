#include "debuginfod.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/wire/frame.h"

#define MAX_PATH_BYTES 4096
#define SECOND_NS 1000000000ull

static int spawn_find(const struct debuginfod *options, uint32_t seconds, char *build_id, int out,
		      pid_t *ret)
{
	char urls[MAX_PATH_BYTES], cache[MAX_PATH_BYTES], limit[64], timeout[64];
	char *environment[6] = { urls, limit, timeout, "PATH=/usr/local/bin:/usr/bin:/bin" };
	char *argv[] = { "debuginfod-find", "debuginfo", build_id, NULL };
	const char *home = getenv("HOME");
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	snprintf(urls, sizeof(urls), "DEBUGINFOD_URLS=%s", options->urls);
	snprintf(limit, sizeof(limit), "DEBUGINFOD_MAXTIME=%u", seconds);
	snprintf(timeout, sizeof(timeout), "DEBUGINFOD_TIMEOUT=%u", seconds);
	if (options->cache)
		snprintf(cache, sizeof(cache), "DEBUGINFOD_CACHE_PATH=%s", options->cache);
	if (!options->cache)
		snprintf(cache, sizeof(cache), "HOME=%s", home ? home : "/");
	environment[4] = cache;
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_init(&actions);
	r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (!r)
		r = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (!r)
		r = posix_spawnp(ret, argv[0], &actions, &attributes, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

/* The path it prints, up to its end or the deadline. */
static bool read_path(int in, uint64_t deadline_ns, char *path, size_t size)
{
	size_t used = 0;

	while (used < size - 1) {
		struct pollfd poll_fd = { .fd = in, .events = POLLIN };
		uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
		ssize_t got;

		if (now >= deadline_ns || poll(&poll_fd, 1, (deadline_ns - now) / 1000000 + 1) < 0)
			return false;
		if (!poll_fd.revents)
			continue;
		got = read(in, path + used, size - 1 - used);
		if (got < 0)
			return false;
		if (!got)
			break;
		used += got;
	}
	path[used] = '\0';
	path[strcspn(path, "\n")] = '\0';
	return path[0] == '/';
}

/* Ends the child if it is still there, and tells whether it found something. */
static bool finish(pid_t pid, bool has_path)
{
	int status = 0;

	if (!has_path)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return has_path && WIFEXITED(status) && !WEXITSTATUS(status);
}

int debuginfod_fetch(struct debuginfod *debuginfod, const uint8_t *build_id, size_t build_id_size)
{
	uint32_t seconds = debuginfod->max_seconds ? debuginfod->max_seconds : DEBUGINFOD_SECONDS;
	uint64_t began = clock_now_ns(CLOCK_MONOTONIC), limit_ns = seconds * SECOND_NS;
	_cleanup_close_ int in = -1, out = -1;
	char hex[129] = "", path[MAX_PATH_BYTES];
	int pipe_fds[2];
	bool is_found;
	pid_t pid;

	if (!debuginfod->urls || !*debuginfod->urls || !build_id_size || build_id_size > 64 ||
	    began < debuginfod->quiet_until_ns)
		return -1;
	for (size_t i = 0; i < build_id_size; i++)
		snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
	if (pipe2(pipe_fds, O_CLOEXEC))
		return -1;
	in = pipe_fds[0];
	out = pipe_fds[1];
	if (spawn_find(debuginfod, seconds, hex, out, &pid))
		return -1;
	close(take_fd(out));
	/* its own limit comes first; ours is for a child that does not keep to it */
	is_found = finish(pid, read_path(in, began + limit_ns + 2 * SECOND_NS, path, sizeof(path)));
	if (!is_found && clock_now_ns(CLOCK_MONOTONIC) - began >= limit_ns)
		debuginfod->quiet_until_ns =
			clock_now_ns(CLOCK_MONOTONIC) + DEBUGINFOD_QUIET_SECONDS * SECOND_NS;
	if (!is_found)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}
