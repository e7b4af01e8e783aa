#include <errno.h>
#include <string.h>

#include "jit_names.h"
#include "jit_reader.h"

#define MAX_LINE_BYTES 65536 /* of a longer one the rest is passed over */

/* A hex number, with or without 0x (the JVM writes it), and the blanks behind it. false: none, or
 * more than 64 bits. */
static bool take_hex(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	const uint8_t *p = *at;
	unsigned digits = 0;

	if (end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	for (*ret = 0; p < end; p++, digits++) {
		unsigned digit = *p;

		if (digit - '0' < 10)
			digit -= '0';
		else if ((digit | 0x20) - 'a' < 6)
			digit = (digit | 0x20) - 'a' + 10;
		else
			break;
		if (*ret >> 60)
			return false;
		*ret = *ret << 4 | digit;
	}
	if (!digits || p == end || (*p != ' ' && *p != '\t'))
		return false;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	*at = p;
	return true;
}

static void read_line(struct jit_reader *reader, const uint8_t *line, size_t size, uint64_t at)
{
	const uint8_t *name = line, *end = line + size;
	struct jit_entry entry = { .since_ns = JIT_AT_ANY_TIME };

	if (size && end[-1] == '\r')
		end--;
	if (!take_hex(&name, end, &entry.start) || !take_hex(&name, end, &entry.size) ||
	    name == end)
		return;
	entry.name = name;
	entry.name_at = at + (name - line);
	entry.name_size = end - name;
	jit_claim(reader, &entry);
}

/* A last line without its end is being written. */
int jit_read_map(struct jit_reader *reader)
{
	uint64_t at = 0;

	while (at < JIT_MAX_BYTES) {
		size_t size;
		const uint8_t *line = jit_bytes(reader, at, MAX_LINE_BYTES, &size), *end;

		if (!line)
			return -errno;
		if (!size)
			return 0;
		end = memchr(line, '\n', size);
		if (!end && size < MAX_LINE_BYTES)
			return 0;
		if (end)
			size = end - line;
		read_line(reader, line, size, at);
		at += size + 1;
		if (end)
			continue;
		/* to the end of a line that is no line of anybody's */
		do {
			line = jit_bytes(reader, at, MAX_LINE_BYTES, &size);
			if (!line || !size)
				return line ? 0 : -errno;
			end = memchr(line, '\n', size);
			at += end ? (uint64_t)(end - line) + 1 : size;
		} while (!end && at < JIT_MAX_BYTES);
	}
	return 0;
}
