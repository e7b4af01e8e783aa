#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/account/anon.h"
#include "daemon/account/moments.h"
#include "proto/base/cleanup.h"

#define PAGE 4096

struct world {
	struct heap *heap;
	struct anon anon;
	struct heap_totals totals;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	return heap_new(0, &world->heap);
}

static int teardown(void **state)
{
	struct world *world = *state;

	anon_deinit(&world->anon);
	heap_free(world->heap);
	free(world);
	return 0;
}

static void map(struct world *world, uint64_t page, uint64_t pages, uint32_t point)
{
	assert_int_equal(anon_map(&world->anon, world->heap, page * PAGE, pages * PAGE, point, 1),
			 0);
	heap_totals(world->heap, &world->totals);
}

static void unmap(struct world *world, uint64_t page, uint64_t pages)
{
	assert_int_equal(anon_unmap(&world->anon, world->heap, page * PAGE, pages * PAGE, 2), 0);
	heap_totals(world->heap, &world->totals);
}

static void whole_mappings(void **state)
{
	struct world *world = *state;

	map(world, 10, 4, 5);
	map(world, 20, 1, 6);
	assert_int_equal(world->totals.total_bytes, 5 * PAGE);
	assert_int_equal(world->totals.live_blocks, 2);
	unmap(world, 10, 4);
	assert_int_equal(world->totals.live_bytes, PAGE);
	unmap(world, 10, 4); /* not known any more */
	assert_int_equal(world->totals.live_bytes, PAGE);
	assert_int_equal(world->totals.total_bytes, 5 * PAGE);
	assert_int_equal(world->totals.unknown_frees, 0);
	assert_int_equal(world->totals.peak_bytes, 5 * PAGE);
}

static void a_cut_leaves_the_rest_with_its_point(void **state)
{
	struct world *world = *state;
	struct heap_point *points;
	struct heap_totals totals;
	uint32_t count;

	map(world, 10, 10, 5);
	unmap(world, 13, 2); /* a hole */
	assert_int_equal(world->totals.live_bytes, 8 * PAGE);
	assert_int_equal(world->totals.live_blocks, 2);
	assert_int_equal(world->anon.count, 2);
	unmap(world, 8, 3);  /* the front, and before it */
	unmap(world, 19, 5); /* the back, and behind it */
	assert_int_equal(world->totals.live_bytes, 6 * PAGE);
	assert_int_equal(heap_copy(world->heap, &totals, &points, &count), 0);
	assert_int_equal(points[5].live_bytes, 6 * PAGE);
	assert_int_equal(points[5].total_bytes, 10 * PAGE); /* mapped once */
	assert_int_equal(points[5].total_blocks, 1);
	free(points);
}

/* What is left of a mapping is as old as the mapping. */
static void a_rest_keeps_its_birth(void **state)
{
	struct world *world = *state;
	_cleanup_free_ struct heap_point *points = NULL;
	uint32_t count;

	map(world, 10, 10, 5); /* at 1 */
	assert_int_equal(heap_mark(world->heap, "a", 2), 0);
	assert_int_equal(anon_map(&world->anon, world->heap, 30 * PAGE, 4 * PAGE, 6, 3), 0);
	assert_int_equal(anon_unmap(&world->anon, world->heap, 13 * PAGE, 2 * PAGE, 4), 0);
	assert_int_equal(anon_unmap(&world->anon, world->heap, 30 * PAGE, PAGE, 5), 0);
	assert_int_equal(moments_since(heap_moments(world->heap), 0).bytes, 3 * PAGE);
	assert_int_equal(moments_since(heap_moments(world->heap), 0).blocks, 1);
	assert_int_equal(heap_copy(world->heap, &world->totals, &points, &count), 0);
	assert_int_equal((uint64_t)heap_point_lifetimes_ns(&points[6], 13), 10);
}

static void one_call_may_take_several(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < 50; i++)
		map(world, 100 + 2 * i, 1, 5);
	unmap(world, 101, 90); /* 102 … 190 */
	assert_int_equal(world->totals.live_blocks, 50 - 45);
	unmap(world, 0, 1000);
	assert_int_equal(world->totals.live_bytes, 0);
	assert_int_equal(world->anon.count, 0);
}

static void a_fixed_mapping_replaces_what_was_there(void **state)
{
	struct world *world = *state;

	map(world, 10, 10, 5);
	map(world, 12, 2, 6);
	assert_int_equal(world->totals.live_bytes, 10 * PAGE);
	assert_int_equal(world->totals.total_bytes, 12 * PAGE);
	assert_int_equal(world->totals.live_blocks, 3);
}

