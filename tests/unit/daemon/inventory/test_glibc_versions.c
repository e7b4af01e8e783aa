/* What differs between the heaps of glibc 2.32 to 2.44, on memory that is made up: malloc.c
 * of 2.41, 2.42 and 2.43. The judge looks at real ones, as far as Debian has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "daemon/source/probed.h"
#include "proto/base/cleanup.h"
#include "tests/unit/fake_heap.h"

DEFINE_CLEANUP_PTR(struct inventory *, inventory_free)

#define TCACHE (FAKE_CONTROL_BLOCK - 0x48) /* the thread's variable */

static struct fake_heap fake;
static const struct fake_glibc *const versions[] = { &fake_2_41, &fake_2_42, &fake_2_43 };

static void build(const struct fake_glibc *glibc)
{
	fake_glibc = glibc;
	fake_heap_build(&fake);
}

static struct inventory *take(void)
{
	struct inventory *inventory = NULL;

	assert_int_equal(fake_heap_take(&fake, 1000, NULL, &inventory), 0);
	print_message("# %zu blocks; %s\n", inventory->count, inventory->note);
	return inventory;
}

/* Without fastbins what would be in one is in use. */
static size_t block_count(void)
{
	return FAKE_BLOCKS + (fake_glibc->has_fastbins ? 0 : 2);
}

static bool has_block(const struct inventory *inventory, uint64_t addr)
{
	for (size_t i = 0; i < inventory->count; i++)
		if (inventory->blocks[i].addr == addr)
			return true;
	return false;
}

static void each_is_read(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
		const struct inventory_block *mapped;

		build(versions[i]);
		inventory = take();
		assert_true(inventory->is_complete);
		assert_int_equal(inventory->count, block_count());
		assert_int_equal(inventory->arena_count, 2);
		assert_int_equal(inventory->arena_bytes, 2 * FAKE_BYTES);
		assert_int_equal(inventory->cached_bytes, 2 * 48);
		assert_int_equal(inventory->fastbin_bytes, fake_glibc->has_fastbins ? 2 * 48 : 0);
		assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
		assert_false(has_block(inventory, fake_chunk(0) + 16));
		assert_false(has_block(inventory, fake_chunk(1) + 16));
		/* malloc_usable_size(): two words less than the mapping; three since 2.43 */
		mapped = &inventory->blocks[inventory->count - 1];
		assert_int_equal(mapped->addr, FAKE_MAPPED_CHUNK + 16);
		assert_int_equal(mapped->usable_bytes,
				 4 * REMOTE_PAGE - (fake_glibc->has_fastbins ? 16 : 24));
	}
}

/* Bins behind the 64 hold chunks of several sizes, smaller ones first. */
static void large_bins(void **state)
{
	for (size_t i = 1; i < ARRAY_SIZE(versions); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
		uint64_t a, b, c, d;

		build(versions[i]);
		a = fake_add_chunk(&fake, 1056) + 16;
		b = fake_add_chunk(&fake, 2032) + 16;
		c = fake_add_chunk(&fake, 2048) + 16; /* the next bin's */
		d = fake_add_chunk(&fake, 1072) + 16; /* in use */
		fake_put_in_cache(&fake, 64, 2, a);
		fake_link(&fake, a, b);
		fake_link(&fake, b, 0);
		fake_put_in_cache(&fake, 65, 1, c);
		fake_link(&fake, c, 0);
		inventory = take();
		assert_true(inventory->is_complete);
		assert_int_equal(inventory->count, block_count() + 1);
		assert_true(has_block(inventory, d));
		assert_int_equal(inventory->cached_bytes, 2 * 48 + 1056 + 2032 + 2048);
	}
}

static void a_chunk_in_the_wrong_bin(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	uint64_t a, b;

	build(&fake_2_43);
	a = fake_add_chunk(&fake, 1056) + 16;
	b = fake_add_chunk(&fake, 2048) + 16;
	fake_put_in_cache(&fake, 64, 2, a);
	fake_link(&fake, a, b);
	fake_link(&fake, b, 0);
	inventory = take();
	assert_false(inventory->is_complete);
	assert_non_null(strstr(inventory->note, "1 list of free blocks could not be read"));
}

