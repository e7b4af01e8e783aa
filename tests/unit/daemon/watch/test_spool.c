/* spool: names of files, and which of them go. */
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
		assert_false(file.is_routine);
		assert_string_equal(file.time, "20251129T031502Z");
		assert_memory_equal(file.program, name, strlen(file.program));
	}
	spool_name("x", 1, AT_UNIX_NS, SPOOL_EVERY, name);
	assert_true(spool_parse(name, &file) && file.is_routine);
	spool_name("x", 1, AT_UNIX_NS, SPOOL_STOP, name);
	assert_true(spool_parse(name, &file) && file.is_routine);
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
		assert_int_equal(spool_prune(folder, name, 3), i >= 3);
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
	gone = spool_prune(folder, name, 24);
	assert_int_equal(gone, 5);
	assert_true(is_there(name));
	assert_false(is_there("p0-1-20251129T031502Z-exit.dhat"));
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
		cmocka_unit_test_setup_teardown(test_the_oldest_go, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_there_is_an_end, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_prepare, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
