#pragma once
/* pagemap: where the pages of a process are: in memory, or swapped out.
 *
 * By the ioctl PAGEMAP_SCAN of /proc/PID/pagemap (Linux 6.7), which tells of runs of pages and
 * passes over what is not there; on older kernels from the file itself, a word a page. Looking
 * changes nothing: no page is read, none becomes resident. It is a picture of the moment at which
 * it was taken, and no longer one moment where it is large.
 *
 * What counts is what counts in smaps: the kernel's page of zeros, which is mapped where memory was
 * read and never written, is not in memory, and a guard page (Linux 6.13) is not swapped out.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGEMAP_PAGE 4096ull

#define PAGEMAP_IN_MEMORY 1u
#define PAGEMAP_SWAPPED 2u
#define PAGEMAP_OF_FILE 4u /* unmodified, or of shared memory: no private copy of the process's */

struct pagemap_run { /* of pages, by number: address / PAGEMAP_PAGE */
	uint64_t first, count;
	unsigned what; /* bits of the above; the first or the second always is */
};

/* By ascending page; neighbours that are alike are one run. Not 0: stop, and return that. */
typedef int (*pagemap_visit)(void *context, const struct pagemap_run *run);

struct pagemap {
	int fd;	      /* /proc/PID/pagemap */
	int flags_fd; /* /proc/kpageflags, or -1: on old kernels pages of zeros are in memory then
		       */
	bool is_old;  /* set by the first scan: no PAGEMAP_SCAN */
	bool knows_no_guards; /* likewise: before Linux 6.15 */
};
#define PAGEMAP_CLOSED                                                                             \
	{                                                                                          \
		.fd = -1, .flags_fd = -1                                                           \
	}

/* Both need the rights of a debugger, and are for pagemap_deinit(). -ESRCH, -EACCES. Who is handed
 * the files by another fills the struct himself: a scan needs no rights. */
int pagemap_open(pid_t pid, struct pagemap *ret);
void pagemap_deinit(struct pagemap *pagemap);

/* All runs from an address up to another one, both of whole pages. A process that ends meanwhile
 * has no pages. On old kernels 8 bytes are read for each page, there or not: ask for mappings. */
int pagemap_scan(struct pagemap *pagemap, uint64_t start, uint64_t end, pagemap_visit visit,
		 void *context);

/* Are all pages of [start, end) in memory? Of nothing, or where it cannot be told: no. */
bool pagemap_is_in_memory(struct pagemap *pagemap, uint64_t start, uint64_t end);

/* The same as pagemap_scan(), from words as an old kernel has them. read: as pread(2) of so many
 * words from that of a page on: how many, 0 at the end, -errno. is_zero tells of a frame that
 * several may have; may be NULL. */
struct pagemap_source {
	ssize_t (*read)(void *context, uint64_t *words, size_t count, uint64_t page);
	bool (*is_zero)(void *context, uint64_t frame);
	void *context;
};
int pagemap_scan_words(const struct pagemap_source *source, uint64_t start, uint64_t end,
		       pagemap_visit visit, void *context);
