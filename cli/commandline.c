#include "commandline.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "proto/base/cleanup.h"
#include "proto/base/option_words.h"
#include "proto/base/output.h"
#include "proto/base/qualifiers.h"
#include "proto/base/say.h"
#include "proto/base/similar.h"

static void print_help(void)
{
	puts("Usage: dhatctl COMMAND [OPTION...]\n"
	     "Ask dhatd what a process keeps on its heap.\n");
	for (size_t i = 0; commands[i].name; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\ndhatctl help COMMAND lists the options of a command.");
}

/* What was printed is an answer only if all of it has arrived. what: a command, or "". */
static int check_output(const char *what, int code)
{
	struct dhat_error err = { 0 };

	if (dhat_output_check_stdout(&err) == 0)
		return code;
	dhat_say("dhatctl", "%s%s%s", what, *what ? ": " : "", err.message);
	return err.code;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; commands[i].name; i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static bool is_any_of(const char *word, const char *const *words)
{
	while (*words && strcmp(word, *words))
		words++;
	return *words != NULL;
}

/* Does this option of any command have the next word for its value? "--filter top" names none. */
static bool has_value(const char *word)
{
	for (size_t i = 0; commands[i].name; i++)
		if (option_word(commands[i].argp, word) == OPTION_WORD_VALUED)
			return true;
	return false;
}

/* The index of the word that is the command: the first one that is no option, nor an option's
 * value; behind an option whose value may be left out ("--trim tokio"), or one that nobody knows, a
 * word that is no command is none either. 0: there is none. */
static int command_index(int argc, char **argv)
{
	bool may_be_value = false;
	int first = 0;

	for (int i = 1; i < argc; i++) {
		if (*argv[i] == '-' && argv[i][1]) {
			may_be_value = true;
			i += has_value(argv[i]);
			continue;
		}
		if (!may_be_value || find_command(argv[i]) || !strcmp(argv[i], "help"))
			return i;
		first = first ? first : i;
		may_be_value = false;
	}
	return first;
}

/* What dhatd does and dhatctl does not: it needs no dhatd that runs, or is one. */
static const char *const dhatd_commands[] = { "run", "serve", NULL };

static int complain(const char *word)
{
	struct dhat_similar similar = { .word = word };

	if (is_any_of(word, dhatd_commands)) {
		dhat_say("dhatctl", "%s: that is a command of dhatd: `dhatd %s'", word, word);
		return DHAT_EXIT_USAGE;
	}
	for (size_t i = 0; commands[i].name; i++)
		dhat_similar_consider(&similar, commands[i].name);
	if (similar.best)
		dhat_say("dhatctl",
			 "%s: no such command; did you mean %s? `dhatctl --help' lists all", word,
			 similar.best);
	else
		dhat_say("dhatctl", "%s: no such command; `dhatctl --help' lists them", word);
	return DHAT_EXIT_USAGE;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct dhat_error err = { 0 };
	char title[64];
	int r;

	snprintf(title, sizeof(title), "dhatctl %s", command->name);
	argv[0] = title; /* as messages shall name us */
	r = command->run(argc, argv, &err);
	if (r < 0 && *err.message) {
		dhat_say("dhatctl", "%s: %s", command->name, err.message);
		return err.code ? err.code : DHAT_EXIT_FAILED;
	}
	if (r < 0 && !err.code)
		err.code = DHAT_EXIT_FAILED;
	return check_output(command->name, err.code);
}

/* "help stats", "help" */
static int run_help(const char *name)
{
	char *argv[] = { NULL, without_qualifiers("--help"), NULL };
	const struct command *command = name ? find_command(name) : NULL;

	if (command)
		return run(command, 2, argv);
	if (name)
		return complain(name);
	print_help();
	return check_output("", DHAT_EXIT_OK);
}

static int run_without_command(int argc, char **argv)
{
	static const char *const help[] = { "--help", "-h", "-?", NULL };
	static const char *const version[] = { "--version", "-V", NULL };

	for (int i = 1; i < argc; i++) {
		if (is_any_of(argv[i], help))
			return run_help(NULL);
		if (is_any_of(argv[i], version)) {
			puts("dhatctl " DHAT_VERSION);
			return check_output("", DHAT_EXIT_OK);
		}
	}
	dhat_say("dhatctl", "a command is missing; `dhatctl --help' lists them");
	return DHAT_EXIT_USAGE;
}

int commandline_run(int argc, char **argv)
{
	int index = command_index(argc, argv);
	const struct command *command;
	char **words;
	int code;

	if (!index)
		return run_without_command(argc, argv);
	if (!strcmp(argv[index], "help"))
		return run_help(index + 1 < argc ? argv[index + 1] : NULL);
	command = find_command(argv[index]);
	if (!command)
		return complain(argv[index]);
	/* the command's name becomes the first word; the others stay in their order */
	words = calloc(argc + 1, sizeof(*words));
	if (!words)
		return DHAT_EXIT_FAILED;
	memcpy(words + 1, argv + 1, (index - 1) * sizeof(*words));
	memcpy(words + index, argv + index + 1, (argc - index - 1) * sizeof(*words));
	code = run(command, argc - 1, words);
	free(words);
	return code;
}
