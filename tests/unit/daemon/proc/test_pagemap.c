/* Where the pages of a process are, by either way of asking, beside what smaps says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/proc/pagemap.h"
#include "daemon/proc/smaps.h"
#include "proto/base/cleanup.h"
#include "tests/unit/zero_page.h"

#define PAGE PAGEMAP_PAGE
#define PRESENT (1ull << 63)
#define SWAPPED (1ull << 62)
#define FILE_OR_SHARED (1ull << 61)
#define GUARD (1ull << 58)
#define EXCLUSIVE (1ull << 56)
#define ZERO_FRAME 8

struct found {
	struct pagemap_run runs[64];
	size_t count;
	int stop_at; /* so many runs */
};

static int note(void *context, const struct pagemap_run *run)
{
	struct found *found = context;

	assert_true(found->count < 64);
	found->runs[found->count++] = *run;
	return found->stop_at && found->count == (size_t)found->stop_at ? -ECANCELED : 0;
}

static void assert_run(const struct found *found, size_t i, uint64_t first, uint64_t count,
		       unsigned what)
{
	assert_true(i < found->count);
	assert_int_equal(found->runs[i].first, first);
	assert_int_equal(found->runs[i].count, count);
	assert_int_equal(found->runs[i].what, what);
}

/* ---- words ------------------------------------------------------------------------------- */

struct table {
	const uint64_t *words;
	uint64_t first, count;
	size_t most; /* words a read */
};

static ssize_t read_table(void *context, uint64_t *words, size_t count, uint64_t page)
{
	const struct table *table = context;

	assert_true(page >= table->first);
	page -= table->first;
	if (page >= table->count)
		return 0;
	if (count > table->count - page)
		count = table->count - page;
	if (count > table->most)
		count = table->most;
	memcpy(words, table->words + page, count * sizeof(*words));
	return count;
}

static bool is_zero(void *context, uint64_t frame)
{
	(void)context;
	return frame == ZERO_FRAME;
}

static void words_become_runs(void **state)
{
	const uint64_t words[] = { PRESENT | EXCLUSIVE | 7,
				   PRESENT | 9, /* shared with a child */
				   PRESENT | ZERO_FRAME,
				   PRESENT | EXCLUSIVE | ZERO_FRAME, /* its own: not that one */
				   0,
				   SWAPPED | 99,
				   SWAPPED | 3,
				   SWAPPED | GUARD,
				   PRESENT | FILE_OR_SHARED | 5,
				   SWAPPED | FILE_OR_SHARED | 5,
				   PRESENT | EXCLUSIVE | 1 };
	struct table table = { words, 100, sizeof(words) / sizeof(*words), 1000 };
	const struct pagemap_source source = { read_table, is_zero, &table };

	for (table.most = 1; table.most < 12; table.most++) {
		struct found found = { 0 };

		/* the table ends before the range does: so does a process */
		assert_int_equal(pagemap_scan_words(&source, 100 * PAGE, 200 * PAGE, note, &found),
				 0);
		assert_int_equal(found.count, 6);
		assert_run(&found, 0, 100, 2, PAGEMAP_IN_MEMORY);
		assert_run(&found, 1, 103, 1, PAGEMAP_IN_MEMORY);
		assert_run(&found, 2, 105, 2, PAGEMAP_SWAPPED);
		assert_run(&found, 3, 108, 1, PAGEMAP_IN_MEMORY | PAGEMAP_OF_FILE);
		assert_run(&found, 4, 109, 1, PAGEMAP_SWAPPED | PAGEMAP_OF_FILE);
		assert_run(&found, 5, 110, 1, PAGEMAP_IN_MEMORY);
	}
}

static void whoever_is_told_may_stop(void **state)
{
	const uint64_t words[] = { PRESENT, 0, PRESENT, 0, PRESENT, 0 };
	struct table table = { words, 0, 6, 1000 };
	const struct pagemap_source source = { read_table, NULL, &table };
	struct found found = { .stop_at = 2 };

	assert_int_equal(pagemap_scan_words(&source, 0, 6 * PAGE, note, &found), -ECANCELED);
	assert_int_equal(found.count, 2);
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
	const struct pagemap_source source = { read_nothing, NULL, NULL };
	struct found found = { 0 };

	assert_int_equal(pagemap_scan_words(&source, 0, PAGE, note, &found), -EPERM);
	assert_int_equal(pagemap_scan_words(&source, PAGE, PAGE, note, &found), 0);
	assert_int_equal(found.count, 0);
}

/* ---- our own pages ----------------------------------------------------------------------- */

#define OWN_PAGES 20

static char *map_pages(size_t pages)
{
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(madvise(memory, pages * PAGE, MADV_NOHUGEPAGE), 0);
	return memory;
}

/* Pages 0 … 3 written to, 4 … 7 only read, 12 … 14 written to and given back, 13 again written to,
 * 16 a guard where the kernel has them; the others never touched. */
static char *make_pages(void)
{
	volatile char *memory = map_pages(OWN_PAGES);
	char *pages = (char *)(uintptr_t)memory;

	for (int i = 0; i < 4; i++)
		memory[i * PAGE] = 1;
	for (int i = 4; i < 8; i++)
		(void)memory[i * PAGE];
	for (int i = 12; i < 15; i++)
		memory[i * PAGE] = 1;
	assert_int_equal(madvise(pages + 12 * PAGE, 3 * PAGE, MADV_DONTNEED), 0);
	memory[13 * PAGE] = 1;
	return pages;
}

