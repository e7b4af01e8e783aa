/* What blocks keep resident: layouts made by hand, and any layout beside a count byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/pins.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct block_list *, block_list_free)
DEFINE_CLEANUP_PTR(struct pins *, pins_free)

#define PAGE PAGEMAP_PAGE
#define BASE 1000 /* the first page */
#define POINTS 4
#define SECOND 1000000000ull
#define NOW (100 * SECOND)

struct layout {
	struct block blocks[70000];
	size_t block_count;
	struct pagemap_run runs[256];
	size_t run_count;
	struct pins_region regions[8];
	size_t region_count;
};

static struct layout *new_layout(void)
{
	return calloc(1, sizeof(struct layout));
}

/* at: a byte behind the first page. */
static void block(struct layout *layout, uint64_t at, uint64_t bytes, uint32_t point)
{
	layout->blocks[layout->block_count++] = (struct block){
		.addr = BASE * PAGE + at,
		.size_bytes = bytes,
		.birth_ns = NOW - SECOND / 2,
		.point = point,
	};
}

static void run(struct layout *layout, uint64_t page, uint64_t count, unsigned what)
{
	layout->runs[layout->run_count++] = (struct pagemap_run){ BASE + page, count, what };
}

static void region(struct layout *layout, uint64_t page, uint64_t count, bool shrinks)
{
	layout->regions[layout->region_count++] =
		(struct pins_region){ (BASE + page) * PAGE, (BASE + page + count) * PAGE, shrinks };
}

static uint64_t sum(const uint64_t *figures, size_t count)
{
	uint64_t all = 0;

	for (size_t i = 0; i < count; i++)
		all += figures[i];
	return all;
}

static uint64_t beside(const struct pins *pins, uint32_t point)
{
	return sum(pins->points[point].beside_bytes, DHAT_PAGE_AGES);
}

static struct pins *count(const struct layout *layout)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = NULL;
	struct pins_input input = {
		.runs = layout->runs,
		.run_count = layout->run_count,
		.regions = layout->regions,
		.region_count = layout->region_count,
		.points = POINTS,
	};
	struct pins *pins = NULL;
	uint64_t all = 0;

	assert_int_equal(block_list_new(layout->block_count, &list), 0);
	for (size_t i = 0; i < layout->block_count; i++)
		assert_int_equal(block_list_add(list, &layout->blocks[i], NOW), 0);
	block_list_sort(list);
	input.blocks = list;
	assert_int_equal(pins_count(&input, &pins), 0);
	/* P5, and shares are neither lost nor made */
	assert_int_equal(pins->resident_bytes, pins->live_bytes + pins->beside_bytes +
						       pins->below_bytes + pins->above_bytes);
	for (uint32_t i = 0; i < POINTS; i++)
		all += beside(pins, i);
	assert_int_equal(all, pins->beside_bytes);
	return pins;
}

/* ---- layouts ----------------------------------------------------------------------------- */

static void nothing_at_all(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL, *empty = count(layout);

	assert_int_equal(empty->resident_bytes, 0);
	region(layout, 0, 10, true);
	run(layout, 2, 3, PAGEMAP_IN_MEMORY);
	pins = count(layout);
	assert_int_equal(pins->resident_bytes, 3 * PAGE);
	assert_int_equal(pins->above_bytes, 3 * PAGE);
	assert_int_equal(pins->highest_blocks, 0);
}

/* A page of blocks of which every second one was freed. */
static void every_second_block(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 8, true);
	run(layout, 0, 8, PAGEMAP_IN_MEMORY);
	for (uint64_t i = 0; i < 8 * PAGE / 64; i += 2)
		block(layout, i * 64, 64, 1);
	pins = count(layout);
	assert_int_equal(pins->live_bytes, 4 * PAGE);
	assert_int_equal(pins->beside_bytes, 4 * PAGE);
	assert_int_equal(beside(pins, 1), 4 * PAGE);
	assert_int_equal(pins->points[1].resident_bytes, 4 * PAGE);
	assert_int_equal(pins->points[1].alone_bytes, 8 * PAGE);
	assert_int_equal(pins->below_bytes + pins->above_bytes, 0);
}

