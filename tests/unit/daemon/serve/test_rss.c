/* Rows that explain resident memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/serve/rss.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

/* A program, its heap, a library, a thread's arena, its own mmap, shared memory, its stack. */
static const char text[] =
	"55550000-55552000 r-xp 00000000 fe:00 11                  /bin/x\n"
	"Size:                  8 kB\n"
	"Rss:                   8 kB\n"
	"Pss:                   8 kB\n"
	"Anonymous:             0 kB\n"
	"VmFlags: rd ex mr mw me sd\n"
	"55552000-55553000 rw-p 00002000 fe:00 11                  /bin/x\n"
	"Rss:                   4 kB\n"
	"Anonymous:             4 kB\n"
	"Swap:                 12 kB\n"
	"55560000-55570000 rw-p 00000000 00:00 0                   [heap]\n"
	"Rss:                  40 kB\n"
	"Anonymous:            40 kB\n"
	"7f0000000000-7f0000010000 r--p 00000000 fe:00 12          /lib/y (deleted)\n"
	"Rss:                  16 kB\n"
	"Anonymous:             4 kB\n"
	"7f0010000000-7f0010100000 rw-p 00000000 00:00 0\n"
	"Rss:                 100 kB\n"
	"Anonymous:           100 kB\n"
	"7f0020000000-7f0020100000 rw-p 00000000 00:00 0\n"
	"Rss:                  60 kB\n"
	"Anonymous:            60 kB\n"
	"7f0030000000-7f0030100000 rw-s 00000000 00:01 7           /dev/zero\n"
	"Rss:                  12 kB\n"
	"Anonymous:             0 kB\n"
	"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0           [stack]\n"
	"Rss:                  24 kB\n"
	"Anonymous:            24 kB\n";
#define RSS_KB (8 + 4 + 40 + 16 + 100 + 60 + 12 + 24)

static struct smaps parse(const char *what)
{
	_cleanup_fclose_ FILE *file = fmemopen(without_qualifiers(what), strlen(what), "r");
	struct smaps smaps;

	assert_int_equal(smaps_parse(file, &smaps), 0);
	return smaps;
}

static void test_parse(void **state)
{
	struct smaps smaps = parse(text);
	FILE *file;

	assert_int_equal(smaps.count, 8);
	assert_int_equal(smaps.entries[2].start, 0x55560000);
	assert_int_equal(smaps.entries[2].end, 0x55570000);
	assert_string_equal(smaps.entries[2].name, "[heap]");
	assert_false(smaps.entries[2].is_file);
	assert_true(smaps.entries[3].is_file);
	assert_int_equal(smaps.entries[1].swap_bytes, 12 << 10);
	assert_int_equal(smaps.entries[2].swap_bytes, 0);
	assert_int_equal(smaps.entries[3].rss_bytes, 16 << 10);
	assert_int_equal(smaps.entries[3].anonymous_bytes, 4 << 10);
	assert_true(smaps.entries[6].is_shared);
	assert_string_equal(smaps.entries[7].name, "[stack]");
	smaps_deinit(&smaps);
	file = fmemopen("nonsense\n", 9, "r");
	assert_int_equal(smaps_parse(file, &smaps), -EBADMSG);
	fclose(file);
}

static uint64_t row(const Dhat__Rss *table, const char *name)
{
	for (size_t i = 0; i < table->n_rows; i++) {
		if (!strcmp(table->rows[i]->name, name))
			return table->rows[i]->bytes;
	}
	return 0;
}

static void expect_sum(const Dhat__Rss *table)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < table->n_rows; i++)
		sum += table->rows[i]->bytes;
	assert_int_equal(sum, RSS_KB << 10);
	assert_int_equal(table->rss_bytes, RSS_KB << 10);
}

