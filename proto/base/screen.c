#include "screen.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"

#define LEAST_COLUMN 12 /* below this a cut text tells nothing */
#define LEAST_WIDTH 20	/* of a screen */

/* COLUMNS fits the output to a width even where it goes into a pipe. */
static size_t asked_width(void)
{
	const char *columns = getenv("COLUMNS");
	unsigned long width = columns ? strtoul(columns, NULL, 10) : 0;

	return width >= LEAST_WIDTH && width <= 10000 ? width : 0;
}

/* As setlocale(3) takes them, whose tables nothing here needs. */
static bool is_utf8_locale(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

void screen_init(struct screen *screen, FILE *file)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	struct winsize size;

	*screen = (struct screen){ .file = file,
				   .width = asked_width(),
				   .has_utf8 = is_utf8_locale() };
	if (!isatty(fileno(file)))
		return;
	if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col >= LEAST_WIDTH)
		screen->width = size.ws_col;
	else if (!screen->width)
		screen->width = 80;
	screen->has_marks = term && strcmp(term, "dumb") && !(no_color && *no_color);
}

void screen_mark(struct screen *screen, enum mark mark)
{
	/* ECMA-48, 8.3.117: select graphic rendition */
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[1;31m", "\033[2m" };

	if (screen->has_marks)
		fputs(codes[mark], screen->file);
}

void screen_print(struct screen *screen, enum mark mark, const char *format, ...)
{
	va_list args;

	if (mark)
		screen_mark(screen, mark);
	va_start(args, format);
	vfprintf(screen->file, format, args);
	va_end(args);
	if (mark)
		screen_mark(screen, MARK_NONE);
}

/* The byte at which character number n begins. text is clean: valid UTF-8. */
static const char *character_at(const char *text, size_t n)
{
	while (n-- && *text)
		text += dhat_text_character(text);
	return text;
}

void screen_column(struct screen *screen, const char *text, size_t columns)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);
	size_t width, left, right;

	if (!clean)
		return;
	width = dhat_text_width(clean);
	if (width <= columns) {
		fprintf(screen->file, "%s%*s", clean, (int)(columns - width), "");
		return;
	}
	if (columns == 0)
		return;
	left = (columns - 1) / 2;
	right = columns - 1 - left;
	fprintf(screen->file, "%.*s…%s", (int)(character_at(clean, left) - clean), clean,
		character_at(clean, width - right));
}

void screen_text(struct screen *screen, const char *text)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);

	if (clean)
		fputs(clean, screen->file);
}

void screen_continue(struct screen *screen, size_t column, size_t used, const char *text)
{
	_cleanup_free_ char *clean = dhat_text_clean(text);
	bool is_first = true; /* no blank before it, and it does not begin a line of its own */
	char *rest = clean, *word;

	while (rest && (word = strsep(&rest, " "))) {
		size_t width = dhat_text_width(word);

		if (!is_first && screen->width && used + 1 + width > screen->width &&
		    used > column) {
			fprintf(screen->file, "\n%*s", (int)column, "");
			used = column;
		} else if (!is_first) {
			fputc(' ', screen->file);
			used++;
		}
		fputs(word, screen->file);
		used += width;
		is_first = false;
	}
	fputc('\n', screen->file);
}

void screen_paragraph(struct screen *screen, size_t column, const char *text)
{
	screen_continue(screen, column, column, text);
}

size_t screen_room(const struct screen *screen, size_t wanted, size_t others)
{
	size_t room;

	if (!screen->width)
		return wanted;
	room = screen->width > others + LEAST_COLUMN ? screen->width - others : LEAST_COLUMN;
	return wanted < room ? wanted : room;
}
