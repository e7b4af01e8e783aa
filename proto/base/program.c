#include "program.h"

#include "cleanup.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

const char *dhat_program_name(const char *command, const char *executable,
			      char ret[DHAT_PROGRAM_CHARS])
{
	size_t length = strlen(executable), kept = 0;
	const char *end, *at;

	if (!*command)
		command = executable;
	if (length == 0 || strncmp(command, executable, length) != 0 ||
	    (command[length] && command[length] != ' '))
		length = strcspn(command, " ");
	end = command + length;
	if (end > command + 1 && end[-1] == ':') /* a title that it gave itself */
		end--;
	for (at = end; at > command && at[-1] != '/';)
		at--;
	/* whole characters */
	while (at + kept < end) {
		size_t size = dhat_text_character(at + kept) ?: 1;

		if (kept + size >= DHAT_PROGRAM_CHARS || at + kept + size > end)
			break;
		kept += size;
	}
	if (kept == 0)
		return strcpy(ret, "?");
	memcpy(ret, at, kept);
	ret[kept] = '\0';
	return ret;
}

/* ---- interpreters ---------------------------------------------------------------------------- */

static const struct interpreter {
	const char *name;   /* a version may follow */
	const char *valued; /* options that a value follows, with a blank around each */
	const char *named;  /* options, and words, that what it runs follows */
	const char *coded;  /* that code follows; NULL: all that follows tells what it runs */
} interpreters[] = {
	{ "python", " -W -X --check-hash-based-pycs ", " -m ", " -c " },
	{ "pypy", " -W -X ", " -m ", " -c " },
	{ "node", " -r --require --import --loader --experimental-loader -C --conditions --title ",
	  "", " -e --eval -p --print " },
	{ "deno", "", " run ", " eval " },
	{ "bun", "", " run ", " -e " },
	{ "ruby", " -I -r -C -E ", "", " -e " },
	{ "perl", " -I ", "", " -e -E " },
	{ "php", " -c -d -z ", " -f -F ", " -r " },
	{ "java",
	  " -cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports "
	  "--add-reads --patch-module --upgrade-module-path ",
	  " -jar -m --module ", "" },
	{ "dotnet", "", " exec run ", "" },
	{ "mono", "", "", "" },
	{ "bash", " -o -O +O --rcfile --init-file ", "", " -c " },
	{ "dash", " -o ", "", " -c " },
	{ "sh", " -o ", "", " -c " },
	{ "lua", " -l ", "", " -e " },
	{ "julia", " -J --sysimage -L --load -t --threads ", "", " -e -E " },
	{ "tclsh", " -encoding ", "", "" },
	{ "beam.smp", "", "", NULL },
};

/* "python", "python3.11": not "pythonic". */
static const struct interpreter *find_interpreter(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(interpreters); i++) {
		size_t length = strlen(interpreters[i].name);

		const char *rest = name + length;

		if (strncmp(name, interpreters[i].name, length) != 0)
			continue;
		rest += strspn(rest, "0123456789.");
		if (!*rest || !strcmp(rest, " (deleted)")) /* by an upgrade: proc(5) */
			return &interpreters[i];
	}
	return NULL;
}

/* Is this word in a list of words with a blank around each? */
static bool is_one_of(const char *word, size_t length, const char *list)
{
	for (const char *at = list; (at = strchr(at, ' ')) && *++at;)
		if (!strncmp(at, word, length) && at[length] == ' ')
			return true;
	return false;
}

static const char *next_word(const char *at)
{
	at += strcspn(at, " ");
	return at + strspn(at, " ");
}

struct dhat_script dhat_program_script(const char *command, const char *executable)
{
	char own[DHAT_PROGRAM_CHARS], called[DHAT_PROGRAM_CHARS];
	const struct interpreter *interpreter =
		find_interpreter(dhat_program_name(*executable ? "" : command, executable, own));
	const char *at = command;
	size_t length;

	if (!interpreter || !*command)
		return (struct dhat_script){ 0 };
	dhat_program_name(command, executable, called);
	if (!find_interpreter(called[0] == '-' ? called + 1 : called))
		return (struct dhat_script){ command, strcspn(command, " "), false }; /* a title */
	if (*executable && !strncmp(command, executable, strlen(executable)))
		at += strlen(executable);
	at = next_word(at);
	if (!interpreter->coded)
		return (struct dhat_script){ at, strlen(at), true };
	for (; *at; at = next_word(at)) {
		length = strcspn(at, " ");
		if (is_one_of(at, length, interpreter->coded))
			return (struct dhat_script){ next_word(at), strlen(next_word(at)), true };
		if (is_one_of(at, length, interpreter->named))
			return (struct dhat_script){ next_word(at), strcspn(next_word(at), " "),
						     false };
		if (*at != '-' && *at != '+')
			return (struct dhat_script){ at, length, false };
		if (is_one_of(at, length, interpreter->valued))
			at = next_word(at);
	}
	return (struct dhat_script){ 0 };
}

bool dhat_script_is_same(const struct dhat_script *a, const struct dhat_script *b)
{
	return a->length == b->length && a->is_code == b->is_code &&
	       (!a->length || !memcmp(a->text, b->text, a->length));
}

const char *dhat_program_full_name(const char *command, const char *executable,
				   char ret[2 * DHAT_PROGRAM_CHARS])
{
	const struct dhat_script script = dhat_program_script(command, executable);
	char name[DHAT_PROGRAM_CHARS], what[DHAT_PROGRAM_CHARS];
	_cleanup_free_ char *text = NULL;

	dhat_program_name(command, executable, name);
	text = script.length && !script.is_code && script.text != command
		       ? strndup(script.text, script.length)
		       : NULL;
	if (text)
		snprintf(ret, 2 * DHAT_PROGRAM_CHARS, "%s %s", name,
			 dhat_program_name(text, "", what));
	else
		snprintf(ret, 2 * DHAT_PROGRAM_CHARS, "%s", name);
	return ret;
}
