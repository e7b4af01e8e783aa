#pragma once
/* code: a process's code at one place, compared with what its file has there.
 *
 * Reads /proc/PID/mem, and only where pagemap says that a page is the process's own: nothing is
 * mapped in or pinned by looking.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CODE_BEFORE 16
#define CODE_BYTES 32

/* What a file has around a place: CODE_BEFORE bytes before it, its own, and those behind. */
struct code_pattern {
	uint8_t bytes[CODE_BYTES];
};
/* -EIO, -errno: the file has no such place. */
int code_read_pattern(int file_fd, uint64_t file_offset, struct code_pattern *ret);

enum code_state {
	CODE_AS_FILE, /* beside it there may be breakpoints */
	CODE_TRAPPED, /* a breakpoint is there, and the file's bytes, or breakpoints, around it */
	CODE_PATCHED, /* other bytes than the file's: a hook, a relocation */
	CODE_UNKNOWN, /* not mapped, swapped out, or may not be read */
};
/* memory: CODE_BYTES bytes, as pattern has them. Pure. */
enum code_state code_compare(const struct code_pattern *pattern, const uint8_t *memory);

/* The next copy of one of the places with a breakpoint on it, from `from` on, and which place it
 * is; size if there is none. A copy has the file's bytes, or breakpoints, all around: at most a
 * quarter of them are those. Pure. */
size_t code_find_trapped_copy(const struct code_pattern *patterns, size_t count,
			      const uint8_t *memory, size_t size, size_t from, size_t *ret_pattern);

/* A process's, opened. -ESRCH, -EACCES, -EPERM. */
struct code;
int code_open(pid_t pid, struct code **ret);
void code_close(struct code *code);
enum code_state code_look(const struct code *code, uint64_t addr,
			  const struct code_pattern *pattern);
/* Is a mapping of a file exactly there? True if it cannot be known. */
bool code_is_mapped(const struct code *code, uint64_t start, uint64_t end);
/* Bytes at addr: as many as can be read, which may be none. */
size_t code_read(const struct code *code, uint64_t addr, void *ret, size_t size);
/* pagemap's words of count pages from addr on; how many there are. */
size_t code_pages(const struct code *code, uint64_t addr, uint64_t *ret, size_t count);
/* Of a pagemap word: is the page in memory; is it the process's own, in memory or swapped out? */
bool code_page_is_present(uint64_t page);
bool code_page_is_private(uint64_t page);

/* Write back the file's byte where a copy of the place has a breakpoint, if it has still. 0, or
 * -errno: -ENOENT if it has not. See daemon/target/copies.c for when this may be done. */
int code_mend(pid_t pid, uint64_t addr, const struct code_pattern *pattern);