/* The numbers of all empty bins are the same: what they tell is something else otherwise. */
static void numbers_that_are_no_slots(void **state)
{
	struct inventory *inventory = NULL;

	build(&fake_2_43);
	for (size_t bin = 0; bin < 10; bin++)
		fake_put_number(&fake, bin, bin);
	assert_int_equal(fake_heap_take(&fake, 1000, NULL, &inventory), -ENOENT);
	build(&fake_2_42);
	for (size_t bin = 0; bin < 76; bin++)
		fake_put_number(&fake, bin, 0); /* as 2.41 would have it */
	assert_int_equal(fake_heap_take(&fake, 1000, NULL, &inventory), -ENOENT);
}

/* Who has freed nothing has no cache: what would be in it is in use. Only libc's own zeros count.
 */
static void a_thread_without_a_cache(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	build(&fake_2_43);
	fake_put(&fake, TCACHE, FAKE_DUMMY);
	inventory = take();
	assert_true(inventory->is_complete);
	/* with what would be in the cache, and what would be the cache */
	assert_int_equal(inventory->count, block_count() + 2 + 1);
	assert_int_equal(inventory->cached_bytes, 0);
}

static void a_dummy_that_is_none(void **state)
{
	static const uint64_t words[] = { 0, 94, 95 };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct inventory *inventory = NULL;
		int error;

		build(&fake_2_43);
		fake_put(&fake, TCACHE, FAKE_DUMMY);
		fake_put(&fake, FAKE_DUMMY + 8 * words[i], 1);
		error = fake_heap_take(&fake, 1000, NULL, &inventory);
		inventory_free(inventory);
		assert_int_equal(error, words[i] < 95 ? -ENOENT : 0); /* 95: behind it */
	}
	/* up to 2.42 there is none */
	for (size_t i = 0; i < 2; i++) {
		struct inventory *inventory = NULL;

		build(versions[i]);
		fake_put(&fake, TCACHE, FAKE_DUMMY);
		assert_int_equal(fake_heap_take(&fake, 1000, NULL, &inventory), -ENOENT);
	}
}

/* memalign() moves the head; the old one stays. realloc() changes the newer one alone. */
static void mapped_and_aligned(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
		const struct inventory_block *mapped;
		uint64_t lacks = versions[i]->has_fastbins ? 16 : 24;

		build(versions[i]);
		fake_put_mapped(&fake, FAKE_MAPPED_CHUNK, 3 * REMOTE_PAGE, 0);
		fake_put_mapped(&fake, FAKE_MAPPED_CHUNK, 4 * REMOTE_PAGE, REMOTE_PAGE - 16);
		inventory = take();
		assert_true(inventory->is_complete);
		assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
		mapped = &inventory->blocks[inventory->count - 1];
		assert_int_equal(mapped->addr, FAKE_MAPPED_CHUNK + REMOTE_PAGE);
		assert_int_equal(mapped->usable_bytes, 3 * REMOTE_PAGE + 16 - lacks);
	}
}

/* Large pages are told by the lowest bit of the first word, since 2.43. */
static void mapped_in_large_pages(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

	build(&fake_2_43);
	fake_put(&fake, FAKE_MAPPED_CHUNK, 1);
	inventory = take();
	assert_true(inventory->is_complete);
	assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
	inventory_free(inventory);
	build(&fake_2_42);
	fake_put(&fake, FAKE_MAPPED_CHUNK, 1);
	inventory = take();
	assert_false(inventory->is_complete);
}

/* Since 2.43 caches take mapped chunks, too, if tunables let them hold such large ones. */
static void mapped_and_cached(void **state)
{
	_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
	uint64_t block = FAKE_MAPPED_CHUNK + 16;

	build(&fake_2_43);
	fake_put(&fake, FAKE_PARAMETERS + 32, (1 << 20) + 1);
	fake_put_in_cache(&fake, 67, 1, block); /* of 16,368 bytes, in the bin of 8 to 16 KiB */
	fake_link(&fake, block, 0);
	inventory = take();
	assert_true(inventory->is_complete);
	assert_int_equal(inventory->count, block_count() - 1);
	assert_false(has_block(inventory, block));
	assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
	assert_int_equal(inventory->mmapped_count, 0);
	assert_int_equal(inventory->cached_mmapped_count, 1);
}

