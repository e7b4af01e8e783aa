#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include "cleanup.h"
#include "text.h"

void dhat_say(const char *program, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *clean = NULL, *line = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		text = NULL;
	clean = text ? dhat_text_clean(text) : NULL;
	if (!clean)
		return;
	length = asprintf(&line, "%s: %s\n", program, clean);
	if (length >= 0)
		fwrite(line, 1, length, stderr); /* unbuffered: one write(2) */
	else
		line = NULL;
}
