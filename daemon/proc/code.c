#include "code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define PAGE_BYTES 4096ull
#define INT3 0xcc

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_FILE (1ull << 61) /* of a file, or shared */

struct code {
	int memory_fd, pagemap_fd;
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
		if (memory[i] != pattern->bytes[i] && memory[i] != INT3)
			return CODE_PATCHED;
	return memory[CODE_BEFORE] == INT3 ? CODE_TRAPPED : CODE_AS_FILE;
}

size_t code_find_trapped_copy(const struct code_pattern *pattern, const uint8_t *memory,
			      size_t size, size_t from)
{
	size_t at = from < CODE_BEFORE ? CODE_BEFORE : from;

	while (at + (CODE_BYTES - CODE_BEFORE) <= size) {
		const uint8_t *found = memchr(memory + at, INT3, size - at), *around;
		size_t traps = 0;

		if (!found)
			break;
		at = found - memory;
		if (at + (CODE_BYTES - CODE_BEFORE) > size)
			break;
		around = found - CODE_BEFORE;
		for (size_t i = 0; i < CODE_BYTES; i++)
			traps += around[i] == INT3 && pattern->bytes[i] != INT3;
		if (traps <= CODE_BYTES / 4 && code_compare(pattern, around) == CODE_TRAPPED)
			return at;
		at++;
	}
	return size;
}

int code_open(pid_t pid, struct code **ret)
{
	struct code *code = malloc(sizeof(*code));
	int error;

	if (!code)
		return -ENOMEM;
	*code = (struct code){ -1, -1 };
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
	if (code->memory_fd >= 0)
		close(code->memory_fd);
	if (code->pagemap_fd >= 0)
		close(code->pagemap_fd);
	free(code);
}

size_t code_read(const struct code *code, uint64_t addr, void *ret, size_t size)
{
	ssize_t got = pread(code->memory_fd, ret, size, addr);

	return got < 0 ? 0 : got;
}

size_t code_pages(const struct code *code, uint64_t addr, uint64_t *ret, size_t count)
{
	ssize_t got = pread(code->pagemap_fd, ret, count * sizeof(*ret),
			    addr / PAGE_BYTES * sizeof(*ret));

	return got < 0 ? 0 : got / sizeof(*ret);
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
