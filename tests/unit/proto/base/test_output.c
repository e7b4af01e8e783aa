/* Output files are there whole or not at all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/cleanup.h"
#include "proto/base/output.h"

static char directory[64], path[96];

static int entries(void)
{
	DIR *dir = opendir(directory);
	int count = -2; /* . and .. */

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void expect_content(const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	char content[64] = "";

	assert_non_null(file);
	content[fread(content, 1, sizeof(content) - 1, file)] = 0;
	assert_string_equal(content, text);
}

static void test_committed_and_not(void **state)
{
	struct dhat_output *output = NULL;
	struct stat stat_;

	umask(0);
	assert_int_equal(dhat_output_new(path, &output, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	fputs("first", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, NULL), 0);
	dhat_output_free(output);
	expect_content("first");
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 07777, 0600);
	/* given up */
	assert_int_equal(dhat_output_new(path, &output, NULL), 0);
	fputs("second", dhat_output_stream(output));
	dhat_output_free(output);
	expect_content("first");
	/* replaced */
	assert_int_equal(dhat_output_new(path, &output, NULL), 0);
	fputs("third", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, NULL), 0);
	dhat_output_free(output);
	expect_content("third");
	assert_int_equal(entries(), 1);
	unlink(path);
}

static void test_places_that_cannot_be(void **state)
{
	static const struct {
		const char *name;
		int r;
	} cases[] = { { "", -EISDIR }, { "/none/x", -ENOENT } };
	struct dhat_output *output = NULL;
	char name[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_error err = { 0 };

		snprintf(name, sizeof(name), "%s%s", directory, cases[i].name);
		assert_int_equal(dhat_output_new(name, &output, &err), cases[i].r);
		assert_null(output);
		assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
		assert_non_null(strstr(err.message, name));
	}
	assert_int_equal(dhat_output_new("", &output, NULL), -ENOENT);
	assert_int_equal(entries(), 0);
}

/* A device is written to, not replaced; /dev/full is always full. */
static void test_devices(void **state)
{
	struct dhat_output *output = NULL;
	struct dhat_error err = { 0 };
	struct stat stat_;

	assert_int_equal(dhat_output_new("/dev/null", &output, NULL), 0);
	fputs("x", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, NULL), 0);
	dhat_output_free(output);
	assert_int_equal(stat("/dev/null", &stat_), 0);
	assert_true(S_ISCHR(stat_.st_mode));

	assert_int_equal(dhat_output_new("/dev/full", &output, NULL), 0);
	fputs("x", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, &err), -ENOSPC);
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	dhat_output_free(output);
}

/* Nothing stays of a try, and it says what making the file would have said. */
static void test_try(void **state)
{
	struct dhat_error err = { 0 };

	assert_int_equal(dhat_output_try(path, NULL), 0);
	assert_int_equal(entries(), 0);
	assert_int_equal(dhat_output_try("-", NULL), 0);
	assert_int_equal(dhat_output_try("/dev/full", NULL), 0); /* no file: not tried */
	assert_int_equal(dhat_output_try(directory, &err), -EISDIR);
	assert_int_equal(err.code, DHAT_EXIT_OUTPUT);
	assert_int_equal(dhat_output_try("/none/x", NULL), -ENOENT);
}

/* What sudo makes belongs to the one behind it; a link is replaced, what it leads to stays. */
static void test_under_sudo(void **state)
{
	struct dhat_output *output = NULL;
	char other[128];
	struct stat stat_;

	snprintf(other, sizeof(other), "%s/other", directory);
	assert_int_equal(symlink(other, path), 0);
	setenv("SUDO_UID", "1234", 1);
	setenv("SUDO_GID", "5678", 1);
	assert_int_equal(dhat_output_new(path, &output, NULL), 0);
	fputs("x", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, NULL), 0);
	dhat_output_free(output);
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	assert_int_equal(lstat(path, &stat_), 0);
	assert_true(S_ISREG(stat_.st_mode));
	assert_int_equal(stat_.st_mode & 07777, 0600);
	assert_int_equal(stat_.st_uid, geteuid() ? geteuid() : 1234);
	assert_int_equal(stat_.st_gid, geteuid() ? getegid() : 5678);
	assert_int_equal(access(other, F_OK), -1);
	unlink(path);
}

