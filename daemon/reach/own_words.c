#include "own_words.h"

#define WORD sizeof(uint64_t)
#define PAGE_BYTES 4096u

/* ---- glibc ---- */

/* A chunk begins with 16 bytes, the first 8 of which are the block's before while that lives. */
#define CHUNK_HEAD_BYTES 16u
#define CHUNK_ALIGNMENT 16u
#define CHUNK_LEAST_BYTES 32u
#define CHUNK_NAMES 4u	/* after its size: fd, bk, fd_nextsize, bk_nextsize */
#define ARENA_WORDS 256 /* two of each of 127 lists, and the two before */

uint64_t own_words_next_chunk(uint64_t size_bytes)
{
	uint64_t chunk =
		(size_bytes + WORD + CHUNK_ALIGNMENT - 1) / CHUNK_ALIGNMENT * CHUNK_ALIGNMENT;

	return (chunk < CHUNK_LEAST_BYTES ? CHUNK_LEAST_BYTES : chunk) - CHUNK_HEAD_BYTES;
}

/* PREV_INUSE is set, since what is free is one chunk; IS_MMAPPED is not; NON_MAIN_ARENA may be. So
 * it is of one in use: that it is free says the chunk behind, by its first word and its size. */
static bool is_free_chunk_size(const uint64_t *words, size_t count, size_t at)
{
	uint64_t size = words[at] & ~7ull;
	size_t next = at + size / WORD;

	return (words[at] & 0xb) == 1 && size >= CHUNK_LEAST_BYTES && size / WORD < count - at &&
	       words[next - 1] == size && (words[next] & 3) == 0 &&
	       words[next] >= CHUNK_LEAST_BYTES;
}

bool own_words_is_in_chunk(const uint64_t *words, size_t count, size_t at)
{
	for (size_t i = 1; i <= CHUNK_NAMES && i <= at; i++)
		if (is_free_chunk_size(words, count, at - i))
			return true;
	return false;
}

/* "bin_at": an empty one's two words are the address of the second before them. */
static bool is_empty_list(const uint64_t *words, uint64_t addr, size_t at)
{
	return words[at] == addr + at * WORD - CHUNK_HEAD_BYTES && words[at + 1] == words[at];
}

bool own_words_is_in_arena(const uint64_t *words, size_t count, uint64_t addr, size_t at)
{
	size_t first = at > ARENA_WORDS ? at - ARENA_WORDS : 0;
	size_t end = count - at > ARENA_WORDS ? at + ARENA_WORDS : count;

	for (size_t i = first; i + 3 < end; i++)
		if (is_empty_list(words, addr, i) && is_empty_list(words, addr, i + 2))
			return true;
	return false;
}

/* ---- jemalloc ---- */

/* edata_s of edata.h, in words */
#define SLAB_WORDS 16u /* EDATA_ALIGNMENT, too */
#define BITS_WORD 0
#define ADDRESS_WORD 1
#define SIZE_WORD 2
#define FREE_WORD 8 /* a bit for each region: is it free? */

/* EDATA_BITS_*_SHIFT of edata.h */
#define IS_SLAB_SHIFT 12
#define STATE_SHIFT 17
#define STATE_BITS 3
#define CLASS_SHIFT 20
#define CLASS_BITS 8
#define FREE_SHIFT 28
#define FREE_BITS 10
#define USED_BITS 45
#define ACTIVE 0u

#define CLASSES 36u /* SC_NBINS with pages of 4 KiB */

static unsigned field(uint64_t bits, unsigned shift, unsigned width)
{
	return bits >> shift & ((1u << width) - 1);
}

/* sc.c: 8, then four sizes up to each power of two */
static unsigned region_bytes(unsigned class)
{
	unsigned group = (class - 1) / 4, step = (class - 1) % 4 + 1;

	if (!class)
		return 8;
	return group ? (64u << (group - 1)) + step * (16u << (group - 1)) : 16 * step;
}

/* sc.c, "slab_size": the least that whole regions fill */
static unsigned slab_bytes(unsigned class)
{
	unsigned bytes = PAGE_BYTES;

	while (bytes % region_bytes(class))
		bytes += PAGE_BYTES;
	return bytes;
}

static unsigned count_free(const uint64_t *free, unsigned regions)
{
	unsigned count = 0;

	for (unsigned i = 0; i * 64 < regions; i++) {
		unsigned left = regions - i * 64;
		uint64_t mask = left < 64 ? (1ull << left) - 1 : UINT64_MAX;

		count += __builtin_popcountll(free[i] & mask);
	}
	return count;
}

/* It says how many of its regions are free twice, and its size twice. */
static bool describes_slab(const uint64_t *words)
{
	uint64_t bits = words[BITS_WORD];
	unsigned class = field(bits, CLASS_SHIFT, CLASS_BITS), bytes;

	if (bits >> USED_BITS || !field(bits, IS_SLAB_SHIFT, 1) ||
	    field(bits, STATE_SHIFT, STATE_BITS) != ACTIVE || class >= CLASSES)
		return false;
	bytes = slab_bytes(class);
	return words[SIZE_WORD] == bytes && words[ADDRESS_WORD] % PAGE_BYTES == 0 &&
	       count_free(&words[FREE_WORD], bytes / region_bytes(class)) ==
		       field(bits, FREE_SHIFT, FREE_BITS);
}

bool own_words_is_slab(const uint64_t *words, size_t count, uint64_t addr, size_t at)
{
	return at >= ADDRESS_WORD && count - at >= SLAB_WORDS - ADDRESS_WORD &&
	       (addr + (at - ADDRESS_WORD) * WORD) % (SLAB_WORDS * WORD) == 0 &&
	       describes_slab(&words[at - ADDRESS_WORD]);
}
