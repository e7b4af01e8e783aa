/* dhatctl: asks a dhatd, prints and exports. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "proto/base/output.h"
#include "proto/base/say.h"

static void print_help(void)
{
	puts("Usage: dhatctl COMMAND [OPTION...]\n"
	     "Ask dhatd what a process keeps on its heap.\n");
	for (size_t i = 0; commands[i].name; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\ndhatctl COMMAND --help lists the options of a command.");
}

/* What a command has printed is an answer only if all of it has arrived. */
static int check_output(const char *what, int code)
{
	struct dhat_error err = { 0 };

	if (dhat_output_check_stdout(&err) == 0)
		return code;
	dhat_say("dhatctl", "%s%s%s", what, *what ? ": " : "", err.message);
	return err.code;
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

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; commands[i].name; i++) {
		if (!strcmp(name, commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-?") || !strcmp(name, "help")) {
		print_help();
		return check_output("", DHAT_EXIT_OK);
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("dhatctl " DHAT_VERSION);
		return check_output("", DHAT_EXIT_OK);
	}
	if (*name)
		dhat_say("dhatctl", "%s: no such command; `dhatctl --help' lists them", name);
	else
		dhat_say("dhatctl", "a command is missing; `dhatctl --help' lists them");
	return DHAT_EXIT_USAGE;
}
