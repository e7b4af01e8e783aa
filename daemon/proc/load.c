#include "load.h"

#include <errno.h>
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

#define RING_PAGES 32 /* a power of two; 16-byte samples: 8,192 of them, two seconds' */

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
static int watch_thread(struct watches *watches, pid_t tid)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000 / LOAD_SAMPLES_PER_SECOND, /* ns */
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

static int watch_threads(struct watches *watches, pid_t pid, struct load *load,
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
			r = watch_thread(watches, tids[i]);
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
			  struct load *load)
{
	struct perf_event_mmap_page *page = watch->ring;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), at = page->data_tail;
	struct perf_event_header header;
	uint64_t ip, cpu_ns = 0;

	while (head - at >= sizeof(header)) {
		ring_read(page, at, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > head - at)
			break;
		if (header.type == PERF_RECORD_SAMPLE &&
		    header.size >= sizeof(header) + sizeof(ip)) {
			ring_read(page, at + sizeof(header), &ip, sizeof(ip));
			load->samples++;
			load->inside += is_inside(ip, ranges, count);
		}
		at += header.size;
	}
	if (read(watch->fd, &cpu_ns, sizeof(cpu_ns)) == sizeof(cpu_ns))
		load->cpu_ns += cpu_ns;
}

int load_measure(pid_t pid, const struct load_range *ranges, size_t count, uint64_t duration_ns,
		 struct load *ret, struct dhat_error *err)
{
	_cleanup_(close_watches) struct watches watches = {
		.ring_bytes = (1 + RING_PAGES) * sysconf(_SC_PAGESIZE),
	};
	struct timespec duration = { duration_ns / 1000000000, duration_ns % 1000000000 };
	struct load load = { 0 };
	uint64_t began;
	size_t i;
	int r = watch_threads(&watches, pid, &load, err);

	if (r < 0)
		return r;
	began = clock_now_ns(CLOCK_MONOTONIC);
	for (i = 0; i < watches.count; i++)
		ioctl(watches.list[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	while (nanosleep(&duration, &duration) < 0 && errno == EINTR)
		;
	for (i = 0; i < watches.count; i++)
		ioctl(watches.list[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	load.wall_ns = clock_now_ns(CLOCK_MONOTONIC) - began;
	for (i = 0; i < watches.count; i++)
		count_samples(&watches.list[i], ranges, count, &load);
	*ret = load;
	return 0;
}

double load_calls_per_second(const struct load *load)
{
	double share = load->samples ? (double)load->inside / load->samples : 0;

	if (load->wall_ns == 0)
		return 0;
	return share * load->cpu_ns / LOAD_CALL_NS / (load->wall_ns / 1e9);
}
