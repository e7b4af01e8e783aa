#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

/* ---- by address ---------------------------------------------------------------------------- */

#define DIGIT_BITS 11

/* One pass of a radix sort: ten million blocks take a fifth of what qsort(3) does. false: all have
 * the same digit there, as most addresses of a heap have in their upper half; nothing was done. */
static bool sort_by_digit(const struct reach_block *from, struct reach_block *to, size_t count,
			  unsigned shift, uint32_t *starts)
{
	const uint64_t mask = (1u << DIGIT_BITS) - 1;
	uint32_t next = 0;

	memset(starts, 0, sizeof(*starts) << DIGIT_BITS);
	for (size_t i = 0; i < count; i++)
		starts[from[i].addr >> shift & mask]++;
	if (!count || starts[from[0].addr >> shift & mask] == count)
		return false;
	for (size_t i = 0; i <= mask; i++) {
		uint32_t here = starts[i];

		starts[i] = next;
		next += here;
	}
	for (size_t i = 0; i < count; i++)
		to[starts[from[i].addr >> shift & mask]++] = from[i];
	return true;
}

/* Of what is at one address the youngest; what reaches into the next ends there. */
static size_t separate(struct reach_block *blocks, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct reach_block *last = kept ? &blocks[kept - 1] : NULL;

		if (last && last->addr == blocks[i].addr) {
			if (last->birth_ns < blocks[i].birth_ns)
				*last = blocks[i];
			continue;
		}
		if (last && blocks[i].addr - last->addr < last->size_bytes) {
			last->size_bytes = blocks[i].addr - last->addr;
			last->flags |= REACH_BLOCK_SHARED;
		}
		blocks[kept++] = blocks[i];
	}
	return kept;
}

int reach_sort(struct reach_block *blocks, size_t *count)
{
	_cleanup_free_ struct reach_block *other = malloc((*count + 1) * sizeof(*other));
	_cleanup_free_ uint32_t *starts = malloc(sizeof(*starts) << DIGIT_BITS);
	struct reach_block *from = blocks, *to = other;

	if (!other || !starts)
		return -ENOMEM;
	for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
		struct reach_block *was = from;

		if (!sort_by_digit(from, to, *count, shift, starts))
			continue;
		from = to;
		to = was;
	}
	if (from != blocks)
		memcpy(blocks, from, *count * sizeof(*blocks));
	*count = separate(blocks, *count);
	return 0;
}

size_t reach_find(const struct reach_block *blocks, size_t count, uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (blocks[middle].addr < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && blocks[low].addr == addr ? low : count;
}

size_t reach_find_below(const struct reach_block *blocks, size_t count, uint64_t addr)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (blocks[middle].addr <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : count;
}

/* ---- words ---------------------------------------------------------------------------------- */

struct reach_run {
	uint64_t start;		 /* of its first block */
	uint32_t first, end;	 /* blocks */
	uint32_t buckets, index; /* how many, and where they begin in `firsts` */
	unsigned shift;
};

#define RUN_GAP_BYTES (1ull << 20) /* between two beginnings: a new run */
#define BUCKET_SHIFT 12		   /* the narrowest */

static bool is_sound(const uint64_t *addrs, const uint64_t *sizes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (addrs[i] + sizes[i] < addrs[i] ||
		    (i + 1 < count &&
		     (addrs[i + 1] <= addrs[i] || addrs[i + 1] - addrs[i] < sizes[i])))
			return false;
	return count <= REACH_MAX_BLOCKS;
}

static uint32_t count_runs(const uint64_t *addrs, uint32_t count)
{
	uint32_t runs = count ? 1 : 0;

	for (uint32_t i = 1; i < count; i++)
		runs += addrs[i] - addrs[i - 1] > RUN_GAP_BYTES;
	return runs;
}

/* At most two buckets a block, and one more. */
static void shape_run(struct reach_run *run, const uint64_t *addrs)
{
	uint64_t span = addrs[run->end - 1] - run->start;
	uint64_t most = 2ull * (run->end - run->first);

	run->shift = BUCKET_SHIFT;
	while (span >> run->shift >= most)
		run->shift++;
	run->buckets = (span >> run->shift) + 1;
}

static void divide(struct reach_finder *finder)
{
	struct reach_run *run = NULL;

	for (uint32_t i = 0; i < finder->count; i++) {
		if (!i || finder->addrs[i] - finder->addrs[i - 1] > RUN_GAP_BYTES) {
			run = &finder->runs[finder->run_count++];
			*run = (struct reach_run){ .start = finder->addrs[i], .first = i };
		}
		run->end = i + 1;
	}
}

static int index_runs(struct reach_finder *finder)
{
	size_t buckets = 0;

	for (uint32_t i = 0; i < finder->run_count; i++) {
		shape_run(&finder->runs[i], finder->addrs);
		finder->runs[i].index = buckets;
		buckets += finder->runs[i].buckets + 1ul;
	}
	finder->firsts = malloc((buckets + 1) * sizeof(*finder->firsts));
	if (!finder->firsts)
		return -ENOMEM;
	for (uint32_t i = 0; i < finder->run_count; i++) {
		const struct reach_run *run = &finder->runs[i];
		uint32_t block = run->first;

		for (uint64_t bucket = 0; bucket <= run->buckets; bucket++) {
			while (block < run->end &&
			       (finder->addrs[block] - run->start) >> run->shift < bucket)
				block++;
			finder->firsts[run->index + bucket] = block;
		}
	}
	return 0;
}

int reach_finder_init(struct reach_finder *finder, const uint64_t *addrs, const uint64_t *sizes,
		      uint32_t count)
{
	*finder = (struct reach_finder){ .addrs = addrs, .sizes = sizes, .count = count };
	if (!is_sound(addrs, sizes, count))
		return -EINVAL;
	finder->lowest = count ? addrs[0] : UINT64_MAX;
	finder->highest = count ? addrs[count - 1] + sizes[count - 1] : 0;
	finder->runs = calloc(count_runs(addrs, count) + 1ul, sizeof(*finder->runs));
	if (!finder->runs)
		return -ENOMEM;
	divide(finder);
	return index_runs(finder);
}

void reach_finder_deinit(struct reach_finder *finder)
{
	free(finder->runs);
	free(finder->firsts);
	*finder = (struct reach_finder){ 0 };
}

/* The last run that begins at or below; there is one. */
static const struct reach_run *find_run(struct reach_finder *finder, uint64_t word)
{
	const struct reach_run *last = &finder->runs[finder->last_run];
	uint32_t low = 0, high = finder->run_count;

	if (last->start <= word &&
	    (finder->last_run + 1 == finder->run_count || last[1].start > word))
		return last;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (finder->runs[middle].start <= word)
			low = middle + 1;
		else
			high = middle;
	}
	finder->last_run = low - 1;
	return &finder->runs[low - 1];
}

