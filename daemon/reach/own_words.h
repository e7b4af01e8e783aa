#pragma once
/* own_words: words that an allocator keeps for itself, which lead to blocks and hold none: where
 * that can be proven by what stands beside them.
 *
 * Pure.
 *
 * Of glibc (malloc/malloc.c). A free chunk keeps in its first words where other free chunks begin,
 * and so do the heads of these lists in an arena, and its top. Where a chunk begins is where the
 * block before it ends, or in its last word: a block's memory goes on into the next chunk's head.
 *
 * Of jemalloc 5.3, whose memory about its memory is in no block. Each slab is described by an
 * edata_t, which says where it begins: that is where its first block begins, too. And what a thread
 * has freed lies in a cache, an array of addresses that stay there when they are given out again;
 * what is in it is no live block's, or left over. Of another version, where they look otherwise,
 * nothing is recognised, and such words count as what they are: of memory that is not known.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From where a block of so many bytes begins to where glibc's next chunk does, "request2size". */
uint64_t own_words_next_chunk(uint64_t size_bytes);

/* words: so many, at this address, of memory in no block. Does the one at `at` stand where a free
 * chunk of glibc's names another? */
bool own_words_is_in_chunk(const uint64_t *words, size_t count, size_t at);
/* … or among the heads of lists of an arena, of which two that are neighbours are empty, and name
 * themselves? (One alone may be a program's own list: its head in front of its two pointers.) */
bool own_words_is_in_arena(const uint64_t *words, size_t count, uint64_t addr, size_t at);

/* Is it where a slab begins, in what describes it? */
bool own_words_is_slab(const uint64_t *words, size_t count, uint64_t addr, size_t at);

/* A cache lies between two marks (include/jemalloc/internal/cache_bin.h, "cache_bin_preceding_junk"
 * and "cache_bin_trailing_junk"), and begins at a line of the processor's cache. */
#define OWN_CACHE_BEGIN 0x7a7a7a7a7a7a7a7aull
#define OWN_CACHE_END 0xa7a7a7a7a7a7a7a7ull
#define OWN_CACHE_ALIGNMENT 64u
#define OWN_CACHE_BYTES (512u << 10) /* at most; 24 KiB if nobody asks for more */

/* All that is between are addresses of regions, or nothing yet. */
static inline bool own_words_may_be_cached(uint64_t word)
{
	return word % sizeof(word) == 0 && word >> 47 == 0;
}
