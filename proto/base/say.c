#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "cleanup.h"
#include "text.h"

static bool has_levels, has_times;

void dhat_say_levels(bool are_said)
{
	has_levels = are_said;
}

void dhat_say_times(bool are_said)
{
	has_times = are_said;
}

#define STAMP_CHARS 32

static const char *stamp(char ret[STAMP_CHARS])
{
	time_t seconds = time(NULL);
	struct tm tm;

	localtime_r(&seconds, &tm);
	ret[strftime(ret, STAMP_CHARS, "%Y-%m-%d %H:%M:%S ", &tm)] = '\0';
	return ret;
}

static void say(enum dhat_level level, const char *program, const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL, *clean = NULL, *line = NULL;
	char prefix[8] = "", when[STAMP_CHARS] = "";
	int length = vasprintf(&text, format, args);

	if (length < 0)
		text = NULL;
	clean = text ? dhat_text_clean(text) : NULL;
	if (!clean)
		return;
	if (has_levels)
		snprintf(prefix, sizeof(prefix), "<%d>", (int)level);
	if (has_times && *clean != ' ')
		stamp(when);
	length = asprintf(&line, "%s%s: %s%s\n", prefix, program, when, clean);
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
