/* procmaps: real lines, odd lines, hostile lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/proc/procmaps.h"

static struct procmaps parse(const char *text, size_t *bad)
{
	struct procmaps maps;

	assert_int_equal(procmaps_parse(text, strlen(text), &maps, bad), 0);
	return maps;
}

static void test_every_field(void **state)
{
	size_t bad;
	struct procmaps maps = parse(
		"7f0012345000-7f0012346000 r-xp 0001a000 fd:01 1234567 /usr/lib/x86 64/libc.so.6\n"
		"7ffd0000-7ffe0000 rw-s 00000000 00:00 0 \n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  "
		"[vsyscall]\n"
		"1000-2000 r--p 0 0:1 7\n",
		&bad);

	assert_int_equal(bad, 0);
	assert_int_equal(maps.count, 4);
	assert_true(maps.entries[0].start == 0x7f0012345000 &&
		    maps.entries[0].end == 0x7f0012346000);
	assert_true(maps.entries[0].file_offset == 0x1a000 && maps.entries[0].inode == 1234567);
	assert_true(maps.entries[0].dev_major == 0xfd && maps.entries[0].dev_minor == 1);
	assert_true(maps.entries[0].is_readable && !maps.entries[0].is_writable);
	assert_true(maps.entries[0].is_executable && !maps.entries[0].is_shared);
	assert_string_equal(maps.entries[0].path, "/usr/lib/x86 64/libc.so.6");
	assert_true(maps.entries[1].is_shared && maps.entries[1].is_writable);
	assert_string_equal(maps.entries[1].path, "");
	assert_true(maps.entries[2].start == 0xffffffffff600000);
	assert_true(!maps.entries[2].is_readable && maps.entries[2].is_executable);
	assert_string_equal(maps.entries[2].path, "[vsyscall]");
	assert_true(maps.entries[3].inode == 7);
	procmaps_deinit(&maps);
	assert_int_equal(maps.count, 0);
}

static void test_odd_paths(void **state)
{
	struct procmaps maps = parse("1000-2000 r--p 0 0:1 7 /a\\012b\n"
				     "1000-2000 r--p 0 0:1 7 /gone.so (deleted)\n"
				     "1000-2000 r--p 0 0:1 7  (deleted)\n"
				     "1000-2000 r--p 0 0:1 7 /back\\slash\\01\n"
				     "1000-2000 r--p 0 0:1 7 /no new line at the end",
				     NULL);

	assert_int_equal(maps.count, 5);
	assert_string_equal(maps.entries[0].path, "/a\nb");
	assert_false(maps.entries[0].is_deleted);
	assert_string_equal(maps.entries[1].path, "/gone.so");
	assert_true(maps.entries[1].is_deleted);
	assert_string_equal(maps.entries[2].path, "(deleted)");
	assert_string_equal(maps.entries[3].path, "/back\\slash\\01");
	assert_string_equal(maps.entries[4].path, "/no new line at the end");
	procmaps_deinit(&maps);
}

static void test_bad_lines_are_counted(void **state)
{
	static const char *const lines[] = {
		"",
		"-",
		"1000-",
		"1000-2000",
		"2000-1000 r--p 0 0:1 7 /x",
		"1000-2000 r--q 0 0:1 7 /x",
		"1000-2000 r--p",
		"1000-2000 r--p 0 0:1 7x",
		"1000-2000 r--p 0 0:1 ",
		"1000-2000 r--p 0 01 7 /x",
		"1000-2000 r--p 0 100000000:1 7 /x",
		"11112222333344445-2000 r--p 0 0:1 7 /x",
		"1000-2000 r--p 0 0:1 99999999999999999999999 /x",
		"1000-2000 r--p 0 0:1 99999999999999999999999",
		"g000-2000 r--p 0 0:1 7 /x",
	};
	struct procmaps maps;
	size_t i, bad;
	char text[128];

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "%s\n1000-2000 r--p 0 0:1 7 /good\n", lines[i]);
		maps = parse(text, &bad);
		if (bad != 1 || maps.count != 1)
			fail_msg("%zu bad, %zu good of: %s", bad, maps.count, lines[i]);
		procmaps_deinit(&maps);
	}
	assert_int_equal(procmaps_parse("1000-2000 r--p 0 0:1 7 /a\0b\n", 28, &maps, &bad), 0);
	assert_int_equal(bad, 1);
	procmaps_deinit(&maps);
}

/* Every prefix of a good text, and every single changed byte: no crash, bounded results. */
static void test_mutations(void **state)
{
	const char good[] =
		"7f0012345000-7f0012346000 r-xp 0001a000 fd:01 1234567   /usr/lib/libc\n"
		"1000-2000 r--p 0 0:1 7\n";
	char text[sizeof(good)];
	struct procmaps maps;
	size_t i, bad;
	int byte;

	for (i = 0; i < sizeof(good); i++) {
		assert_int_equal(procmaps_parse(good, i, &maps, &bad), 0);
		assert_true(maps.count + bad <= 2);
		procmaps_deinit(&maps);
		for (byte = 0; byte < 256; byte++) {
			memcpy(text, good, sizeof(good));
			text[i] = byte;
			assert_int_equal(procmaps_parse(text, sizeof(good), &maps, &bad), 0);
			assert_true(maps.count + bad <= 4);
			procmaps_deinit(&maps);
		}
	}
}

