#include "pins.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/cleanup.h"

#define PAGE PAGEMAP_PAGE

struct holder { /* a block that has bytes on a page */
	uint32_t point;
	uint8_t age;
};

/* Blocks, runs and regions are passed by ascending address, side by side. */
struct sweep {
	const struct pins_input *input;
	struct pins *pins;
	size_t own_run;	  /* the first run that ends behind the block */
	uint64_t covered; /* up to where blocks have been */

	/* The region, and up to where it has been accounted for. */
	size_t region;
	uint64_t next_page;
	size_t page_run; /* the first run that ends behind next_page */

	/* The page that blocks are being collected of. */
	bool has_page;
	uint64_t page, page_live_bytes;
	uint32_t holder_count;
	struct holder holders[PAGE]; /* they do not overlap: a byte each, at least */

	/* P4: pages below without a live block, less what blocks are; at its least behind so many
	 * blocks, of which the highest ends on the page before `least_page`. */
	int64_t weight, least_weight;
	size_t least_block;
	uint64_t least_page;
};

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where a block ends, whatever it says its size is. */
static uint64_t end_of(const struct listed_block *block)
{
	uint64_t end = block->addr + block->size_bytes;

	return end < block->addr ? UINT64_MAX : end;
}

/* ---- runs -------------------------------------------------------------------------------- */

static uint64_t run_end(const struct pagemap_run *run)
{
	return run->first + run->count;
}

/* Pages in memory of [first, end). *at: see struct sweep; first never is less than it was. */
static uint64_t pages_in_memory(const struct pins_input *input, size_t *at, uint64_t first,
				uint64_t end)
{
	const struct pagemap_run *runs = input->runs;
	uint64_t pages = 0;

	while (*at < input->run_count && run_end(&runs[*at]) <= first)
		++*at;
	for (size_t i = *at; i < input->run_count && runs[i].first < end; i++)
		if (runs[i].what & PAGEMAP_IN_MEMORY)
			pages += least(run_end(&runs[i]), end) - most(runs[i].first, first);
	return pages;
}

/* P1 */
static void count_own(struct sweep *sweep, const struct listed_block *block)
{
	const struct pins_input *input = sweep->input;
	struct pins_point *point = &sweep->pins->points[block->point];
	uint64_t end = end_of(block), seen = 0;

	while (sweep->own_run < input->run_count &&
	       run_end(&input->runs[sweep->own_run]) * PAGE <= block->addr)
		sweep->own_run++;
	for (size_t i = sweep->own_run; i < input->run_count; i++) {
		const struct pagemap_run *run = &input->runs[i];
		uint64_t bytes;

		if (run->first * PAGE >= end)
			break;
		bytes = least(run_end(run) * PAGE, end) - most(run->first * PAGE, block->addr);
		if (run->what & PAGEMAP_IN_MEMORY)
			point->resident_bytes += bytes;
		else
			point->swapped_bytes += bytes;
		seen += bytes;
	}
	point->untouched_bytes += block->size_bytes - seen;
}

/* ---- pages ------------------------------------------------------------------------------- */

static bool is_of_one_point(const struct sweep *sweep)
{
	for (uint32_t i = 1; i < sweep->holder_count; i++)
		if (sweep->holders[i].point != sweep->holders[0].point)
			return false;
	return true;
}

/* P2. What equal shares leave over is the first one's. */
static void share_page(struct sweep *sweep)
{
	struct pins *pins = sweep->pins;
	uint64_t free_bytes = PAGE - sweep->page_live_bytes;
	uint64_t share = free_bytes / sweep->holder_count;
	uint64_t rest = free_bytes % sweep->holder_count;

	pins->live_bytes += sweep->page_live_bytes;
	pins->beside_bytes += free_bytes;
	if (is_of_one_point(sweep))
		pins->points[sweep->holders[0].point].alone_bytes += PAGE;
	for (uint32_t i = 0; i < sweep->holder_count && free_bytes; i++) {
		const struct holder *holder = &sweep->holders[i];

		pins->points[holder->point].beside_bytes[holder->age] += share + (i ? 0 : rest);
	}
}

