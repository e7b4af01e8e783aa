/* wake_judge: is the daemon woken, whatever it is that fills the ring?
 *
 *   wake_judge
 *
 * A child calls a probed function that frees, and nothing else. The kernel side shall wake who
 * waits for its ring when it has filled to a quarter, and not before: most wake-ups would cost more
 * than what they bring. Both are asked of the ring itself: in edge-triggered epoll only a wake-up
 * makes it readable again. Exit 1 when one is missing, or comes too early.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/kernel/selftest.h"
#include "daemon/kernel/tracer.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"

#define RING_BYTES (64u << 10)
#define PATIENCE_MS 60000 /* a wake-up that comes is not waited for; one that does not fails */
#define RDI 7		  /* struct dhat_cookie: arg_reg */

static uint64_t fed;

__attribute__((noinline, noclone)) static void give_back(void *block)
{
	__asm__ volatile("" : : "r"(block) : "memory");
}

static void child(int orders, int answers)
{
	uint32_t count;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(orders, &count, sizeof(count)) == sizeof(count)) {
		for (uint32_t i = 0; i < count; i++)
			give_back((void *)(uintptr_t)(0x1000 + i * 16));
		if (write(answers, &count, sizeof(count)) != sizeof(count))
			break;
	}
	_exit(0);
}

static int offset_of(uintptr_t addr, uint64_t *ret)
{
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	int error = procmaps_read(getpid(), &maps);

	for (size_t i = 0; i < maps.count && !error; i++) {
		if (addr < maps.entries[i].start || addr >= maps.entries[i].end)
			continue;
		*ret = addr - maps.entries[i].start + maps.entries[i].file_offset;
		return 0;
	}
	return error ? error : -ENOENT;
}

static void take(void *context, const void *record, size_t size)
{
	const struct dhat_record *head = record;

	fed += head->type == DHAT_RECORD_FREE;
}

static bool is_woken(int epoll, int patience_ms)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, patience_ms) == 1;
}

static bool order(int orders, int answers, uint32_t count)
{
	uint32_t answer;

	return write(orders, &count, sizeof(count)) == sizeof(count) &&
	       read(answers, &answer, sizeof(answer)) == sizeof(answer);
}

static void clear(int epoll, struct tracer *tracer)
{
	ring_drain(tracer_ring(tracer), SIZE_MAX, take, NULL);
	while (is_woken(epoll, 0))
		;
}

static int judge(struct tracer *tracer, int orders, int answers)
{
	const uint32_t quarter = RING_BYTES / 4 / (8 + sizeof(struct dhat_record_free));
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	_cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, tracer_ring_fd(tracer), &event))
		return -errno;
	/* the first calls tell of what is mapped, which wakes as well */
	if (!order(orders, answers, 10))
		return -EPIPE;
	clear(epoll, tracer);
	fed = 0;
	for (int round = 0; round < 20; round++) {
		if (!order(orders, answers, quarter / 2))
			return -EPIPE;
		if (is_woken(epoll, 0)) {
			printf("woken with an eighth of the ring full\n");
			return 1;
		}
		if (!order(orders, answers, quarter))
			return -EPIPE;
		if (!is_woken(epoll, PATIENCE_MS)) {
			printf("not woken by %u frees, %u bytes of %u\n", quarter + quarter / 2,
			       (unsigned)ring_used_bytes(tracer_ring(tracer)), RING_BYTES);
			return 1;
		}
		clear(epoll, tracer);
	}
	printf("woken each time a quarter of the ring was full of frees, and not before; %" PRIu64
	       " frees\n",
	       fed);
	return fed == 20 * (quarter + quarter / 2) ? 0 : 1;
}

static enum uprobe_kind best_kind(void)
{
	enum uprobe_kind kind = UPROBE_SESSION;

	while (kind < UPROBE_PERF && selftest_threads(kind, NULL))
		kind++;
	return kind;
}

int main(void)
{
	struct tracer_options options = { .ring_bytes = RING_BYTES, .kind = best_kind() };
	const union dhat_cookie_word cookie = { .parts = { .role = DHAT_ROLE_FREE,
							   .arg_reg = { RDI } } };
	struct uprobe_site site = { .cookie = cookie.word };
	struct dhat_error err = { 0 };
	struct tracer *tracer = NULL;
	int orders[2], answers[2], result;
	pid_t pid;

	if (pipe(orders) || pipe(answers) || (pid = fork()) < 0)
		return 1;
	if (pid == 0) {
		close(orders[1]);
		child(orders[0], answers[1]);
	}
	close(answers[1]);
	options.pid = pid;
	result = offset_of((uintptr_t)give_back, &site.file_offset);
	if (result == 0)
		result = tracer_new(&options, &tracer, &err);
	if (result == 0)
		result = tracer_attach(tracer, "/proc/self/exe", &site, 1, &err);
	if (result == 0) {
		tracer_open_gate(tracer);
		result = judge(tracer, orders[1], answers[0]);
	}
	if (result < 0)
		fprintf(stderr, "wake_judge: %s\n",
			err.message[0] ? err.message : strerror(-result));
	close(orders[1]);
	tracer_free(tracer);
	waitpid(pid, NULL, 0);
	return result != 0;
}