static void test_reads_itself(void **state)
{
	long page = sysconf(_SC_PAGESIZE);
	struct procmaps maps;
	bool code_found = false, page_found = false;
	size_t i;
	void *p;

	p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(procmaps_read(getpid(), &maps), 0);
	for (i = 0; i < maps.count; i++) {
		const struct procmaps_entry *e = &maps.entries[i];
		uint64_t code = (uint64_t)(uintptr_t)test_reads_itself,
			 data = (uint64_t)(uintptr_t)p;

		if (code >= e->start && code < e->end)
			code_found = e->is_executable && strstr(e->path, "test_procmaps");
		if (data >= e->start && data < e->end)
			page_found = e->is_readable && !e->is_writable;
		assert_true(i == 0 || e->start >= maps.entries[i - 1].end);
	}
	assert_true(code_found);
	assert_true(page_found);
	procmaps_deinit(&maps);
	munmap(p, page);
}

static void test_no_such_process(void **state)
{
	struct procmaps maps;

	assert_int_equal(procmaps_read(0x7ffffff0, &maps), -ESRCH);
}

/* Where the kernel would probe an offset of a file: tried with uprobes on 6.18, and in valid_vma().
 */
static void test_what_is_mapped_twice(void **state)
{
	struct procmaps maps = parse("1000-3000 r-xp 1000 8:1 7 /a\n"
				     "5000-6000 r-xp 2000 8:1 7 /a\n" /* the second page again */
				     "7000-9000 r-xp 1000 8:2 7 /b\n" /* another disk's */
				     "a000-c000 r-xs 1000 8:1 7 /a\n" /* shared: not probed */
				     "d000-f000 rwxp 1000 8:1 7 /a\n" /* nor what is written to */
				     "10000-20000 r-xp 2000 0:0 0 \n"
				     "20000-30000 r-xp 2000 0:0 0 \n",
				     NULL);

	assert_false(procmaps_is_twice(&maps, 0x1000));
	assert_false(procmaps_is_twice(&maps, 0x1fff));
	assert_true(procmaps_is_twice(&maps, 0x2000));
	assert_true(procmaps_is_twice(&maps, 0x2fff));
	assert_false(procmaps_is_twice(&maps, 0x3000));
	procmaps_deinit(&maps);
}

static void test_what_an_address_lies_in(void **state)
{
	struct procmaps maps = parse("1000-3000 r-xp 0 8:1 7 /a\n"
				     "3000-4000 r--p 0 8:1 7 /a\n"
				     "6000-7000 rw-p 0 0:0 0 \n",
				     NULL);

	assert_null(procmaps_find(&maps, 0xfff));
	assert_ptr_equal(procmaps_find(&maps, 0x1000), &maps.entries[0]);
	assert_ptr_equal(procmaps_find(&maps, 0x2fff), &maps.entries[0]);
	assert_ptr_equal(procmaps_find(&maps, 0x3000), &maps.entries[1]);
	assert_null(procmaps_find(&maps, 0x4000));
	assert_ptr_equal(procmaps_find(&maps, 0x6fff), &maps.entries[2]);
	assert_null(procmaps_find(&maps, 0x7000));
	procmaps_deinit(&maps);
	assert_null(procmaps_find(&maps, 0x1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_odd_paths),
		cmocka_unit_test(test_bad_lines_are_counted),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_reads_itself),
		cmocka_unit_test(test_no_such_process),
		cmocka_unit_test(test_what_is_mapped_twice),
		cmocka_unit_test(test_what_an_address_lies_in),
	};

	return cmocka_run_group_tests_name("procmaps", tests, NULL, NULL);
}
