#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "cleanup.h"
#include "text.h"

static bool has_levels;

void dhat_say_levels(bool are_said)
{
	has_levels = are_said;
}

static void say(enum dhat_level level, const char *program, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL, *clean = NULL, *line = NULL;
	char prefix[8] = "";
	int length = vasprintf(&text, format, args);

	if (length < 0)
		text = NULL;
	clean = text ? dhat_text_clean(text) : NULL;
	if (!clean)
		return;
	if (has_levels)
		snprintf(prefix, sizeof(prefix), "<%d>", (int)level);
	length = asprintf(&line, "%s%s: %s\n", prefix, program, clean);
	if (length >= 0)
		fwrite(line, 1, length, stderr); /* unbuffered: one write(2) */
	else
		line = NULL;
}

void dhat_say(const char *program, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(DHAT_LEVEL_INFO, program, format, args);
	va_end(args);
}

void dhat_say_at(enum dhat_level level, const char *program, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(level, program, format, args);
	va_end(args);
}

void dhat_say_passing(const char *text)
{
	_cleanup_free_ char *clean = dhat_text_clean(text ?: ""), *line = NULL;
	int length = clean ? asprintf(&line, "\r\033[K%s", clean) : -1;

	if (length >= 0)
		fwrite(line, 1, length, stderr);
	else
		line = NULL;
}
