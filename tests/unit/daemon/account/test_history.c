/* history: the rules one by one, then random events against a model that remembers every 67 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/heap.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)

#define TICK HISTORY_SLOT_NS
#define BEGIN 1000000007ull /* no multiple of anything */

static struct heap *fresh(void)
{
	struct heap *heap = NULL;

	assert_int_equal(heap_new(0, &heap), 0);
	return heap;
}

static struct heap_history history_of(struct heap *heap, uint64_t now_ns)
{
	struct heap_history history;

	heap_pass_time(heap, now_ns, 0);
	heap_copy_history(heap, &history);
	return history;
}

struct lows {
	float at[HISTORY_POINT_SLOTS];
};

static struct lows lows_of(const struct heap *heap, uint32_t id)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_totals totals;
	struct lows lows;
	uint32_t count;

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	assert_true(id < count);
	heap_point_history(heap, id, &points[id], lows.at);
	return lows;
}

static struct heap_point point_of(const struct heap *heap, uint32_t id)
{
	_cleanup_free_ struct heap_point *points = NULL;
	struct heap_totals totals;
	uint32_t count;

	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	return points[id];
}

/* ---- the rules ---------------------------------------------------------------------------- */

static void nothing_has_happened(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct heap_history history;

	heap_copy_history(heap, &history);
	assert_int_equal(history.slot_count, 0);
	assert_int_equal(history.point_slot_count, 0);
}

static void a_slot_has_its_end_and_its_most(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct heap_history history;

	heap_add_block(heap, 0, 0x10, 100, 2, BEGIN);
	heap_add_block(heap, 0, 0x20, 50, 2, BEGIN + TICK - 2);
	heap_remove_block(heap, 0, 0x10, 0, BEGIN + TICK - 1);
	heap_add_block(heap, 0, 0x30, 7, 2, BEGIN + TICK);
	history = history_of(heap, BEGIN + 3 * TICK);
	assert_int_equal(history.start_ns, BEGIN);
	assert_int_equal(history.slot_ns, TICK);
	assert_int_equal(history.slot_count, 4);
	assert_memory_equal(&history.slots[0],
			    &((struct history_slot){ .live_bytes = 50,
						     .live_blocks = 1,
						     .most_bytes = 150,
						     .allocated = 2,
						     .freed = 1 }),
			    sizeof(history.slots[0]));
	assert_int_equal(history.slots[1].live_bytes, 57);
	assert_int_equal(history.slots[1].allocated, 1);
	for (int i = 2; i < 4; i++) { /* at rest: Y2 */
		assert_int_equal(history.slots[i].live_bytes, 57);
		assert_int_equal(history.slots[i].most_bytes, 57);
		assert_int_equal(history.slots[i].allocated + history.slots[i].freed, 0);
	}
}

static void resident_memory_is_the_latest_of_its_slot(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct heap_history history;

	heap_pass_time(heap, BEGIN, 4096);
	heap_pass_time(heap, BEGIN + 1, 8192);
	heap_pass_time(heap, BEGIN + TICK, 0);
	heap_pass_time(heap, BEGIN + 2 * TICK, 12288);
	history = history_of(heap, BEGIN + 2 * TICK);
	assert_int_equal(history.slots[0].rss_bytes, 8192);
	assert_int_equal(history.slots[1].rss_bytes, 0);
	assert_int_equal(history.slots[2].rss_bytes, 12288);
	history = history_of(heap, BEGIN + HISTORY_SLOTS * TICK); /* Y1 */
	assert_int_equal(history.slot_ns, 2 * TICK);
	assert_int_equal(history.slots[0].rss_bytes, 8192);
	assert_int_equal(history.slots[1].rss_bytes, 12288);
}

static void a_late_event_counts_now(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct heap_history history;

	heap_add_block(heap, 0, 0x10, 1, 2, BEGIN + 5 * TICK);
	heap_add_block(heap, 0, 0x20, 1, 2, BEGIN + 9 * TICK);
	heap_add_block(heap, 0, 0x30, 1, 2, BEGIN); /* Y4: before the first one */
	history = history_of(heap, BEGIN + 9 * TICK);
	assert_int_equal(history.slot_count, 5);
	assert_int_equal(history.slots[4].allocated, 2);
}

