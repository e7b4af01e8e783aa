#include "table_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "function_name.h"
#include "proto/base/cleanup.h"

static const char *const names[DHAT_BY_COUNT] = { "stack", "function", "line",
						  "file",  "object",   "thread" };

int dhat_by_parse(const char *text, enum dhat_by *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *dhat_by_name(enum dhat_by by)
{
	return names[by];
}

const char *dhat_by_title(enum dhat_by by)
{
	static const char *const titles[DHAT_BY_COUNT] = { "Stacks", "Functions", "Lines",
							   "Files",  "Objects",	  "Threads" };

	return titles[by];
}

/* The last `count` components of a path. */
static const char *path_tail(const char *path, int count)
{
	const char *tail = path + strlen(path);

	while (tail > path) {
		if (tail[-1] == '/' && --count == 0)
			break;
		tail--;
	}
	return tail;
}

/* "dir/file.c:12", "dir/file.c", "object+0x12a4", "object"; NULL: out of memory. */
static char *place_of(const Dhat__Frame *frame, const Dhat__Location *location,
		      const struct dhat_line_style *style)
{
	bool has_function = location && *location->function;
	bool is_file_only = style->by == DHAT_BY_FUNCTION || style->is_portable;
	char *place;
	int n;

	if (location && *location->file && (location->line || is_file_only)) {
		const char *file = path_tail(location->file, 2);

		if (is_file_only)
			return strdup(file);
		n = asprintf(&place, "%s:%u", file, location->line);
	} else if (*frame->object) {
		const char *object = path_tail(frame->object, 1);

		/* nothing runs at 0: the file it was read from (proto/import/) lacks the offset */
		if (style->is_portable || !frame->object_vaddr ||
		    (has_function && (is_file_only || style->without_offsets)))
			return strdup(object);
		n = asprintf(&place, "%s+0x%" PRIx64, object, frame->object_vaddr);
	} else if (style->is_portable) {
		return strdup("in no file");
	} else if (!frame->address) { /* a file that was read back lacks it */
		return strdup("an unknown place");
	} else {
		n = asprintf(&place, "0x%" PRIx64 ", in no file", frame->address);
	}
	return n < 0 ? NULL : place;
}

static char *function_line(const Dhat__Frame *frame, const Dhat__Location *location,
			   const struct dhat_line_style *style)
{
	const char *whole = location && *location->function ? location->function : "???";
	_cleanup_free_ char *function =
		style->has_whole_names ? strdup(whole) : dhat_short_name(whole);
	_cleanup_free_ char *place = place_of(frame, location, style);
	char address[24] = "", *line;

	if (!function || !place)
		return NULL;
	/* no compiler's name has one: it would be taken for the end of it */
	for (char *at = function; (at = strchr(at, '\t'));)
		*at = ' ';
	if (style->has_addresses)
		snprintf(address, sizeof(address), "%" PRIx64, frame->address);
	return asprintf(&line, "%s\t%s\t%s", address, function, place) < 0 ? NULL : line;
}

char *dhat_table_line(const Dhat__Frame *frame, const Dhat__Location *location,
		      const struct dhat_line_style *style)
{
	const char *path = *frame->object ? frame->object : "in no file";
	char *line;

	if (style->by != DHAT_BY_FILE && style->by != DHAT_BY_OBJECT)
		return function_line(frame, location, style);
	if (style->by == DHAT_BY_FILE && location && *location->file)
		path = location->file;
	return asprintf(&line, "\t%s\t", path) < 0 ? NULL : line;
}

void dhat_table_line_split(const char *line, char **ret_name, const char **ret_place)
{
	const char *name = strchr(line, '\t'), *place = NULL;

	if (name)
		place = strchr(++name, '\t');
	*ret_name = place ? strndup(name, place - name) : strdup(line);
	*ret_place = place && place[1] ? place + 1 : NULL;
}
