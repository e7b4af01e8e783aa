/* spool: names of files, and which of them go. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/watch/spool.h"
#include "proto/base/texts.h"
#include "tests/unit/folder.h"

#define AT_UNIX_NS 1764386102000000000ull /* 2025-11-29 03:15:02 UTC */

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void touch(const char *name)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	fclose(file);
}

static bool is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

static void test_names(void **state)
{
	static const struct {
		const char *program, *name;
	} cases[] = {
		{ "nginx", "nginx-12-20251129T031502Z-rss.dhat" },
		{ "../../etc/passwd", "_.._.._etc_passwd-12-20251129T031502Z-rss.dhat" },
		{ ".hidden", "_hidden-12-20251129T031502Z-rss.dhat" },
		{ "-rf", "_rf-12-20251129T031502Z-rss.dhat" },
		{ "a-b.c d\n\x1b[m\xc3\xa4", "a-b.c_d___m__-12-20251129T031502Z-rss.dhat" },
		{ "", "_-12-20251129T031502Z-rss.dhat" },
		{ "a-name-that-is-longer-than-anybody-would-like-to-read-here",
		  "a-name-that-is-longer-than-anybody-would-12-20251129T031502Z-rss.dhat" },
	};
	char name[SPOOL_NAME_CHARS];
	struct spool_file file;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		spool_name(cases[i].program, 12, AT_UNIX_NS, "rss", name);
		if (i != 1)
			assert_string_equal(name, cases[i].name);
		assert_null(strchr(name, '/'));
		assert_true(name[0] != '.' && name[0] != '-');
		assert_true(spool_parse(name, &file));
		assert_int_equal(file.kind, SPOOL_KIND_TRIGGER);
		assert_string_equal(file.time, "20251129T031502Z");
		assert_memory_equal(file.program, name, strlen(file.program));
	}
	spool_name("x", 1, AT_UNIX_NS, SPOOL_EVERY, name);
	assert_true(spool_parse(name, &file));
	assert_int_equal(file.kind, SPOOL_KIND_EVERY);
	spool_name("x", 1, AT_UNIX_NS, SPOOL_STOP, name);
	assert_true(spool_parse(name, &file));
	assert_int_equal(file.kind, SPOOL_KIND_STOP);
}

static void test_each_has_a_name(void **state)
{
	char name[SPOOL_NAME_CHARS];

	for (int i = 2; i < 5; i++) {
		char expected[SPOOL_NAME_CHARS];

		spool_new_name(folder, "x", 1, AT_UNIX_NS, "stop", name);
		snprintf(expected, sizeof(expected), "x-1-20251129T03150%dZ-stop.dhat", i);
		assert_string_equal(name, expected);
		touch(name);
	}
	spool_new_name(folder, "x", 2, AT_UNIX_NS, "stop", name);
	assert_string_equal(name, "x-2-20251129T031502Z-stop.dhat");
	spool_new_name("/no/such", "x", 1, AT_UNIX_NS, "stop", name);
	assert_string_equal(name, "x-1-20251129T031502Z-stop.dhat");
}

static const char *const others[] = {
	"nginx.dhat",
	"notes.txt",
	"nginx-12-20251129T031502Z-rss.json",
	"nginx-12-20251129T03150Z-rss.dhat",
	"nginx-12x-20251129T031502Z-rss.dhat",
	"nginx--20251129T031502Z-rss.dhat",
	"-12-20251129T031502Z-rss.dhat",
	"nginx-12-20251129T031502Z-.dhat",
	"nginx-12-20251129T031502Z-RSS.dhat",
	".dhat",
};

