/* own_frees: frees inside others; rows of frees at a thread's end, and what of them is its cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/own_frees.h"

#define CACHE 0x288
#define OLD_CACHE 0x248
#define KEY 77

static int setup(void **state)
{
	return own_frees_new((struct own_frees **)state);
}

static int teardown(void **state)
{
	own_frees_free(*state);
	return 0;
}

/* Blocks with KEY are linked, as those of a cache are. */
static void add(void **state, uint32_t tid, uint64_t bytes, uint16_t key)
{
	const struct own_free one = {
		.addr = 0x5000 + tid, .bytes = bytes, .key = key, .is_linked = key == KEY
	};

	assert_false(own_frees_unknown(*state, tid, &one));
}

#define expect_end(tid, want_frees, want_bytes)                                                    \
	do {                                                                                       \
		struct frees_sum end_ = own_frees_end(*state, tid, false);                         \
		assert_int_equal(end_.frees, want_frees);                                          \
		assert_int_equal(end_.bytes, want_bytes);                                          \
	} while (0)

static void a_cache_and_its_blocks(void **state)
{
	add(state, 1, 24, KEY);
	add(state, 2, 24, KEY); /* another thread between */
	add(state, 1, 40, KEY);
	add(state, 1, CACHE, 5);
	expect_end(1, 3, 24 + 40 + CACHE);
	expect_end(1, 0, 0); /* once */
	add(state, 2, CACHE, 6);
	expect_end(2, 2, 24 + CACHE);
	/* of the block that the thread freed last it is not taken for the same free */
	own_frees_known(*state, 3, 0x5003);
	add(state, 3, 24, KEY);
	add(state, 3, CACHE, 7);
	expect_end(3, 2, 24 + CACHE);
	add(state, 3, CACHE, 7); /* an empty cache */
	expect_end(3, 1, CACHE);
	expect_end(4, 0, 0);
}

/* A library that puts headers before blocks, over another one that does; the last is glibc's. */
static void a_block_around_the_one_that_was_freed(void **state)
{
	const struct own_free middle = { .addr = 0x6000 - 16, .bytes = 100 },
			      inner = { .addr = 0x6000 - 48, .bytes = 200 },
			      beside = { .addr = 0x6000 - 64, .bytes = 64 },
			      unsized = { .addr = 0x6000 - 16 };

	own_frees_known(*state, 1, 0x6000);
	assert_true(own_frees_unknown(*state, 1, &middle));
	assert_true(own_frees_unknown(*state, 1, &inner));
	assert_false(own_frees_unknown(*state, 1, &middle)); /* from the outside in is none */
	/* it ends where the freed one begins: a block of its own, which nobody saw allocated */
	own_frees_known(*state, 1, 0x6000);
	assert_false(own_frees_unknown(*state, 1, &beside));
	/* nothing is known of its size: of an allocator that has no headers */
	own_frees_known(*state, 1, 0x6000);
	assert_false(own_frees_unknown(*state, 1, &unsized));
	/* another thread's; and not the thread's last */
	own_frees_known(*state, 1, 0x6000);
	assert_false(own_frees_unknown(*state, 2, &middle));
	own_frees_other(*state, 1);
	assert_false(own_frees_unknown(*state, 1, &middle));
}

/* Where the rest of a chunk is too small for another one. */
static void a_cache_in_a_larger_chunk(void **state)
{
	add(state, 1, 24, KEY);
	add(state, 1, CACHE + 16, 5);
	expect_end(1, 2, 24 + CACHE + 16);
	add(state, 2, 24, KEY);
	add(state, 2, CACHE + 32, 5);
	expect_end(2, 0, 0);
}

static void what_was_freed_before_the_cache_is_the_program_s(void **state)
{
	add(state, 1, 24, 9); /* missed, then in the cache, then given back with it */
	add(state, 1, 24, KEY);
	add(state, 1, CACHE, 5);
	expect_end(1, 2, 24 + CACHE);
	/* too large for the cache: nothing but its own second word tells it */
	add(state, 2, 100000, 9);
	add(state, 2, CACHE, 5);
	expect_end(2, 1, CACHE);
}

static void a_mark_counts_when_it_is_linked(void **state)
{
	add(state, 1, 24, 9);
	add(state, 1, 24, 9);
	add(state, 1, CACHE, 5);
	expect_end(1, 1, CACHE);
	add(state, 2, 24, KEY);
	add(state, 2, CACHE, 5);
	expect_end(2, 2, 24 + CACHE);
	/* from then on also without: the next in its list is of another arena */
	assert_false(own_frees_unknown(*state, 3, &(struct own_free){ 0x100, 40, KEY, false }));
	add(state, 3, CACHE, 5);
	expect_end(3, 2, 40 + CACHE);
	/* one of a run is enough */
	assert_false(own_frees_unknown(*state, 3, &(struct own_free){ 0x100, 40, 11, false }));
	assert_false(own_frees_unknown(*state, 3, &(struct own_free){ 0x200, 40, 11, true }));
	assert_false(own_frees_unknown(*state, 3, &(struct own_free){ 0x300, 40, 11, false }));
	add(state, 3, CACHE, 5);
	expect_end(3, 4, 120 + CACHE);
}

