/* A census counts the blocks of the moment at which it began, whatever happens between its pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/block_list.h"
#include "daemon/account/census.h"
#include "daemon/account/heap.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)
DEFINE_CLEANUP_PTR(struct census *, census_free)
DEFINE_CLEANUP_PTR(struct block_list *, block_list_free)

static void buckets(void **state)
{
	const uint64_t second = 1000000000;

	assert_int_equal(dhat_age_bucket(0), 0);
	assert_int_equal(dhat_age_bucket(7629), 0);
	assert_int_equal(dhat_age_bucket(7630), 1);
	assert_int_equal(dhat_age_bucket(second / 2 - 1), 16);
	assert_int_equal(dhat_age_bucket(second / 2), 17);
	assert_int_equal(dhat_age_bucket(second - 1), 17);
	assert_int_equal(dhat_age_bucket(second), 18);
	assert_int_equal(dhat_age_bucket(second * (1 << 21) - 1), 38);
	assert_int_equal(dhat_age_bucket(second * (1 << 21)), 39);
	assert_int_equal(dhat_age_bucket(UINT64_MAX), 39);
	for (uint32_t i = 0; i < DHAT_AGES - 1; i++) {
		assert_int_equal(dhat_age_bucket(dhat_age_bound_ns(i) - 1), i);
		assert_int_equal(dhat_age_bucket(dhat_age_bound_ns(i)), i + 1);
	}
	for (uint32_t i = 0; i < DHAT_SIZES - 1; i++) {
		assert_int_equal(dhat_size_bucket(1ull << i), i);
		assert_int_equal(dhat_size_bucket((1ull << i) + 1), i + 1);
	}
	assert_int_equal(dhat_size_bucket(UINT64_MAX), DHAT_SIZES - 1);
}

/* ---- against a list of all blocks ----------------------------------------------------------- */

enum { ADDRS = 40000, POINTS = 200, TIDS = 50 };

struct model {
	struct {
		uint64_t size, birth; /* size 0: it is not live */
		uint32_t point;
	} blocks[ADDRS];
	uint32_t pending[TIDS]; /* number + 1 of a block between the phases of realloc */
	uint64_t time, seed;
};

static uint32_t pick(struct model *m, uint32_t below)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (m->seed >> 33) % below;
}

static uint64_t addr_of(uint32_t number)
{
	return 0x10000 + 16ull * number;
}

static bool is_pending(const struct model *m, uint32_t number)
{
	for (int tid = 0; tid < TIDS; tid++)
		if (m->pending[tid] == number + 1)
			return true;
	return false;
}

static void add(struct heap *heap, struct model *m, uint32_t number)
{
	/* now and then its record comes late */
	uint64_t birth = pick(m, 10) ? m->time : m->time - 1 - pick(m, 2000);

	m->blocks[number].size = pick(m, 50) ? 1 + pick(m, 5000) : 1ull << 29; /* far */
	m->blocks[number].birth = birth;
	m->blocks[number].point = pick(m, POINTS);
	assert_int_equal(heap_add_block(heap, 0, addr_of(number), m->blocks[number].size,
					m->blocks[number].point, birth),
			 0);
}

static void end_realloc(struct heap *heap, struct model *m, uint32_t tid)
{
	uint32_t from = m->pending[tid] - 1, to = pick(m, ADDRS);
	uint64_t size = 1 + pick(m, 5000);
	bool has_failed = !pick(m, 5);

	m->pending[tid] = 0;
	if (m->blocks[to].size && to != from)
		to = from;
	assert_int_equal(heap_realloc_end(heap, tid, 0, addr_of(from), addr_of(to), size, 3,
					  has_failed ? DHAT_REALLOC_FAILED : DHAT_REALLOC_MOVED,
					  m->time),
			 0);
	if (has_failed)
		return;
	m->blocks[to] = m->blocks[from];
	if (to != from)
		m->blocks[from].size = 0;
	m->blocks[to].size = size;
}

static void step(struct heap *heap, struct model *m)
{
	uint32_t number = pick(m, ADDRS), tid = pick(m, TIDS), kind = pick(m, 100);

	m->time += pick(m, 5);
	if (m->pending[tid]) {
		end_realloc(heap, m, tid);
	} else if (is_pending(m, number)) {
		return;
	} else if (!m->blocks[number].size || kind < 10) { /* 10: an address comes twice */
		add(heap, m, number);
	} else if (kind < 50) {
		assert_true(heap_remove_block(heap, 0, addr_of(number), 0, m->time));
		m->blocks[number].size = 0;
	} else if (kind < 80) {
		heap_realloc_begin(heap, tid, 0, addr_of(number), 0, m->time);
		m->pending[tid] = number + 1;
	}
}