static void close_page(struct sweep *sweep)
{
	if (!sweep->has_page)
		return;
	if (pages_in_memory(sweep->input, &sweep->page_run, sweep->page, sweep->page + 1))
		share_page(sweep);
	sweep->next_page = sweep->page + 1;
	sweep->has_page = false;
}

/* Up to a page there is no live block. */
static void pass_free(struct sweep *sweep, uint64_t page)
{
	uint64_t bytes =
		pages_in_memory(sweep->input, &sweep->page_run, sweep->next_page, page) * PAGE;

	sweep->pins->below_bytes += bytes;
	sweep->weight += (int64_t)bytes;
	sweep->next_page = page;
}

static void hold_page(struct sweep *sweep, const struct listed_block *block, uint64_t page,
		      uint64_t bytes)
{
	if (sweep->has_page && sweep->page != page)
		close_page(sweep);
	if (!sweep->has_page) {
		pass_free(sweep, page);
		sweep->has_page = true;
		sweep->page = page;
		sweep->page_live_bytes = 0;
		sweep->holder_count = 0;
	}
	sweep->page_live_bytes += bytes;
	sweep->holders[sweep->holder_count++] = (struct holder){ block->point, block->age };
}

/* Pages that a block has whole. */
static void hold_whole(struct sweep *sweep, const struct listed_block *block, uint64_t end)
{
	uint64_t bytes;

	close_page(sweep);
	bytes = pages_in_memory(sweep->input, &sweep->page_run, sweep->next_page, end) * PAGE;
	sweep->pins->live_bytes += bytes;
	sweep->pins->points[block->point].alone_bytes += bytes;
	sweep->next_page = end;
}

/* ---- regions ----------------------------------------------------------------------------- */

static const struct pins_region *region_of(const struct sweep *sweep)
{
	return sweep->region < sweep->input->region_count ? &sweep->input->regions[sweep->region]
							  : NULL;
}

static void begin_region(struct sweep *sweep, size_t block)
{
	const struct pins_region *region = region_of(sweep);

	sweep->weight = sweep->least_weight = 0;
	sweep->least_block = block;
	if (!region)
		return;
	sweep->next_page = sweep->least_page = region->start / PAGE;
}

/* P4, of blocks up to a number; above: bytes that are free already. */
static void name_highest(struct sweep *sweep, size_t end_block, uint64_t above)
{
	const struct pins_region *region = region_of(sweep);
	struct pins *pins = sweep->pins;
	size_t run = 0, count = sweep->input->run_count;

	if (!region->shrinks_from_end || sweep->least_block >= end_block)
		return;
	for (size_t half = count; half; half /= 2) /* pages_in_memory() begins from there */
		while (run + half < count &&
		       run_end(&sweep->input->runs[run + half]) <= sweep->least_page)
			run += half;
	pins->highest_gain_bytes +=
		pages_in_memory(sweep->input, &run, sweep->least_page, region->end / PAGE) * PAGE -
		above;
	for (size_t i = sweep->least_block; i < end_block; i++) {
		struct listed_block block = block_list_at(sweep->input->blocks, i);

		if (block.is_mapped)
			continue;
		pins->highest_blocks++;
		pins->highest_bytes += block.size_bytes;
		pins->points[block.point].highest_blocks++;
		pins->points[block.point].highest_bytes += block.size_bytes;
	}
}

static void end_region(struct sweep *sweep, size_t end_block)
{
	const struct pins_region *region = region_of(sweep);
	uint64_t above;

	close_page(sweep);
	above = pages_in_memory(sweep->input, &sweep->page_run, sweep->next_page,
				region->end / PAGE) *
		PAGE;
	sweep->pins->above_bytes += above;
	name_highest(sweep, end_block, above);
	sweep->region++;
	begin_region(sweep, end_block);
}