/* The last block that begins at or below; there is one. */
static uint32_t find_block(const struct reach_finder *finder, const struct reach_run *run,
			   uint64_t word)
{
	uint64_t bucket = (word - run->start) >> run->shift;
	uint32_t low, high;

	if (bucket >= run->buckets)
		return run->end - 1;
	low = finder->firsts[run->index + bucket];
	high = finder->firsts[run->index + bucket + 1];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (finder->addrs[middle] <= word)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

static inline uint32_t edge_to(uint32_t block, uint64_t offset, uint64_t size)
{
	if (!offset)
		return block | REACH_START << REACH_KIND_SHIFT;
	if (offset < size)
		return block | REACH_INSIDE << REACH_KIND_SHIFT;
	return offset == size ? block | (uint32_t)REACH_PAST << REACH_KIND_SHIFT : REACH_NONE;
}

/* Since it is the last block that begins at or below, a word to where it ends is not to where
 * another one begins: those that touch, as jemalloc's regions do, would all hold one another. */
static uint32_t point_straight(struct reach_finder *finder, uint64_t word)
{
	uint32_t block;

	if (word < finder->lowest || word > finder->highest)
		return REACH_NONE;
	block = find_block(finder, find_run(finder, word), word);
	return edge_to(block, word - finder->addrs[block], finder->sizes[block]);
}

uint32_t reach_point_in(const struct reach_block *blocks, uint32_t count, uint64_t word)
{
	size_t at = reach_find_below(blocks, count, word);

	return at < count ? edge_to(at, word - blocks[at].addr, blocks[at].size_bytes) : REACH_NONE;
}

#define ADDRESS_BITS 47 /* of user space: bpf/machine.h */
#define TAG_BITS 16

static uint32_t point_without_tag(struct reach_finder *finder, uint64_t word)
{
	uint32_t edge = point_straight(finder, word);

	if (edge == REACH_NONE || reach_kind(edge) == REACH_PAST)
		return REACH_NONE;
	return reach_target(edge) | (uint32_t)REACH_TAGGED << REACH_KIND_SHIFT;
}

uint32_t reach_point(struct reach_finder *finder, uint64_t word)
{
	uint32_t edge = point_straight(finder, word);

	if (edge == REACH_NONE && word >> ADDRESS_BITS)
		edge = point_without_tag(finder, word & ((1ull << (64 - TAG_BITS)) - 1));
	return edge != REACH_NONE ? edge : point_without_tag(finder, word >> TAG_BITS);
}