/* Against a page for a page model. */
static void random_maps_and_unmaps(void **state)
{
	enum { PAGES = 200, STEPS = 50000 };
	struct world *world = *state;
	uint32_t owner[PAGES + 32] = { 0 };
	unsigned seed = 7;

	for (int step = 0; step < STEPS; step++) {
		unsigned page = 1 + rand_r(&seed) % PAGES, pages = 1 + rand_r(&seed) % 30;
		uint32_t point = rand_r(&seed) % 3 ? 2 + rand_r(&seed) % 5 : 0;
		uint64_t live = 0;

		if (point)
			map(world, page, pages, point);
		else
			unmap(world, page, pages);
		for (unsigned i = page; i < page + pages; i++)
			owner[i] = point;
		for (unsigned i = 0; i < PAGES + 32; i++)
			live += owner[i] ? PAGE : 0;
		assert_int_equal(world->totals.live_bytes, live);
	}
	for (size_t i = 0; i + 1 < world->anon.count; i++)
		assert_true(world->anon.ranges[i].end <= world->anon.ranges[i + 1].start);
	for (size_t i = 0; i < world->anon.count; i++)
		assert_int_equal(owner[world->anon.ranges[i].start / PAGE],
				 world->anon.ranges[i].point);
}

/* At the bound nothing is lost but what lives: no event is called lost for want of memory. */
static void the_bound(void **state)
{
	struct world *world = *state;

	for (uint64_t i = 0; i < ANON_MAX_RANGES; i++)
		assert_int_equal(
			anon_map(&world->anon, world->heap, (10 + 4 * i) * PAGE, 3 * PAGE, 5, 1),
			0);
	map(world, 2, 1, 6); /* one too many */
	assert_int_equal(world->totals.total_blocks, ANON_MAX_RANGES + 1);
	assert_int_equal(world->totals.live_blocks, ANON_MAX_RANGES);
	assert_int_equal(world->totals.live_bytes, 3ull * PAGE * ANON_MAX_RANGES);
	assert_int_equal(world->anon.refused, 1);
	unmap(world, 2, 1);  /* it is not known */
	unmap(world, 10, 1); /* a part needs no room more */
	assert_int_equal(world->anon.refused, 1);
	assert_int_equal(world->totals.live_bytes, 3ull * PAGE * ANON_MAX_RANGES - PAGE);
	unmap(world, 15, 1); /* a hole would: the part behind it is given up */
	assert_int_equal(world->anon.refused, 2);
	assert_int_equal(world->totals.live_bytes, 3ull * PAGE * ANON_MAX_RANGES - 3 * PAGE);
	assert_int_equal(world->totals.unknown_frees, 0);
}

static void what_is_no_range(void **state)
{
	struct world *world = *state;

	assert_int_equal(anon_unmap(&world->anon, world->heap, PAGE, 0, 1), -EBADMSG);
	assert_int_equal(anon_unmap(&world->anon, world->heap, PAGE, UINT64_MAX, 1), -EBADMSG);
	assert_int_equal(anon_map(&world->anon, world->heap, PAGE, 0, 5, 1), -EBADMSG);
	assert_int_equal(world->anon.count, 0);
}

/* Two threads: one gives back, the other is given the same place, and tells before. */
static void a_mapping_that_came_meanwhile_stays(void **state)
{
	struct world *world = *state;

	assert_int_equal(anon_map(&world->anon, world->heap, 10 * PAGE, 4 * PAGE, 5, 1), 0);
	assert_int_equal(anon_map(&world->anon, world->heap, 11 * PAGE, PAGE, 6, 8), 0);
	assert_int_equal(anon_map(&world->anon, world->heap, 13 * PAGE, 4 * PAGE, 7, 8), 0);
	assert_int_equal(anon_unmap(&world->anon, world->heap, 10 * PAGE, 4 * PAGE, 7), 0);
	heap_totals(world->heap, &world->totals);
	assert_int_equal(world->totals.live_bytes, 5 * PAGE);
	assert_int_equal(world->totals.live_blocks, 2);
	assert_int_equal(world->anon.count, 2);
	assert_int_equal(world->anon.ranges[0].start, 11 * PAGE);
	assert_int_equal(world->anon.ranges[0].end, 12 * PAGE);
	assert_int_equal(world->anon.ranges[1].start, 13 * PAGE);
	/* and later it goes like any other */
	assert_int_equal(anon_unmap(&world->anon, world->heap, 10 * PAGE, 4 * PAGE, 9), 0);
	heap_totals(world->heap, &world->totals);
	assert_int_equal(world->totals.live_bytes, 3 * PAGE);
	assert_int_equal(world->anon.count, 1);
	assert_int_equal(world->anon.ranges[0].start, 14 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_range, setup, teardown),
		cmocka_unit_test_setup_teardown(whole_mappings, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cut_leaves_the_rest_with_its_point, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_rest_keeps_its_birth, setup, teardown),
		cmocka_unit_test_setup_teardown(one_call_may_take_several, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fixed_mapping_replaces_what_was_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_mapping_that_came_meanwhile_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(random_maps_and_unmaps, setup, teardown),
	};

	return cmocka_run_group_tests_name("anon", tests, NULL, NULL);
}
