#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include "file.h"

/* Copying 64 KiB takes about 10 µs: little of a heap changes meanwhile. */
#define WINDOW_BYTES 65536
#define KNOWN_PAGES 512 /* 2 MiB of the process's memory: 4 KiB of pagemap */
#define NEAR_PAGES 16	/* a window's */

struct remote {
	struct remote_source source;
	const atomic_bool *stop;
	uint64_t deadline_ns;
	int error;
	/* Which pages exist, from known_addr on. One that did may be relied on: if it is given back
	 * meanwhile, reading it costs a page of zeros. One that did not is asked about again. */
	uint64_t known_addr;
	size_t known_count;
	bool known[KNOWN_PAGES];
	uint64_t window_addr;
	size_t window_size;
	uint8_t window[WINDOW_BYTES];
};

int remote_new(const struct remote_source *source, struct remote **ret)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote) {
		if (source->close)
			source->close(source->context);
		return -ENOMEM;
	}
	remote->source = *source;
	*ret = remote;
	return 0;
}

void remote_free(struct remote *remote)
{
	if (remote && remote->source.close)
		remote->source.close(remote->source.context);
	free(remote);
}

void remote_limit(struct remote *remote, const atomic_bool *stop, uint64_t deadline_ns)
{
	remote->stop = stop;
	remote->deadline_ns = deadline_ns;
}

int remote_error(const struct remote *remote)
{
	return remote->error;
}

/* keeps R3 */
static bool may_go_on(struct remote *remote)
{
	if (remote->error)
		return false;
	if (remote->stop && atomic_load(remote->stop))
		remote->error = -ECANCELED;
	if (!remote->error && remote->deadline_ns &&
	    clock_now_ns(CLOCK_MONOTONIC) > remote->deadline_ns)
		remote->error = -ETIMEDOUT;
	return !remote->error;
}

/* ---- which pages there are ------------------------------------------------------------------- */

static bool is_known(const struct remote *remote, uint64_t page)
{
	return page >= remote->known_addr &&
	       page - remote->known_addr < remote->known_count * REMOTE_PAGE;
}

static bool learn(struct remote *remote, uint64_t page, size_t count)
{
	ssize_t n = remote->source.pages(remote->source.context, page, remote->known, count);

	remote->known_addr = page;
	remote->known_count = n > 0 ? n : 0;
	return remote->known_count;
}

static bool has_page(struct remote *remote, uint64_t page)
{
	if (is_known(remote, page) && remote->known[(page - remote->known_addr) / REMOTE_PAGE])
		return true;
	return learn(remote, page, NEAR_PAGES) && remote->known[0];
}

uint64_t remote_next_page(struct remote *remote, uint64_t addr, uint64_t end)
{
	while (addr < end && may_go_on(remote)) {
		if (!is_known(remote, addr) && !learn(remote, addr, KNOWN_PAGES))
			return end;
		if (remote->known[(addr - remote->known_addr) / REMOTE_PAGE])
			return addr;
		addr += REMOTE_PAGE;
	}
	return end;
}

/* How much of size bytes at addr lies in pages that exist, without a gap: R2. */
static size_t existing_bytes(struct remote *remote, uint64_t addr, size_t size)
{
	uint64_t page = addr / REMOTE_PAGE * REMOTE_PAGE, end = addr + size;

	if (end < addr)
		return 0;
	while (page < end && has_page(remote, page))
		page += REMOTE_PAGE;
	return page <= addr ? 0 : page < end ? page - addr : size;
}

/* ---- reading --------------------------------------------------------------------------------- */

