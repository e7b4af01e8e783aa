/* Which bytes of a process are in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/proc/residency.h"
#include "proto/base/cleanup.h"
#include "tests/unit/zero_page.h"

DEFINE_CLEANUP_PTR(struct residency *, residency_free)

#define PAGE 4096ull
#define PRESENT (1ull << 63)
#define EXCLUSIVE (1ull << 56)

/* Every second page is in memory, alone in its frame; of the others every third one is of zeros. */
static ssize_t read_table(void *context, uint64_t *words, size_t count, uint64_t page)
{
	size_t most = *(size_t *)context;

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++, page++)
		words[i] = page % 2 == 0   ? PRESENT | EXCLUSIVE | 7
			   : page % 3 == 0 ? PRESENT | 8
					   : 9;
	return count;
}

static bool is_zero(void *context, uint64_t frame)
{
	(void)context;
	assert_int_equal(frame, 8);
	return true;
}

static void each_page_once(void **state)
{
	struct smaps_entry entries[] = {
		{ .start = 10 * PAGE, .end = 20 * PAGE, .rss_bytes = PAGE },
		{ .start = 20 * PAGE, .end = 30 * PAGE, .rss_bytes = PAGE },
		{ .start = 30 * PAGE, .end = 40 * PAGE, .rss_bytes = PAGE, .is_file = true },
		{ .start = 40 * PAGE, .end = 50 * PAGE, .rss_bytes = PAGE, .is_shared = true },
		{ .start = 50 * PAGE, .end = 60 * PAGE },
		{ .start = 100 * PAGE, .end = 10000 * PAGE, .rss_bytes = PAGE },
		{ .start = 1ull << 40, .end = 1ull << 44, .rss_bytes = PAGE },
		{ .start = 1ull << 45, .end = (1ull << 45) + 2 * PAGE, .rss_bytes = PAGE },
	};
	const struct smaps smaps = { entries, sizeof(entries) / sizeof(*entries) };
	size_t steps[] = { 1000000, 3 };

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(residency_free_ptr) struct residency *residency = NULL;
		struct pagemap_source source = { read_table, is_zero, &steps[i] };

		assert_int_equal(
			residency_read_from(&source, &smaps, PAGEMAP_IN_MEMORY, &residency), 0);
		assert_int_equal(residency_bytes(residency, 0, UINT64_MAX),
				 (5 + 5 + 4950 + 1) * PAGE);
		assert_int_equal(residency_bytes(residency, 10 * PAGE, 0), 0);
		assert_int_equal(residency_bytes(residency, 10 * PAGE + 100, 200), 200);
		assert_int_equal(residency_bytes(residency, 11 * PAGE, PAGE), 0);
		/* the end of 10, no 11, the begin of 12; over the border of two mappings */
		assert_int_equal(residency_bytes(residency, 11 * PAGE - 96, PAGE + 196), 196);
		assert_int_equal(residency_bytes(residency, 18 * PAGE, 4 * PAGE), 2 * PAGE);
		assert_int_equal(residency_bytes(residency, 28 * PAGE, 100 * PAGE), 15 * PAGE);
		assert_int_equal(residency_bytes(residency, UINT64_MAX - 10, 100), 0);
		/* more than there are bits for */
		assert_int_equal(residency_bytes(residency, 1ull << 41, 1 << 20), 0);
	}
}

/* Of the other pages, in the mappings that have any: one of three is swapped out here. */
static ssize_t read_swapped(void *context, uint64_t *words, size_t count, uint64_t page)
{
	(void)context;
	for (size_t i = 0; i < count; i++, page++)
		words[i] = page % 3 ? PRESENT | EXCLUSIVE : 1ull << 62;
	return count;
}

static void what_is_swapped_out(void **state)
{
	_cleanup_(residency_free_ptr) struct residency *residency = NULL;
	struct pagemap_source source = { read_swapped, NULL, NULL };
	struct smaps_entry entries[] = {
		{ .start = 9 * PAGE, .end = 18 * PAGE, .swap_bytes = 3 * PAGE },
		{ .start = 18 * PAGE, .end = 27 * PAGE, .rss_bytes = PAGE },
	};
	const struct smaps smaps = { entries, 2 };

	assert_int_equal(residency_read_from(&source, &smaps, PAGEMAP_SWAPPED, &residency), 0);
	assert_int_equal(residency_bytes(residency, 0, 27 * PAGE), 3 * PAGE);
	assert_int_equal(residency_bytes(residency, 9 * PAGE + 100, PAGE), PAGE - 100);
}

static ssize_t read_nothing(void *context, uint64_t *words, size_t count, uint64_t page)
{
	(void)context;
	(void)words;
	(void)count;
	(void)page;
	return -EPERM;
}

static void a_table_that_cannot_be_read(void **state)
{
	struct smaps_entry entry = { .start = PAGE, .end = 2 * PAGE, .rss_bytes = PAGE };
	const struct smaps smaps = { &entry, 1 };
	struct pagemap_source source = { read_nothing, NULL, NULL };
	struct residency *residency = NULL;

	assert_int_equal(residency_read_from(&source, &smaps, PAGEMAP_IN_MEMORY, &residency),
			 -EPERM);
	assert_null(residency);
}

static bool is_old_kernel(void)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;

	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(pagemap_scan(&pagemap, 0, 0, NULL, NULL), 0);
	return pagemap.is_old;
}

/* Written to, only read, never touched. */
static void our_own_pages(void **state)
{
	_cleanup_(residency_free_ptr) struct residency *residency = NULL;
	char *memory =
		mmap(NULL, 12 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct smaps_entry entry = { .rss_bytes = PAGE };
	const struct smaps smaps = { &entry, 1 };
	volatile char *at = memory;

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(madvise(memory, 12 * PAGE, MADV_NOHUGEPAGE), 0);
	entry.start = (uint64_t)memory;
	entry.end = entry.start + 12 * PAGE;
	for (int i = 0; i < 4; i++)
		at[i * PAGE] = 1;
	for (int i = 4; i < 8; i++)
		(void)at[i * PAGE];
	assert_int_equal(residency_read(getpid(), &smaps, PAGEMAP_IN_MEMORY, &residency), 0);
	/* what a page of zeros is, only root is told by kernels before 6.7 */
	assert_int_equal(residency_bytes(residency, entry.start, 12 * PAGE),
			 (reading_takes_memory() || (geteuid() && is_old_kernel()) ? 8 : 4) * PAGE);
	munmap(memory, 12 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_page_once),
		cmocka_unit_test(what_is_swapped_out),
		cmocka_unit_test(a_table_that_cannot_be_read),
		cmocka_unit_test(our_own_pages),
	};

	return cmocka_run_group_tests_name("residency", tests, NULL, NULL);
}
