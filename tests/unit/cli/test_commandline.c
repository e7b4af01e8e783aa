/* Which word of a command line is the command. */
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
#include "cli/commandline.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/option_words.h"
#include "proto/base/qualifiers.h"

static char printed[65536];

/* What dhatctl says to these words, on either stream. */
static void say(const char *const *words)
{
	char *argv[16] = { without_qualifiers("dhatctl") };
	int argc = 1, out = dup(1), error = dup(2);
	_cleanup_fclose_ FILE *file = tmpfile();

	for (; *words; words++)
		argv[argc++] = without_qualifiers(*words);
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	commandline_run(argc, argv);
	fflush(stdout);
	dup2(out, 1);
	dup2(error, 2);
	close(out);
	close(error);
	rewind(file);
	printed[fread(printed, 1, sizeof(printed) - 1, file)] = 0;
}
#define SAY(...) say((const char *const[]){ __VA_ARGS__, NULL })

static size_t tried;

/* Each option that has a value, with the name of another command for that. */
static void try_options(const struct command *command, const struct argp *argp)
{
	const char *other = strcmp(command->name, "top") != 0 ? "top" : "stats";
	char expected[64], wrong[64];

	snprintf(expected, sizeof(expected), "dhatctl %s", command->name);
	snprintf(wrong, sizeof(wrong), "dhatctl %s", other);
	for (const struct argp_option *option = argp->options;
	     option && (option->name || option->key); option++) {
		char word[64];

		if (!option->name || !option->arg || option->flags & OPTION_ARG_OPTIONAL)
			continue;
		snprintf(word, sizeof(word), "--%s", option->name);
		SAY(word, other, command->name, "--help");
		if (!strstr(printed, expected) || strstr(printed, wrong))
			fail_msg("%s %s %s: %s", word, other, command->name, printed);
		tried++;
	}
	for (const struct argp_child *child = argp->children; child && child->argp; child++)
		try_options(command, child->argp);
}

static void test_a_value_names_no_command(void **state)
{
	for (size_t i = 0; commands[i].name; i++)
		try_options(&commands[i], commands[i].argp);
	assert_true(tried > 60);
}

static void test_options_before_the_command(void **state)
{
	SAY("--filter=top", "stats", "--help");
	assert_non_null(strstr(printed, "Usage: dhatctl stats"));
	SAY("-jn", "3", "stats", "--help");
	assert_non_null(strstr(printed, "Usage: dhatctl stats"));
	SAY("--trim", "tokio", "stats", "--help"); /* which may be left out */
	assert_non_null(strstr(printed, "Usage: dhatctl stats"));
	SAY("--trim", "stats", "--help");
	assert_non_null(strstr(printed, "Usage: dhatctl stats"));
	SAY("--json", "stat");
	assert_non_null(strstr(printed, "did you mean stats?"));
	SAY("--filter", "stats");
	assert_non_null(strstr(printed, "a command is missing"));
	SAY("help", "top");
	assert_non_null(strstr(printed, "Usage: dhatctl top"));
}

static void test_words(void **state)
{
	static const struct {
		const char *word;
		enum option_word is;
	} cases[] = {
		{ "--filter", OPTION_WORD_VALUED },  { "--fil", OPTION_WORD_VALUED },
		{ "--filter=x", OPTION_WORD_WHOLE }, { "--json", OPTION_WORD_WHOLE },
		{ "--trim", OPTION_WORD_WHOLE },     { "--filters", OPTION_WORD_UNKNOWN },
		{ "-p", OPTION_WORD_VALUED },	     { "-p12", OPTION_WORD_WHOLE },
		{ "-jp", OPTION_WORD_VALUED },	     { "-jp12", OPTION_WORD_WHOLE },
		{ "-j", OPTION_WORD_WHOLE },	     { "-Z", OPTION_WORD_UNKNOWN },
		{ "--", OPTION_WORD_UNKNOWN },	     { "-", OPTION_WORD_UNKNOWN },
		{ "stats", OPTION_WORD_UNKNOWN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (option_word(&cmd_stats_argp, cases[i].word) != cases[i].is)
			fail_msg("%s", cases[i].word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_value_names_no_command),
		cmocka_unit_test(test_options_before_the_command),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
