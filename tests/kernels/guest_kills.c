/* guest_kills: does a dhatd that is killed leave breakpoints in its target, on this kernel?
 *
 * guest_kills BUILD [KILLS [LINK]]: with every kind of probe link that the kernel has, or with
 * LINK, attaches to a kernel_sample and kills dhatd, KILLS times each (default 8): while it
 * attaches, while it detaches, and in between. Judged by the target's code against its files.
 * Prints "ok NAME: figures" or "FAIL NAME: figures" for each kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc/breakpoints.h"
#include "proto/base/cleanup.h"
#include "proto/base/error.h"

#define DEADLINE_MS 180000 /* an emulated CPU is 15 times slower, and its clock may run ahead */
#define MAX_PLACES 64

static const char *build;
static char socket_path[64];

struct process {
	pid_t pid;
	int out; /* of its stdout and stderr */
};

/* Its stdin is a pipe that stays open. */
static struct process start(char *const argv[])
{
	struct process process;
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		perror("guest_kills: pipe");
		exit(1);
	}
	fflush(stdout);
	process.pid = fork();
	if (process.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		fcntl(in[1], F_SETFD, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(in[1]);
	close(out[1]);
	process.out = out[0];
	return process;
}

static bool wait_for(struct process *process, const char *word)
{
	struct pollfd poller = { .fd = process->out, .events = POLLIN };
	char said[4096] = "";
	size_t size = 0;

	while (size < sizeof(said) - 1 && poll(&poller, 1, DEADLINE_MS) == 1) {
		ssize_t n = read(process->out, said + size, sizeof(said) - 1 - size);

		if (n <= 0)
			return false;
		size += n;
		said[size] = 0;
		if (strstr(said, word))
			return true;
	}
	return false;
}

/* Its exit status; 128 + signal. */
static int end_of(struct process *process)
{
	int status = 0;

	waitpid(process->pid, &status, 0);
	close(process->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct process attach(pid_t target, char *link)
{
	char dhatd[4096], pid[16];

	snprintf(dhatd, sizeof(dhatd), "%s/dhatd", build);
	snprintf(pid, sizeof(pid), "%d", target);
	return start((char *[]){ dhatd, "attach", "--socket", socket_path, "--no-inventory",
				 "--link", link, "--pid", pid, NULL });
}

/* ---- the target's code ------------------------------------------------------------------------
 */

static size_t breakpoints(pid_t target)
{
	struct breakpoints found = { 0 };
	size_t count;

	if (breakpoints_find(target, &found))
		return SIZE_MAX;
	count = found.count;
	breakpoints_deinit(&found);
	return count;
}

struct places {
	uint64_t addrs[MAX_PLACES];
	size_t count;
	int memory;
};

static size_t breakpoints_at(const struct places *places)
{
	size_t count = 0;
	uint8_t byte;

	for (size_t i = 0; i < places->count; i++)
		count += pread(places->memory, &byte, 1, places->addrs[i]) == 1 && byte == 0xcc;
	return count;
}

/* Until the number of breakpoints is not `before` any more, or dhatd has ended. */
static void wait_for_change(const struct places *places, size_t before, pid_t dhatd)
{
	siginfo_t info = { 0 };

	while (breakpoints_at(places) == before && info.si_pid == 0)
		waitid(P_PID, dhatd, &info, WEXITED | WNOHANG | WNOWAIT);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

/* How many are left when for a long time none has gone: perf links go one after the other. */
static size_t left_in(pid_t target)
{
	uint64_t end = now_ms() + DEADLINE_MS;
	size_t left = breakpoints(target), least = left;

	while (left && now_ms() < end) {
		usleep(20000);
		left = breakpoints(target);
		if (left < least) {
			least = left;
			end = now_ms() + DEADLINE_MS;
		}
	}
	return left;
}

/* ---- kills ------------------------------------------------------------------------------------
 */

static void kill_in_some_way(int way, const struct places *places, pid_t target, char *link)
{
	struct process dhatd = attach(target, link);

	if (way == 0) {
		wait_for_change(places, 0, dhatd.pid);
	} else if (wait_for(&dhatd, "answering")) {
		if (way == 1 || way == 2)
			kill(dhatd.pid, SIGTERM);
		if (way == 1)
			wait_for_change(places, places->count, dhatd.pid);
		else if (way == 2)
			usleep(rand() % 100000);
	}
	kill(dhatd.pid, SIGKILL);
	end_of(&dhatd);
}

/* False: this kernel has no such link. */
static bool learn_places(pid_t target, char *link, struct places *ret)
{
	struct process dhatd = attach(target, link);
	struct breakpoints found = { 0 };
	char path[64];
	bool is_attached = wait_for(&dhatd, "answering");

	ret->count = 0;
	if (is_attached && breakpoints_find(target, &found) == 0)
		for (size_t i = 0; i < found.count && i < MAX_PLACES; i++)
			ret->addrs[ret->count++] = found.list[i].addr;
	breakpoints_deinit(&found);
	snprintf(path, sizeof(path), "/proc/%d/mem", target);
	ret->memory = open(path, O_RDONLY | O_CLOEXEC);
	kill(dhatd.pid, SIGTERM);
	return end_of(&dhatd) != DHAT_EXIT_UNSUPPORTED;
}

/* Another target after one in which something was left. */
static bool test_link(char *link, int kills)
{
	static const char *const ways[] = { "placing", "letting go", "SIGTERM, SIGKILL",
					    "SIGKILL" };
	uint64_t began = now_ms();
	char sample[4096];
	size_t left[ARRAY_SIZE(ways)] = { 0 }, all = 0;
	struct places places = { .memory = -1 };
	struct process target = { 0 };

	snprintf(sample, sizeof(sample), "%s/tests/targets/kernel_sample", build);
	for (int i = 0; i < kills; i++) {
		size_t way = i % ARRAY_SIZE(ways), here;

		if (!target.pid) {
			target = start((char *[]){ sample, "wait", NULL });
			if (!wait_for(&target, "ready")) {
				printf("FAIL %s does not start\n", sample);
				return false;
			}
			if (!learn_places(target.pid, link, &places)) {
				printf("# %s links: not in this kernel\n", link);
				kill(target.pid, SIGKILL);
				end_of(&target);
				return true;
			}
			if (places.count == 0) {
				printf("FAIL %s links: no breakpoint while attached\n", link);
				return false;
			}
		}
		kill_in_some_way(way, &places, target.pid, link);
		here = left_in(target.pid);
		if (here)
			printf("# %s links, %s: %zu of %zu places\n", link, ways[way], here,
			       places.count);
		left[way] += here > 0;
		all += here > 0;
		if (here || i == kills - 1) {
			kill(target.pid, SIGKILL);
			end_of(&target);
			close(places.memory);
			target.pid = 0;
		}
	}
	printf("%s %s links, killed: %d kills, %zu left breakpoints", all ? "FAIL" : "ok", link,
	       kills, all);
	for (size_t i = 0; i < ARRAY_SIZE(ways) && all; i++)
		printf("; %s: %zu", ways[i], left[i]);
	printf(" (%lu s)\n", (now_ms() - began) / 1000);
	return all == 0;
}

int main(int argc, char **argv)
{
	static char *const links[] = { "perf", "multi", "session" };
	int kills = argc > 2 ? atoi(argv[2]) : 8;
	bool is_good = true;

	if (argc < 2 || kills < 1) {
		fprintf(stderr, "usage: guest_kills BUILD [KILLS [LINK]]\n");
		return 2;
	}
	build = argv[1];
	srand(time(NULL));
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(socket_path, sizeof(socket_path), "/tmp/guest_kills.%d.sock", getpid());
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (argc < 4 || strcmp(argv[3], links[i]) == 0)
			is_good &= test_link(links[i], kills);
	unlink(socket_path);
	return !is_good;
}
