/* heap: the rules one by one, then millions of random events against a slow, obvious model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/heap.h"
#include "daemon/account/moments.h"
#include "proto/base/budget.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)
DEFINE_CLEANUP_PTR(struct moments *, moments_free)

static struct heap *fresh(uint64_t max_blocks)
{
	struct heap *heap = NULL;

	assert_int_equal(heap_new(max_blocks, &heap), 0);
	return heap;
}

static struct heap_totals totals_of(const struct heap *heap)
{
	struct heap_totals totals;

	heap_totals(heap, &totals);
	return totals;
}

static struct heap_point point_of(const struct heap *heap, uint32_t id)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_totals totals;
	uint32_t count;

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	assert_true(id < count);
	return points[id];
}

#define add(addr, size, point, time)                                                               \
	assert_int_equal(heap_add_block(heap, 0, addr, size, point, time), 0)
#define drop(addr, time) heap_remove_block(heap, 0, addr, 0, time)
#define begin(tid, addr, time) heap_realloc_begin(heap, tid, 0, addr, 0, time)
#define end(tid, old, new, size, point, result, time)                                              \
	assert_in_range(heap_realloc_end(heap, tid, 0, old, new, size, point, result, time), 0, 1)

/* ---- the rules ---------------------------------------------------------------------------- */

static void counts_a_block_from_birth_to_death(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
	struct heap_totals totals;
	struct heap_point point;

	add(0x1000, 100, 5, 10);
	add(0x2000, 0, 5, 20); /* H5 */
	point = point_of(heap, 5);
	assert_int_equal(point.live_bytes, 101);
	assert_int_equal((uint64_t)heap_point_lifetimes_ns(&point, 50), 40 + 30);
	drop(0x1000, 60);
	totals = totals_of(heap);
	assert_int_equal(totals.total_bytes, 101);
	assert_int_equal(totals.total_blocks, 2);
	assert_int_equal(totals.live_bytes, 1);
	assert_int_equal(totals.live_blocks, 1);
	assert_int_equal(totals.peak_bytes, 101);
	assert_int_equal(totals.peak_blocks, 2);
	assert_int_equal(totals.peak_time_ns, 20);
	assert_int_equal(totals.unknown_frees, 0);
	point = point_of(heap, 5);
	assert_int_equal((uint64_t)heap_point_lifetimes_ns(&point, 100), 50 + 80);
	assert_int_equal(point.first_ns, 10);
	assert_int_equal(point.last_ns, 20);
	assert_int_equal(point.peak_bytes, 101);
	assert_int_equal(point_of(heap, 4).total_blocks, 0);
}

static void among_equal_peaks_takes_the_latest(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	drop(0x10, 2);
	add(0x20, 40, 3, 3);
	add(0x30, 60, 3, 4);
	drop(0x20, 5);
	assert_int_equal(totals_of(heap).peak_time_ns, 4);
	assert_int_equal(totals_of(heap).peak_blocks, 2);
	assert_int_equal(point_of(heap, 2).peak_bytes, 0);
	assert_int_equal(point_of(heap, 3).peak_bytes, 100);
	assert_int_equal(point_of(heap, 3).live_bytes, 60);
}

static void a_points_own_maximum_is_not_the_heaps(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 500, 2, 1);
	drop(0x10, 2);
	add(0x20, 1000, 3, 3);
	assert_int_equal(point_of(heap, 2).max_bytes, 500);
	assert_int_equal(point_of(heap, 2).max_blocks, 1);
	assert_int_equal(point_of(heap, 2).peak_bytes, 0);
}

/* Whatever an argument holds, no sum wraps, and it is told. */
static void no_sum_wraps(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
	struct heap_totals totals;

	add(0x10, UINT64_MAX, 2, 1);
	add(0x20, 1ull << 63, 2, 2);
	add(0x30, HEAP_SIZE_MOST + 1, 2, 3);
	totals = totals_of(heap);
	assert_int_equal(totals.impossible_sizes, 3);
	assert_int_equal(totals.live_bytes, 3);
	add(0x40, HEAP_SIZE_MOST, 2, 4);
	assert_int_equal(
		heap_realloc_end(heap, 1, 0, 0x40, 0x40, UINT64_MAX - 5, 2, DHAT_REALLOC_MOVED, 5),
		0);
	totals = totals_of(heap);
	assert_int_equal(totals.impossible_sizes, 4);
	assert_int_equal(totals.live_bytes, 4);
	assert_int_equal(point_of(heap, 2).live_bytes, 4);
	assert_int_equal(totals.peak_bytes, HEAP_SIZE_MOST + 3);
	/* pointers in place of sizes: live at once … */
	for (uint64_t i = 0; i < 64; i++)
		add(0x1000 + i, 0x7fffdeadb000, 3, 6 + i);
	totals = totals_of(heap);
	assert_true(totals.live_bytes <= HEAP_LIVE_MOST);
	assert_int_equal(totals.impossible_sizes, 4 + 64 - 8);
	for (uint64_t i = 0; i < 64; i++)
		drop(0x1000 + i, 100);
	assert_int_equal(totals_of(heap).live_bytes, 4);
	/* … and one after the other */
	for (uint64_t i = 0; i < 70000; i++) {
		add(0x2000, 0x7fffdeadb000, 4, 200 + i);
		drop(0x2000, 200 + i);
	}
	totals = totals_of(heap);
	assert_true(totals.total_bytes <= HEAP_TOTAL_MOST);
	assert_true(totals.impossible_sizes > 30000);
	assert_int_equal(totals.live_bytes, 4);
	assert_int_equal(totals.total_blocks, 4 + 1 + 64 + 70000);
}

