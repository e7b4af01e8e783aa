#pragma once
/* glibc_malloc: the heap of a process that uses glibc's malloc, as its memory shows it.
 *
 * The layouts are those of glibc 2.32 (safe-linked lists) to 2.41 on x86-64 (malloc/malloc.c and
 * malloc/arena.c: malloc_state, heap_info, malloc_chunk, tcache_perthread_struct); they have no
 * symbols in stripped libraries and no version of their own, so they are found and told by their
 * invariants, and what does not satisfy these is refused. Used by inventory.c alone.
 *
 * The process runs on meanwhile. Blocks that nobody touches stay where they are, so a walk that
 * keeps step with the chunks sees all of them; what is being changed is told by events.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/proc/procmaps.h"
#include "daemon/proc/remote.h"

#define GLIBC_CHUNK_HEAD 16 /* a chunk's address + 16 = its block's */
#define GLIBC_MIN_CHUNK 32
#define GLIBC_PREV_IN_USE 1
#define GLIBC_IS_MMAPPED 2
#define GLIBC_NON_MAIN 4
#define GLIBC_MAX_ARENAS 65536

/* malloc_state since 2.27. */
struct glibc_arena_state {
	int32_t mutex, flags, have_fastchunks, pad;
	uint64_t fastbins[10];
	uint64_t top, last_remainder;
	uint64_t bins[254];
	uint32_t binmap[4];
	uint64_t next, next_free, attached_threads, system_bytes, max_system_bytes;
};

struct glibc_chunk { /* in use, as far as neighbours tell: thread caches and fastbins included */
	uint64_t addr;
	uint64_t size_bytes;
};

struct glibc_chunks { /* a growing list */
	struct glibc_chunk *list;
	size_t count, capacity;
	size_t max; /* -E2BIG beyond it; 0: no bound */
};
int glibc_chunks_add(struct glibc_chunks *chunks, uint64_t addr, uint64_t size_bytes);
void glibc_chunks_sort(struct glibc_chunks *chunks); /* by address, each once */
bool glibc_chunks_have(const struct glibc_chunks *sorted, uint64_t addr);
void glibc_chunks_deinit(struct glibc_chunks *chunks);

struct glibc_heap {
	uint64_t main_arena;
	uint64_t main_start;	   /* the main arena's first chunk */
	uint64_t mmapped_bytes_at; /* address of malloc's own sum of what it mapped; 0: not found */
	uint64_t *arenas;	   /* the main one first */
	size_t arena_count;
};

/* -ENOENT: no (initialised) glibc malloc, or one of an unknown layout. */
int glibc_heap_find(const struct remote *remote, const struct procmaps *maps,
		    struct glibc_heap *ret);
void glibc_heap_deinit(struct glibc_heap *heap);

struct glibc_walk {	       /* sums over all arenas */
	uint64_t system_bytes; /* what the arenas say they have from the kernel */
	uint64_t free_bytes;   /* chunks in bins, and the tops */
	uint64_t used_bytes;   /* all chunks in use */
	uint64_t missed;       /* places where the walk lost its way for good */
};

/* All chunks in use, arena by arena, by ascending address within a heap of an arena. */
int glibc_heap_walk(struct remote *remote, const struct glibc_heap *heap,
		    struct glibc_chunks *ret_used, struct glibc_walk *ret);

/* Chunks that look in use but lie in a fastbin or a thread's cache (added to *cached); the caches
 * themselves (added to *internal). *ret_missed: lists that would not hold still, threads that have
 * no cache to be found. -ENOENT: threads have caches of an unknown layout. */
int glibc_heap_cached(const struct remote *remote, pid_t pid, const struct glibc_heap *heap,
		      struct glibc_chunks *fastbins, struct glibc_chunks *cached,
		      struct glibc_chunks *internal, uint64_t *ret_missed);

/* Chunks with a mapping of their own. *ret_bytes: of their mappings; *ret_expected_bytes: what
 * malloc itself says of that sum; UINT64_MAX if it could not be found. */
int glibc_heap_mmapped(const struct remote *remote, pid_t pid, const struct procmaps *maps,
		       const struct glibc_heap *heap, struct glibc_chunks *ret, uint64_t *ret_bytes,
		       uint64_t *ret_expected_bytes);
