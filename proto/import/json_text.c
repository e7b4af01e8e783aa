#include "json_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

/* What json-c 0.16 to 0.18 allocate at most, with malloc's own share: an object has room for 16
 * members at once, an array for 32 elements; a member or an element is a slot and a value. Both
 * grow by doubling, so that a slot may be there three times for a moment. */
#define CONTAINER_BYTES 1024
#define ELEMENT_BYTES 112 /* for each comma … */
#define MEMBER_BYTES 128  /* … and more for each colon: the key, and a slot of a hash table */

/* It may become a frame, which a snapshot has with its location and its texts, and a table of it
 * with its row: 310 to 370 bytes with the element, measured. */
#define STRING_BYTES 256

struct text {
	char *bytes;
	size_t length, room;
};

static int bad(const char *path, const char *what, struct dhat_error *err)
{
	return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", path, what);
}

static int make_room(struct text *text)
{
	size_t room = text->room ? 2 * text->room : 64 << 10;
	char *bytes;

	if (text->length < text->room)
		return 0;
	bytes = realloc(text->bytes, room);
	if (!bytes)
		return -ENOMEM;
	text->bytes = bytes;
	text->room = room;
	return 0;
}

static int read_all(FILE *file, const char *path, struct text *text, struct dhat_error *err)
{
	while (!feof(file)) {
		if (make_room(text))
			return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
		text->length +=
			fread(text->bytes + text->length, 1, text->room - text->length, file);
		if (ferror(file))
			return dhat_error_set(err, EIO, DHAT_EXIT_BAD_FILE, "cannot read %s", path);
		if (text->length > DHAT_JSON_TEXT_MAX)
			return bad(path,
				   "has more than 512 MiB: too much JSON to read back; the "
				   ".dhat file is smaller",
				   err);
	}
	return 0;
}

/* At least what the tree of a text will take, and the snapshot that is made of it: strings are
 * copied to both. */
static uint64_t weigh(const struct text *text)
{
	uint64_t weight = 2 * (uint64_t)text->length;
	bool is_string = false;

	for (size_t i = 0; i < text->length; i++) {
		char c = text->bytes[i];

		if (c == '"') {
			weight += is_string ? 0 : STRING_BYTES;
			is_string = !is_string;
		} else if (is_string) {
			i += c == '\\';
		} else if (c == '{' || c == '[') {
			weight += CONTAINER_BYTES;
		} else if (c == ',') {
			weight += ELEMENT_BYTES;
		} else if (c == ':') {
			weight += MEMBER_BYTES;
		}
	}
	return weight;
}

int dhat_json_text_read(FILE *file, const char *path, struct json_object **ret,
			struct dhat_error *err)
{
	struct text text = { 0 };
	_cleanup_free_ char *bytes = NULL;
	struct json_tokener *tokener;
	struct json_object *root;
	int r = read_all(file, path, &text, err);

	bytes = text.bytes;
	if (r < 0)
		return r;
	if (weigh(&text) > DHAT_JSON_WEIGHT_MAX)
		return bad(path,
			   "reading this JSON would take more than 2 GiB of memory; the "
			   ".dhat file can be read",
			   err);
	tokener = json_tokener_new_ex(DHAT_JSON_DEPTH_MAX);
	if (!tokener)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, text.bytes, (int)text.length);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		r = bad(path, "the JSON was cut short: fetch or copy it again", err);
	else if (!root)
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: not JSON: %s at byte %zu",
				   path, json_tokener_error_desc(json_tokener_get_error(tokener)),
				   json_tokener_get_parse_end(tokener));
	json_tokener_free(tokener);
	if (r < 0)
		return r;
	*ret = root;
	return 0;
}