size_t remote_read_some(struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	size_t there, done = 0;

	if (!may_go_on(remote))
		return 0;
	there = existing_bytes(remote, addr, size);
	while (done < there) {
		ssize_t n = remote->source.read(remote->source.context, addr + done,
						(uint8_t *)buffer + done, there - done);

		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

int remote_read(struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	if (remote_read_some(remote, addr, buffer, size) == size)
		return 0;
	return remote->error ? remote->error : -EFAULT;
}

void remote_read_sparse(struct remote *remote, uint64_t addr, void *buffer, size_t size)
{
	uint8_t *at = buffer;
	uint64_t end = addr + size;

	memset(buffer, 0, size);
	while (addr < end && may_go_on(remote)) {
		size_t n = remote_read_some(remote, addr, at, end - addr);
		uint64_t next = remote_next_page(
			remote, (addr + n) / REMOTE_PAGE * REMOTE_PAGE + REMOTE_PAGE, end);

		at += next - addr;
		addr = next;
	}
}

const void *remote_window(struct remote *remote, uint64_t addr, size_t size, int *ret_moved)
{
	*ret_moved = 0;
	if (addr < remote->window_addr || size > remote->window_size ||
	    addr - remote->window_addr > remote->window_size - size) {
		*ret_moved = 1;
		remote->window_addr = addr;
		remote->window_size =
			remote_read_some(remote, addr, remote->window, sizeof(remote->window));
		if (remote->window_size < size)
			return NULL;
	}
	return remote->window + (addr - remote->window_addr);
}

void remote_forget_window(struct remote *remote)
{
	remote->window_size = 0;
}

void remote_wait(struct remote *remote, unsigned ms)
{
	if (remote->source.wait && may_go_on(remote))
		remote->source.wait(remote->source.context, ms);
}

int remote_threads(struct remote *remote, uint64_t **ret_lists, size_t *ret_count)
{
	return may_go_on(remote)
		       ? remote->source.threads(remote->source.context, ret_lists, ret_count)
		       : remote->error;
}

/* ---- a process ------------------------------------------------------------------------------- */

struct process {
	pid_t pid;
	int mem_fd, pagemap_fd;
};

static ssize_t process_read(void *context, uint64_t addr, void *buffer, size_t size)
{
	const struct process *process = context;
	ssize_t n = addr > INT64_MAX ? -1 : pread(process->mem_fd, buffer, size, addr);

	return n < 0 ? -errno : n;
}

/* Documentation/admin-guide/mm/pagemap.rst: a word a page; bit 63: in memory, bit 62: in swap (or
 * on its way from one place in memory to another). */
#define PAGEMAP_EXISTS (3ull << 62)

static ssize_t process_pages(void *context, uint64_t addr, bool *are_there, size_t count)
{
	const struct process *process = context;
	uint64_t words[KNOWN_PAGES];
	ssize_t n;

	if (count > KNOWN_PAGES)
		count = KNOWN_PAGES;
	n = pread(process->pagemap_fd, words, count * 8, addr / REMOTE_PAGE * 8);
	if (n < 0)
		return -errno;
	for (ssize_t i = 0; i < n / 8; i++)
		are_there[i] = words[i] & PAGEMAP_EXISTS;
	return n / 8;
}

static int process_threads(void *context, uint64_t **ret_lists, size_t *ret_count)
{
	const struct process *process = context;
	_cleanup_free_ pid_t *tids = NULL;
	_cleanup_free_ uint64_t *lists = NULL;
	size_t count = 0, length;
	int error = proc_threads(process->pid, &tids, &count);

	if (error)
		return error;
	lists = calloc(count + 1, sizeof(*lists));
	if (!lists)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct robust_list_head *head = NULL;

		if (syscall(SYS_get_robust_list, tids[i], &head, &length) == 0)
			lists[i] = (uint64_t)head;
	}
	*ret_lists = take_ptr(lists);
	*ret_count = count;
	return 0;
}

static void process_wait(void *context, unsigned ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&time, NULL);
}

static void process_close(void *context)
{
	struct process *process = context;

	if (process->mem_fd >= 0)
		close(process->mem_fd);
	if (process->pagemap_fd >= 0)
		close(process->pagemap_fd);
	free(process);
}

int remote_open(pid_t pid, struct remote **ret)
{
	struct process *process = malloc(sizeof(*process));
	struct remote_source source = {
		.read = process_read,
		.pages = process_pages,
		.threads = process_threads,
		.wait = process_wait,
		.close = process_close,
		.context = process,
	};
	int error;

	if (!process)
		return -ENOMEM;
	*process = (struct process){ pid, -1, -1 };
	error = proc_open(pid, "mem", &process->mem_fd);
	if (error == 0)
		error = proc_open(pid, "pagemap", &process->pagemap_fd);
	if (error) {
		process_close(process);
		return error;
	}
	return remote_new(&source, ret);
}
