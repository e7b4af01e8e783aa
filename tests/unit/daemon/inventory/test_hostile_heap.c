/* Heaps that are damaged, or made up by an enemy: reading them ends soon, and takes little. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "tests/unit/fake_heap.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

/* A sound heap of this size takes some hundred; a loop that is followed to the end of patience has
 * to stay far below what a second takes. */
#define MOST_READS 100000
#define MAX_BLOCKS 1000

static struct fake_heap fake;

static struct inventory *take_from_fake(void)
{
	struct inventory *inventory = NULL;

	assert_int_equal(fake_heap_take(&fake, MAX_BLOCKS, NULL, &inventory), 0);
	print_message("# %zu blocks, %lu reads; %s\n", inventory->count, (unsigned long)fake.reads,
		      inventory->note);
	assert_in_range(fake.reads, 1, MOST_READS);
	return inventory;
}

static void a_sound_one(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	inventory = take_from_fake();
	assert_true(inventory->is_complete && !inventory->is_damaged);
	assert_int_equal(inventory->count, FAKE_BLOCKS);
	assert_int_equal(inventory->arena_count, 2);
	assert_int_equal(inventory->cached_bytes, 2 * 48);
	assert_int_equal(inventory->fastbin_bytes, 2 * 48);
	assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
	assert_int_equal(inventory->arena_bytes, 2 * FAKE_BYTES);
}

static void put_lookalike(uint64_t page, uint64_t pages)
{
	fake_put_mapped(&fake, FAKE_MAPPED + page * REMOTE_PAGE, pages * REMOTE_PAGE, 0);
}

/* Java's metaspace has words that look like heads of mapped chunks: malloc's own sum tells. */
static void what_looks_like_a_mapped_chunk(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	put_lookalike(8, 3);
	put_lookalike(12, 2);
	inventory = take_from_fake();
	assert_true(inventory->is_complete);
	assert_int_equal(inventory->count, FAKE_BLOCKS);
	assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
	for (size_t i = 0; i < inventory->count; i++)
		assert_false(inventory->blocks[i].addr >= FAKE_MAPPED + 8 * REMOTE_PAGE &&
			     inventory->blocks[i].addr < FAKE_MAPPED + FAKE_BYTES);
}

/* Of two of one size nobody knows which is malloc's. */
static void two_that_look_alike(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	put_lookalike(8, 4);
	inventory = take_from_fake();
	assert_false(inventory->is_complete);
	assert_non_null(strstr(inventory->note, "32768 bytes found, malloc has 16384"));
}

/* a → b → a, as glibc leaves it when a, b, a are freed */
static void a_fastbin_in_a_circle(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	fake_link(&fake, fake_chunk(3) + 16, fake_chunk(2));
	inventory = take_from_fake();
	assert_true(!inventory->is_complete && inventory->is_damaged);
	assert_non_null(strstr(inventory->note, "1 list of free blocks runs in a circle"));
	assert_int_equal(inventory->count, FAKE_BLOCKS);
	assert_int_equal(inventory->fastbin_bytes, 2 * 48);
}

static void a_cache_in_a_circle(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	fake_link(&fake, fake_chunk(1) + 16, fake_chunk(1) + 16);
	inventory = take_from_fake();
	assert_non_null(strstr(inventory->note, "1 list of free blocks runs in a circle"));
	assert_int_equal(inventory->count, FAKE_BLOCKS);
}

/* All chunks, one after the other, and back into the middle: what stays at the tail is known. */
static void a_long_way_into_a_circle(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	for (int i = 2; i < FAKE_CHUNK_COUNT - 1; i++)
		fake_link(&fake, fake_chunk(i) + 16, fake_chunk(i + 1));
	fake_link(&fake, fake_chunk(FAKE_CHUNK_COUNT - 1) + 16, fake_chunk(20));
	inventory = take_from_fake();
	assert_non_null(strstr(inventory->note, "runs in a circle"));
	assert_int_equal(inventory->count, 3 + 1); /* the other arena's, and the mapped one */
}