static void an_address_seen_twice_closes_the_old_block(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
	struct heap_totals totals;

	add(0x10, 100, 2, 1);
	add(0x10, 30, 3, 11);
	totals = totals_of(heap);
	assert_int_equal(totals.seen_twice, 1);
	assert_int_equal(totals.live_bytes, 30);
	assert_int_equal(totals.peak_bytes, 100);
	assert_int_equal(totals.total_bytes, 130);
	assert_int_equal(point_of(heap, 2).live_blocks, 0);
	assert_int_equal((uint64_t)point_of(heap, 2).dead_lifetimes_ns, 10);
}

static void an_unknown_free_is_counted_and_sized(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	heap_remove_block(heap, 0, 0x10, 24, 1);
	heap_remove_block(heap, 0, 0x20, 0, 1);
	add(0x10, 5, 2, 2);
	heap_remove_block(heap, 1, 0x10, 40, 3); /* another domain's block */
	assert_int_equal(totals_of(heap).unknown_frees, 3);
	assert_int_equal(totals_of(heap).unknown_free_bytes, 64);
	assert_int_equal(totals_of(heap).live_blocks, 1);
}

static void realloc_keeps_point_and_birth(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
	struct heap_totals totals;
	struct heap_point point;

	add(0x10, 100, 2, 10);
	begin(7, 0x10, 20);
	assert_int_equal(totals_of(heap).live_bytes, 100);
	end(7, 0x10, 0x90, 40, 3, DHAT_REALLOC_MOVED, 21);
	totals = totals_of(heap);
	assert_int_equal(totals.total_bytes, 140);
	assert_int_equal(totals.total_blocks, 2);
	assert_int_equal(totals.live_bytes, 40);
	assert_int_equal(totals.live_blocks, 1);
	assert_int_equal(totals.peak_bytes, 100);
	drop(0x90, 50);
	point = point_of(heap, 2);
	assert_int_equal((uint64_t)heap_point_lifetimes_ns(&point, 99),
			 40); /* one life, from 10 to 50 */
	assert_int_equal(point.last_ns, 21);
	assert_int_equal(point_of(heap, 3).total_blocks, 0);
	assert_int_equal(totals_of(heap).unknown_frees, 0);
}

static void a_growing_realloc_is_no_double_peak(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 1000, 2, 1);
	begin(7, 0x10, 2);
	end(7, 0x10, 0x5000, 1500, 2, DHAT_REALLOC_MOVED, 3);
	assert_int_equal(totals_of(heap).peak_bytes, 1500);
	assert_int_equal(point_of(heap, 2).max_bytes, 1500);
	assert_int_equal(point_of(heap, 2).max_blocks, 1);
}

static void the_old_address_may_be_reused_before_realloc_returns(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	begin(7, 0x10, 2);
	add(0x10, 8, 3, 3); /* another thread gets the address inside */
	end(7, 0x10, 0x20, 200, 2, DHAT_REALLOC_MOVED, 4);
	assert_int_equal(totals_of(heap).seen_twice, 0);
	assert_int_equal(totals_of(heap).live_bytes, 208);
	drop(0x10, 5);
	assert_int_equal(point_of(heap, 2).live_bytes, 200);
	assert_int_equal(point_of(heap, 3).live_bytes, 0);
}

static void a_failed_realloc_leaves_the_block(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	begin(7, 0x10, 2);
	end(7, 0x10, 0, 1u << 30, 2, DHAT_REALLOC_FAILED, 3);
	assert_int_equal(totals_of(heap).total_blocks, 1);
	assert_int_equal(totals_of(heap).live_bytes, 100);
	drop(0x10, 4);
	assert_int_equal(totals_of(heap).live_blocks, 0);
	assert_int_equal(totals_of(heap).unknown_frees, 0);
}

static void realloc_to_nothing_frees(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	begin(7, 0x10, 2);
	end(7, 0x10, 0, 0, 2, DHAT_REALLOC_FREED, 3);
	assert_int_equal(totals_of(heap).total_blocks, 1);
	assert_int_equal(totals_of(heap).live_blocks, 0);
	heap_realloc_begin(heap, 7, 0, 0x50, 24, 4); /* from before the observation */
	end(7, 0x50, 0, 0, 2, DHAT_REALLOC_FREED, 5);
	assert_int_equal(totals_of(heap).unknown_frees, 1);
	assert_int_equal(totals_of(heap).unknown_free_bytes, 24);
}

static void realloc_of_an_unknown_block_is_a_free_and_an_allocation(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	heap_realloc_begin(heap, 7, 0, 0x50, 24, 1);
	assert_int_equal(totals_of(heap).unknown_frees, 0); /* it might fail yet */
	end(7, 0x50, 0x60, 48, 4, DHAT_REALLOC_MOVED, 2);
	assert_int_equal(totals_of(heap).unknown_frees, 1);
	assert_int_equal(totals_of(heap).unknown_free_bytes, 24);
	assert_int_equal(point_of(heap, 4).live_bytes, 48);
	assert_int_equal(point_of(heap, 4).first_ns, 2);
}

static void a_lost_end_closes_the_block_when_the_thread_goes_on(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	begin(7, 0x10, 2);
	heap_thread_seen(heap, 8, 3); /* another thread tells nothing */
	assert_int_equal(totals_of(heap).live_bytes, 100);
	heap_thread_seen(heap, 7, 4);
	assert_int_equal(totals_of(heap).live_bytes, 0);
	assert_int_equal(totals_of(heap).unfinished_reallocs, 1);
	heap_thread_seen(heap, 7, 5);
	assert_int_equal(totals_of(heap).unfinished_reallocs, 1);

	add(0x20, 50, 2, 6);
	add(0x30, 70, 3, 6);
	begin(7, 0x20, 7);
	begin(7, 0x30, 8); /* the END of the first is lost, too */
	assert_int_equal(totals_of(heap).unfinished_reallocs, 2);
	assert_int_equal(totals_of(heap).live_bytes, 70);
	end(7, 0x99, 0x40, 10, 4, DHAT_REALLOC_MOVED, 9); /* END of yet another */
	assert_int_equal(totals_of(heap).unfinished_reallocs, 3);
	assert_int_equal(totals_of(heap).unknown_frees, 1);
	assert_int_equal(totals_of(heap).live_bytes, 10);
}