static void count_model(const struct model *m, uint64_t time_ns, uint64_t older_ns,
			struct census_point *sums)
{
	for (uint32_t i = 0; i < ADDRS; i++) {
		struct census_point *sum = &sums[m->blocks[i].point];
		uint64_t age = time_ns - m->blocks[i].birth;

		if (!m->blocks[i].size)
			continue;
		sum->ages[dhat_age_bucket(age)]++;
		sum->sizes[dhat_size_bucket(m->blocks[i].size)]++;
		sum->slack_bytes += size_classes_usable(SIZE_CLASSES_GLIBC, m->blocks[i].size) -
				    m->blocks[i].size;
		sum->older_blocks += age >= older_ns;
		sum->older_bytes += age >= older_ns ? m->blocks[i].size : 0;
	}
}

static void what_was_live_at_the_beginning_is_counted_once(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	_cleanup_free_ struct model *m = calloc(1, sizeof(*m));
	const uint64_t older_ns = 30000;

	assert_int_equal(heap_new(0, &heap), 0);
	m->time = 100000;
	m->seed = 11;
	for (int i = 0; i < 100000; i++)
		step(heap, m);
	for (int round = 0; round < 6; round++) {
		_cleanup_(census_free_ptr) struct census *census = NULL;
		_cleanup_free_ struct census_point *sums = calloc(POINTS, sizeof(*sums));
		int pieces = 0, r;

		assert_int_equal(census_new(older_ns, &census), 0);
		census->classes = SIZE_CLASSES_GLIBC;
		assert_int_equal(heap_begin_census(heap, census, m->time), 0);
		assert_int_equal(heap_begin_census(heap, census, m->time), -EALREADY);
		count_model(m, census->time_ns, older_ns, sums);
		while ((r = heap_step_census(heap, 1)) == 1) {
			for (int i = 0; i < 200 * round; i++)
				step(heap, m);
			pieces++;
		}
		assert_int_equal(r, 0);
		assert_true(pieces > 20);
		for (uint32_t i = 0; i < POINTS; i++)
			assert_memory_equal(census_at(census, i), &sums[i], sizeof(sums[i]));
		assert_int_equal(census_at(census, 100000)->older_blocks, 0);
	}
}

/* The same, but each block is listed as it was. addr_of() ascends. */
static void check_list(const struct block_list *list, const struct listed_block *model,
		       size_t count)
{
	assert_int_equal(block_list_count(list), count);
	for (size_t i = 0; i < count; i++) {
		struct listed_block block = block_list_at(list, i);

		assert_int_equal(block.addr, model[i].addr);
		assert_int_equal(block.size_bytes, model[i].size_bytes);
		assert_int_equal(block.point, model[i].point);
	}
}

static size_t list_model(const struct model *m, struct listed_block *ret)
{
	size_t count = 0;

	for (uint32_t i = 0; i < ADDRS; i++)
		if (m->blocks[i].size)
			ret[count++] = (struct listed_block){ .addr = addr_of(i),
							      .size_bytes = m->blocks[i].size,
							      .point = m->blocks[i].point };
	return count;
}

static void what_was_live_at_the_beginning_is_listed_once(void **state)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	_cleanup_free_ struct model *m = calloc(1, sizeof(*m));
	_cleanup_free_ struct listed_block *model = calloc(ADDRS, sizeof(*model));

	assert_int_equal(heap_new(0, &heap), 0);
	m->time = 100000;
	m->seed = 12;
	for (int i = 0; i < 100000; i++)
		step(heap, m);
	for (int round = 0; round < 4; round++) {
		_cleanup_(census_free_ptr) struct census *census = NULL;
		_cleanup_(block_list_free_ptr) struct block_list *list = NULL;
		size_t count;
		int r;

		assert_int_equal(census_new(0, &census), 0);
		count = list_model(m, model);
		assert_int_equal(block_list_new(count - (round == 3), &list), 0);
		census->list = list;
		assert_int_equal(heap_begin_census(heap, census, m->time), 0);
		while ((r = heap_step_census(heap, 1)) == 1)
			for (int i = 0; i < 200 * round; i++)
				step(heap, m);
		assert_int_equal(r, round == 3 ? -ENOSPC : 0);
		if (r)
			continue;
		block_list_sort(list);
		check_list(list, model, count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets),
		cmocka_unit_test(what_was_live_at_the_beginning_is_counted_once),
		cmocka_unit_test(what_was_live_at_the_beginning_is_listed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
