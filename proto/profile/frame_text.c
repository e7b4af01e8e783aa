#include "frame_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/wire/words.h"

static const char *object_name(const Dhat__Frame *frame)
{
	return *frame->object ? frame->object : "no file";
}

static char *unnamed(const Dhat__Frame *frame)
{
	char *text;
	int n;

	if (*frame->object)
		n = asprintf(&text, "0x%" PRIX64 ": ??? (in %s+0x%" PRIx64 ")", frame->address,
			     frame->object, frame->object_vaddr);
	else
		n = asprintf(&text, "0x%" PRIX64 ": ??? (in no file)", frame->address);
	return n < 0 ? NULL : text;
}

char *dhat_frame_text(const Dhat__Frame *frame, const Dhat__Location *location)
{
	const char *function;
	char *text;
	int n;

	if (!location)
		return unnamed(frame);
	function = *location->function ? location->function : "???";
	if (*location->file)
		n = asprintf(&text, "0x%" PRIX64 ": %s (%s:%u:%u)", frame->address, function,
			     location->file, location->line, location->column);
	else if (*location->function)
		n = asprintf(&text, "0x%" PRIX64 ": %s (in %s)", frame->address, function,
			     object_name(frame));
	else
		return unnamed(frame);
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