static void an_end_without_begin_finds_the_block_by_address(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	add(0x10, 100, 2, 1);
	end(7, 0x10, 0x20, 300, 3, DHAT_REALLOC_MOVED, 2);
	assert_int_equal(point_of(heap, 2).live_bytes, 300);
	assert_int_equal(totals_of(heap).unknown_frees, 0);
	end(7, 0, 0x30, 8, 3, DHAT_REALLOC_MOVED, 3); /* realloc(NULL, 8) */
	assert_int_equal(totals_of(heap).unknown_frees, 0);
	assert_int_equal(totals_of(heap).live_blocks, 2);
}

static void existing_blocks_are_live_but_no_totals(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	assert_int_equal(heap_add_existing_block(heap, 0, 0x10, 1000, 1, 5), 0);
	assert_int_equal(heap_add_existing_block(heap, 0, 0x20, 500, 1, 5), 0);
	assert_int_equal(heap_add_existing_block(heap, 0, 0x20, 600, 1, 5), -EEXIST);
	assert_int_equal(totals_of(heap).total_blocks, 0);
	assert_int_equal(totals_of(heap).live_bytes, 1500);
	assert_int_equal(totals_of(heap).peak_bytes, 1500);
	drop(0x10, 9);
	assert_int_equal(totals_of(heap).unknown_frees, 0);
	begin(7, 0x20, 10); /* H7: growth shows where it happens */
	end(7, 0x20, 0x30, 2000, 4, DHAT_REALLOC_MOVED, 11);
	assert_int_equal(point_of(heap, 1).live_bytes, 0);
	assert_int_equal(point_of(heap, 4).live_bytes, 2000);
	assert_int_equal(totals_of(heap).unknown_frees, 0);
	assert_int_equal(totals_of(heap).total_bytes, 2000);
}

static void an_inventory_gives_way_to_events(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

#define inventory(addr) heap_add_inventory_block(heap, 0, addr, 24, 1, 100)
	assert_int_equal(inventory(0x10), -EINVAL);
	add(0x10, 5, 2, 1);
	assert_int_equal(heap_begin_inventory(heap), 0);
	assert_int_equal(heap_begin_inventory(heap), -EALREADY);
	drop(0x20, 2);	    /* from before, and gone */
	add(0x30, 5, 2, 3); /* new, and gone */
	drop(0x30, 4);
	begin(7, 0x40, 5); /* from before, and moved */
	end(7, 0x40, 0x50, 9, 2, DHAT_REALLOC_MOVED, 6);
	begin(7, 0x60, 7); /* from before, and still there */
	end(7, 0x60, 0, 9, 2, DHAT_REALLOC_FAILED, 8);
	begin(7, 0x70, 9); /* its BEGIN was lost */
	heap_thread_seen(heap, 7, 10);
	end(7, 0x80, 0x90, 9, 2, DHAT_REALLOC_MOVED, 11);
	assert_int_equal(inventory(0x10), -EEXIST);
	assert_int_equal(inventory(0x20), -EEXIST);
	assert_int_equal(inventory(0x30), -EEXIST);
	assert_int_equal(inventory(0x40), -EEXIST);
	assert_int_equal(inventory(0x50), -EEXIST);
	assert_int_equal(inventory(0x60), 0);
	assert_int_equal(inventory(0x70), -EEXIST);
	assert_int_equal(inventory(0x80), -EEXIST);
	assert_int_equal(inventory(0xa0), 0);
	assert_int_equal(inventory(0xa0), -EEXIST);
	heap_end_inventory(heap);
	assert_int_equal(point_of(heap, 1).live_bytes, 48);
	assert_int_equal(point_of(heap, 1).live_blocks, 2);
	assert_int_equal(inventory(0xb0), -EINVAL);
	/* A block that was taken while it was being freed: no lost free, no lasting leak. */
	add(0xa0, 3, 2, 200);
	assert_int_equal(totals_of(heap).seen_twice, 0);
	assert_int_equal(totals_of(heap).existing_replaced, 1);
	assert_int_equal(point_of(heap, 1).live_blocks, 1);
#undef inventory
}

static void an_inventory_needs_a_memory_of_what_is_gone(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(3);

	assert_int_equal(heap_begin_inventory(heap), 0);
	for (uint64_t addr = 0x10; addr <= 0x40; addr += 0x10)
		drop(addr, 1);
	assert_int_equal(heap_add_inventory_block(heap, 0, 0x90, 8, 1, 2), -ENOBUFS);
	heap_end_inventory(heap);
	assert_int_equal(totals_of(heap).live_blocks, 0);
	assert_int_equal(heap_begin_inventory(heap), 0);
	assert_int_equal(heap_add_inventory_block(heap, 0, 0x90, 8, 1, 2), 0);
}

static void a_failed_realloc_of_an_existing_block_leaves_it_existing(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	heap_add_existing_block(heap, 0, 0x10, 1000, 1, 5);
	begin(7, 0x10, 6);
	end(7, 0x10, 0, 5, 4, DHAT_REALLOC_FAILED, 7);
	begin(7, 0x10, 8);
	end(7, 0x10, 0x10, 5, 4, DHAT_REALLOC_MOVED, 9);
	assert_int_equal(point_of(heap, 1).live_blocks, 0);
	assert_int_equal(point_of(heap, 4).live_bytes, 5);
}

