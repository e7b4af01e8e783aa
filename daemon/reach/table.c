#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/sort.h"

/* ---- by address ---------------------------------------------------------------------------- */

static inline uint64_t addr_of(const struct reach_block *block)
{
	return block->addr;
}

DEFINE_SORT_BY_NUMBER(sort_by_addr, struct reach_block, addr_of)

bool reach_has_room_for(uint64_t addr, uint64_t size_bytes, uint32_t point)
{
	return addr <= REACH_MAX_ADDRESS && size_bytes <= REACH_MAX_ADDRESS - addr &&
	       point <= REACH_MAX_POINT;
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

void reach_sort(struct reach_block *blocks, size_t *count)
{
	sort_by_addr(blocks, *count);
	*count = separate(blocks, *count);
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
#define BUCKET_SHIFT 6		   /* the narrowest */
#define BUCKET_BLOCKS 4		   /* to one bucket, at least, on average */

static uint64_t addr_at(const struct reach_places *places, uint32_t i)
{
	return reach_place_at(places, i)->addr;
}

static bool is_sound(const struct reach_places *places)
{
	for (uint32_t i = 0; i < places->count; i++) {
		uint64_t end = addr_at(places, i) + reach_place_at(places, i)->size_bytes;

		if (end > REACH_MAX_ADDRESS ||
		    (i + 1 < places->count && (addr_at(places, i + 1) <= addr_at(places, i) ||
					       addr_at(places, i + 1) < end)))
			return false;
	}
	return places->count <= REACH_MAX_BLOCKS;
}

static uint32_t count_runs(const struct reach_places *places)
{
	uint32_t runs = places->count ? 1 : 0;

	for (uint32_t i = 1; i < places->count; i++)
		runs += addr_at(places, i) - addr_at(places, i - 1) > RUN_GAP_BYTES;
	return runs;
}

/* At most one bucket for so many blocks, and one more: a byte a block. */
static void shape_run(struct reach_run *run, const struct reach_places *places)
{
	uint64_t span = addr_at(places, run->end - 1) - run->start;
	uint64_t most = (run->end - run->first) / BUCKET_BLOCKS + 1;

	run->shift = BUCKET_SHIFT;
	while (span >> run->shift >= most)
		run->shift++;
	run->buckets = (span >> run->shift) + 1;
}

static void divide(struct reach_finder *finder)
{
	struct reach_run *run = NULL;

	for (uint32_t i = 0; i < finder->places.count; i++) {
		uint64_t addr = addr_at(&finder->places, i);

		if (!i || addr - addr_at(&finder->places, i - 1) > RUN_GAP_BYTES) {
			run = &finder->runs[finder->run_count++];
			*run = (struct reach_run){ .start = addr, .first = i };
		}
		run->end = i + 1;
	}
}

static int index_runs(struct reach_finder *finder)
{
	size_t buckets = 0;

	for (uint32_t i = 0; i < finder->run_count; i++) {
		shape_run(&finder->runs[i], &finder->places);
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
			while (block < run->end && (addr_at(&finder->places, block) - run->start) >>
							   run->shift < bucket)
				block++;
			finder->firsts[run->index + bucket] = block;
		}
	}
	return 0;
}

int reach_finder_init(struct reach_finder *finder, const struct reach_places *places)
{
	*finder = (struct reach_finder){ .places = *places, .lowest = UINT64_MAX };
	if (!is_sound(places))
		return -EINVAL;
	if (places->count) {
		const struct reach_place *last = reach_place_at(places, places->count - 1);

		finder->lowest = addr_at(places, 0);
		finder->highest = last->addr + last->size_bytes;
	}
	finder->runs = calloc(count_runs(places) + 1ul, sizeof(*finder->runs));
	if (!finder->runs)
		return -ENOMEM;
	divide(finder);
	return index_runs(finder);
}

uint64_t reach_finder_bytes(const struct reach_places *places)
{
	uint64_t runs = count_runs(places);

	/* of a run a bucket for each BUCKET_BLOCKS, one more, and where the last one ends */
	return (runs + 1) * sizeof(struct reach_run) +
	       (places->count / BUCKET_BLOCKS + 2 * runs + 1) * sizeof(uint32_t);
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

/* Of a word that is behind a run's beginning: among which blocks is the last that begins at or
 * below? It is one before *ret_high at the latest. */
static inline void find_bucket(const struct reach_finder *finder, const struct reach_run *run,
			       uint64_t word, uint32_t *ret_low, uint32_t *ret_high)
{
	uint64_t bucket = (word - run->start) >> run->shift;

	*ret_low = *ret_high = run->end;
	if (bucket >= run->buckets)
		return;
	*ret_low = finder->firsts[run->index + bucket];
	*ret_high = finder->firsts[run->index + bucket + 1];
}

/* The last block that begins at or below; there is one. */
static uint32_t find_block(const struct reach_finder *finder, const struct reach_run *run,
			   uint64_t word)
{
	uint32_t low, high;

	find_bucket(finder, run, word, &low, &high);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (addr_at(&finder->places, middle) <= word)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

uint32_t reach_finder_find(struct reach_finder *finder, uint64_t addr)
{
	uint32_t block;

	if (addr < finder->lowest || addr > finder->highest)
		return REACH_NONE;
	block = find_block(finder, find_run(finder, addr), addr);
	return addr_at(&finder->places, block) == addr ? block : REACH_NONE;
}

void reach_finder_prefetch(struct reach_finder *finder, uint64_t addr, enum reach_nearness what)
{
	const struct reach_run *run;
	uint32_t low, high;

	if (addr < finder->lowest || addr > finder->highest)
		return;
	run = find_run(finder, addr);
	if (what == REACH_NEAR_BUCKET) {
		__builtin_prefetch(
			&finder->firsts[run->index +
					((addr - run->start) >> run->shift) % run->buckets]);
		return;
	}
	find_bucket(finder, run, addr, &low, &high);
	__builtin_prefetch(reach_place_at(&finder->places, low + (high - low) / 2));
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
	const struct reach_place *place;
	uint32_t block;

	if (word < finder->lowest || word > finder->highest)
		return REACH_NONE;
	block = find_block(finder, find_run(finder, word), word);
	place = reach_place_at(&finder->places, block);
	return edge_to(block, word - place->addr, place->size_bytes);
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
