#pragma once
/* table_line: a frame as a row of a table, for those who look for what keeps the memory. Pure.
 *
 * What reads the same is the same row, so the style decides what becomes one.
 */
#include <stdbool.h>

#include "proto/wire/dhat.pb-c.h"

/* What a row is about. STACK: all frames; the others: one frame, the innermost of one's own code
 * (own_code.h). */
enum dhat_by {
	DHAT_BY_STACK = 0,
	DHAT_BY_FUNCTION,
	DHAT_BY_LINE,
	DHAT_BY_FILE,
	DHAT_BY_OBJECT,
	DHAT_BY_THREAD, /* no line of a frame: threads.h */
	DHAT_BY_COUNT
};

struct dhat_line_style {
	enum dhat_by by;
	bool has_addresses;   /* two calls in one line of source stay two */
	bool has_whole_names; /* else as function_name.h shortens them */
	bool without_offsets; /* of functions: not all files that can be read back have them */
	bool is_portable;     /* neither lines nor offsets: two builds of a program read alike */
};

/* "stack", "function", "line", "file", "object", "thread"; -EINVAL: none of them. */
int dhat_by_parse(const char *text, enum dhat_by *ret);
const char *dhat_by_name(enum dhat_by by);
const char *dhat_by_title(enum dhat_by by); /* "Stacks" */

/* "ADDRESS\tNAME\tPLACE", without the address if the style has none. NAME is a function with its
 * PLACE "dir/file.c:12" or "object+0x12a4" (by function and portable the file alone), or the path
 * of a file or object with nothing behind it. location NULL: it has no name. The caller frees;
 * NULL: out of memory. */
char *dhat_table_line(const Dhat__Frame *frame, const Dhat__Location *location,
		      const struct dhat_line_style *style);
/* The parts of such a line. *ret_name: for the caller to free, NULL when out of memory.
 * *ret_place: within the line; NULL for a note such as "[stack lost]", and where there is none. */
void dhat_table_line_split(const char *line, char **ret_name, const char **ret_place);