static void zero_is_no_key(void **state)
{
	add(state, 1, 24, 0);
	add(state, 1, 24, 0);
	add(state, 1, CACHE, 5);
	expect_end(1, 1, CACHE);
}

static void the_thread_goes_on(void **state)
{
	add(state, 1, 24, KEY);
	own_frees_other(*state, 1);
	own_frees_other(*state, 1);
	add(state, 1, CACHE, 5);
	expect_end(1, 1, CACHE);
	add(state, 1, 24, KEY);
	add(state, 1, CACHE, 5);
	own_frees_other(*state, 1);
	expect_end(1, 0, 0);
}

static void the_process_ends_meanwhile(void **state)
{
	add(state, 1, 24, 9);
	add(state, 1, 40, 9);
	expect_end(1, 0, 0);
	add(state, 1, 24, KEY);
	expect_end(1, 1, 24);
	add(state, 1, 24, 9);
	add(state, 1, 24, KEY);
	add(state, 1, 40, KEY);
	expect_end(1, 2, 64);
	assert_false(own_frees_unknown(*state, 1, &(struct own_free){ 0x100, 40, KEY, false }));
	expect_end(1, 1, 40);
	add(state, 1, 24, KEY);
	add(state, 1, 40, 9);
	expect_end(1, 0, 0);
}

static void the_first_thread_gives_nothing_back(void **state)
{
	add(state, 1, 24, KEY);
	add(state, 1, CACHE, 5);
	assert_int_equal(own_frees_end(*state, 1, true).frees, 0);
	expect_end(1, 0, 0);
}

/* glibc 2.29 to 2.33: each cache its own key, its address. */
static void the_cache_s_address_as_key(void **state)
{
	for (uint32_t tid = 1; tid < 4; tid++) {
		uint16_t key = dhat_chunk_key(0x5000 + tid);

		add(state, tid, 24, key);
		add(state, tid, 24, key);
		add(state, tid, CACHE, 0);
		expect_end(tid, 3, 48 + CACHE);
	}
	add(state, 4, 100000, dhat_chunk_key(0x5001));
	add(state, 4, CACHE, 0);
	expect_end(4, 1, CACHE);
}

static void no_key_in_the_oldest(void **state)
{
	add(state, 1, 24, 1);
	add(state, 1, 40, 2);
	add(state, 1, OLD_CACHE, 5);
	expect_end(1, 3, 64 + OLD_CACHE);
}

/* A block that has the size of another version's cache, and was missed. */
static void another_version_s_cache(void **state)
{
	own_frees_glibc(*state, 36);
	own_frees_glibc(*state, 36); /* another of its files */
	add(state, 1, 24, 1);
	add(state, 1, 40, 2);
	add(state, 1, OLD_CACHE, 5);
	expect_end(1, 0, 0);
	add(state, 1, 24, KEY);
	add(state, 1, CACHE, 5);
	expect_end(1, 2, 24 + CACHE);
	own_frees_glibc(*state, 28); /* two: any will do */
	add(state, 1, 24, 1);
	add(state, 1, OLD_CACHE, 5);
	expect_end(1, 2, 24 + OLD_CACHE);
}

static void keys_but_the_old_size(void **state)
{
	own_frees_glibc(*state, 29);
	add(state, 1, 24, 1);
	add(state, 1, OLD_CACHE, 5);
	expect_end(1, 1, OLD_CACHE);
}

/* While it gives its cache back nobody knows yet that it ends. */
static void a_thread_that_seems_to_end(void **state)
{
	add(state, 1, 100, 9); /* the program's */
	assert_int_equal(own_frees_pending(*state).frees, 0);
	add(state, 1, 24, KEY);
	add(state, 2, 56, KEY); /* and another one */
	add(state, 1, 40, KEY);
	assert_int_equal(own_frees_pending(*state).frees, 3);
	assert_int_equal(own_frees_pending(*state).bytes, 24 + 56 + 40);
	add(state, 1, CACHE, 5);
	assert_int_equal(own_frees_pending(*state).frees, 4);
	own_frees_other(*state, 2); /* it does not: nor is its mark known for a cache's */
	assert_int_equal(own_frees_pending(*state).frees, 3);
	own_frees_known(*state, 4, 0x5004);
	assert_true(own_frees_unknown(*state, 4, &(struct own_free){ 0x5004, 24, KEY, false }));
	expect_end(1, 3, 24 + 40 + CACHE);
	assert_int_equal(own_frees_pending(*state).frees, 0);
	add(state, 3, CACHE, 5); /* a block of that size */
	assert_int_equal(own_frees_pending(*state).frees, 0);
	assert_int_equal(own_frees_pending(*state).bytes, 0);
}

