#pragma once
/* processes: which processes there are, what they keep in memory, and which of them grow.
 *
 * By looking twice at /proc; nothing is attached to, no right is needed. What grows is anonymous
 * memory, in memory or in swap: a heap is that, and it shrinks by no page that is swapped out. The
 * kernel counts pages by processor, and what it tells lags by up to some hundred KiB. Left out are
 * what has no memory of its own (kernel threads, zombies), this dhatd, and what began or ended
 * between the looks: of that no growth is known.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/proc/container.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/error.h"
#include "proto/base/program.h"

#define PROCESS_ALLOCATOR_CHARS 64

struct process_entry {
	pid_t pid;
	uid_t uid;
	uint64_t start_ticks;
	uint64_t rss_bytes, anonymous_bytes, swap_bytes; /* at the second look; the second is a part
							    of the first */
	int64_t grown_bytes;		  /* anonymous and swapped, between the looks */
	char program[DHAT_PROGRAM_CHARS]; /* may hold anything */
	char *command; /* with its arguments; may hold anything; NULL: not read yet */
	/* "glibc", "jemalloc, musl" …, by the names of files that are mapped; "?": none is known,
	 * or is_hidden */
	char allocator[PROCESS_ALLOCATOR_CHARS];
	struct container container;
	bool is_hidden; /* its mappings are not ours to read */
};

struct processes {
	struct process_entry *entries; /* fastest growth first, then by size */
	size_t count;
	uint64_t duration_ns; /* between the looks */
	size_t began, ended;  /* between the looks */
};

/* Waits for duration_ns. Failures are those of memory, and of a system without /proc. */
int processes_watch(uint64_t duration_ns, struct processes *ret, struct dhat_error *err);
/* Who they are: names, allocators and containers of the first `count` entries; one that has ended
 * meanwhile keeps its "?". -ENOMEM. */
int processes_describe(struct processes *processes, size_t count);
void processes_deinit(struct processes *processes);

/* The parts, pure. before and after: one look each, by ascending pid; entries of `after` that are
 * in both get their growth and stay, in order. */
void processes_compare(const struct process_entry *before, size_t before_count,
		       struct processes *after);
/* Of the files' names. ret: "?" if none tells. */
void processes_allocator(const struct procmaps *maps, char ret[PROCESS_ALLOCATOR_CHARS]);
