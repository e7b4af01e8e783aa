#pragma once
/* breakpoints: places of a process's code that are not as in its files because somebody traces it.
 *
 * An uprobe, like a debugger, puts a trap over the first byte of an instruction; kernels from 6.18
 * on make a call of it where the instruction was a long nop. What else makes code differ from its
 * file is left out: a text relocation, a hook or a patch changes several bytes side by side, a
 * breakpoint one byte among equal ones.
 *
 * Only pages that are the process's own are compared, and only such can hold one: pagemap tells
 * them from the file's. So nothing is mapped in by looking, nothing is pinned (/proc/PID/mem), and
 * a process without breakpoints costs 8 bytes read for each page of its code. The file is read by
 * read(2): a mapping of it shows what its user sees.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum breakpoint_kind {
	BREAKPOINT_TRAP,
	BREAKPOINT_CALL, /* an uprobe on a nop of 5 or 10 bytes that has become a call */
};

struct breakpoint {
	uint64_t addr, file_offset;
	uint64_t inode;
	uint64_t map_start, map_end; /* names the file's /proc/PID/map_files entry */
	uint32_t dev_major, dev_minor;
	enum breakpoint_kind kind;
	uint8_t original; /* the file's byte */
	char *path;	  /* as maps says */
};

#define BREAKPOINTS_MAX 4096
#define BREAKPOINTS_MAX_PAGES 65536 /* compared: 256 MiB of code that is not the file's */

struct breakpoints {
	struct breakpoint *list; /* sorted by address */
	size_t count;
	size_t page_count;   /* compared */
	size_t unread_files; /* mapped files with private pages that could not be opened or read */
	bool is_cut;	     /* at a bound: there may be more */
};

/* Those of all private executable file mappings. Takes milliseconds. -ESRCH: the process is gone;
 * -EACCES, -EPERM: its memory may not be read. */
int breakpoints_find(pid_t pid, struct breakpoints *ret);
void breakpoints_deinit(struct breakpoints *breakpoints);
/* "libc.so.6+0x9d2a0, …": file offsets of the first few that are wanted (NULL: of all). */
void breakpoints_places(const struct breakpoints *breakpoints,
			bool (*is_wanted)(const void *context, size_t i), const void *context,
			char *ret, size_t size);

/* ---- pure, for tests ---------------------------------------------------------------------- */

struct breakpoint_at {
	uint16_t offset;
	uint8_t kind; /* enum breakpoint_kind */
};
/* The breakpoints of a page: memory against file, size bytes each, at most max. is_trampoline says
 * whether an address (of a page mapped at addr) is in the kernel's [uprobes-trampoline]. */
size_t breakpoints_compare(const uint8_t *memory, const uint8_t *file, size_t size, uint64_t addr,
			   bool (*is_trampoline)(const void *context, uint64_t addr),
			   const void *context, struct breakpoint_at *ret, size_t max);
