#include "load.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#define RING_PAGES 32	     /* a power of two; 16-byte samples: 8,192 of them */
#define READ_NS 100000000ull /* a ring is read so often: it is not full before */

struct watch { /* of one thread */
	int fd;
	void *ring;
};

struct watches {
	struct watch list[LOAD_MAX_THREADS];
	size_t count, ring_bytes;
};

static void close_watches(struct watches *watches)
{
	size_t i;

	for (i = 0; i < watches->count; i++) {
		if (watches->list[i].ring)
			munmap(watches->list[i].ring, watches->ring_bytes);
		close(watches->list[i].fd);
	}
}

/* -ESRCH: the thread has just ended. */
static int watch_thread(struct watches *watches, pid_t tid, uint64_t sample_ns)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = sample_ns,
		.sample_type = PERF_SAMPLE_IP,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.disabled = 1,
	};
	struct watch watch = { .fd = -1 };

	watch.fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (watch.fd < 0)
		return -errno;
	watch.ring =
		mmap(NULL, watches->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, watch.fd, 0);
	if (watch.ring == MAP_FAILED) {
		int error = errno;

		close(watch.fd);
		return -error;
	}
	watches->list[watches->count++] = watch;
	return 0;
}

static int watch_threads(struct watches *watches, pid_t pid, struct load *load, uint64_t sample_ns,
			 struct dhat_error *err)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t count = 0;
	int r = proc_threads(pid, &tids, &count);

	if (r < 0)
		return dhat_error_errno(err, -r, "cannot list the threads of process %d", (int)pid);
	for (size_t i = 0; i < count && (r == 0 || r == -ESRCH); i++) {
		if (watches->count == LOAD_MAX_THREADS)
			load->unseen_threads++;
		else
			r = watch_thread(watches, tids[i], sample_ns);
	}
	if (r < 0 && r != -ESRCH)
		return dhat_error_errno(err, -r, "cannot sample process %d", (int)pid);
	load->threads = watches->count;
	return 0;
}

static bool is_inside(uint64_t ip, const struct load_range *ranges, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (ip >= ranges[i].start && ip < ranges[i].end)
			return true;
	return false;
}

/* Bytes of the ring at an ever-growing position: perf_event_open(2), "MMAP layout". */
static void ring_read(const struct perf_event_mmap_page *page, uint64_t at, void *ret, size_t size)
{
	const uint8_t *data = (const uint8_t *)page + page->data_offset;
	size_t i;

	for (i = 0; i < size; i++)
		((uint8_t *)ret)[i] = data[(at + i) % page->data_size];
}

static void count_samples(const struct watch *watch, const struct load_range *ranges, size_t count,
			  struct load *load, bool *ret_is_throttled)
{
	struct perf_event_mmap_page *page = watch->ring;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), at = page->data_tail;
	struct perf_event_header header;
	uint64_t ip;

	while (head - at >= sizeof(header)) {
		ring_read(page, at, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > head - at)
			break;
		if (header.type == PERF_RECORD_SAMPLE &&
		    header.size >= sizeof(header) + sizeof(ip)) {
			ring_read(page, at + sizeof(header), &ip, sizeof(ip));
			load->samples++;
			load->inside += is_inside(ip, ranges, count);
		} else if (header.type == PERF_RECORD_THROTTLE || header.type == PERF_RECORD_LOST) {
			*ret_is_throttled = true;
		}
		at += header.size;
	}
	__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
}

static uint64_t cpu_of(const struct watches *watches)
{
	uint64_t sum = 0, cpu_ns;

	for (size_t i = 0; i < watches->count; i++)
		if (read(watches->list[i].fd, &cpu_ns, sizeof(cpu_ns)) == sizeof(cpu_ns))
			sum += cpu_ns;
	return sum;
}

