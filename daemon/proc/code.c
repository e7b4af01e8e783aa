#include "code.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/machine.h"
#include "daemon/object/machine/trap.h"
#include "file.h"
#include "proto/base/cleanup.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61) /* of a file, or shared */

struct code {
	int dir_fd, memory_fd, pagemap_fd;
};

int code_read_pattern(int file_fd, uint64_t file_offset, struct code_pattern *ret)
{
	struct code_pattern pattern = { 0 };
	ssize_t got;

	if (file_offset < CODE_BEFORE)
		return -EIO;
	got = pread(file_fd, pattern.bytes, sizeof(pattern.bytes), file_offset - CODE_BEFORE);
	if (got < 0)
		return -errno;
	if (got <= CODE_BEFORE)
		return -EIO;
	*ret = pattern;
	return 0;
}

enum code_state code_compare(const struct code_pattern *pattern, const uint8_t *memory)
{
	for (size_t i = 0; i < CODE_BYTES; i++)
		if (memory[i] != pattern->bytes[i] && memory[i] != trap_byte)
			return CODE_PATCHED;
	return memory[CODE_BEFORE] == trap_byte ? CODE_TRAPPED : CODE_AS_FILE;
}

static bool is_trapped_copy(const struct code_pattern *pattern, const uint8_t *around)
{
	size_t traps = 0;

	if (code_compare(pattern, around) != CODE_TRAPPED)
		return false;
	for (size_t i = 0; i < CODE_BYTES; i++)
		traps += around[i] == trap_byte && pattern->bytes[i] != trap_byte;
	return traps <= CODE_BYTES / 4;
}

size_t code_find_trapped_copy(const struct code_pattern *patterns, size_t count,
			      const uint8_t *memory, size_t size, size_t from, size_t *ret_pattern)
{
	const size_t behind = CODE_BYTES - CODE_BEFORE;

	for (size_t at = from < CODE_BEFORE ? CODE_BEFORE : from; at + behind <= size; at++) {
		const uint8_t *found = memchr(memory + at, trap_byte, size - at);

		if (!found)
			break;
		at = found - memory;
		/* padding: compilers of generated code fill whole pages with it */
		if (at + behind > size || (found[-1] == trap_byte && found[1] == trap_byte))
			continue;
		for (size_t i = 0; i < count; i++) {
			if (!is_trapped_copy(&patterns[i], found - CODE_BEFORE))
				continue;
			*ret_pattern = i;
			return at;
		}
	}
	return size;
}

int code_open(pid_t pid, struct code **ret)
{
	struct code *code = malloc(sizeof(*code));
	int error;

	if (!code)
		return -ENOMEM;
	*code = (struct code){ -1, -1, -1 };
	error = proc_open_dir(pid, &code->dir_fd);
	if (error == 0)
		error = proc_open(pid, "mem", &code->memory_fd);
	if (error == 0)
		error = proc_open(pid, "pagemap", &code->pagemap_fd);
	if (error < 0) {
		code_close(code);
		return error;
	}
	*ret = code;
	return 0;
}

void code_close(struct code *code)
{
	if (!code)
		return;
	if (code->dir_fd >= 0)
		close(code->dir_fd);
	if (code->memory_fd >= 0)
		close(code->memory_fd);
	if (code->pagemap_fd >= 0)
		close(code->pagemap_fd);
	free(code);
}

bool code_is_mapped(const struct code *code, uint64_t start, uint64_t end)
{
	char name[64], path[1];

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)start,
		 (unsigned long long)end);
	/* by stat(2) an entry that the kernel has cached outlives its file, as long as the range is
	 * mapped exactly so: map_files_d_revalidate() */
	return readlinkat(code->dir_fd, name, path, sizeof(path)) >= 0 || errno != ENOENT;
}

size_t code_read(const struct code *code, uint64_t addr, void *ret, size_t size)
{
	ssize_t got = pread(code->memory_fd, ret, size, addr);

	return got < 0 ? 0 : got;
}

size_t code_pages(const struct code *code, uint64_t addr, uint64_t *ret, size_t count)
{
	ssize_t got = pread(code->pagemap_fd, ret, count * sizeof(*ret),
			    addr / DHAT_PAGE_BYTES * sizeof(*ret));

	return got < 0 ? 0 : got / sizeof(*ret);
}

bool code_page_is_present(uint64_t page)
{
	return page & PAGEMAP_PRESENT;
}

bool code_page_is_private(uint64_t page)
{
	return page & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED) && !(page & PAGEMAP_FILE);
}

enum code_state code_look(const struct code *code, uint64_t addr,
			  const struct code_pattern *pattern)
{
	uint8_t memory[CODE_BYTES];
	uint64_t page;

	if (code_pages(code, addr, &page, 1) != 1 || page & PAGEMAP_SWAPPED)
		return CODE_UNKNOWN;
	if (!code_page_is_private(page))
		return CODE_AS_FILE;
	if (code_read(code, addr - CODE_BEFORE, memory, sizeof(memory)) != sizeof(memory))
		return CODE_UNKNOWN;
	return code_compare(pattern, memory);
}

int code_mend(pid_t pid, uint64_t addr, const struct code_pattern *pattern)
{
	_cleanup_close_ int dir = -1, fd = -1;
	uint8_t memory[CODE_BYTES];
	int error = proc_open_dir(pid, &dir);

	if (error)
		return error;
	fd = openat(dir, "mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, memory, sizeof(memory), addr - CODE_BEFORE) != sizeof(memory) ||
	    !is_trapped_copy(pattern, memory))
		return -ENOENT;
	if (pwrite(fd, &pattern->bytes[CODE_BEFORE], 1, addr) != 1)
		return -errno;
	return 0;
}