static void check_own(struct pagemap *pagemap, const char *pages, unsigned read_pages_count)
{
	uint64_t first = (uintptr_t)pages / PAGE;
	struct found found = { 0 };

	assert_int_equal(pagemap_scan(pagemap, (uintptr_t)pages,
				      (uintptr_t)pages + OWN_PAGES * PAGE, note, &found),
			 0);
	assert_int_equal(found.count, 2);
	assert_run(&found, 0, first, 4 + read_pages_count, PAGEMAP_IN_MEMORY);
	assert_run(&found, 1, first + 13, 1, PAGEMAP_IN_MEMORY);
}

/* As this kernel can, and as those before 6.7 do. */
static void our_own_pages_either_way(void **state)
{
	char *pages = make_pages();

	for (int i = 0; i < 2; i++) {
		_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;

		assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
		pagemap.is_old = i == 1;
		assert_int_equal(pagemap_scan(&pagemap, 0, 0, NULL, NULL), 0);
		/* what a page of zeros is, only root is told by old ones */
		check_own(&pagemap, pages,
			  reading_takes_memory() || (pagemap.is_old && geteuid()) ? 4 : 0);
	}
	munmap(pages, OWN_PAGES * PAGE);
}

static int count_run(void *context, const struct pagemap_run *run)
{
	uint64_t *sums = context;

	assert_int_equal(run->count, 1);
	assert_int_equal(run->what, PAGEMAP_IN_MEMORY);
	sums[0] += run->count;
	sums[1] += run->first;
	return 0;
}

/* More runs than one question has room for, on both sides of its border. */
static void every_second_page(void **state)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	const uint64_t pages = 5000;
	char *memory = map_pages(pages);
	uint64_t start = (uintptr_t)memory, sums[2] = { 0 };

	for (uint64_t i = 0; i < pages; i += 2)
		memory[i * PAGE] = 1;
	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(pagemap_scan(&pagemap, start, start + pages * PAGE, count_run, sums), 0);
	assert_int_equal(sums[0], pages / 2);
	assert_int_equal(sums[1], pages / 2 * (start / PAGE + pages / 2 - 1));
	munmap(memory, pages * PAGE);
}

/* One run, however many questions it takes: a question is of 64 MiB at most. */
static void all_pages_are_one_run(void **state)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	const uint64_t pages = 18000;
	char *memory = map_pages(pages);
	uint64_t start = (uintptr_t)memory;
	struct found found = { 0 };

	memset(memory, 1, pages * PAGE);
	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(pagemap_scan(&pagemap, start, start + pages * PAGE, note, &found), 0);
	assert_int_equal(found.count, 1);
	assert_run(&found, 0, start / PAGE, pages, PAGEMAP_IN_MEMORY);
	munmap(memory, pages * PAGE);
}

static void pages_of_files(void **state)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	int fd = memfd_create("pages", MFD_CLOEXEC);
	volatile char *memory;
	struct found found = { 0 };
	uint64_t start;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	start = (uintptr_t)memory;
	assert_int_equal(madvise((void *)start, 4 * PAGE, MADV_RANDOM), 0);
	memory[0] = 1; /* a copy of ours */
	(void)memory[2 * PAGE];
	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(pagemap_scan(&pagemap, start, start + PAGE, note, &found), 0);
	assert_int_equal(pagemap_scan(&pagemap, start + 2 * PAGE, start + 3 * PAGE, note, &found),
			 0);
	assert_int_equal(found.count, 2);
	assert_run(&found, 0, start / PAGE, 1, PAGEMAP_IN_MEMORY);
	assert_run(&found, 1, start / PAGE + 2, 1, PAGEMAP_IN_MEMORY | PAGEMAP_OF_FILE);
	munmap((void *)start, 4 * PAGE);
	close(fd);
}

#define ADVICE_GUARD_INSTALL 102 /* Linux 6.13 */

/* A guard looks as if it were swapped out; smaps does not count it so, nor do we. */
static void guards_are_nowhere(void **state)
{
	_cleanup_(pagemap_deinit) struct pagemap pagemap = PAGEMAP_CLOSED;
	char *memory = map_pages(4);
	uint64_t start = (uintptr_t)memory;
	struct found found = { 0 };
	bool has_guards = madvise(memory + PAGE, PAGE, ADVICE_GUARD_INSTALL) == 0;

	memory[0] = 1;
	assert_int_equal(pagemap_open(getpid(), &pagemap), 0);
	assert_int_equal(pagemap_scan(&pagemap, start, start + 4 * PAGE, note, &found), 0);
	if (has_guards && pagemap.knows_no_guards) {
		assert_run(&found, 1, start / PAGE + 1, 1, PAGEMAP_SWAPPED); /* 6.13, 6.14 */
		found.count = 1;
	}
	assert_int_equal(found.count, 1);
	assert_run(&found, 0, start / PAGE, 1, PAGEMAP_IN_MEMORY);
	munmap(memory, 4 * PAGE);
}

static void who_is_not_there(void **state)
{
	struct pagemap pagemap = PAGEMAP_CLOSED;

	assert_int_equal(pagemap_open(0x7ffffff0, &pagemap), -ESRCH);
	pagemap_deinit(&pagemap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_runs),
		cmocka_unit_test(whoever_is_told_may_stop),
		cmocka_unit_test(a_table_that_cannot_be_read),
		cmocka_unit_test(our_own_pages_either_way),
		cmocka_unit_test(every_second_page),
		cmocka_unit_test(all_pages_are_one_run),
		cmocka_unit_test(pages_of_files),
		cmocka_unit_test(guards_are_nowhere),
		cmocka_unit_test(who_is_not_there),
	};

	return cmocka_run_group_tests_name("pagemap", tests, NULL, NULL);
}