int load_measure(pid_t pid, const struct load_range *ranges, size_t count,
		 const struct load_wish *wish, struct load *ret, struct dhat_error *err)
{
	_cleanup_(close_watches) struct watches watches = {
		.ring_bytes = (1 + RING_PAGES) * sysconf(_SC_PAGESIZE),
	};
	const struct timespec interval = { READ_NS / 1000000000, READ_NS % 1000000000 };
	struct load load = { .sample_ns = wish->sample_ns };
	bool is_throttled = false;
	uint64_t began;
	size_t i;
	int r = watch_threads(&watches, pid, &load, wish->sample_ns, err);

	if (r < 0)
		return r;
	began = clock_now_ns(CLOCK_MONOTONIC);
	for (i = 0; i < watches.count; i++)
		ioctl(watches.list[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	while (load.wall_ns < wish->duration_ns && (!wish->enough || load.inside < wish->enough)) {
		nanosleep(&interval, NULL);
		for (i = 0; i < watches.count; i++)
			count_samples(&watches.list[i], ranges, count, &load, &is_throttled);
		load.wall_ns = clock_now_ns(CLOCK_MONOTONIC) - began;
	}
	for (i = 0; i < watches.count; i++)
		ioctl(watches.list[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	load.wall_ns = clock_now_ns(CLOCK_MONOTONIC) - began;
	for (i = 0; i < watches.count; i++)
		count_samples(&watches.list[i], ranges, count, &load, &is_throttled);
	load.cpu_ns = cpu_of(&watches);
	/* some are missing: the others stand for all its time, what was the kernel's included */
	if (is_throttled && load.samples)
		load.sample_ns = load.cpu_ns / load.samples;
	*ret = load;
	return 0;
}

/* ---- counting ------------------------------------------------------------------------------ */

#define COUNT_LOOK_NS 10000000	 /* how often it is looked whether that is enough */
#define COUNT_LEAST_NS 100000000 /* 400 hits in less: a hit took more than a tenth of the time */

struct breakpoint_fds {
	int list[LOAD_MAX_THREADS * LOAD_PLACES];
	size_t count;
};

static void close_breakpoints(struct breakpoint_fds *fds)
{
	for (size_t i = 0; i < fds->count; i++)
		close(fds->list[i]);
}

/* It takes itself out after LOAD_ENOUGH_HITS: perf_event_open(2), PERF_EVENT_IOC_REFRESH. */
static int set_breakpoint(struct breakpoint_fds *fds, pid_t tid, uint64_t place)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_BREAKPOINT,
		.bp_type = HW_BREAKPOINT_X,
		.bp_addr = place,
		.bp_len = sizeof(long), /* for execution it has to be this */
		.sample_period = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.disabled = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	fds->list[fds->count++] = fd;
	return 0;
}

static uint64_t read_hits(const struct breakpoint_fds *fds, size_t places, uint64_t *ret)
{
	uint64_t all = 0, hits;

	memset(ret, 0, places * sizeof(*ret));
	for (size_t i = 0; i < fds->count; i++) {
		if (read(fds->list[i], &hits, sizeof(hits)) != sizeof(hits))
			continue;
		ret[i % places] += hits;
		all += hits;
	}
	return all;
}

/* Those of a thread follow each other, as read_hits() takes them. */
static int set_breakpoints(struct breakpoint_fds *fds, pid_t pid, const uint64_t *places,
			   size_t count)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t thread_count = 0;
	int r = proc_threads(pid, &tids, &thread_count);

	if (r == 0 && thread_count > LOAD_MAX_THREADS)
		return -E2BIG;
	for (size_t i = 0; i < thread_count && r == 0; i++) {
		for (size_t j = 0; j < count && r == 0; j++)
			r = set_breakpoint(fds, tids[i], places[j]);
		if (r == -ESRCH) { /* it has just ended */
			while (fds->count % count)
				close(fds->list[--fds->count]);
			r = 0;
		}
	}
	return r;
}

static void __attribute__((noinline)) own_place(void)
{
	__asm__ volatile("");
}

/* There are virtual machines that take breakpoints and never come to one: seen with PVM, where 0
 * calls would be counted of a busy process. */
static int try_breakpoints(void)
{
	_cleanup_(close_breakpoints) struct breakpoint_fds fds = { 0 };
	uint64_t hits = 0;
	int r = set_breakpoint(&fds, 0, (uintptr_t)own_place);

	if (r)
		return r;
	ioctl(fds.list[0], PERF_EVENT_IOC_REFRESH, 1);
	own_place();
	return read_hits(&fds, 1, &hits) ? 0 : -EOPNOTSUPP;
}

int load_count(pid_t pid, const uint64_t *places, size_t count, uint64_t duration_ns,
	       struct load_count *ret)
{
	const struct timespec interval = { .tv_nsec = COUNT_LOOK_NS };
	_cleanup_(close_breakpoints) struct breakpoint_fds fds = { 0 };
	struct load_count counted = { 0 };
	uint64_t began, all = 0;
	int r;

	if (count == 0 || count > LOAD_PLACES)
		return -EINVAL;
	r = try_breakpoints();
	if (r == 0)
		r = set_breakpoints(&fds, pid, places, count);
	if (r)
		return r;
	began = clock_now_ns(CLOCK_MONOTONIC);
	for (size_t i = 0; i < fds.count; i++)
		ioctl(fds.list[i], PERF_EVENT_IOC_REFRESH, LOAD_ENOUGH_HITS);
	while (counted.wall_ns < duration_ns && all < LOAD_ENOUGH_HITS) {
		nanosleep(&interval, NULL);
		all = read_hits(&fds, count, counted.hits);
		counted.wall_ns = clock_now_ns(CLOCK_MONOTONIC) - began;
	}
	if (all >= LOAD_ENOUGH_HITS && counted.wall_ns < COUNT_LEAST_NS)
		return -ERANGE;
	*ret = counted;
	return 0;
}

double load_calls_per_second(const struct load *load)
{
	if (load->wall_ns == 0)
		return 0;
	return (double)load->inside * load->sample_ns / LOAD_CALL_NS / (load->wall_ns / 1e9);
}

double load_calls_at_most(const struct load *load)
{
	/* upper ends of the intervals for 0, 1, … events seen, one-sided */
	static const double most[LOAD_FEW] = { 3.00, 4.74, 6.30, 7.75, 9.15 };
	double inside = load->inside < LOAD_FEW ? most[load->inside] : 2.0 * load->inside;
	double inside_ns = inside * load->sample_ns;

	if (load->wall_ns == 0)
		return 0;
	if (inside_ns > load->cpu_ns)
		inside_ns = load->cpu_ns;
	return inside_ns / LOAD_FASTEST_CALL_NS / (load->wall_ns / 1e9);
}