static void refuses_blocks_beyond_its_bound(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(2);

	add(0x10, 1, 2, 1);
	add(0x20, 2, 2, 1);
	add(0x30, 4, 2, 1);
	assert_int_equal(totals_of(heap).blocks_refused, 1);
	assert_int_equal(totals_of(heap).total_bytes, 7);
	assert_int_equal(totals_of(heap).live_bytes, 3);
	add(0x20, 8, 3, 2); /* a known address needs no room */
	assert_int_equal(totals_of(heap).seen_twice, 1);
	begin(7, 0x10, 3); /* and a block between two phases keeps its own */
	add(0x40, 16, 2, 4);
	assert_int_equal(totals_of(heap).blocks_refused, 2);
	end(7, 0x10, 0x50, 32, 2, DHAT_REALLOC_MOVED, 5);
	assert_int_equal(totals_of(heap).live_bytes, 40);
	assert_int_equal(heap_add_existing_block(heap, 0, 0x60, 1, 1, 6), -ENOSPC);
}

static void lifetimes_outgrow_64_bits_of_nanoseconds(void **state)
{
	const struct heap_point many = {
		.live_blocks = 10000000,
		.live_births_ns = (unsigned __int128)10000000 * 1000,
	};
	const struct heap_point dead = { .dead_lifetimes_ns = 5000,
					 .live_blocks = 1,
					 .live_births_ns = 100 };
	const uint64_t hour_ns = 3600000000000;

	assert_true(heap_point_lifetimes_us(&many, hour_ns + 1000) == 10000000 * (hour_ns / 1000));
	assert_true(heap_point_lifetimes_us(&many, UINT64_MAX) == UINT64_MAX);
	assert_true(heap_point_lifetimes_ns(&many, 1001) == 10000000);
	assert_int_equal(heap_point_lifetimes_us(&dead, 99), 5); /* a birth after `now` */
}

static void points_may_be_far_apart(void **state)
{
	struct budget budget = { 0 };
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);

	assert_int_equal(heap_charge(heap, &budget), 0);
	add(0x10, 7, 3, 1);
	add(0x20, 9, 300000, 2);
	assert_int_equal(point_of(heap, 300000).live_bytes, 9);
	assert_int_equal(point_of(heap, 150000).live_bytes, 0);
	assert_in_range(budget.used_bytes, 1, 4 << 20); /* not 300,000 points */
	assert_int_equal(heap_add_block(heap, 0, 0x30, 1, UINT32_MAX, 3), -ENOMEM);
	assert_int_equal(totals_of(heap).total_blocks, 2);
}

static void sum(void *context, const struct block *block)
{
	assert_int_equal(block->size_bytes, 8);
	assert_int_equal(block->point, 1);
	assert_int_equal(block->domain, 0);
	*(uint64_t *)context += block->addr;
}

static void visits_each_live_block_once(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
	uint64_t found = 0, expected = 0;

	for (uint64_t addr = 16; addr <= 16 * 20000; addr += 16) {
		add(addr, 8, 1, 1);
		if (addr % 48 == 0)
			heap_remove_block(heap, 0, addr, 0, 2);
		else
			expected += addr;
	}
	heap_visit_blocks(heap, sum, &found);
	assert_int_equal(found, expected);
}

/* ---- the model ---------------------------------------------------------------------------- */

/* One cell for each address that a run uses; sums by walking over all cells; the state at the
 * peak by copying every point's figures at every new peak. Nothing is clever here. */
enum { DOMAINS = 3, TIDS = 8, POINTS = 40 };

struct cell {
	bool is_live, is_existing;
	uint64_t size, birth;
	uint32_t point;
};

struct model {
	uint32_t addrs;
	uint64_t max_blocks;
	struct cell *cells; /* DOMAINS * addrs */
	struct {
		bool is_open;
		uint8_t domain;
		uint64_t addr, chunk;
		struct cell cell;
	} pending[TIDS];
	uint64_t live_bytes[POINTS], live_blocks[POINTS]; /* checked against the cells */
	struct heap_point points[POINTS];
	struct heap_totals totals;
	uint32_t mark_count, marks_made;
	struct {
		char name[16];
		uint64_t begin; /* of what counts */
	} marks[MOMENTS_MAX];
};

static struct cell *cell_of(struct model *m, uint8_t domain, uint64_t addr)
{
	return &m->cells[domain * m->addrs + addr / 16 - 1];
}

static void model_live(struct model *m, const struct cell *cell, int sign)
{
	m->live_bytes[cell->point] += sign * cell->size;
	m->live_blocks[cell->point] += sign;
	m->totals.live_bytes += sign * cell->size;
	m->totals.live_blocks += sign;
}

static void model_peaks(struct model *m, uint32_t point, uint64_t time)
{
	if (m->live_bytes[point] >= m->points[point].max_bytes) {
		m->points[point].max_bytes = m->live_bytes[point];
		m->points[point].max_blocks = m->live_blocks[point];
	}
	if (m->totals.live_bytes < m->totals.peak_bytes)
		return;
	m->totals.peak_bytes = m->totals.live_bytes;
	m->totals.peak_blocks = m->totals.live_blocks;
	m->totals.peak_time_ns = time;
	for (int i = 0; i < POINTS; i++) {
		m->points[i].peak_bytes = m->live_bytes[i];
		m->points[i].peak_blocks = m->live_blocks[i];
	}
}

static void model_close(struct model *m, struct cell *cell, uint64_t time)
{
	model_live(m, cell, -1);
	m->points[cell->point].dead_lifetimes_ns += time - cell->birth;
	m->totals.closed_blocks++;
	cell->is_live = false;
}

static uint64_t model_tracked(const struct model *m)
{
	return m->totals.live_blocks; /* blocks in cells, and those between two phases */
}

static void model_total(struct model *m, uint32_t point, uint64_t size, uint64_t time)
{
	struct heap_point *p = &m->points[point];

	if (p->total_blocks == 0)
		p->first_ns = time;
	p->last_ns = time;
	p->total_bytes += size;
	p->total_blocks++;
	m->totals.total_bytes += size;
	m->totals.total_blocks++;
}