static void a_heap_before_which_is_itself(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	fake_put(&fake, FAKE_ARENA + 8, FAKE_ARENA);
	inventory = take_from_fake();
	assert_int_equal(inventory->count, FAKE_BLOCKS); /* each once */
}

/* A ring of arenas that never comes back to the first. */
static void arenas_in_a_circle(void **state)
{
	struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	fake_put(&fake, fake_state_at(FAKE_OTHER_ARENA) + offsetof(struct glibc_arena_state, next),
		 FAKE_OTHER_ARENA);
	assert_int_equal(fake_heap_take(&fake, MAX_BLOCKS, NULL, &inventory), -ENOENT);
	assert_null(inventory);
	assert_in_range(fake.reads, 1, MOST_READS);
}

static void a_chunk_of_size_zero(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	fake_put(&fake, fake_chunk(30) + 8, 0);
	inventory = take_from_fake();
	assert_true(!inventory->is_complete && inventory->is_damaged);
	/* whether number 29 is in use, nobody can tell; 0 … 3 and 10 are free */
	assert_int_equal(inventory->count, 29 - 5 + 3 + 1);
	assert_int_equal(inventory->unseen_bytes, FAKE_HEAP + FAKE_BYTES - fake_chunk(29));
	assert_non_null(strstr(inventory->note, "the chain of blocks breaks at 0x"));
}

/* What grows with each look: the walk sees another end each time. */
static void grow(struct fake_heap *heap, void *context)
{
	uint64_t *count = context, top = fake_chunk(FAKE_CHUNK_COUNT);

	++*count;
	fake_put(heap, top + 8, (FAKE_HEAP + FAKE_BYTES - top - *count % 7 * 16) | *count % 2);
	fake_put(heap, fake_chunk(*count % FAKE_CHUNK_COUNT) + 8, 48 * (*count % 3) | 1);
}

static void a_heap_that_never_holds_still(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	uint64_t count = 0;

	fake_heap_build(&fake);
	fake.go_on = grow;
	fake.context = &count;
	inventory = take_from_fake();
	assert_in_range(inventory->count, 0, FAKE_CHUNK_COUNT + 10);
}

static void raise_stop(struct fake_heap *heap, void *context)
{
	if (heap->reads == 50)
		atomic_store((atomic_bool *)context, true);
}

static void told_to_stop_it_stops(void **state)
{
	struct inventory *inventory = NULL;
	atomic_bool stop = false;

	fake_heap_build(&fake);
	fake.go_on = raise_stop;
	fake.context = &stop;
	assert_int_equal(fake_heap_take(&fake, MAX_BLOCKS, &stop, &inventory), -ECANCELED);
	assert_int_equal(fake.reads, 50);
	assert_null(inventory);
}

static void more_than_it_may_list(void **state)
{
	struct inventory *inventory = NULL;

	fake_heap_build(&fake);
	assert_int_equal(fake_heap_take(&fake, 20, NULL, &inventory), -E2BIG);
	assert_null(inventory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_one),
		cmocka_unit_test(what_looks_like_a_mapped_chunk),
		cmocka_unit_test(two_that_look_alike),
		cmocka_unit_test(a_fastbin_in_a_circle),
		cmocka_unit_test(a_cache_in_a_circle),
		cmocka_unit_test(a_long_way_into_a_circle),
		cmocka_unit_test(a_heap_before_which_is_itself),
		cmocka_unit_test(arenas_in_a_circle),
		cmocka_unit_test(a_chunk_of_size_zero),
		cmocka_unit_test(a_heap_that_never_holds_still),
		cmocka_unit_test(told_to_stop_it_stops),
		cmocka_unit_test(more_than_it_may_list),
	};

	return cmocka_run_group_tests_name("hostile heap", tests, NULL, NULL);
}
