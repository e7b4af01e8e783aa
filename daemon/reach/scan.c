#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "own_words.h"
#include "proto/base/cleanup.h"

#define WORD sizeof(uint64_t)
#define PAGE_BYTES 4096u

/* Words between two marks, as far as they were read (own_words.h). */
struct cache {
	uint64_t start; /* 0: there is none */
	uint32_t block; /* that scanning was at */
	struct reach_roots_at before;
};

struct scanning {
	struct reach_finder finder;
	const struct reach_limits *limits;
	struct reach_found *found;
	uint32_t block;	 /* the first that ends behind what was scanned */
	uint32_t first;	 /* its first edge */
	uint64_t *words; /* REACH_PIECE_BYTES */
	size_t step;	 /* bytes from one word to the next: of code 1 */
	struct cache cache;
};

/* ---- words ---------------------------------------------------------------------------------- */

static uint64_t end_of(const struct scanning *scanning, uint32_t block)
{
	const struct reach_place *place = reach_place_at(&scanning->finder.places, block);

	return place->addr + place->size_bytes;
}

static int add_edge(struct scanning *scanning, uint32_t edge)
{
	struct reach_found *found = scanning->found;

	if (found->edge_count > scanning->first && found->edges[found->edge_count - 1] == edge)
		return 0;
	if (found->edge_count >= scanning->limits->max_edges)
		return -E2BIG;
	found->edges[found->edge_count++] = edge;
	return 0;
}

static uint64_t word_at(const void *bytes, size_t at)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)bytes + at, sizeof(word));
	return word;
}

/* Words that stand in the block that scanning is at; in so many bytes. */
static int take_block_words(struct scanning *scanning, const uint64_t *words, size_t bytes)
{
	int r = 0;

	for (size_t i = 0; i + WORD <= bytes && r == 0; i += scanning->step) {
		uint32_t edge = reach_point(&scanning->finder, word_at(words, i));

		if (edge != REACH_NONE)
			r = add_edge(scanning, edge);
	}
	return r;
}

static int add_root(struct scanning *scanning, uint64_t addr, uint32_t edge, uint32_t class)
{
	struct reach_found *found = scanning->found;

	if (found->root_count >= scanning->limits->max_roots)
		return -E2BIG;
	return reach_add_root(found, addr, edge, class);
}

/* Allocators keep, at the head of what they cut blocks from, where the first block is: of memory
 * that may be an allocator's a word to where both a block and a page begin says nothing. */
static enum reach_class class_of(const struct scanning *scanning, uint32_t edge,
				 enum reach_class class)
{
	bool is_start = reach_kind(edge) == REACH_START;

	if (class == REACH_MAPPING && is_start &&
	    reach_place_at(&scanning->finder.places, reach_target(edge))->addr % PAGE_BYTES == 0)
		return REACH_GAP;
	return class;
}

/* What a cache has that begins before and ends here holds nothing. Pages of it that were never
 * touched are not read, and no block may lie in it. */
static void watch_cache(struct scanning *scanning, uint64_t addr, uint64_t word)
{
	struct cache *cache = &scanning->cache;

	if (word == OWN_CACHE_BEGIN && addr % OWN_CACHE_ALIGNMENT == 0) {
		*cache = (struct cache){ addr, scanning->block, reach_roots_at(scanning->found) };
		return;
	}
	if (!cache->start || own_words_may_be_cached(word))
		return;
	if (word == OWN_CACHE_END && addr - cache->start < OWN_CACHE_BYTES &&
	    scanning->block == cache->block)
		reach_roots_back(scanning->found, &cache->before);
	cache->start = 0;
}

/* A word of glibc's to where a chunk begins: to the end of the block before. */
static bool is_of_free_chunk(const struct scanning *scanning, uint32_t edge, const uint64_t *words,
			     size_t count, uint64_t addr, size_t at, enum reach_class class)
{
	const struct reach_place *place;

	if (scanning->step != WORD ||
	    (reach_kind(edge) != REACH_INSIDE && reach_kind(edge) != REACH_PAST))
		return false;
	place = reach_place_at(&scanning->finder.places, reach_target(edge));
	return words[at] - place->addr == own_words_next_chunk(place->size_bytes) &&
	       ((class != REACH_GLOBAL && own_words_is_in_chunk(words, count, at)) ||
		own_words_is_in_arena(words, count, addr, at));
}

/* Where a block ends the next one of the same slab or span begins. If none is known there it is
 * free, or from before, and in such memory that is what is named: tcmalloc's and mimalloc's lists
 * of free blocks lead from one's first word to the next. */
static bool is_of_neighbour(uint32_t edge, enum reach_class class)
{
	return class == REACH_GAP && reach_kind(edge) == REACH_PAST;
}