/* What is in memory and what is swapped out, by the runs alone. */
static void count_regions(const struct pins_input *input, struct pins *pins)
{
	size_t at = 0;

	for (size_t i = 0; i < input->region_count; i++) {
		uint64_t first = input->regions[i].start / PAGE, end = input->regions[i].end / PAGE;

		while (at < input->run_count && run_end(&input->runs[at]) <= first)
			at++;
		for (size_t j = at; j < input->run_count && input->runs[j].first < end; j++) {
			const struct pagemap_run *run = &input->runs[j];
			uint64_t pages = least(run_end(run), end) - most(run->first, first);

			if (run->what & PAGEMAP_IN_MEMORY)
				pins->resident_bytes += pages * PAGE;
			else
				pins->swapped_bytes += pages * PAGE;
		}
	}
}

/* ---- blocks ------------------------------------------------------------------------------ */

static void note_weight(struct sweep *sweep, size_t number, uint64_t bytes, uint64_t end)
{
	sweep->weight -= (int64_t)(PAGE + PINS_WORTH * bytes);
	if (sweep->weight > sweep->least_weight)
		return;
	sweep->least_weight = sweep->weight;
	sweep->least_block = number + 1;
	sweep->least_page = (end + PAGE - 1) / PAGE;
}

/* What of a block is no other's before it, within the region. */
static void hold_pages(struct sweep *sweep, const struct listed_block *block, size_t number,
		       uint64_t start, uint64_t end)
{
	uint64_t first = start / PAGE, last = (end - 1) / PAGE;

	if (first == last) {
		hold_page(sweep, block, first, end - start);
	} else {
		hold_page(sweep, block, first, (first + 1) * PAGE - start);
		hold_whole(sweep, block, last);
		hold_page(sweep, block, last, end - last * PAGE);
	}
	note_weight(sweep, number, end - start, end);
}

/* Of two at one address the outer one may come second. */
static bool is_inside_next(const struct sweep *sweep, const struct listed_block *block,
			   size_t number)
{
	struct listed_block next;

	if (number + 1 == block_list_count(sweep->input->blocks))
		return false;
	next = block_list_at(sweep->input->blocks, number + 1);
	return next.addr == block->addr && !next.is_mapped && next.size_bytes > block->size_bytes;
}

static void pass_block(struct sweep *sweep, size_t number)
{
	struct listed_block block = block_list_at(sweep->input->blocks, number);
	uint64_t start = most(block.addr, sweep->covered), end = end_of(&block);

	count_own(sweep, &block);
	if (block.is_mapped || end <= start || is_inside_next(sweep, &block, number))
		return;
	while (region_of(sweep) && region_of(sweep)->end <= start)
		end_region(sweep, number);
	sweep->covered = end;
	if (!region_of(sweep) || block.addr < region_of(sweep)->start)
		return;
	hold_pages(sweep, &block, number, start, least(end, region_of(sweep)->end));
}

/* ---- all of it --------------------------------------------------------------------------- */

uint64_t pins_bytes(uint32_t points)
{
	return sizeof(struct pins) + sizeof(struct sweep) + points * sizeof(struct pins_point);
}

void pins_free(struct pins *pins)
{
	if (!pins)
		return;
	free(pins->points);
	free(pins);
}
DEFINE_CLEANUP_PTR(struct pins *, pins_free)

int pins_count(const struct pins_input *input, struct pins **ret)
{
	_cleanup_(pins_free_ptr) struct pins *pins = calloc(1, sizeof(*pins));
	_cleanup_free_ struct sweep *sweep = calloc(1, sizeof(*sweep));
	size_t count = block_list_count(input->blocks);

	if (!pins || !sweep)
		return -ENOMEM;
	pins->points = calloc(input->points + 1ul, sizeof(*pins->points));
	if (!pins->points)
		return -ENOMEM;
	pins->point_count = input->points;
	sweep->input = input;
	sweep->pins = pins;
	count_regions(input, pins);
	begin_region(sweep, 0);
	for (size_t i = 0; i < count; i++)
		pass_block(sweep, i);
	while (region_of(sweep))
		end_region(sweep, count);
	*ret = take_ptr(pins);
	return 0;
}
