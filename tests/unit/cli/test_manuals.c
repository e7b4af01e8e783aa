/* The man pages list what --help lists, and every exit code. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/command.h"
#include "daemon/options.h"
#include "proto/base/cleanup.h"

/* A man page as it reads: fonts and escapes taken away. */
static char *read_manual(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "r");
	char *text = NULL, *out;
	size_t size = 0;

	assert_non_null(file);
	assert_true(getdelim(&text, &size, 0, file) > 0);
	out = text;
	for (const char *in = text; *in; in++) {
		if (in[0] == '\\' && in[1] == 'f' && in[2]) {
			in += 2;
			continue;
		}
		if (in[0] == '\\' && in[1])
			in++;
		*out++ = *in;
	}
	*out = 0;
	return text;
}

/* What is printed on stdout while run() runs. */
static char *capture(int (*run)(int, char **, struct dhat_error *), int argc, char **argv)
{
	_cleanup_fclose_ FILE *file = tmpfile();
	int out = dup(1);
	char *text = NULL;
	size_t size = 0;

	fflush(stdout);
	dup2(fileno(file), 1);
	assert_int_equal(run(argc, argv, NULL), 0);
	fflush(stdout);
	dup2(out, 1);
	close(out);
	rewind(file);
	assert_true(getdelim(&text, &size, 0, file) > 0);
	return text;
}

static int run_dhatd(int argc, char **argv, struct dhat_error *err)
{
	struct dhatd_options options;
	int r = dhatd_options_parse(argc, argv, &options);

	dhatd_options_deinit(&options);
	return r;
}

static size_t option_length(const char *text)
{
	size_t length = 2;

	while (islower((unsigned char)text[length]) || text[length] == '-')
		length++;
	return length;
}

/* Is the option that `option` begins with in the text, as a whole word? */
static bool has_option(const char *text, const char *option)
{
	size_t length = option_length(option);

	for (const char *at = text; (at = strstr(at, "--")); at += 2) {
		if (option_length(at) == length && !strncmp(at, option, length))
			return true;
	}
	return false;
}

/* Every "--word" of one text is in the other. */
static void expect_options(const char *what, const char *from, const char *in)
{
	int count = 0;

	for (const char *at = from; (at = strstr(at, "--")); at += option_length(at)) {
		size_t length = option_length(at);

		if (length == 2)
			continue;
		count++;
		if (!has_option(in, at))
			fail_msg("%s: %.*s is missing", what, (int)length, at);
	}
	assert_true(count > 0);
}

/* Does an entry of a help list begin here? "      --top=N" or "  -n, --top=N" */
static bool is_entry(const char *help, const char *at)
{
	return at >= help + 2 && (!strncmp(at - 2, "  ", 2) || !strncmp(at - 2, ", ", 2)) &&
	       option_length(at) > 2;
}

static void expect_each_once(const char *what, const char *help)
{
	for (const char *at = help; (at = strstr(at, "--")); at += option_length(at)) {
		for (const char *again = at + 2; (again = strstr(again, "--")); again += 2) {
			if (is_entry(help, at) && is_entry(help, again) &&
			    option_length(again) == option_length(at) &&
			    !strncmp(at, again, option_length(at)))
				fail_msg("%s: %.*s is there twice", what, (int)option_length(at),
					 at);
		}
	}
}

static void expect_exit_codes(const char *manual)
{
	char code[16];

	for (int i = DHAT_EXIT_OK; i <= DHAT_EXIT_NOT_BETTER; i++) {
		snprintf(code, sizeof(code), "\n.B %d\n", i);
		if (!strstr(manual, code))
			fail_msg("exit code %d is missing", i);
	}
	snprintf(code, sizeof(code), "\n.B %d\n", DHAT_EXIT_NOT_BETTER + 1);
	assert_null(strstr(manual, code));
}

static void test_dhatctl(void **state)
{
	_cleanup_free_ char *manual = read_manual("cli/dhatctl.1");
	/* not a command's: dhatctl itself has them, Valgrind, and dhatd */
	char *all = strdup("--version --tool --assert");

	for (size_t i = 0; commands[i].name; i++) {
		char *argv[] = { "dhatctl", "--help", NULL }, title[64];
		_cleanup_free_ char *help = capture(commands[i].run, 2, argv);

		expect_options(commands[i].name, help, manual);
		expect_each_once(commands[i].name, help);
		snprintf(title, sizeof(title), "\n.SS %s\n", commands[i].name);
		if (!strstr(manual, title))
			fail_msg("the section of %s is missing", commands[i].name);
		all = realloc(all, strlen(all) + strlen(help) + 1);
		strcat(all, help);
	}
	expect_options("the manual", manual, all);
	free(all);
	expect_exit_codes(manual);
}

static void test_dhatd(void **state)
{
	static char *names[] = { "attach", "run", "serve", "plan", "repair" };
	_cleanup_free_ char *manual = read_manual("daemon/dhatd.8");
	char *all = strdup("");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *argv[] = { "dhatd", names[i], "--help", NULL }, title[64];
		_cleanup_free_ char *help = capture(run_dhatd, 3, argv);

		expect_options(names[i], help, manual);
		expect_each_once(names[i], help);
		snprintf(title, sizeof(title), "\n.SS %s\n", names[i]);
		assert_non_null(strstr(manual, title));
		all = realloc(all, strlen(all) + strlen(help) + 1);
		strcat(all, help);
	}
	expect_options("the manual", manual, all);
	free(all);
	expect_exit_codes(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dhatctl),
		cmocka_unit_test(test_dhatd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
