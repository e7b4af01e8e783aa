#include "collector_thread.h"

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Rings are drained at least this often; a ring that is a quarter full wakes us earlier. */
#define DRAIN_INTERVAL_MS 10
#define DRAIN_BATCH 4096
#define TICK_NS 1000000000ull
#define BUSY_INTERVAL_MS 1 /* somebody copies a target: look again soon */

struct collector_thread {
	struct collector_hooks hooks;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_ending;
	atomic_uint_least64_t turns;
	int epoll_fd, wake_fd;
};

static void wake(struct collector_thread *thread)
{
	uint64_t one = 1;
	ssize_t ignored = write(thread->wake_fd, &one, sizeof(one));

	(void)ignored;
}

/* One batch of each target, so that none waits for another's backlog. How long the collector may
 * sleep after it, in ms. */
static int take_turn(struct collector_thread *thread, bool is_tick)
{
	const struct collector_hooks *hooks = &thread->hooks;
	_cleanup_free_ struct target **active = NULL;
	size_t count = 0;
	int error = hooks->list(hooks->context, &active, &count);
	int wait_ms = count || error ? DRAIN_INTERVAL_MS : -1;

	for (size_t i = 0; i < count; i++) {
		size_t taken = 0;

		if (!target_try_drain(active[i], DRAIN_BATCH, &taken))
			wait_ms = wait_ms ? BUSY_INTERVAL_MS : 0;
		else if (taken == DRAIN_BATCH)
			wait_ms = 0;
		if (is_tick)
			target_tick(active[i]);
		if (target_has_exited(active[i]))
			hooks->exited(hooks->context, active[i]);
		target_unref(active[i]);
	}
	return wait_ms;
}

static void *collect(void *context)
{
	struct collector_thread *thread = context;
	uint64_t last_tick_ns = 0;

	while (!atomic_load(&thread->is_ending)) {
		struct epoll_event events[16];
		uint64_t now_ns = clock_now_ns(CLOCK_MONOTONIC);
		bool is_tick = now_ns - last_tick_ns >= TICK_NS;
		int wait_ms = take_turn(thread, is_tick);

		atomic_fetch_add(&thread->turns, 1);
		if (is_tick)
			last_tick_ns = now_ns;
		/* edge-triggered: only a forced wake-up ends the wait early (bpf:
		 * BPF_RB_FORCE_WAKEUP) */
		if (epoll_wait(thread->epoll_fd, events, ARRAY_SIZE(events), wait_ms) < 0 &&
		    errno != EINTR)
			break;
	}
	return NULL;
}

static int watch(struct collector_thread *thread, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(thread->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int collector_thread_new(const struct collector_hooks *hooks, struct collector_thread **ret)
{
	struct collector_thread *thread = calloc(1, sizeof(*thread));
	int error = 0;

	if (!thread)
		return -ENOMEM;
	thread->hooks = *hooks;
	thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->epoll_fd < 0 || thread->wake_fd < 0)
		error = -errno;
	if (error == 0)
		error = watch(thread, thread->wake_fd);
	if (error == 0)
		error = -pthread_create(&thread->thread, NULL, collect, thread);
	thread->has_thread = error == 0;
	if (error)
		collector_thread_free(thread);
	else
		*ret = thread;
	return error;
}

void collector_thread_free(struct collector_thread *thread)
{
	if (!thread)
		return;
	atomic_store(&thread->is_ending, true);
	if (thread->has_thread) {
		wake(thread);
		pthread_join(thread->thread, NULL);
	}
	if (thread->epoll_fd >= 0)
		close(thread->epoll_fd);
	if (thread->wake_fd >= 0)
		close(thread->wake_fd);
	free(thread);
}

int collector_thread_watch(struct collector_thread *thread, struct target *target)
{
	int error = watch(thread, target_ring_fd(target));

	if (error == 0 && target_pidfd(target) >= 0)
		error = watch(thread, target_pidfd(target));
	return error;
}

void collector_thread_wake(struct collector_thread *thread)
{
	wake(thread);
}

uint64_t collector_thread_turns(const struct collector_thread *thread)
{
	return atomic_load(&thread->turns);
}