/* One survivor a page; every fourth page is another's, too. */
static void one_survivor_a_page(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 100, false);
	run(layout, 0, 100, PAGEMAP_IN_MEMORY);
	for (uint64_t i = 0; i < 100; i++)
		block(layout, i * PAGE + 96, 32, 1);
	for (uint64_t i = 0; i < 100; i += 4)
		block(layout, i * PAGE + 2000, 96, 2);
	pins = count(layout);
	assert_int_equal(pins->live_bytes, 100 * 32 + 25 * 96);
	assert_int_equal(pins->points[1].alone_bytes, 75 * PAGE);
	assert_int_equal(pins->points[2].alone_bytes, 0);
	assert_int_equal(beside(pins, 1), 75 * (PAGE - 32) + 25 * (PAGE - 128) / 2);
	assert_int_equal(beside(pins, 2), 25 * (PAGE - 128) / 2);
}

/* A block over pages in memory, swapped out and never touched; both ends share a page. */
static void where_a_large_block_is(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 10, true);
	run(layout, 0, 3, PAGEMAP_IN_MEMORY);
	run(layout, 4, 2, PAGEMAP_SWAPPED);
	run(layout, 8, 1, PAGEMAP_IN_MEMORY);
	block(layout, 100, 8 * PAGE, 1); /* up to byte 100 of page 8 */
	block(layout, 8 * PAGE + 1000, 24, 2);
	pins = count(layout);
	assert_int_equal(pins->points[1].resident_bytes, 3 * PAGE);
	assert_int_equal(pins->points[1].swapped_bytes, 2 * PAGE);
	assert_int_equal(pins->points[1].untouched_bytes, 3 * PAGE);
	assert_int_equal(pins->points[1].alone_bytes, 3 * PAGE);
	assert_int_equal(pins->points[2].resident_bytes, 24);
	assert_int_equal(pins->live_bytes, 3 * PAGE + 24);
	assert_int_equal(beside(pins, 1), 100 + (PAGE - 124) / 2);
	assert_int_equal(beside(pins, 2), (PAGE - 124) / 2);
	assert_int_equal(pins->swapped_bytes, 2 * PAGE);
}

/* 400 blocks above a heap that is free otherwise; what lies below them are large blocks. */
static void few_blocks_at_the_end_of_a_heap(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL, *other = NULL;

	region(layout, 0, 10000, true);
	run(layout, 0, 10000, PAGEMAP_IN_MEMORY);
	for (uint64_t i = 0; i < 100; i++)
		block(layout, i * PAGE, PAGE, 1);
	for (uint64_t i = 0; i < 400; i++)
		block(layout, 9000 * PAGE + i * 100, 100, i % 4 ? 2 : 3);
	pins = count(layout);
	assert_int_equal(pins->below_bytes, 8900 * PAGE);
	assert_int_equal(pins->above_bytes, 990 * PAGE);
	assert_int_equal(pins->highest_blocks, 400);
	assert_int_equal(pins->highest_bytes, 40000);
	assert_int_equal(pins->points[2].highest_blocks, 300);
	assert_int_equal(pins->points[3].highest_blocks, 100);
	assert_int_equal(pins->points[3].highest_bytes, 10000);
	/* 40,000 bytes are ten pages */
	assert_int_equal(pins->highest_gain_bytes, 8910 * PAGE);
	/* what gives back whole pages anywhere is not kept by its end */
	layout->regions[0].shrinks_from_end = false;
	other = count(layout);
	assert_int_equal(other->highest_blocks, 0);
	assert_int_equal(other->below_bytes, 8900 * PAGE);
}

static void who_keeps_little_is_not_named(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 100, true);
	run(layout, 0, 100, PAGEMAP_IN_MEMORY);
	block(layout, 0, 50 * PAGE, 1);
	/* seven pages below one, and one below a small one */
	block(layout, 57 * PAGE, PAGE, 1);
	block(layout, 59 * PAGE, 16, 2);
	pins = count(layout);
	assert_int_equal(pins->below_bytes, 8 * PAGE);
	assert_int_equal(pins->highest_blocks, 0);
	assert_int_equal(pins->highest_gain_bytes, 0);
}