static void a_realloc_that_grows_leaves_the_low_alone(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	heap_add_block(heap, 0, 0x10, 1000, 2, BEGIN);
	heap_pass_time(heap, BEGIN + TICK, 0);
	heap_realloc_begin(heap, 1, 0, 0x10, 0, BEGIN + TICK);
	heap_realloc_end(heap, 1, 0, 0x10, 0x20, 2000, 2, DHAT_REALLOC_MOVED, BEGIN + TICK);
	assert_true(lows_of(heap, 2).at[1] == 1000); /* H8 */
	heap_realloc_begin(heap, 1, 0, 0x20, 0, BEGIN + TICK + 1);
	heap_realloc_end(heap, 1, 0, 0x20, 0x20, 300, 2, DHAT_REALLOC_MOVED, BEGIN + TICK + 1);
	assert_true(lows_of(heap, 2).at[1] == 300);
	assert_int_equal(point_of(heap, 2).longest_freed, 0); /* none was freed */
}

static void the_longest_lifetime_of_what_was_freed(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	uint64_t longest;

	for (uint64_t life = 1; life < 1ull << 55; life = 3 * life + 1) {
		heap_add_block(heap, 0, 0x10, 1, 2, BEGIN);
		heap_remove_block(heap, 0, 0x10, 0, BEGIN + life);
		heap_add_block(heap, 0, 0x10, 1, 2, BEGIN + life);
		heap_remove_block(heap, 0, 0x10, 0, BEGIN + life + life / 2);
		longest = history_brief_ns(point_of(heap, 2).longest_freed);
		assert_in_range(longest, life - life / 128, life);
	}
}

/* Left alone for as long as it takes to double a history ten times. */
static void a_long_rest(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	struct heap_history history;
	struct lows lows;

	heap_add_block(heap, 0, 0x10, 8, 2, BEGIN);
	heap_add_block(heap, 0, 0x20, 5, 3, BEGIN + 16000 * TICK);
	history = history_of(heap, BEGIN + 16000 * TICK);
	assert_int_equal(history.point_slot_ns, 1024 * TICK);
	assert_int_equal(history.point_slot_count, 16);
	lows = lows_of(heap, 2);
	assert_true(lows.at[0] == 0); /* it began with nothing */
	for (int i = 1; i < 16; i++)
		assert_true(lows.at[i] == 8);
	lows = lows_of(heap, 3);
	for (int i = 0; i < 16; i++)
		assert_true(lows.at[i] == 0);
	assert_int_equal(history.slot_ns, 64 * TICK);
	assert_int_equal(history.slot_count, 251);
	for (uint32_t i = 0; i < history.slot_count; i++)
		assert_int_equal(history.slots[i].live_bytes, i < 250 ? 8 : 13);
}

/* Of hostile records, and of nothing else. */
static void a_time_beyond_all_time(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();

	heap_add_block(heap, 0, 0x10, 8, 2, BEGIN);
	heap_add_block(heap, 0, 0x20, 5, 3, UINT64_MAX - 5);
	heap_add_block(heap, 0, 0x30, 5, 3, UINT64_MAX);
	assert_int_equal(history_of(heap, UINT64_MAX).slots[0].live_bytes, 8);
}

/* ---- the model ---------------------------------------------------------------------------- */

enum { POINTS = 6, TICKS = 40000, ADDRS = 64 };

struct model {
	struct history_slot ticks[TICKS];
	float lows[POINTS][TICKS];
	uint64_t live[POINTS], size[ADDRS], all_bytes, all_blocks;
	uint32_t point[ADDRS], tick;
};

/* What is live when a tick begins is its low and its most so far. */
static void model_to(struct model *m, uint64_t time_ns)
{
	uint32_t to = (time_ns - BEGIN) / TICK;

	for (bool is_first = !m->ticks[0].allocated && !m->tick; m->tick < to || is_first;
	     is_first = false) {
		struct history_slot *slot = &m->ticks[m->tick += !is_first];

		slot->live_bytes = slot->most_bytes = m->all_bytes;
		slot->live_blocks = m->all_blocks;
		for (int i = 0; i < POINTS; i++)
			m->lows[i][m->tick] = m->live[i];
	}
}

static void model_change(struct model *m, uint32_t addr, uint64_t size, uint32_t point)
{
	struct history_slot *slot = &m->ticks[m->tick];
	bool is_free = !size;

	m->all_bytes += size - m->size[addr];
	m->all_blocks += is_free ? -1 : 1;
	m->live[point] += size - m->size[addr];
	m->size[addr] = size;
	m->point[addr] = point;
	slot->allocated += !is_free;
	slot->freed += is_free;
	slot->live_bytes = m->all_bytes;
	slot->live_blocks = m->all_blocks;
	if (slot->most_bytes < m->all_bytes)
		slot->most_bytes = m->all_bytes;
	if (m->lows[point][m->tick] > m->live[point])
		m->lows[point][m->tick] = m->live[point];
}

