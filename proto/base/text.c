#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Unicode 15, table 3-7: what the second byte may be after each first one. */
size_t dhat_text_character(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (s[0] < 0x80)
		return s[0] != 0;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0; /* shorter forms exist */
	if (s[0] == 0xed)
		high = 0x9f; /* surrogates */
	if (s[0] == 0xf0)
		low = 0x90;
	if (s[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	for (size_t i = 1; i < length; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return length;
}

/* The code point of a valid character of length bytes. */
static uint32_t code_point(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t point = length == 1 ? s[0] : s[0] & (0x7fu >> length);

	for (size_t i = 1; i < length; i++)
		point = point << 6 | (s[i] & 0x3f);
	return point;
}

/* Does a terminal act on it, or show what stands around it in another order or on another line? C0,
 * DEL, C1; the controls of writing direction (Unicode, UAX #9, 2.1 to 2.6), which can make a name
 * look like another; line and paragraph separators; the byte order mark and its likes. */
static int is_control(const char *text, size_t length)
{
	uint32_t point = code_point(text, length);

	return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x61c ||
	       (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
	       (point >= 0x2060 && point <= 0x206f) || point == 0xfeff ||
	       (point >= 0xe0000 && point <= 0xe007f);
}

char *dhat_text_clean(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *clean = malloc(3 * strlen(text) + 1), *out = clean;
	size_t length;

	if (!clean)
		return NULL;
	while (*text) {
		length = dhat_text_character(text);
		if (length == 0) {
			memcpy(out, replacement, 3);
			out += 3;
			length = 1;
		} else if (is_control(text, length)) {
			*out++ = '?';
		} else {
			memcpy(out, text, length);
			out += length;
		}
		text += length;
	}
	*out = 0;
	return clean;
}

size_t dhat_text_width(const char *text)
{
	size_t width = 0, length;

	for (; *text; text += length ? length : 1) {
		length = dhat_text_character(text);
		width++;
	}
	return width;
}

const char *dhat_text_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
