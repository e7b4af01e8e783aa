#include "frame_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/wire/words.h"

/* A path as it is written in parentheses. The caller frees. */
static char *place_of(const char *path)
{
	char *text = malloc(strlen(DHAT_PLACE_BLANK) * strlen(path) + 1), *at = text;

	for (; text && *path; path++) {
		if (path[0] == ' ' && path[1] == '(')
			at = stpcpy(at, DHAT_PLACE_BLANK);
		else
			*at++ = *path;
	}
	if (text)
		*at = '\0';
	return text;
}

static char *unnamed(const Dhat__Frame *frame)
{
	_cleanup_free_ char *object = place_of(frame->object);
	char *text;
	int n;

	if (!object)
		return NULL;
	if (*object)
		n = asprintf(&text, "0x%" PRIX64 ": ??? (in %s+0x%" PRIx64 ")", frame->address,
			     object, frame->object_vaddr);
	else
		n = asprintf(&text, "0x%" PRIX64 ": ??? (in no file)", frame->address);
	return n < 0 ? NULL : text;
}

char *dhat_frame_text(const Dhat__Frame *frame, const Dhat__Location *location)
{
	_cleanup_free_ char *place = NULL;
	const char *function;
	char *text;
	int n;

	if (!location || (!*location->file && !*location->function))
		return unnamed(frame);
	function = *location->function ? location->function : "???";
	place = place_of(*location->file ? location->file : frame->object);
	if (!place)
		return NULL;
	if (*location->file)
		n = asprintf(&text, "0x%" PRIX64 ": %s (%s:%u:%u)", frame->address, function, place,
			     location->line, location->column);
	else
		n = asprintf(&text, "0x%" PRIX64 ": %s (in %s)", frame->address, function,
			     *place ? place : "no file");
	return n < 0 ? NULL : text;
}

char *dhat_frame_name(const Dhat__Frame *frame, const Dhat__Location *location)
{
	const char *slash = strrchr(frame->object, '/');
	_cleanup_free_ char *text = NULL;
	int n;

	if (location && *location->function)
		return dhat_text_clean(location->function);
	if (*frame->object)
		n = asprintf(&text, "%s+0x%" PRIx64, slash ? slash + 1 : frame->object,
			     frame->object_vaddr);
	else
		n = asprintf(&text, "0x%" PRIx64, frame->address);
	if (n < 0) {
		text = NULL;
		return NULL;
	}
	return dhat_text_clean(text);
}

const char *dhat_stop_reason(const Dhat__ProgramPoint *point)
{
	if (*point->label || !*point->stop || !strcmp(point->stop, DHAT_STACK_COMPLETE))
		return NULL;
	return point->stop;
}
