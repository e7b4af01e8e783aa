#pragma once
/* glibc_malloc: the heap of a process that uses glibc's malloc, as its memory shows it.
 *
 * The layouts are those of glibc 2.32 (safe-linked lists) to 2.44, of 64 bit (malloc/malloc.c and
 * malloc/arena.c: malloc_state, heap_info, malloc_chunk, tcache_perthread_struct); they have no
 * symbols in stripped libraries and no version of their own, so they are found and told by their
 * invariants, and what does not satisfy these is refused. Used by inventory.c alone.
 *
 *                            to 2.41     2.42        2.43, 2.44
 *   malloc_state, bytes      2200        2200        2112: no fastbins
 *   a thread's cache: bins   64          76          76; the last 12 hold chunks of several sizes
 *   its numbers tell         blocks in   slots left  slots left
 *   a thread without one     NULL        NULL        a dummy of zeros among libc's constants
 *   a mapped chunk's size    its pages   its pages   its pages less 16, and caches take it, too
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
#define GLIBC_HEAP_BYTES (64ull << 20) /* HEAP_MAX_SIZE: what a heap may grow to */
#define GLIBC_FASTBINS 10
#define GLIBC_FASTBINS_AT 16 /* behind mutex, flags and have_fastchunks */

/* malloc_state since 2.27, from `top` on. What stands before it is of two kinds. */
struct glibc_arena_state {
	uint64_t top, last_remainder;
	uint64_t bins[254];
	uint32_t binmap[4];
	uint64_t next, next_free, attached_threads, system_bytes, max_system_bytes;
};

struct glibc_arena {
	uint64_t addr;	   /* of its malloc_state: what others call it */
	bool has_fastbins; /* up to 2.42 */
};

static inline uint64_t glibc_state_at(const struct glibc_arena *arena)
{
	return arena->addr + (arena->has_fastbins ? GLIBC_FASTBINS_AT + 8 * GLIBC_FASTBINS : 8);
}

/* As remote_read(). */
int glibc_read_state(struct remote *remote, const struct glibc_arena *arena,
		     struct glibc_arena_state *ret);

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

struct glibc_range {
	uint64_t start, end;
};

struct glibc_ranges { /* a growing list */
	struct glibc_range *list;
	size_t count, capacity;
};
int glibc_ranges_add(struct glibc_ranges *ranges, uint64_t start, uint64_t end);

/* All heaps of glibc in a process: a second libc (dlmopen) has its own. */
struct glibc_heap {
	struct glibc_arena *arenas; /* the main ones, one for each libc, first */
	size_t main_count, arena_count;
	uint64_t *mmapped_bytes_at; /* for each main arena: address of malloc's own sum of what it
				     * mapped; 0: not found */
	/* Main arenas live in the memory below the break, from first_chunk on (0: none does), and,
	 * where the break could not be moved, in mappings of their own. */
	struct glibc_range brk;
	uint64_t brk_room_end; /* what is mapped next: so far it may have moved meanwhile */
	uint64_t first_chunk;
	struct glibc_ranges mapped;    /* nameless memory in which these may be */
	struct glibc_ranges parts;     /* of it, what the walk found to be arenas' */
	struct glibc_ranges constants; /* of libcs from 2.43 on: files that are not written to */
};

/* -ENOENT: no (initialised) glibc malloc, or one of an unknown layout. */
int glibc_heap_find(struct remote *remote, const struct procmaps *maps, struct glibc_heap *ret);
void glibc_heap_deinit(struct glibc_heap *heap);
/* Is there a libc with, or without, fastbins? */
bool glibc_has(const struct glibc_heap *heap, bool fastbins);

/* Has anything been allocated from it? Before that, a main arena's top is a bin. */
bool glibc_is_in_use(const struct glibc_arena_state *state, const struct glibc_arena *arena);

struct glibc_walk {	       /* sums over all arenas */
	uint64_t system_bytes; /* what the arenas say they have from the kernel */
	uint64_t free_bytes;   /* chunks in bins, and the tops */
	uint64_t used_bytes;   /* all chunks in use */
	uint64_t unseen_bytes; /* of system_bytes, what the walk did not come to */
	/* Where it lost its way for good: because the chunks did not hold still, or because what
	 * stands there is none. */
	uint64_t changing, broken;
	uint64_t broken_at; /* the first of the latter */
};

/* All chunks in use, arena by arena, by ascending address within a heap of an arena. Fills
 * heap->parts. */
int glibc_heap_walk(struct remote *remote, struct glibc_heap *heap, struct glibc_chunks *ret_used,
		    struct glibc_walk *ret);

struct glibc_lists_missed { /* of free chunks */
	uint64_t changing;  /* did not hold still, or the thread's cache could not be found */
	uint64_t circular;  /* a block that was freed twice makes one */
};

/* Chunks that look in use but lie in a fastbin or a thread's cache (added to *cached; those with a
 * mapping of their own, too); the caches themselves (added to *internal); all three start empty.
 * -ENOENT: threads have caches of an unknown layout, or none at all: nobody has allocated yet. */
int glibc_heap_cached(struct remote *remote, const struct glibc_heap *heap,
		      struct glibc_chunks *fastbins, struct glibc_chunks *cached,
		      struct glibc_chunks *internal, struct glibc_lists_missed *ret_missed);

/* Chunks with a mapping of their own, after the walk, by what can be used of them and a head's 16
 * bytes, whatever their size word says. *ret_bytes: of their mappings;
 * *ret_expected_bytes: what malloc itself says of that sum; UINT64_MAX if it could not be found, or
 * does not hold still. */
int glibc_heap_mmapped(struct remote *remote, const struct glibc_heap *heap,
		       struct glibc_chunks *ret, uint64_t *ret_bytes, uint64_t *ret_expected_bytes);