/* The width at a tick, by the rule and not by how it came about. */
static uint32_t shift_at(uint32_t tick, uint32_t slots)
{
	uint32_t shift = 0;

	while (tick >= slots << shift)
		shift++;
	return shift;
}

static void compare_timeline(struct heap *heap, const struct model *m)
{
	struct heap_history history;
	uint32_t shift = shift_at(m->tick, HISTORY_SLOTS);

	heap_copy_history(heap, &history);
	assert_int_equal(history.slot_ns, TICK << shift);
	assert_int_equal(history.slot_count, (m->tick >> shift) + 1);
	for (uint32_t i = 0; i < history.slot_count; i++) {
		struct history_slot sum = { 0 };

		for (uint32_t t = i << shift; t < (i + 1) << shift && t <= m->tick; t++) {
			const struct history_slot *tick = &m->ticks[t];

			sum.live_bytes = tick->live_bytes;
			sum.live_blocks = tick->live_blocks;
			sum.allocated += tick->allocated;
			sum.freed += tick->freed;
			if (sum.most_bytes < tick->most_bytes)
				sum.most_bytes = tick->most_bytes;
		}
		assert_memory_equal(&history.slots[i], &sum, sizeof(sum));
	}
}

static void compare_points(struct heap *heap, const struct model *m)
{
	uint32_t shift = shift_at(m->tick, HISTORY_POINT_SLOTS);
	struct heap_history history;

	heap_copy_history(heap, &history);
	assert_int_equal(history.point_slot_ns, TICK << shift);
	assert_int_equal(history.point_slot_count, (m->tick >> shift) + 1);
	for (uint32_t id = 0; id < POINTS; id++) {
		struct lows lows = lows_of(heap, id);

		for (uint32_t i = 0; i < history.point_slot_count; i++) {
			float low = m->lows[id][i << shift];

			for (uint32_t t = i << shift; t < (i + 1) << shift && t <= m->tick; t++)
				low = m->lows[id][t] < low ? m->lows[id][t] : low;
			assert_true(lows.at[i] == low);
		}
	}
}

static void random_events_equal_the_model(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = fresh();
	_cleanup_free_ struct model *m = calloc(1, sizeof(*m));
	uint64_t time = BEGIN;
	int compared = 0;

	assert_non_null(m);
	srand(20261129);
	for (uint32_t id = 0; id < POINTS; id++) { /* so that all are there to be compared */
		model_to(m, time);
		model_change(m, id, 1, id);
		heap_add_block(heap, 0, (id + 1) * 16, 1, id, time);
	}
	while ((time - BEGIN) / TICK < TICKS - 2000) {
		uint32_t addr = rand() % ADDRS, pause = rand() % 1000;
		/* bursts, slots without events, and a rest now and then; some points are rare */
		uint32_t point = rand() % 50 ? rand() % 3 : rand() % POINTS;
		uint64_t size = 1 + rand() % 1000;

		time += rand() % (pause < 700 ? 1000ull : pause < 998 ? TICK : 900 * TICK);
		model_to(m, time);
		if (m->size[addr]) {
			heap_remove_block(heap, 0, (addr + 1) * 16, 0, time);
			model_change(m, addr, 0, m->point[addr]);
		} else {
			heap_add_block(heap, 0, (addr + 1) * 16, size, point, time);
			model_change(m, addr, size, point);
		}
		if (rand() % 30)
			continue;
		compare_timeline(heap, m);
		compare_points(heap, m);
		compared++;
	}
	assert_true(compared > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_happened),
		cmocka_unit_test(a_slot_has_its_end_and_its_most),
		cmocka_unit_test(resident_memory_is_the_latest_of_its_slot),
		cmocka_unit_test(a_late_event_counts_now),
		cmocka_unit_test(a_realloc_that_grows_leaves_the_low_alone),
		cmocka_unit_test(the_longest_lifetime_of_what_was_freed),
		cmocka_unit_test(a_long_rest),
		cmocka_unit_test(a_time_beyond_all_time),
		cmocka_unit_test(random_events_equal_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