/* A long name is shortened for the temporary file only. */
static void test_long_name(void **state)
{
	struct dhat_output *output = NULL;
	char name[400];

	snprintf(name, sizeof(name), "%s/%0250d", directory, 1);
	assert_int_equal(dhat_output_new(name, &output, NULL), 0);
	fputs("x", dhat_output_stream(output));
	assert_int_equal(dhat_output_commit(output, NULL), 0);
	dhat_output_free(output);
	assert_int_equal(access(name, F_OK), 0);
	unlink(name);
}

/* In a file system of 64 KiB: 0 if all is as promised. Runs in a child, in a mount namespace of its
 * own (in a user namespace, too, when not root). */
static int fill_disk(void)
{
	struct dhat_output *output = NULL;
	struct dhat_error err = { 0 };
	char block[4096] = "", name[128];
	FILE *filler;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
		return 77;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", directory, "tmpfs", 0, "size=64k") < 0)
		return 77;
	if (dhat_output_new(path, &output, NULL) < 0)
		return 1;
	fputs("before", dhat_output_stream(output));
	if (dhat_output_commit(output, NULL) < 0)
		return 2;
	dhat_output_free(output);
	if (dhat_output_new(path, &output, NULL) < 0)
		return 3;
	for (int i = 0; i < 100; i++)
		fwrite(block, sizeof(block), 1, dhat_output_stream(output));
	if (dhat_output_commit(output, &err) != -ENOSPC || err.code != DHAT_EXIT_OUTPUT ||
	    !strstr(err.message, "unchanged"))
		return 4;
	dhat_output_free(output);
	if (entries() != 1)
		return 5;
	expect_content("before");
	if (dhat_output_try(path, NULL) < 0)
		return 6;
	/* the last page goes, and it can be told before anything is to be written */
	snprintf(name, sizeof(name), "%s/filler", directory);
	filler = fopen(name, "w");
	while (fwrite(block, sizeof(block), 1, filler) == 1 && fflush(filler) == 0)
		;
	fclose(filler);
	err = (struct dhat_error){ 0 };
	if (dhat_output_try(path, &err) != -ENOSPC || err.code != DHAT_EXIT_OUTPUT ||
	    entries() != 2)
		return 7;
	return 0;
}

static void test_disk_full(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fill_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("SKIP: to mount a small file system needs root or user namespaces\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What a program has printed: to a place that takes it, to one that is full (with a few bytes that
 * only the last flush writes, and with more than a buffer holds), and to none at all. */
static void test_standard_output(void **state)
{
	static const struct {
		const char *path; /* NULL: closed */
		int count, r;
	} cases[] = { { "/dev/null", 100000, 0 },
		      { "/dev/full", 1, -ENOSPC },
		      { "/dev/full", 100000, -ENOSPC },
		      { NULL, 100000, -EBADF },
		      { NULL, 1, -EBADF } };
	char block[1000] = "";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dhat_error err = { 0 };
		int out, r;

		fflush(stdout);
		out = dup(STDOUT_FILENO);
		close(STDOUT_FILENO);
		if (cases[i].path)
			assert_int_equal(open(cases[i].path, O_WRONLY), STDOUT_FILENO);
		for (int at = 0; at < cases[i].count; at += sizeof(block))
			fwrite(block, at + 1000 < cases[i].count ? 1000 : cases[i].count - at, 1,
			       stdout);
		r = dhat_output_check_stdout(&err);
		__fpurge(stdout);
		clearerr(stdout);
		dup2(out, STDOUT_FILENO);
		close(out);
		assert_int_equal(r, cases[i].r);
		assert_int_equal(err.code, r ? DHAT_EXIT_OUTPUT : 0);
		assert_true(!r || strstr(err.message, "cannot write the standard output: "));
	}
}

static int set_up(void **state)
{
	unsetenv("SUDO_UID");
	snprintf(directory, sizeof(directory), "/tmp/dhat-output-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/result.json", directory);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_committed_and_not),
		cmocka_unit_test(test_places_that_cannot_be),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_try),
		cmocka_unit_test(test_under_sudo),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_standard_output),
		cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
