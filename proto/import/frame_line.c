#include "frame_line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/profile/frame_text.h"

#define UNKNOWN "???"

struct place { /* in a line */
	const char *text;
	size_t length;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Text that belongs to a message; its default is not allocated. */
static int set_text(char **text, const char *from, size_t length)
{
	char *copy;

	if (!length)
		return 0;
	copy = strndup(from, length);
	if (!copy)
		return -ENOMEM;
	*text = copy;
	return 0;
}

static Dhat__Location *add_location(Dhat__Frame *frame)
{
	Dhat__Location *location = malloc(sizeof(*location));

	frame->locations = calloc(1, sizeof(*frame->locations));
	if (!location || !frame->locations) {
		free(location);
		return NULL;
	}
	dhat__location__init(location);
	frame->locations[0] = location;
	frame->n_locations = 1;
	return location;
}

/* "0x4E2F: ": returns what stands behind it, or NULL. */
static const char *take_address(const char *line, uint64_t *ret)
{
	uint64_t address;
	char *end;

	if (strncmp(line, "0x", 2))
		return NULL;
	errno = 0;
	address = strtoull(line + 2, &end, 16);
	if (errno || end == line + 2 || strncmp(end, ": ", 2))
		return NULL;
	*ret = address;
	return end + 2;
}

/* The blank before the parenthesis that the last one closes; where they are not balanced, the last
 * " (". NULL: there is none. */
static const char *find_open(const char *text, size_t length)
{
	const char *last = NULL;
	size_t depth = 0;

	for (size_t i = length; i-- > 1;) {
		if (text[i] == ')')
			depth++;
		if (text[i] != '(')
			continue;
		if (text[i - 1] == ' ' && !last)
			last = text + i - 1;
		if (depth && --depth == 0)
			return text[i - 1] == ' ' ? text + i - 1 : last;
	}
	return last;
}

/* Digits at the end, behind a colon, are taken off. false: there are none. */
static bool take_number(struct place *place, uint32_t *ret)
{
	size_t at = place->length;
	uint64_t number = 0;

	while (at && is_digit(place->text[at - 1]))
		at--;
	if (at < 2 || at == place->length || place->length - at > 9 || place->text[at - 1] != ':')
		return false;
	for (size_t i = at; i < place->length; i++)
		number = 10 * number + (place->text[i] - '0');
	place->length = at - 1;
	*ret = (uint32_t)number;
	return true;
}

/* A path that stands in parentheses (proto/profile/frame_text.h). */
static int set_path(char **path, const char *from, size_t length)
{
	int r = set_text(path, from, length);
	char *at = *path;

	while (r == 0 && length && (at = strstr(at, DHAT_PLACE_BLANK "("))) {
		*at++ = ' ';
		memmove(at, at + strlen(DHAT_PLACE_BLANK) - 1,
			strlen(at + strlen(DHAT_PLACE_BLANK) - 1) + 1);
	}
	return r;
}

/* "file.c:12" and "file.c:12:5" */
static int set_source(Dhat__Location *location, struct place place)
{
	uint32_t number;

	if (take_number(&place, &location->line) && take_number(&place, &number)) {
		location->column = location->line;
		location->line = number;
	}
	return set_path(&location->file, place.text, place.length);
}

/* "/path/object+0x12a4" of a frame without a name. false: it has no offset. */
static bool take_offset(struct place *place, uint64_t *ret)
{
	const char *plus = memrchr(place->text, '+', place->length);
	uint64_t offset;
	char *end;

	if (!plus || strncmp(plus, "+0x", 3))
		return false;
	errno = 0;
	offset = strtoull(plus + 3, &end, 16); /* to the parenthesis at the latest */
	if (errno || end == plus + 3 || end != place->text + place->length)
		return false;
	*ret = offset;
	place->length = plus - place->text;
	return true;
}

/* What stands behind "in ". */
static int set_object(Dhat__Frame *frame, struct place place, bool *is_offset)
{
	*is_offset = take_offset(&place, &frame->object_vaddr);
	if (place.length == strlen("no file") && !strncmp(place.text, "no file", place.length)) {
		*is_offset = true; /* its address is all there is */
		return 0;
	}
	return set_path(&frame->object, place.text, place.length);
}

static int set_function(Dhat__Frame *frame, const char *text, size_t length,
			const struct place *source)
{
	bool is_unknown = length == strlen(UNKNOWN) && !strncmp(text, UNKNOWN, length);
	Dhat__Location *location = add_location(frame);
	int r;

	if (!location)
		return -ENOMEM;
	/* with a file it can be shown without a name */
	r = is_unknown && source ? 0 : set_text(&location->function, text, length);
	return r == 0 && source ? set_source(location, *source) : r;
}

int dhat_frame_line_read(const char *line, Dhat__Frame *frame)
{
	const char *text = take_address(line, &frame->address), *open;
	bool is_unknown, is_offset = false;
	struct place place;
	size_t length;
	int r = 0;

	if (!text)
		return set_function(frame, line, strlen(line), NULL);
	length = strlen(text);
	open = length && text[length - 1] == ')' ? find_open(text, length) : NULL;
	if (!open || open == text)
		return set_function(frame, text, length, NULL);
	place = (struct place){ open + 2, text + length - 1 - (open + 2) };
	length = open - text;
	if (place.length < 3 || strncmp(place.text, "in ", 3))
		return set_function(frame, text, length, &place);
	is_unknown = length == strlen(UNKNOWN) && !strncmp(text, UNKNOWN, length);
	place = (struct place){ place.text + 3, place.length - 3 };
	if (is_unknown)
		r = set_object(frame, place, &is_offset);
	else
		r = set_path(&frame->object, place.text, place.length);
	return r < 0 || is_offset ? r : set_function(frame, text, length, NULL);
}

/* A path, or "[vdso]": what else stands in parentheses at a name's end belongs to it. */
static bool is_object(const struct place *place)
{
	return place->length && strchr("/[", *place->text);
}

int dhat_frame_text_read(const char *text, Dhat__Frame *frame)
{
	size_t length = strlen(text);
	const char *open = length && text[length - 1] == ')' ? find_open(text, length) : NULL;
	struct place place, source;
	uint32_t line;
	int r;

	place = (struct place){ text, length };
	if (take_offset(&place, &frame->object_vaddr)) /* it has no name */
		return set_path(&frame->object, place.text, place.length);
	if (!open || open == text)
		return set_function(frame, text, length, NULL);
	place = source = (struct place){ open + 2, text + length - 1 - (open + 2) };
	if (take_number(&source, &line))
		return set_function(frame, text, open - text, &place);
	if (!is_object(&place))
		return set_function(frame, text, length, NULL);
	r = set_path(&frame->object, place.text, place.length);
	return r < 0 ? r : set_function(frame, text, open - text, NULL);
}