/* Two heaps: in each its own highest blocks count. Pages that are not in memory keep nothing. */
static void each_heap_for_itself(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 100, true);
	region(layout, 200, 100, true);
	run(layout, 0, 40, PAGEMAP_IN_MEMORY);
	run(layout, 90, 1, PAGEMAP_IN_MEMORY);
	run(layout, 200, 100, PAGEMAP_IN_MEMORY);
	block(layout, 90 * PAGE, 16, 1);
	block(layout, 200 * PAGE, 16, 2);
	block(layout, 250 * PAGE, 16, 3);
	pins = count(layout);
	assert_int_equal(pins->below_bytes, 40 * PAGE + 49 * PAGE);
	assert_int_equal(pins->above_bytes, 49 * PAGE);
	assert_int_equal(pins->highest_blocks, 2);
	assert_int_equal(pins->points[1].highest_blocks, 1);
	assert_int_equal(pins->points[2].highest_blocks, 0);
	assert_int_equal(pins->points[3].highest_blocks, 1);
	assert_int_equal(pins->highest_gain_bytes, 41 * PAGE + 50 * PAGE);
}

/* A pool's blocks in one of malloc's, and memory that the target mapped itself. */
static void what_lies_in_another_keeps_nothing(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 4, true);
	run(layout, 0, 8, PAGEMAP_IN_MEMORY);
	block(layout, 0, 2 * PAGE, 1);
	block(layout, 0, 100, 2);
	block(layout, PAGE + 10, 100, 2);
	block(layout, 5 * PAGE, PAGE, 3); /* in no region */
	block(layout, 2 * PAGE, PAGE, 0);
	layout->blocks[4].domain = DHAT_DOMAIN_ANON;
	pins = count(layout);
	assert_int_equal(pins->live_bytes, 2 * PAGE);
	assert_int_equal(pins->points[1].alone_bytes, 2 * PAGE);
	assert_int_equal(pins->points[2].resident_bytes, 200);
	assert_int_equal(pins->points[2].alone_bytes, 0);
	assert_int_equal(pins->points[3].resident_bytes, PAGE);
	assert_int_equal(pins->points[3].alone_bytes, 0);
	assert_int_equal(pins->points[0].resident_bytes, PAGE);
	assert_int_equal(pins->above_bytes, 2 * PAGE);
}

static void shares_are_by_age(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 1, true);
	run(layout, 0, 1, PAGEMAP_IN_MEMORY);
	for (uint64_t i = 0; i < 3; i++)
		block(layout, i * 32, 32, 1);
	layout->blocks[1].birth_ns = NOW - 5 * SECOND;
	layout->blocks[2].was_before = true;
	pins = count(layout);
	assert_int_equal(pins->points[1].beside_bytes[0], 1334); /* 4,000 in three parts */
	assert_int_equal(pins->points[1].beside_bytes[1], 1333);
	assert_int_equal(pins->points[1].beside_bytes[DHAT_PAGE_AGE_BEFORE], 1333);
}

/* Sizes that no memory has, as a racy table or a hostile program may tell. */
static void sizes_beyond_all_memory(void **state)
{
	_cleanup_free_ struct layout *layout = new_layout();
	_cleanup_(pins_free_ptr) struct pins *pins = NULL;

	region(layout, 0, 4, true);
	region(layout, 6, 2, true);
	run(layout, 0, 8, PAGEMAP_IN_MEMORY);
	block(layout, 100, UINT64_MAX, 1);
	block(layout, PAGE, 10, 2);
	pins = count(layout);
	assert_int_equal(pins->live_bytes, 4 * PAGE - 100);
	assert_int_equal(pins->points[1].resident_bytes, 8 * PAGE - 100);
	assert_int_equal(pins->points[2].resident_bytes, 10);
}

/* ---- any layout -------------------------------------------------------------------------- */

enum { MODEL_PAGES = 120 };

static uint64_t seed = 3;

static uint64_t pick(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 20) % below;
}

struct model {
	unsigned what[MODEL_PAGES];
	int owner[MODEL_PAGES * PAGE]; /* -1: no block's */
	uint64_t resident[POINTS], swapped[POINTS], untouched[POINTS], alone[POINTS];
	uint64_t live, beside, free, in_memory;
};