static void model_put(struct model *m, uint8_t domain, uint64_t addr, struct cell new,
		      uint64_t time, bool is_peak)
{
	struct cell *cell = cell_of(m, domain, addr);

	if (!cell->is_live && m->max_blocks && model_tracked(m) >= m->max_blocks) {
		m->totals.blocks_refused++;
		return;
	}
	if (cell->is_live) {
		m->totals.seen_twice += !cell->is_existing;
		m->totals.existing_replaced += cell->is_existing;
		model_close(m, cell, time);
	}
	*cell = new;
	cell->is_live = true;
	model_live(m, cell, 1);
	if (is_peak)
		model_peaks(m, cell->point, time);
}

static void model_add(struct model *m, uint8_t domain, uint64_t addr, uint64_t size, uint32_t point,
		      uint64_t time)
{
	size += size == 0;
	model_total(m, point, size, time);
	model_put(m, domain, addr, (struct cell){ .size = size, .birth = time, .point = point },
		  time, true);
}

static void model_unknown(struct model *m, uint64_t chunk)
{
	m->totals.unknown_frees++;
	m->totals.unknown_free_bytes += chunk;
}

static void model_remove(struct model *m, uint8_t domain, uint64_t addr, uint64_t chunk,
			 uint64_t time)
{
	struct cell *cell = cell_of(m, domain, addr);

	if (cell->is_live)
		model_close(m, cell, time);
	else
		model_unknown(m, chunk);
}

static void model_seen(struct model *m, uint32_t tid, uint64_t time)
{
	if (!m->pending[tid].is_open)
		return;
	m->pending[tid].is_open = false;
	m->totals.unfinished_reallocs++;
	if (m->pending[tid].cell.is_live)
		model_close(m, &m->pending[tid].cell, time);
	else
		model_unknown(m, m->pending[tid].chunk);
}

static void model_begin(struct model *m, uint32_t tid, uint8_t domain, uint64_t addr,
			uint64_t chunk, uint64_t time)
{
	struct cell *cell = cell_of(m, domain, addr);

	model_seen(m, tid, time);
	m->pending[tid].is_open = true;
	m->pending[tid].domain = domain;
	m->pending[tid].addr = addr;
	m->pending[tid].chunk = chunk;
	m->pending[tid].cell = *cell;
	cell->is_live = false; /* but its live figures stay */
}

static void model_end(struct model *m, uint32_t tid, uint8_t domain, uint64_t old_addr,
		      uint64_t new_addr, uint64_t size, uint32_t point, uint32_t result,
		      uint64_t time)
{
	struct cell old;
	uint64_t chunk = 0;

	if (m->pending[tid].is_open &&
	    (m->pending[tid].domain != domain || m->pending[tid].addr != old_addr))
		model_seen(m, tid, time);
	if (m->pending[tid].is_open) {
		m->pending[tid].is_open = false;
		old = m->pending[tid].cell;
		chunk = m->pending[tid].chunk;
	} else {
		old = *cell_of(m, domain, old_addr);
		cell_of(m, domain, old_addr)->is_live = false;
	}
	if (result == DHAT_REALLOC_FAILED) {
		if (old.is_live) {
			model_live(m, &old, -1);
			model_put(m, domain, old_addr, old, time, false);
		}
		return;
	}
	if (result == DHAT_REALLOC_MOVED && old.is_live && !old.is_existing) {
		model_live(m, &old, -1);
		m->totals.closed_blocks++;
		old.size = size + (size == 0);
		model_total(m, old.point, old.size, time);
		model_put(m, domain, new_addr, old, time, true);
		return;
	}
	if (old.is_live)
		model_close(m, &old, time);
	else
		model_unknown(m, chunk);
	if (result == DHAT_REALLOC_MOVED)
		model_add(m, domain, new_addr, size, point, time);
}

static void model_existing(struct model *m, uint8_t domain, uint64_t addr, uint64_t size,
			   uint32_t point, uint64_t time)
{
	if (cell_of(m, domain, addr)->is_live ||
	    (m->max_blocks && model_tracked(m) >= m->max_blocks))
		return;
	model_put(m, domain, addr,
		  (struct cell){ .is_existing = true,
				 .size = size + (size == 0),
				 .birth = time,
				 .point = point },
		  time, true);
}

/* ---- comparing ---------------------------------------------------------------------------- */

static void sum_cell(const struct cell *cell, uint64_t now, struct heap_point *sums)
{
	if (!cell->is_live)
		return;
	sums[cell->point].live_bytes += cell->size;
	sums[cell->point].live_blocks++;
	sums[cell->point].live_births_ns += now - cell->birth; /* lifetimes, here */
}

static void sum_since(const struct cell *cell, uint64_t begin, struct moments_figures *sums)
{
	if (!cell->is_live || cell->is_existing || cell->birth < begin)
		return;
	sums[cell->point].bytes += cell->size;
	sums[cell->point].blocks++;
}

static void compare_marks(struct heap *heap, struct model *m)
{
	_cleanup_(moments_free_ptr) struct moments *copy = NULL;
	struct moments_figures since[POINTS][MOMENTS_MAX];

	assert_int_equal(moments_copy(heap_moments(heap), true, &copy), 0);
	assert_int_equal(copy->count, m->mark_count);
	for (uint32_t i = 0; i < POINTS; i++)
		moments_of_point(copy, i, since[i]);
	for (uint32_t mark = 0; mark < m->mark_count; mark++) {
		struct moments_figures sums[POINTS] = { 0 }, all = moments_since(copy, mark);

		for (uint32_t i = 0; i < DOMAINS * m->addrs; i++)
			sum_since(&m->cells[i], m->marks[mark].begin, sums);
		for (int tid = 0; tid < TIDS; tid++)
			if (m->pending[tid].is_open)
				sum_since(&m->pending[tid].cell, m->marks[mark].begin, sums);
		for (uint32_t i = 0; i < POINTS; i++) {
			assert_int_equal(since[i][mark].bytes, sums[i].bytes);
			assert_int_equal(since[i][mark].blocks, sums[i].blocks);
			all.bytes -= sums[i].bytes;
			all.blocks -= sums[i].blocks;
		}
		assert_int_equal(all.bytes, 0);
		assert_int_equal(all.blocks, 0);
	}
}

