#pragma once
/* inventory: the blocks that a running process already holds, read from outside.
 *
 * For glibc's malloc, 2.32 to 2.44 (glibc_malloc.h), shared or static. The process is neither
 * stopped nor written to: it is read twice, and what stands in both readings counts. That is
 * enough, since only blocks that nobody touches are asked for:
 *
 * How an inventory joins a live attach. (1) Probes are placed; heap_begin_inventory(): from now on
 * the heap remembers every address that is freed. (2) inventory_take(), while events come in.
 * (3) The ring is drained up to a moment after (2). (4) heap_add_inventory_block() for each block,
 * in batches of which no one stalls the ring: an address that an event has told about since (1) is
 * refused, for the event knows better; any other was there before the attach and still is.
 * (5) heap_end_inventory().
 *
 * What may go wrong then, in a busy process: a free() that had begun before (1) and had not reached
 * the free list by (2) leaves a block that is no more; it is closed when its address comes again.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/proc/procmaps.h"
#include "daemon/proc/remote.h"
#include "proto/base/error.h"

struct inventory_block {
	uint64_t addr;
	/* What was asked for is not kept by malloc: this is up to 24 more; of a block with a
	 * mapping of its own, up to a page more, or its alignment if that is larger. */
	uint64_t usable_bytes;
};

/* On a quiet process, to the byte: mallinfo2().uordblks = arena_block_bytes + cached_bytes +
 * internal_bytes, and hblkhd = mmapped_bytes. */
struct inventory {
	struct inventory_block *blocks; /* by ascending address */
	size_t count;
	uint64_t usable_bytes; /* sum of all blocks' */
	size_t arena_count;
	uint64_t arena_bytes;	    /* what the arenas have from the kernel */
	uint64_t arena_block_bytes; /* chunks of blocks in arenas: heads and padding included */
	uint64_t cached_bytes;	    /* free chunks in threads' caches; malloc counts them as used */
	uint64_t fastbin_bytes;	    /* free chunks in fastbins */
	uint64_t free_bytes;	    /* other free chunks, and the arenas' ends */
	uint64_t internal_bytes; /* malloc's own: the caches themselves, heads and ends of heaps */
	uint64_t mmapped_bytes;	 /* of mappings that hold one chunk each */
	size_t mmapped_count;	 /* of them, those that hold a block */
	/* of them, those whose chunk is free, in a thread's cache */
	uint64_t cached_mmapped_bytes;
	size_t cached_mmapped_count;
	uint64_t unseen_bytes; /* of arena_bytes, what could not be walked: blocks there are missing
				*/
	bool is_complete;      /* nothing was missed, as far as can be told */
	bool is_damaged; /* what was missed makes no sense, and holds still: a chain that breaks, a
			  * list in a circle */
	char note[256];	 /* what was, and why, if not */
};

struct probed;

struct inventory_limits {
	uint64_t max_blocks; /* bounds memory: some 60 bytes each; 0: no bound */
	uint64_t max_ns;     /* 0: no bound; INVENTORY_MAX_NS is more than any sound heap needs */
	const atomic_bool *stop; /* may be NULL; raised by another thread: give up */
	/* What is known of its allocators: a glibc of a version that nobody here has seen is not
	 * looked into, however familiar it seems. NULL: whatever has the layout will do. */
	const struct probed *probed;
};

/* Of "glibc 2.36", or of "glibc" without a version, which its layout must tell. */
bool inventory_knows(const char *glibc);

/* 100 GB of blocks take some 40 s. */
#define INVENTORY_MAX_NS 120000000000ull

/* maps: of the same process, now. The heap may be damaged or made up by an enemy: it is bounded by
 * the limits what this takes. -E2BIG: more blocks than they allow; -ETIMEDOUT; -ECANCELED: stopped.
 * -ENOENT, DHAT_EXIT_NO_ALLOCATOR: there is no heap of a known layout. Fails, too, when the process
 * ends. The caller frees with inventory_free(). */
int inventory_take(pid_t pid, const struct procmaps *maps, const struct inventory_limits *limits,
		   struct inventory **ret, struct dhat_error *err);
/* The same, from any memory; remote's own limits hold. Without an error for people. */
int inventory_take_from(struct remote *remote, const struct procmaps *maps, uint64_t max_blocks,
			struct inventory **ret);
void inventory_free(struct inventory *inventory);
