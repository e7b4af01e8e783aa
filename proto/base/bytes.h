#pragma once
/* bytes: reading little-endian numbers out of a buffer that may lie.
 *
 * A reader never leaves its buffer. Reading past the end yields 0 and sets is_bad, which stays set,
 * so that a caller may read a whole structure and check once.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at, *end;
	bool is_bad;
};

static inline struct bytes bytes_of(const void *start, size_t size)
{
	const uint8_t *at = start;

	return (struct bytes){ .at = at, .end = at + size };
}

static inline size_t bytes_left(const struct bytes *bytes)
{
	return (size_t)(bytes->end - bytes->at);
}

static inline void bytes_fail(struct bytes *bytes)
{
	bytes->is_bad = true;
	bytes->at = bytes->end;
}

static inline void bytes_skip(struct bytes *bytes, uint64_t size)
{
	if (size > bytes_left(bytes))
		bytes_fail(bytes);
	else
		bytes->at += size;
}

/* size: 1, 2, 4 or 8 */
static inline uint64_t bytes_read(struct bytes *bytes, size_t size)
{
	uint64_t value = 0;

	if (size > bytes_left(bytes)) {
		bytes_fail(bytes);
		return 0;
	}
	memcpy(&value, bytes->at, size);
	bytes->at += size;
	return value;
}

static inline int64_t bytes_read_signed(struct bytes *bytes, size_t size)
{
	unsigned int shift = 64 - 8 * (unsigned int)size;

	return (int64_t)(bytes_read(bytes, size) << shift) >> shift;
}

/* LEB128 (DWARF 5, 7.6). Bits beyond 64 are dropped, as libdw does. */
static inline uint64_t bytes_read_uleb(struct bytes *bytes)
{
	unsigned int shift = 0;
	uint64_t value = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)bytes_read(bytes, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && shift < 77); /* eleven bytes are one too many for 64 bits */
	if (byte & 0x80)
		bytes_fail(bytes);
	return value;
}

static inline int64_t bytes_read_sleb(struct bytes *bytes)
{
	unsigned int shift = 0;
	uint64_t value = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)bytes_read(bytes, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && shift < 77);
	if (byte & 0x80)
		bytes_fail(bytes);
	if (shift < 64 && (byte & 0x40))
		value |= ~0ULL << shift;
	return (int64_t)value;
}