static void compare(struct heap *heap, struct model *m, uint64_t now)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_point sums[POINTS] = { 0 }, empty = { 0 };
	struct heap_totals totals;
	uint32_t count;

	for (uint32_t i = 0; i < DOMAINS * m->addrs; i++)
		sum_cell(&m->cells[i], now, sums);
	for (int tid = 0; tid < TIDS; tid++)
		if (m->pending[tid].is_open)
			sum_cell(&m->pending[tid].cell, now, sums);

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	assert_true(count <= POINTS);
	assert_memory_equal(&totals, &m->totals, sizeof(totals));
	for (uint32_t i = 0; i < POINTS; i++) {
		const struct heap_point *is = i < count ? &points[i] : &empty;
		const struct heap_point *should = &m->points[i];

		assert_int_equal(is->total_bytes, should->total_bytes);
		assert_int_equal(is->total_blocks, should->total_blocks);
		assert_int_equal(is->max_bytes, should->max_bytes);
		assert_int_equal(is->max_blocks, should->max_blocks);
		assert_int_equal(is->peak_bytes, should->peak_bytes);
		assert_int_equal(is->peak_blocks, should->peak_blocks);
		assert_int_equal(is->live_bytes, sums[i].live_bytes);
		assert_int_equal(is->live_blocks, sums[i].live_blocks);
		assert_int_equal(is->first_ns, should->first_ns);
		assert_int_equal(is->last_ns, should->last_ns);
		assert_int_equal((uint64_t)heap_point_lifetimes_ns(is, now),
				 (uint64_t)(should->dead_lifetimes_ns + sums[i].live_births_ns));
		assert_int_equal(m->live_bytes[i], sums[i].live_bytes);
	}
	compare_marks(heap, m);
}

/* ---- random runs -------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t pick(uint32_t below) /* xorshift64* */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dull >> 32) % below;
}

struct run {
	uint64_t seed, steps, max_blocks;
	uint32_t addrs;
	uint32_t max_size; /* small: many equal peaks */
	uint32_t times;	   /* sizes are that many times as large; 0: once */
	uint64_t begin_ns;
	uint32_t snapshot_every, mark_every;
};

static void step(struct heap *heap, struct model *m, const struct run *run, uint64_t time,
		 uint32_t alloc_share)
{
	uint32_t tid = pick(TIDS), point = pick(POINTS), kind = pick(100);
	uint64_t addr = 16 + pick(m->addrs) * 16, other = 16 + pick(m->addrs) * 16,
		 size = (uint64_t)pick(run->max_size) * (run->times ?: 1);
	uint64_t chunk = pick(3) ? 16 * pick(9) : 0;
	uint8_t domain = pick(DOMAINS);

	if (kind < 60) { /* thread_seen comes first, as the collector does it */
		heap_thread_seen(heap, tid, time);
		model_seen(m, tid, time);
	}
	if (kind < alloc_share) {
		assert_int_equal(heap_add_block(heap, domain, addr, size, point, time), 0);
		model_add(m, domain, addr, size, point, time);
	} else if (kind < 60) {
		heap_remove_block(heap, domain, addr, chunk, time);
		model_remove(m, domain, addr, chunk, time);
	} else if (kind < 78) {
		heap_realloc_begin(heap, tid, domain, addr, chunk, time);
		model_begin(m, tid, domain, addr, chunk, time);
	} else if (kind < 98) { /* mostly the END that belongs to the BEGIN; sometimes another */
		uint32_t outcome = pick(10);
		uint32_t result = outcome < 8	? DHAT_REALLOC_MOVED
				  : outcome < 9 ? DHAT_REALLOC_FAILED
						: DHAT_REALLOC_FREED;

		if (m->pending[tid].is_open && pick(20)) {
			addr = m->pending[tid].addr;
			domain = m->pending[tid].domain;
		}
		if (pick(3) == 0)
			other = addr;
		assert_in_range(
			heap_realloc_end(heap, tid, domain, addr, other, size, point, result, time),
			0, 1);
		model_end(m, tid, domain, addr, other, size, point, result, time);
	} else {
		heap_add_existing_block(heap, domain, addr, size, point, time);
		model_existing(m, domain, addr, size, point, time);
	}
}

/* Marks come and go. `time` is that of the event before, and perhaps of the next. */
static void mark(struct heap *heap, struct model *m, uint64_t time)
{
	uint32_t number = m->mark_count;

	if (pick(3) == 0 && m->mark_count) {
		number = pick(m->mark_count);
		assert_int_equal(heap_unmark(heap, m->marks[number].name), 0);
		memmove(&m->marks[number], &m->marks[number + 1],
			(--m->mark_count - number) * sizeof(m->marks[0]));
	}
	if (m->mark_count == MOMENTS_MAX)
		return;
	snprintf(m->marks[m->mark_count].name, sizeof(m->marks[0].name), "%u", ++m->marks_made);
	assert_int_equal(heap_mark(heap, m->marks[m->mark_count].name, time), 0);
	m->marks[m->mark_count].begin = heap_moments(heap)->times_ns[m->mark_count];
	assert_true(m->marks[m->mark_count].begin >= time);
	m->mark_count++;
}

static void run_random(const struct run *run)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(run->max_blocks);
	_cleanup_free_ struct cell *cells = calloc(DOMAINS * run->addrs, sizeof(*cells));
	struct model m = { .addrs = run->addrs, .max_blocks = run->max_blocks, .cells = cells };
	uint64_t time = run->begin_ns ?: 1000;

	assert_non_null(cells);
	random_state = run->seed;
	print_message("seed %#lx, %lu steps, %u addresses, sizes below %u\n", run->seed, run->steps,
		      DOMAINS * run->addrs, run->max_size);
	for (uint64_t i = 0; i < run->steps; i++) {
		/* Growing and shrinking by turns, so that there are many peaks. */
		step(heap, &m, run, time, i / (4 * run->addrs) % 2 ? 20 : 40);
		if (i % run->mark_every == run->mark_every - 1)
			mark(heap, &m, time);
		time += pick(4);
		if (i % run->snapshot_every == 0)
			compare(heap, &m, time + 1);
	}
	compare(heap, &m, time + 1);
	assert_true(m.totals.seen_twice && m.totals.unknown_frees && m.totals.unfinished_reallocs);
	assert_int_equal(m.totals.blocks_refused > 0, run->max_blocks > 0);
}