static void test_the_oldest_go(void **state)
{
	char name[SPOOL_NAME_CHARS] = "", first[SPOOL_NAME_CHARS], link_path[256];

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		touch(others[i]);
	touch("redis-1-20000101T000000Z-rss.dhat");
	touch("nginx-1-20000101T000000Z-every.dhat");
	snprintf(link_path, sizeof(link_path), "%s", path_of("nginx-1-19990101T000000Z-rss.dhat"));
	assert_int_equal(symlink("/etc/passwd", link_path), 0);
	/* a service that starts again and again has another number each time */
	for (int i = 0; i < 10; i++) {
		spool_name("nginx", 900 - i, AT_UNIX_NS + i * 1000000000ull, "rss", name);
		if (i == 0)
			strcpy(first, name);
		touch(name);
		assert_int_equal(spool_prune(folder, name, 3, NULL), i >= 3);
	}
	assert_true(is_there(name));
	assert_false(is_there(first));
	/* what is not alike, or not ours, stays */
	assert_true(is_there("redis-1-20000101T000000Z-rss.dhat"));
	assert_true(is_there("nginx-1-20000101T000000Z-every.dhat"));
	assert_int_equal(access(link_path, F_OK), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_true(is_there(others[i]));
}

/* Of many programs, each of which has its own. */
static void test_there_is_an_end(void **state)
{
	char name[SPOOL_NAME_CHARS], program[16];
	size_t gone = 0;

	for (int i = 0; i < SPOOL_FILES_MAX + 5; i++) {
		snprintf(program, sizeof(program), "p%d", i);
		spool_name(program, 1, AT_UNIX_NS + i * 1000000000ull, "exit", name);
		touch(name);
	}
	gone = spool_prune(folder, name, 24, NULL);
	assert_int_equal(gone, 5);
	assert_true(is_there(name));
	assert_false(is_there("p0-1-20251129T031502Z-exit.dhat"));
}

/* Within a second it is not by their names which goes. */
static void test_what_was_just_written_stays(void **state)
{
	char name[SPOOL_NAME_CHARS];

	for (int pid = 9; pid > 0; pid--) { /* the smaller the number, the sooner by name */
		spool_name("nginx", pid, AT_UNIX_NS, "rss", name);
		touch(name);
		assert_int_equal(spool_prune(folder, name, 1, NULL), pid < 9);
		assert_true(is_there(name));
	}
}

/* Of 30 processes of a program there are 30 files, whatever was there before; the older of those
 * go. What is kept each ten minutes afterwards takes none of them. */
static void test_of_an_end_all_stay(void **state)
{
	char name[SPOOL_NAME_CHARS], old[SPOOL_NAME_CHARS], older[SPOOL_NAME_CHARS], **end = NULL;

	spool_name("nginx", 1, AT_UNIX_NS - 2000000000, SPOOL_STOP, older);
	spool_name("nginx", 2, AT_UNIX_NS - 1000000000, SPOOL_STOP, old);
	touch(older);
	touch(old);
	for (int pid = 10; pid < 40; pid++) {
		spool_name("nginx", pid, AT_UNIX_NS, SPOOL_STOP, name);
		touch(name);
		assert_int_equal(texts_add(&end, name), 0);
		spool_prune(folder, name, 2, end);
		assert_int_equal(is_there(old), pid == 10);
		assert_false(is_there(older));
	}
	for (int i = 1; i < 5; i++) {
		spool_name("nginx", 99, AT_UNIX_NS + i * 1000000000ull, SPOOL_EVERY, name);
		touch(name);
		assert_int_equal(spool_prune(folder, name, 2, NULL), i > 2);
	}
	for (char **of_end = end; *of_end; of_end++)
		assert_true(is_there(*of_end));
	texts_free(end);
}

/* Of a dhatd that was killed while it wrote. What is just being written, or is nothing of ours,
 * stays. */
static void test_what_was_left_over_goes(void **state)
{
	static const char old[] = ".nginx-12-20251129T031502Z-rss.dhat.aBc123";
	static const char *const stay[] = {
		".nginx-12-20251129T031502Z-oom.dhat.aBc123", /* new */
		".nginx.dhat.aBc123",
		"nginx-12-20251129T031502Z-rss.dhat.aBc123",
		".nginx-12-20251129T031502Z-rss.dhat.aBc12",
		".profile",
	};
	const struct timespec times[2] = { 0 };
	struct dhat_error err = { 0 };

	touch(old);
	assert_int_equal(utimensat(AT_FDCWD, path_of(old), times, 0), 0);
	for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++) {
		touch(stay[i]);
		if (i)
			assert_int_equal(utimensat(AT_FDCWD, path_of(stay[i]), times, 0), 0);
	}
	assert_int_equal(spool_prepare(folder, &err), 0);
	assert_false(is_there(old));
	for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++)
		assert_true(is_there(stay[i]));
}

static void test_prepare(void **state)
{
	struct dhat_error err = { 0 };
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s", path_of("new"));
	assert_int_equal(spool_prepare(path, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(spool_prepare(path, &err), 0);
	snprintf(path, sizeof(path), "%s", path_of("no/such"));
	assert_true(spool_prepare(path, &err) < 0);
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	assert_non_null(strstr(err.message, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_each_has_a_name, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_the_oldest_go, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_there_is_an_end, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_what_was_just_written_stays, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_of_an_end_all_stay, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_what_was_left_over_goes, make_folder,
						remove_folder),
		cmocka_unit_test_setup_teardown(test_prepare, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
