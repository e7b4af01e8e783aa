#pragma once
/* screen: where results are printed to.
 *
 * On a terminal lines are fitted to its width and a few words are marked; into a pipe or a file go
 * whole lines without any code, so that grep and diff see everything.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct screen {
	FILE *file;
	size_t width; /* columns; 0: no bound */
	bool has_marks;
	bool has_utf8; /* a terminal that shows it; of no meaning without a width */
};

/* Looks at the file, at COLUMNS, NO_COLOR, TERM and the locale's variables. */
void screen_init(struct screen *screen, FILE *file);

enum mark { MARK_NONE, MARK_BOLD, MARK_BAD, MARK_DIM };
void screen_mark(struct screen *screen, enum mark mark); /* MARK_NONE ends it */
void screen_print(struct screen *screen, enum mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Text of foreign origin, cleaned (proto/base/text.h), in exactly `columns` columns: padded by
 * blanks, or its middle cut out and replaced by "…". screen_text(): as much as it needs. */
void screen_column(struct screen *screen, const char *text, size_t columns);
void screen_text(struct screen *screen, const char *text);
/* Cleaned text from the cursor on, which is in `column`, broken between words at the screen's edge;
 * further lines begin in `column`, too. Ends the line. */
void screen_paragraph(struct screen *screen, size_t column, const char *text);

/* The same, where the cursor is in column `used` already. */
void screen_continue(struct screen *screen, size_t column, size_t used, const char *text);

/* How wide a column may be that wants `wanted` beside `others` columns of other things. */
size_t screen_room(const struct screen *screen, size_t wanted, size_t others);
