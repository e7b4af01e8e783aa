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

static int bad(const char *path, const char *what, struct dhat_error *err)
{
	return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: %s", path, what);
}

static int make_room(struct dhat_json_text *text)
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

int dhat_json_text_read(FILE *file, const char *path, struct dhat_json_text *text,
			struct dhat_error *err)
{
	*text = (struct dhat_json_text){ 0 };
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

void dhat_json_text_deinit(struct dhat_json_text *text)
{
	free(text->bytes);
}

/* At least what the tree of a text will take, and the snapshot that is made of it: strings are
 * copied to both. */
static uint64_t weigh(const char *bytes, size_t length)
{
	uint64_t weight = 2 * (uint64_t)length;
	bool is_string = false;

	for (size_t i = 0; i < length; i++) {
		char c = bytes[i];

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

int dhat_json_text_check(const char *bytes, size_t length, const char *path, struct dhat_error *err)
{
	if (weigh(bytes, length) <= DHAT_JSON_WEIGHT_MAX)
		return 0;
	return bad(path,
		   "reading this JSON would take more than 2 GiB of memory; the "
		   ".dhat file can be read",
		   err);
}

/* Is there nothing but white space from here on? */
static bool is_end(const char *bytes, size_t length, size_t at)
{
	static const char white[] = { ' ', '\t', '\r', '\n' };

	while (at < length && memchr(white, bytes[at], sizeof(white)))
		at++;
	return at >= length;
}

int dhat_json_text_parse(const char *bytes, size_t length, const char *path,
			 struct json_object **ret, struct dhat_error *err)
{
	struct json_tokener *tokener;
	struct json_object *root;
	int r = dhat_json_text_check(bytes, length, path, err);

	if (r < 0)
		return r;
	tokener = json_tokener_new_ex(DHAT_JSON_DEPTH_MAX);
	if (!tokener)
		return dhat_error_errno(err, ENOMEM, "cannot read %s", path);
	/* not JSON_TOKENER_STRICT: to that of json-c 0.18 (Debian 13) every byte from 0x80 on is a
	 * control character */
	root = json_tokener_parse_ex(tokener, bytes, (int)length);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		r = bad(path, "the JSON was cut short: fetch or copy it again", err);
	else if (!root)
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "%s: not JSON: %s at byte %zu",
				   path, json_tokener_error_desc(json_tokener_get_error(tokener)),
				   json_tokener_get_parse_end(tokener));
	else if (!is_end(bytes, length, json_tokener_get_parse_end(tokener)))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				   "%s: not JSON: there is more behind it, from byte %zu on", path,
				   json_tokener_get_parse_end(tokener));
	json_tokener_free(tokener);
	if (r < 0) {
		json_object_put(root);
		return r;
	}
	*ret = root;
	return 0;
}
