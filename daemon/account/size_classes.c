#include "size_classes.h"

#include <string.h>

enum size_classes size_classes_of(const char *allocator)
{
	static const char glibc[] = "glibc ", jemalloc[] = "jemalloc ";

	if (!strncmp(allocator, glibc, strlen(glibc)))
		return SIZE_CLASSES_GLIBC;
	/* those of one digit: 10 will have been looked at by somebody */
	if (!strncmp(allocator, jemalloc, strlen(jemalloc)) && allocator[strlen(jemalloc)] >= '4' &&
	    allocator[strlen(jemalloc)] <= '9')
		return SIZE_CLASSES_JEMALLOC;
	return SIZE_CLASSES_NOT_KNOWN;
}

const char *size_classes_name(enum size_classes classes)
{
	static const char *const names[] = { "", "glibc", "jemalloc" };

	return names[classes];
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static uint64_t glibc_usable(uint64_t size_bytes)
{
	const uint64_t word = 8, unit = 16, least = 32;
	uint64_t chunk = round_up(size_bytes + word, unit);

	return (chunk < least ? least : chunk) - word;
}

static uint64_t jemalloc_usable(uint64_t size_bytes)
{
	uint64_t doubling;

	if (size_bytes <= 8)
		return 8;
	if (size_bytes <= 128)
		return round_up(size_bytes, 16);
	/* the power of two below, or half of one: (128, 256] has steps of 32 */
	doubling = 1ull << (63 - __builtin_clzll(size_bytes - 1));
	return round_up(size_bytes, doubling / 4);
}

uint64_t size_classes_usable(enum size_classes classes, uint64_t size_bytes)
{
	switch (classes) {
	case SIZE_CLASSES_GLIBC:
		return glibc_usable(size_bytes);
	case SIZE_CLASSES_JEMALLOC:
		return jemalloc_usable(size_bytes);
	case SIZE_CLASSES_NOT_KNOWN:
		break;
	}
	return size_bytes;
}