/* mremap_chunk() of 2.43 and 2.44 makes malloc believe in 16 bytes more each time; the number of
 * mappings is right. */
static void a_sum_that_drifts(void **state)
{
	static const struct {
		const struct fake_glibc *glibc;
		uint64_t more;
		uint32_t count;
		bool is_complete;
	} cases[] = {
		{ &fake_2_43, 16, 1, true },  { &fake_2_43, 16 * 300, 1, true },
		{ &fake_2_43, 16, 2, false }, { &fake_2_43, 16 * 300, 2, false },
		{ &fake_2_43, 8, 1, false },  { &fake_2_43, -16, 1, false },
		{ &fake_2_42, 16, 1, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;

		build(cases[i].glibc);
		fake_put(&fake, FAKE_PARAMETERS, 4 * REMOTE_PAGE + cases[i].more);
		fake_put(&fake, FAKE_PARAMETERS + 8, 8 * REMOTE_PAGE);
		fake_put(&fake, FAKE_PARAMETERS - 24, (uint64_t)cases[i].count << 32);
		inventory = take();
		assert_int_equal(inventory->is_complete, cases[i].is_complete);
	}
}

/* Nothing but blocks with a mapping of their own: the arena is not in use, and there is no cache.
 */
static void only_mapped_ones(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		_cleanup_(inventory_free_ptr) struct inventory *inventory = NULL;
		uint64_t state_at;

		build(versions[i]);
		state_at = fake_state_at(FAKE_MAIN_ARENA);
		fake_put(&fake, TCACHE, fake_glibc->has_fastbins ? 0 : FAKE_DUMMY);
		fake_put(&fake, state_at, state_at); /* the top is a bin */
		fake_put(&fake, state_at + offsetof(struct glibc_arena_state, next),
			 FAKE_MAIN_ARENA);
		fake_put(&fake, state_at + offsetof(struct glibc_arena_state, system_bytes), 0);
		fake_put(&fake, FAKE_PARAMETERS + 16, 0);
		inventory = take();
		assert_true(inventory->is_complete);
		assert_int_equal(inventory->count, 1);
		assert_int_equal(inventory->mmapped_bytes, 4 * REMOTE_PAGE);
	}
}

static void which_versions_are_known(void **state)
{
	assert_true(inventory_knows("glibc"));
	assert_true(inventory_knows("glibc 2.32"));
	assert_true(inventory_knows("glibc 2.44"));
	assert_false(inventory_knows("glibc 2.45"));
	assert_false(inventory_knows("glibc 2.31"));
	assert_false(inventory_knows("glibc 3.40"));
}

static void an_unknown_version_is_named(void **state)
{
	struct probed_allocator allocators[] = { { .name = "glibc 2.36", .is_glibc = true },
						 { .name = "glibc 2.45", .is_glibc = true } };
	const struct probed probed = { .allocators = allocators, .allocator_count = 2 };
	const struct inventory_limits limits = { .probed = &probed };
	const struct procmaps maps = { 0 };
	struct inventory *inventory = NULL;
	struct dhat_error err = { 0 };

	assert_int_equal(inventory_take(getpid(), &maps, &limits, &inventory, &err), -ENOENT);
	assert_string_equal(err.message,
			    "glibc 2.45 is not known: of 2.32 to 2.44 the heap's layout is");
	assert_int_equal(err.code, DHAT_EXIT_NO_ALLOCATOR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_read),
		cmocka_unit_test(large_bins),
		cmocka_unit_test(a_chunk_in_the_wrong_bin),
		cmocka_unit_test(numbers_that_are_no_slots),
		cmocka_unit_test(a_thread_without_a_cache),
		cmocka_unit_test(a_dummy_that_is_none),
		cmocka_unit_test(mapped_and_aligned),
		cmocka_unit_test(mapped_in_large_pages),
		cmocka_unit_test(mapped_and_cached),
		cmocka_unit_test(a_sum_that_drifts),
		cmocka_unit_test(only_mapped_ones),
		cmocka_unit_test(which_versions_are_known),
		cmocka_unit_test(an_unknown_version_is_named),
	};

	return cmocka_run_group_tests_name("glibc versions", tests, NULL, NULL);
}