static bool again(void **state, uint32_t tid, uint64_t addr)
{
	return own_frees_unknown(*state, tid, &(struct own_free){ .addr = addr, .bytes = 24 });
}

static void a_free_inside_another(void **state)
{
	assert_false(again(state, 0, 0)); /* nobody has freed anything */
	own_frees_known(*state, 1, 0x100);
	assert_false(again(state, 2, 0x100)); /* not the same thread */
	assert_true(again(state, 1, 0x100));
	assert_false(again(state, 1, 0x100)); /* once */
	own_frees_known(*state, 1, 0x100);
	own_frees_other(*state, 1); /* an allocation that is seen; its block is known then */
	assert_false(again(state, 1, 0x100));
	own_frees_known(*state, 1, 0x100);
	own_frees_known(*state, 2, 0x200);
	own_frees_known(*state, 1, 0x300);
	assert_true(again(state, 2, 0x200));
	assert_true(again(state, 1, 0x300));
	own_frees_known(*state, 1, 0x100);
	own_frees_known(*state, 1, 0x300);
	assert_false(again(state, 1, 0x100)); /* not its last */
	own_frees_known(*state, 1, 0x300);
	assert_false(again(state, 1, 0x200)); /* something else in between */
	assert_false(again(state, 1, 0x300));
	own_frees_other(*state, 1);
	/* it is not of a thread's end: that is what remains */
	own_frees_known(*state, 3, 0x400);
	assert_true(again(state, 3, 0x400));
	expect_end(3, 0, 0);
}

/* Of glibc's words, as they lie in memory. */
static void words_of_a_cached_block(void **state)
{
	const uint64_t addr = 0x7f927c000880, mangle = addr >> 12, mark = 0x1234567890abcdef;
	const uint64_t key = dhat_chunk_key(mark) << DHAT_CHUNK_SIZE_BITS;

	assert_true(key);
	assert_int_equal(dhat_chunk(addr, 0x25, mangle, mark), 0x25 | key | DHAT_CHUNK_LINKED);
	assert_int_equal(dhat_chunk(addr, 0x25, (addr + 0x40) ^ mangle, mark),
			 0x25 | key | DHAT_CHUNK_LINKED);
	/* what a program may have there: nothing, a number, a pointer near by, one not aligned */
	assert_int_equal(dhat_chunk(addr, 0x25, 0, mark), 0x25 | key);
	assert_int_equal(dhat_chunk(addr, 0x25, 42, mark), 0x25 | key);
	assert_int_equal(dhat_chunk(addr, 0x25, addr + 0x40, mark), 0x25 | key);
	assert_int_equal(dhat_chunk(addr, 0x25, (addr + 0x48) ^ mangle, mark), 0x25 | key);
	assert_int_equal(dhat_chunk(addr, 0x25, 0, 0), 0x25);
	assert_int_equal(dhat_chunk(addr, 1ull << DHAT_CHUNK_SIZE_BITS, mangle, mark), 0);
	assert_int_equal(dhat_chunk(addr, UINT64_MAX, mangle, mark), 0);
	for (uint64_t i = 1; i < 100000; i++)
		assert_in_range(dhat_chunk_key(i * mark), 1, (1 << DHAT_CHUNK_KEY_BITS) - 1);
}

static void many_threads_at_once(void **state)
{
	for (uint32_t tid = 0; tid < 10000; tid++)
		add(state, tid, 24, KEY);
	for (uint32_t tid = 0; tid < 10000; tid++)
		add(state, tid, CACHE, 5);
	for (uint32_t tid = 0; tid < 10000; tid++)
		expect_end(tid, 2, 24 + CACHE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_cache_and_its_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_around_the_one_that_was_freed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_cache_in_a_larger_chunk, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_freed_before_the_cache_is_the_program_s,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_mark_counts_when_it_is_linked, setup, teardown),
		cmocka_unit_test_setup_teardown(zero_is_no_key, setup, teardown),
		cmocka_unit_test_setup_teardown(the_thread_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(the_process_ends_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(the_first_thread_gives_nothing_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_cache_s_address_as_key, setup, teardown),
		cmocka_unit_test_setup_teardown(no_key_in_the_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(another_version_s_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_but_the_old_size, setup, teardown),
		cmocka_unit_test_setup_teardown(a_thread_that_seems_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_free_inside_another, setup, teardown),
		cmocka_unit_test(words_of_a_cached_block),
		cmocka_unit_test_setup_teardown(many_threads_at_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