static int take_other_words(struct scanning *scanning, const uint64_t *words, size_t bytes,
			    uint64_t addr, enum reach_class class)
{
	bool is_memory = scanning->step == WORD && (class == REACH_GAP || class == REACH_MAPPING);
	size_t count = bytes / WORD;
	bool is_own;
	int r = 0;

	for (size_t i = 0; i + WORD <= bytes && r == 0; i += scanning->step) {
		uint64_t word = word_at(words, i);
		uint32_t edge = reach_point(&scanning->finder, word);

		if (is_memory)
			watch_cache(scanning, addr + i, word);
		if (edge == REACH_NONE || (is_memory && reach_kind(edge) == REACH_START &&
					   own_words_is_slab(words, count, addr, i / WORD)))
			continue;
		is_own = is_of_neighbour(edge, class) ||
			 ((is_memory || class == REACH_GLOBAL) &&
			  is_of_free_chunk(scanning, edge, words, count, addr, i / WORD, class));
		/* in a young block it is not the allocator's: reach_graph_compare() */
		r = add_root(scanning, addr + i, edge,
			     is_own ? REACH_OWN : class_of(scanning, edge, class));
	}
	return r;
}

static void pass_block(struct scanning *scanning)
{
	struct reach_found *found = scanning->found;
	uint32_t edges = found->edge_count - scanning->first;

	if (edges >= REACH_MANY)
		found->many[found->many_count++] = (struct reach_many){ scanning->block, edges };
	found->degrees[scanning->block++] = edges < REACH_MANY ? edges : REACH_MANY;
	scanning->first = found->edge_count;
}

/* Blocks that end at or below have all their edges. */
static void pass_blocks(struct scanning *scanning, uint64_t addr)
{
	while (scanning->block < scanning->finder.places.count &&
	       end_of(scanning, scanning->block) <= addr)
		pass_block(scanning);
}

/* The first word boundary at or above. */
static uint64_t round_up(uint64_t addr)
{
	return (addr + WORD - 1) / WORD * WORD;
}

/* From addr on, words of one block or of none: up to where? A word that a block ends in is its. */
static uint64_t end_of_part(const struct scanning *scanning, uint64_t addr, bool *ret_is_block)
{
	uint64_t start;

	*ret_is_block = false;
	if (scanning->block == scanning->finder.places.count)
		return UINT64_MAX;
	start = round_up(reach_place_at(&scanning->finder.places, scanning->block)->addr);
	if (addr < start)
		return start;
	*ret_is_block = true;
	return round_up(end_of(scanning, scanning->block));
}

static int take_piece(struct scanning *scanning, const uint64_t *words, size_t count, uint64_t addr,
		      enum reach_class class)
{
	uint64_t end = addr + count * WORD;
	int r = 0;

	while (addr < end && r == 0) {
		bool is_block;
		uint64_t part_end;
		size_t part;

		pass_blocks(scanning, addr);
		part_end = end_of_part(scanning, addr, &is_block);
		part = (part_end < end ? part_end : end) - addr;
		r = is_block ? take_block_words(scanning, words, part)
			     : take_other_words(scanning, words, part, addr, class);
		words += part / WORD;
		addr += part;
	}
	return r;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What cannot be read is passed over page by page: it was unmapped just now. */
static int take_range(struct scanning *scanning, const struct reach_range *range,
		      const struct reach_source *source)
{
	uint64_t addr = range->start;
	int r = 0;

	scanning->step = range->is_code ? 1 : WORD;
	while (addr < range->end && r == 0) {
		uint64_t left = range->end - addr, page_left = PAGE_BYTES - addr % PAGE_BYTES;
		size_t size = left < REACH_PIECE_BYTES ? left : REACH_PIECE_BYTES;
		ssize_t got = source->read(source->context, addr, scanning->words, size);

		if (got < 0 && got != -EIO && got != -EFAULT)
			return got;
		if (got < (ssize_t)WORD) {
			page_left = page_left < left ? page_left : left;
			scanning->found->short_bytes += page_left;
			addr += page_left;
			continue;
		}
		got -= got % WORD;
		scanning->found->read_bytes += got;
		r = take_piece(scanning, scanning->words, got / WORD, addr, range->class);
		addr += got;
		/* an address may begin in this piece and end in the next */
		if (range->is_code && addr < range->end && got > (ssize_t)WORD)
			addr -= WORD;
	}
	return r;
}

static bool are_ranges(const struct reach_range *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ranges[i].start >= ranges[i].end || ranges[i].start % WORD ||
		    ranges[i].end % WORD || ranges[i].class >= REACH_CLASSES ||
		    (i && ranges[i].start < ranges[i - 1].end))
			return false;
	return true;
}

int reach_scan(const struct reach_places *places, const struct reach_range *ranges,
	       uint32_t range_count, const struct reach_source *source,
	       const struct reach_limits *limits, struct reach_found *found)
{
	_cleanup_free_ uint64_t *words = malloc(REACH_PIECE_BYTES);
	struct scanning scanning = { .limits = limits, .found = found, .words = words };
	int r = are_ranges(ranges, range_count) ? 0 : -EINVAL;

	found->block_count = places->count;
	found->edge_count = found->many_count = found->root_count = found->run_count = 0;
	found->read_bytes = found->short_bytes = 0;
	if (!words)
		return -ENOMEM;
	if (r == 0)
		r = reach_finder_init(&scanning.finder, places);
	for (uint32_t i = 0; i < range_count && r == 0; i++)
		r = take_range(&scanning, &ranges[i], source);
	if (r == 0)
		pass_blocks(&scanning, UINT64_MAX);
	reach_finder_deinit(&scanning.finder);
	return r;
}
