#pragma once
/* own_frees: which frees of unknown blocks are an allocator's own, and show no missed allocation.
 *
 * Pure. A free of a block that is not known is taken for the allocator's own only if that is shown:
 *
 * 1. A free inside another. glibc 2.42's free() makes the thread's cache and then calls itself;
 *    operator delete calls free(). Frees are recorded at their entry, so that both are: the
 *    thread's last known block is freed once more. (The address cannot have been handed out in
 *    between: it is not free yet.) A library that puts a header before each block frees from where
 *    that begins: what glibc says is a block there holds the one that the thread has just freed,
 *    and glibc's blocks do not overlap.
 *
 * 2. The end of a thread, where glibc up to 2.41 calls free() for each block that the thread's
 *    cache (tcache) holds, and at last for the cache: blocks that the program has freed before, or
 *    never had.
 *    - They are unknown, in a row, and the last that is heard of the thread. The row may be cut
 *      short, when the process ends meanwhile. A process's first thread gives back no cache.
 *    - The cache itself has the size that it has in that version (2.26; 2.30; 2.42), or the 16
 *      bytes more that are given where they are too few for a chunk.
 *    - Its blocks are still linked, and marked against being freed twice (dhat_chunk()): by the
 *      cache's address, from 2.34 on by a random number that all threads share. So a mark counts
 *      when it is the cache's address, or a block that has it is linked (seen from 2.32 on). From
 *      2.26 to 2.28 there is no mark, and nothing can be asked.
 */
#include <stdbool.h>
#include <stdint.h>

struct own_frees;

struct own_free { /* of a block that is not known */
	uint64_t addr;
	uint64_t bytes; /* usable ones; 0: not known */
	uint16_t key;	/* dhat_chunk_key() */
	bool is_linked; /* DHAT_CHUNK_LINKED */
};

struct frees_sum {
	uint64_t frees, bytes;
};

int own_frees_new(struct own_frees **ret);
void own_frees_free(struct own_frees *own);
/* The process has a glibc of this version, 2.minor; may come again. Until it is known, and if there
 * are two, any version's cache will do. */
void own_frees_glibc(struct own_frees *own, unsigned minor);

/* A thread frees a block that is known. */
void own_frees_known(struct own_frees *own, uint32_t tid, uint64_t addr);
/* One that is not. True: it was the same free as the one before. (Without memory for more: false,
 * and it will not be found to be the thread's end.) */
bool own_frees_unknown(struct own_frees *own, uint32_t tid, const struct own_free *one);
/* It does something else than free. */
void own_frees_other(struct own_frees *own, uint32_t tid);
/* Of threads that are about to end, as it seems: what will have been their caches. Each may yet do
 * something else. */
struct frees_sum own_frees_pending(const struct own_frees *own);
/* It ends; what of its last frees was its cache. */
struct frees_sum own_frees_end(struct own_frees *own, uint32_t tid, bool is_first_thread);