static void test_with_an_inventory(void **state)
{
	/* one block in [heap], one in the arena at 7f0010000000 */
	struct inventory_block blocks[] = { { 0x55560010, 30000 }, { 0x7f0010000010, 50000 } };
	struct inventory inventory = {
		.blocks = blocks,
		.count = 2,
		.usable_bytes = 80000,
		.arena_block_bytes = 80032,
		.internal_bytes = 600,
		.is_complete = true,
	};
	struct smaps smaps = parse(text);
	struct rss_figures figures = {
		.smaps = &smaps,
		.inventory = &inventory,
		.resident_block_bytes = 80000,
		.watched_bytes = 70000,
		.before_bytes = 9000,
		.resident_watched_bytes = 70000,
		.resident_before_bytes = 9000,
		.knows_before = true,
	};
	Dhat__Rss *table = rss_make_table(&figures);

	expect_sum(table);
	assert_int_equal(row(table, "live blocks"), 70000);
	assert_int_equal(row(table, "blocks from before"), 9000);
	assert_int_equal(row(table, "rounding"), 1000);
	assert_int_equal(row(table, "allocator's own"), 632);
	assert_int_equal(row(table, "free in the allocator"), (140 << 10) - 80000 - 632);
	assert_int_equal(row(table, "other anonymous"), 60 << 10);
	assert_int_equal(row(table, "main stack"), 24 << 10);
	assert_int_equal(row(table, "code"), 8 << 10);
	assert_int_equal(row(table, "file data"), 12 << 10);
	assert_int_equal(row(table, "changed file data"), 8 << 10);
	assert_int_equal(row(table, "shared memory"), 12 << 10);
	assert_string_equal(table->note, "");
	dhat__rss__free_unpacked(table, NULL);

	/* blocks from before that nobody listed at the attach */
	figures.knows_before = false;
	figures.before_bytes = figures.resident_before_bytes = 0;
	table = rss_make_table(&figures);
	expect_sum(table);
	assert_int_equal(row(table, "blocks from before"), 10000);
	assert_int_equal(row(table, "rounding"), 0);
	dhat__rss__free_unpacked(table, NULL);
	figures.knows_before = true;

	/* half of the live memory was never touched: what it is in memory for is what it is booked
	 * for */
	figures.before_bytes = 9000;
	figures.resident_watched_bytes = 34000;
	figures.resident_before_bytes = 5000;
	figures.resident_block_bytes = 40000;
	table = rss_make_table(&figures);
	expect_sum(table);
	assert_int_equal(row(table, "live blocks"), 34000);
	assert_int_equal(row(table, "blocks from before"), 5000);
	assert_int_equal(row(table, "rounding"), 1000);
	assert_string_equal(table->note,
			    "39.1 KiB of the 77.1 KiB that are live are not in memory: "
			    "never touched, or given back");
	dhat__rss__free_unpacked(table, NULL);
	figures.swapped_bytes = 10240;
	table = rss_make_table(&figures);
	assert_string_equal(table->note,
			    "39.1 KiB of the 77.1 KiB that are live are not in memory: "
			    "10.0 KiB swapped out, the others never touched, or given back");
	dhat__rss__free_unpacked(table, NULL);

	/* a part of the heap could not be read */
	inventory.is_complete = false;
	inventory.unseen_bytes = 20000;
	strcpy(inventory.note, "a part is missing");
	table = rss_make_table(&figures);
	expect_sum(table);
	assert_int_equal(row(table, "not known"), 20000);
	assert_int_equal(row(table, "free in the allocator"), (140 << 10) - 40000 - 632 - 20000);
	assert_string_equal(table->note, "a part is missing");
	dhat__rss__free_unpacked(table, NULL);
	inventory.is_complete = true;
	inventory.unseen_bytes = 0;

	/* figures of a later moment than the mappings' */
	figures.resident_block_bytes = figures.resident_watched_bytes = 1 << 30;
	inventory.internal_bytes = 1 << 30;
	table = rss_make_table(&figures);
	expect_sum(table);
	assert_int_equal(row(table, "live blocks"), 140 << 10);
	dhat__rss__free_unpacked(table, NULL);
	smaps_deinit(&smaps);
}

static void test_without_an_inventory(void **state)
{
	struct smaps smaps = parse(text);
	struct rss_figures figures = {
		.smaps = &smaps,
		.watched_bytes = 70000,
		.resident_watched_bytes = 3000,
	};
	Dhat__Rss *table = rss_make_table(&figures);

	expect_sum(table);
	assert_int_equal(row(table, "live blocks"), 3000);
	assert_int_equal(row(table, "blocks from before"), 0);
	assert_int_equal(row(table, "free in the allocator"), 0);
	assert_int_equal(row(table, "other anonymous"), 0);
	assert_int_equal(row(table, "not known"), (200 << 10) - 3000);
	assert_non_null(strstr(table->note, "65.4 KiB of the 68.4 KiB that are live"));
	dhat__rss__free_unpacked(table, NULL);
	smaps_deinit(&smaps);
}

/* Before anybody has noticed: as one of which that is known. */
static void test_one_that_has_just_ended(void **state)
{
	struct target_copy copy = { .state = TARGET_ATTACHED };
	pid_t pid = fork();
	siginfo_t ended;

	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT), 0);
	copy.identity.pid = pid;
	for (int i = 0; i < 2; i++) {
		struct dhat_error err = { 0 };
		Dhat__Rss *table = NULL;

		assert_true(rss_explain(&copy, NULL, &table, &err) < 0);
		assert_int_equal(err.code, DHAT_EXIT_NO_PROCESS);
		assert_non_null(strstr(err.message, " has ended: it has no memory to explain"));
		waitpid(pid, NULL, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_with_an_inventory),
		cmocka_unit_test(test_without_an_inventory),
		cmocka_unit_test(test_one_that_has_just_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