static void random_events_equal_the_model(void **state)
{
	static const struct run runs[] = {
		{ .steps = 400000, .addrs = 4, .max_size = 3, .snapshot_every = 7 },
		{ .steps = 1000000, .addrs = 100, .max_size = 4, .snapshot_every = 301 },
		{ .steps = 1500000, .addrs = 1000, .max_size = 100000, .snapshot_every = 4001 },
		/* what an entry has no room for: sizes from 2^28 on, births from 2^58 on */
		{ .steps = 500000,
		  .addrs = 1000,
		  .max_size = 16,
		  .times = 1 << 25,
		  .snapshot_every = 4001 },
		{ .steps = 500000,
		  .addrs = 1000,
		  .max_size = 5,
		  .times = (1 << 28) - 17,
		  .max_blocks = 800,
		  .begin_ns = (1ull << 58) - 300000,
		  .snapshot_every = 4001 },
		{ .steps = 500000,
		  .addrs = 1000,
		  .max_size = 50,
		  .max_blocks = 700,
		  .snapshot_every = 2003 },
		{ .steps = 1000000, .addrs = 100000, .max_size = 5000, .snapshot_every = 100003 },
	};
	const char *seed = getenv("DHAT_TEST_SEED");

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		struct run run = runs[i];

		run.mark_every = run.steps / 150;
		run.seed = seed ? strtoull(seed, NULL, 0) : 0x20261123 + i;
		run_random(&run);
	}
}

/* A process with blocks from before, read at two moments of a stream of events, as inventory.c
 * reads it: what stands in both counts. At the end exactly its live blocks must be live. */
static void inventories_of_a_busy_process_add_up(void **state)
{
	enum { ADDRS = 200, ROUNDS = 400, STEPS = 300 };

	random_state = 0x20261123;
	for (int round = 0; round < ROUNDS; round++) {
		_cleanup_(heap_free_ptr) struct heap *heap = fresh(0);
		uint64_t size[ADDRS] = { 0 }, first[ADDRS] = { 0 }, second[ADDRS] = { 0 }, live = 0;
		int first_at = pick(STEPS), second_at = first_at + pick(STEPS - first_at);

		for (int i = 0; i < ADDRS; i++)
			size[i] = pick(2) * (1 + pick(100));
		assert_int_equal(heap_begin_inventory(heap), 0);
		for (int step = 0; step < STEPS; step++) {
			uint32_t i = pick(ADDRS), j = pick(ADDRS), bytes = 1 + pick(100);

			if (step == first_at)
				memcpy(first, size, sizeof(size));
			if (step == second_at)
				memcpy(second, size, sizeof(size));
			if (!size[i]) {
				size[i] = bytes;
				add(16 + 16 * i, bytes, 2, step);
			} else if (pick(2)) {
				size[i] = 0;
				drop(16 + 16 * i, step);
			} else if (i == j || !size[j]) {
				begin(9, 16 + 16 * i, step);
				size[i] = 0;
				size[j] = bytes;
				end(9, 16 + 16 * i, 16 + 16 * j, bytes, 2, DHAT_REALLOC_MOVED,
				    step);
			}
		}
		for (int i = 0; i < ADDRS; i++) {
			live += size[i];
			if (first[i] && first[i] == second[i])
				heap_add_inventory_block(heap, 0, 16 + 16 * i, first[i], 1, STEPS);
		}
		heap_end_inventory(heap);
		assert_int_equal(totals_of(heap).live_bytes, live);
		for (int i = 0; i < ADDRS; i++)
			if (size[i])
				drop(16 + 16 * i, STEPS + 1);
		assert_int_equal(totals_of(heap).live_bytes, 0);
		assert_int_equal(totals_of(heap).seen_twice, 0);
	}
}

/* What the budget has no room for: blocks are refused, points become point 0, and all is given
 * back. */
static void test_budget(void **state)
{
	struct budget budget = { .limit_bytes = 4 << 20 };
	struct heap_totals totals;
	struct heap *heap = NULL;
	uint64_t begin;

	assert_int_equal(heap_new(0, &heap), 0);
	assert_int_equal(heap_charge(heap, &budget), 0);
	begin = budget.used_bytes;
	/* points first: a chunk of 1,024 counts 4 * 128 KiB, and more than three do not fit */
	for (uint32_t point = 1; point < 20000; point += 100)
		assert_int_equal(heap_add_block(heap, 0, 0x1000 + 16 * point, 10, point, 1), 0);
	assert_true(budget.used_bytes <= budget.limit_bytes && budget.used_bytes > begin);
	heap_totals(heap, &totals);
	assert_int_equal(totals.live_blocks, 200);
	assert_int_equal(totals.blocks_refused, 0);
	assert_in_range(heap_point_total_blocks(heap, 0), 100, 199);
	assert_int_equal(heap_point_total_blocks(heap, 101), 1);
	assert_int_equal(heap_point_total_blocks(heap, 19901), 0);
	/* then blocks */
	for (uint64_t i = 0; i < 200000; i++)
		assert_int_equal(heap_add_block(heap, 0, 0x10000000 + 16 * i, 10, 0, 1), 0);
	heap_totals(heap, &totals);
	assert_true(budget.used_bytes <= budget.limit_bytes);
	assert_int_equal(totals.total_blocks, 200200);
	assert_int_equal(totals.live_blocks, 200200 - totals.blocks_refused);
	assert_true(totals.blocks_refused > 100000);
	heap_free(heap);
	assert_int_equal(budget.used_bytes, 0);
}

