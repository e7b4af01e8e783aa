/* processes: two looks compared, allocators by the names of files, and this machine's processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/target/processes.h"
#include "proto/base/cleanup.h"

static struct process_entry entry(pid_t pid, uint64_t start, uint64_t anonymous, uint64_t swap)
{
	return (struct process_entry){ .pid = pid,
				       .start_ticks = start,
				       .rss_bytes = anonymous + 100,
				       .anonymous_bytes = anonymous,
				       .swap_bytes = swap };
}

static void test_growth(void **state)
{
	const struct process_entry before[] = {
		entry(1, 10, 500, 0),  entry(3, 10, 500, 100), entry(5, 10, 500, 0),
		entry(7, 10, 9000, 0), entry(9, 10, 500, 0),
	};
	const struct process_entry looked_at[] = {
		entry(1, 10, 500, 0),	 /* as it was */
		entry(2, 77, 9999, 0),	 /* began */
		entry(3, 10, 100, 600),	 /* swapped out, and grown */
		entry(5, 11, 90000, 0),	 /* the number is another process's now */
		entry(7, 10, 9000, 0),	 /* as it was, and larger than the first */
		entry(9, 10, 100, 0),	 /* has shrunk */
		entry(11, 77, 9999, 99), /* began */
	};
	struct processes after = { .count = ARRAY_SIZE(looked_at) };

	after.entries = malloc(sizeof(looked_at));
	memcpy(after.entries, looked_at, sizeof(looked_at));
	processes_compare(before, ARRAY_SIZE(before), &after);
	assert_int_equal(after.count, 4);
	assert_int_equal(after.began, 3);
	assert_int_equal(after.ended, 1);
	assert_int_equal(after.entries[0].pid, 3);
	assert_int_equal(after.entries[0].grown_bytes, 100);
	assert_int_equal(after.entries[1].pid, 7);
	assert_int_equal(after.entries[1].grown_bytes, 0);
	assert_int_equal(after.entries[2].pid, 1);
	assert_int_equal(after.entries[3].pid, 9);
	assert_int_equal(after.entries[3].grown_bytes, -400);
	processes_deinit(&after);
}

static void test_nothing_is_left(void **state)
{
	const struct process_entry before[] = { entry(1, 10, 500, 0) };
	struct processes after = { 0 };

	processes_compare(before, 1, &after);
	assert_true(after.count == 0 && after.began == 0 && after.ended == 1);
	processes_compare(NULL, 0, &after);
	assert_true(after.count == 0 && after.ended == 0);
}

static void test_allocators(void **state)
{
	static const struct {
		const char *maps, *allocator;
	} cases[] = {
		{ "", "?" },
		{ "00400000-00401000 r-xp 00000000 08:01 7 /usr/bin/static\n", "?" },
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 "
		  "/usr/lib/x86_64-linux-gnu/libc.so.6\n",
		  "glibc" },
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /lib/libc-2.31.so\n", "glibc" },
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /lib/ld-musl-x86_64.so.1\n",
		  "musl" },
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /lib/libjemalloc.so.2\n"
		  "7f0000002000-7f0000003000 r-xp 00000000 08:01 8 /lib/libc.so.6\n",
		  "jemalloc" },
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /lib/libtcmalloc_minimal.so.4\n"
		  "7f0000002000-7f0000003000 r-xp 00000000 08:01 8 /lib/libmimalloc.so.2.0\n",
		  "mimalloc, tcmalloc" },
		/* a folder of that name, and one that ends so */
		{ "7f0000000000-7f0000001000 r-xp 00000000 08:01 7 /libjemalloc/notlibc.so.6\n",
		  "?" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char allocator[PROCESS_ALLOCATOR_CHARS];
		struct procmaps maps = { 0 };

		assert_int_equal(procmaps_parse(cases[i].maps, strlen(cases[i].maps), &maps, NULL),
				 0);
		processes_allocator(&maps, allocator);
		assert_string_equal(allocator, cases[i].allocator);
		procmaps_deinit(&maps);
	}
}

enum { CHILD_BYTES = 512 << 20 };

/* Touches one page after the other, for as long as anybody might look. */
static pid_t start_growing(void)
{
	pid_t child = fork();
	char *memory;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = malloc(CHILD_BYTES);
	for (size_t i = 0; memory && i < CHILD_BYTES; i += 4096) {
		memory[i] = 1;
		usleep(100);
	}
	for (;;)
		pause();
}

static const struct process_entry *find(const struct processes *processes, pid_t pid)
{
	for (size_t i = 0; i < processes->count; i++)
		if (processes->entries[i].pid == pid)
			return &processes->entries[i];
	return NULL;
}

static void test_a_child_that_grows(void **state)
{
	_cleanup_(processes_deinit) struct processes processes = { 0 };
	const struct process_entry *found = NULL;
	pid_t child = start_growing();

	for (int i = 0; i < 50 && (!found || found->grown_bytes <= 0); i++) {
		processes_deinit(&processes);
		assert_int_equal(processes_watch(50000000, &processes, NULL), 0);
		assert_true(processes.duration_ns >= 50000000);
		found = find(&processes, child);
	}
	assert_non_null(found);
	assert_in_range(found->grown_bytes, 4096, CHILD_BYTES);
	assert_true(found->rss_bytes > found->anonymous_bytes && found->uid == getuid());
	assert_null(find(&processes, getpid()));
	for (size_t i = 1; i < processes.count; i++)
		assert_true(processes.entries[i - 1].grown_bytes >=
			    processes.entries[i].grown_bytes);
	assert_int_equal(processes_describe(&processes, processes.count), 0);
	assert_string_equal(found->program, "test_processes");
	assert_string_equal(found->allocator, "glibc");
	assert_true(strstr(found->command, "test_processes") && !found->is_hidden);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_allocators),
		cmocka_unit_test(test_a_child_that_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