static void make_runs(struct layout *layout, struct model *model)
{
	static const unsigned kinds[] = { 0, PAGEMAP_IN_MEMORY, PAGEMAP_SWAPPED };

	for (uint64_t page = 0; page < MODEL_PAGES;) {
		uint64_t length = 1 + pick(9);
		unsigned what = kinds[pick(5) % 3];

		if (length > MODEL_PAGES - page)
			length = MODEL_PAGES - page;
		if (what)
			run(layout, page, length, what);
		for (uint64_t i = 0; i < length; i++)
			model->what[page + i] = what;
		page += length;
	}
}

static void make_blocks(struct layout *layout, struct model *model)
{
	static const uint64_t sizes[] = { 1, 16, 100, 2000, PAGE, 9000, 40000 };
	uint64_t at = pick(3 * PAGE);

	while (at < MODEL_PAGES * PAGE) {
		uint64_t bytes = 1 + pick(sizes[pick(7)]);
		uint32_t point = pick(POINTS);

		if (at + bytes > MODEL_PAGES * PAGE)
			break;
		block(layout, at, bytes, point);
		for (uint64_t i = at; i < at + bytes; i++)
			model->owner[i] = point;
		at += bytes + (pick(3) ? pick(64) : pick(5 * PAGE));
	}
}

static void count_model_page(struct model *model, uint64_t page)
{
	uint64_t live = 0;
	int owner = -1;
	bool is_shared = false;

	for (uint64_t i = page * PAGE; i < (page + 1) * PAGE; i++) {
		int at = model->owner[i];

		if (at < 0)
			continue;
		live++;
		is_shared |= owner >= 0 && owner != at;
		owner = at;
		if (model->what[page] == PAGEMAP_IN_MEMORY)
			model->resident[at]++;
		else if (model->what[page] == PAGEMAP_SWAPPED)
			model->swapped[at]++;
		else
			model->untouched[at]++;
	}
	if (model->what[page] != PAGEMAP_IN_MEMORY)
		return;
	model->in_memory += PAGE;
	model->live += live;
	model->beside += live ? PAGE - live : 0;
	model->free += live ? 0 : PAGE;
	if (live && !is_shared)
		model->alone[owner] += PAGE;
}

static void any_layout_byte_by_byte(void **state)
{
	for (int round = 0; round < 60; round++) {
		_cleanup_free_ struct layout *layout = new_layout();
		_cleanup_free_ struct model *model = calloc(1, sizeof(*model));
		_cleanup_(pins_free_ptr) struct pins *pins = NULL;

		memset(model->owner, 0xff, sizeof(model->owner));
		region(layout, 0, MODEL_PAGES, round % 2);
		make_runs(layout, model);
		make_blocks(layout, model);
		for (uint64_t page = 0; page < MODEL_PAGES; page++)
			count_model_page(model, page);
		pins = count(layout);
		assert_int_equal(pins->resident_bytes, model->in_memory);
		assert_int_equal(pins->live_bytes, model->live);
		assert_int_equal(pins->beside_bytes, model->beside);
		assert_int_equal(pins->below_bytes + pins->above_bytes, model->free);
		for (uint32_t i = 0; i < POINTS; i++) {
			assert_int_equal(pins->points[i].resident_bytes, model->resident[i]);
			assert_int_equal(pins->points[i].swapped_bytes, model->swapped[i]);
			assert_int_equal(pins->points[i].untouched_bytes, model->untouched[i]);
			assert_int_equal(pins->points[i].alone_bytes, model->alone[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(every_second_block),
		cmocka_unit_test(one_survivor_a_page),
		cmocka_unit_test(where_a_large_block_is),
		cmocka_unit_test(few_blocks_at_the_end_of_a_heap),
		cmocka_unit_test(who_keeps_little_is_not_named),
		cmocka_unit_test(each_heap_for_itself),
		cmocka_unit_test(what_lies_in_another_keeps_nothing),
		cmocka_unit_test(shares_are_by_age),
		cmocka_unit_test(sizes_beyond_all_memory),
		cmocka_unit_test(any_layout_byte_by_byte),
	};

	return cmocka_run_group_tests_name("pins", tests, NULL, NULL);
}