/* The addresses of an inventory may take a quarter. */
static void test_budget_of_an_inventory(void **state)
{
	struct budget budget = { .limit_bytes = 16 << 20 };
	struct heap *heap = NULL;

	assert_int_equal(heap_new(0, &heap), 0);
	assert_int_equal(heap_charge(heap, &budget), 0);
	assert_int_equal(heap_begin_inventory(heap), 0);
	for (uint64_t i = 0; i < 1000000; i++)
		heap_remove_block(heap, 0, 0x1000 + 16 * i, 0, 1);
	assert_in_range(budget.used_bytes, 2 << 20, 8 << 20);
	assert_int_equal(heap_add_inventory_block(heap, 0, 0x10, 16, 1, 1), -ENOBUFS);
	heap_end_inventory(heap);
	assert_true(budget.used_bytes < 2 << 20);
	heap_free(heap);
	assert_int_equal(budget.used_bytes, 0);
}

/* ---- what has changed since ---------------------------------------------------------------- */

enum { VIEWED_POINTS = 8, VIEWED_BLOCKS = 32 };

/* A viewer is told of the points that have changed only: what it has is what they all are. */
static void look(struct heap *heap, struct heap_point seen[VIEWED_POINTS], uint32_t *generation,
		 uint64_t *peak_number, unsigned *sent)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_totals totals;
	uint32_t count;

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	for (uint32_t i = 0; i < count; i++) {
		if (!*generation || heap_point_changed(heap, i) > *generation) {
			seen[i] = points[i];
			(*sent)++;
		} else if (heap_peak_number(heap) != *peak_number) {
			seen[i].peak_bytes = seen[i].live_bytes;
			seen[i].peak_blocks = seen[i].live_blocks;
		}
		assert_int_equal(seen[i].live_bytes, points[i].live_bytes);
		assert_int_equal(seen[i].live_blocks, points[i].live_blocks);
		assert_int_equal(seen[i].total_bytes, points[i].total_bytes);
		assert_int_equal(seen[i].total_blocks, points[i].total_blocks);
		assert_int_equal(seen[i].max_bytes, points[i].max_bytes);
		assert_int_equal(seen[i].peak_bytes, points[i].peak_bytes);
		assert_int_equal(seen[i].peak_blocks, points[i].peak_blocks);
		assert_int_equal(seen[i].last_ns, points[i].last_ns);
	}
	*peak_number = heap_peak_number(heap);
	*generation = heap_next_generation(heap);
}

static void a_viewer_needs_only_what_has_changed(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh(VIEWED_BLOCKS / 2);
	struct heap_point seen[2][VIEWED_POINTS] = { 0 };
	uint32_t generations[2] = { 0 };
	uint64_t peaks[2] = { 0 };
	unsigned sent[2] = { 0 }, looks = 0, seed = 11;

	for (uint64_t time = 1; time < 20000; time++) {
		uint64_t addr = 0x1000 + 16 * (uint64_t)(rand_r(&seed) % VIEWED_BLOCKS);
		uint32_t point = rand_r(&seed) % VIEWED_POINTS;

		switch (rand_r(&seed) % 4) {
		case 0:
			drop(addr, time);
			break;
		case 1:
			begin(7, addr, time);
			end(7, addr, addr + 16, 1 + time % 99, point, DHAT_REALLOC_MOVED, time);
			break;
		default:
			add(addr, time % 2 ? 40 : 300, point, time);
		}
		for (int i = 0; i < 2; i++) { /* two viewers, each at its own pace */
			if (rand_r(&seed) % (i ? 3 : 9))
				continue;
			look(heap, seen[i], &generations[i], &peaks[i], &sent[i]);
			looks += i;
		}
	}
	assert_int_equal(heap_point_changed(heap, 5000), 0); /* there is no such point */
	assert_true(looks > 1000 && sent[1] < looks * VIEWED_POINTS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_a_block_from_birth_to_death),
		cmocka_unit_test(among_equal_peaks_takes_the_latest),
		cmocka_unit_test(a_points_own_maximum_is_not_the_heaps),
		cmocka_unit_test(no_sum_wraps),
		cmocka_unit_test(an_address_seen_twice_closes_the_old_block),
		cmocka_unit_test(an_unknown_free_is_counted_and_sized),
		cmocka_unit_test(realloc_keeps_point_and_birth),
		cmocka_unit_test(a_growing_realloc_is_no_double_peak),
		cmocka_unit_test(the_old_address_may_be_reused_before_realloc_returns),
		cmocka_unit_test(a_failed_realloc_leaves_the_block),
		cmocka_unit_test(realloc_to_nothing_frees),
		cmocka_unit_test(realloc_of_an_unknown_block_is_a_free_and_an_allocation),
		cmocka_unit_test(a_lost_end_closes_the_block_when_the_thread_goes_on),
		cmocka_unit_test(an_end_without_begin_finds_the_block_by_address),
		cmocka_unit_test(existing_blocks_are_live_but_no_totals),
		cmocka_unit_test(an_inventory_gives_way_to_events),
		cmocka_unit_test(an_inventory_needs_a_memory_of_what_is_gone),
		cmocka_unit_test(a_failed_realloc_of_an_existing_block_leaves_it_existing),
		cmocka_unit_test(refuses_blocks_beyond_its_bound),
		cmocka_unit_test(lifetimes_outgrow_64_bits_of_nanoseconds),
		cmocka_unit_test(points_may_be_far_apart),
		cmocka_unit_test(visits_each_live_block_once),
		cmocka_unit_test(random_events_equal_the_model),
		cmocka_unit_test(inventories_of_a_busy_process_add_up),
		cmocka_unit_test(a_viewer_needs_only_what_has_changed),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_budget_of_an_inventory),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
