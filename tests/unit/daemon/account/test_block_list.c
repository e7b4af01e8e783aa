/* A list has each block as it was given, by ascending address. */
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
#include "proto/base/cleanup.h"
#include "proto/profile/pages.h"

DEFINE_CLEANUP_PTR(struct block_list *, block_list_free)

#define SECOND 1000000000ull

static void ages(void **state)
{
	assert_int_equal(dhat_page_age(0), 0);
	assert_int_equal(dhat_page_age(SECOND - 1), 0);
	assert_int_equal(dhat_page_age(SECOND), 1);
	assert_int_equal(dhat_page_age(10 * SECOND), 2);
	assert_int_equal(dhat_page_age(59 * SECOND), 2);
	assert_int_equal(dhat_page_age(3600 * SECOND - 1), 4);
	assert_int_equal(dhat_page_age(3600 * SECOND), 5);
	assert_int_equal(dhat_page_age(UINT64_MAX), 7);
	assert_string_equal(dhat_page_age_name(5), "1 to 6 h");
	assert_string_equal(dhat_page_age_name(DHAT_PAGE_AGE_BEFORE), "from before the attach");
}

static uint64_t seed = 5;

static uint64_t pick(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 20) % below;
}

/* Far apart and near, the highest address there is, sizes on both sides of what has room. */
static void make_block(uint32_t number, struct block *ret)
{
	static const uint64_t sizes[] = { 1,	   16383, 16382,      16384,
					  1 << 20, 40,	  1ull << 32, 1ull << 50 };
	uint64_t heap = pick(4);
	/* each once: an odd factor leaves no two of 2^32 alike */
	uint32_t place = heap ? number * 2654435761u : (1 << 20) - number;

	*ret = (struct block){
		.addr = (heap << 45) + (heap == 3 ? 1ull << 56 : 0) + place,
		.size_bytes = sizes[pick(8)],
		.birth_ns = pick(100000 * SECOND),
		.point = pick(1 << 20),
		.domain = pick(5) ? 0 : DHAT_DOMAIN_ANON,
		.was_before = !pick(7),
	};
}

static int by_addr(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static void check_block(const struct listed_block *listed, const struct block *block,
			uint64_t now_ns)
{
	assert_int_equal(listed->addr, block->addr);
	assert_int_equal(listed->size_bytes, block->size_bytes);
	assert_int_equal(listed->point, block->point);
	assert_int_equal(listed->is_mapped, block->domain == DHAT_DOMAIN_ANON);
	assert_int_equal(listed->age, block->was_before ? DHAT_PAGE_AGE_BEFORE
							: dhat_page_age(now_ns - block->birth_ns));
}

static void each_block_as_it_was(void **state)
{
	static const size_t counts[] = { 0, 1, 2, 24, 25, 1000, 200000 };
	const uint64_t now = 100000 * SECOND;

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		_cleanup_(block_list_free_ptr) struct block_list *list = NULL;
		_cleanup_free_ struct block *blocks = calloc(counts[i] + 1, sizeof(*blocks));

		assert_int_equal(block_list_new(counts[i], &list), 0);
		for (size_t j = 0; j < counts[i]; j++) {
			make_block(j, &blocks[j]);
			assert_int_equal(block_list_add(list, &blocks[j], now), 0);
		}
		assert_int_equal(block_list_add(list, &blocks[0], now), -ENOSPC);
		block_list_sort(list);
		assert_int_equal(block_list_count(list), counts[i]);
		qsort(blocks, counts[i], sizeof(*blocks), by_addr);
		for (size_t j = 0; j < counts[i]; j++) {
			struct listed_block listed = block_list_at(list, j);

			check_block(&listed, &blocks[j], now);
		}
	}
}

/* A pool's block at the begin of malloc's: each has its size. */
static void two_at_one_address(void **state)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = NULL;
	const struct block outer = { .addr = 4096, .size_bytes = 100000, .point = 1 };
	const struct block inner = { .addr = 4096, .size_bytes = 50000, .point = 2, .domain = 1 };
	uint64_t size_of[3] = { 0 };

	assert_int_equal(block_list_new(2, &list), 0);
	assert_int_equal(block_list_add(list, &inner, SECOND), 0);
	assert_int_equal(block_list_add(list, &outer, SECOND), 0);
	block_list_sort(list);
	for (size_t i = 0; i < 2; i++)
		size_of[block_list_at(list, i).point] = block_list_at(list, i).size_bytes;
	assert_int_equal(size_of[1], 100000);
	assert_int_equal(size_of[2], 50000);
}

static void what_has_no_room(void **state)
{
	_cleanup_(block_list_free_ptr) struct block_list *list = NULL;
	const struct block high = { .addr = 1ull << 57 }, many = { .point = 1 << 20 };

	assert_int_equal(block_list_new(2, &list), 0);
	assert_int_equal(block_list_add(list, &high, SECOND), -EOVERFLOW);
	assert_int_equal(block_list_add(list, &many, SECOND), -EOVERFLOW);
	assert_int_equal(block_list_count(list), 0);
	/* of small ones 12 bytes each; none can be beside */
	assert_int_equal(block_list_bytes(1000, 16000), 12000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ages),
		cmocka_unit_test(each_block_as_it_was),
		cmocka_unit_test(two_at_one_address),
		cmocka_unit_test(what_has_no_room),
	};

	return cmocka_run_group_tests_name("block_list", tests, NULL, NULL);
}
