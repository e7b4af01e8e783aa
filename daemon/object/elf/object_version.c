#include "object_version.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#define BLOCK_BYTES (1u << 20)
#define OVERLAP_BYTES 256 /* more than the longest text looked for */

/* Copies a version number ("2.36", "5.3.0") from text[0…]; false if there is none. */
static bool copy_number(const char *text, size_t size, const char *maker, char *ret,
			size_t ret_size)
{
	size_t n = 0;

	while (n < size && n < 16 && (isdigit((unsigned char)text[n]) || text[n] == '.'))
		n++;
	while (n > 0 && text[n - 1] == '.')
		n--;
	if (n == 0 || !isdigit((unsigned char)text[0]))
		return false;
	snprintf(ret, ret_size, "%s %.*s", maker, (int)n, text);
	return true;
}

/* "GNU C Library (…) stable release version 2.36." */
static void find_glibc(const char *block, size_t size, struct object *object)
{
	static const char head[] = "GNU C Library", tail[] = " release version ";
	const char *at = memmem(block, size, head, sizeof(head) - 1), *end = block + size, *number;

	if (object->desc.libc_version[0] || !at)
		return;
	size = end - at < OVERLAP_BYTES ? end - at : OVERLAP_BYTES;
	number = memmem(at, size, tail, sizeof(tail) - 1);
	if (number) {
		number += sizeof(tail) - 1;
		copy_number(number, end - number, "glibc", object->desc.libc_version,
			    sizeof(object->desc.libc_version));
	}
}

/* The usage text of musl's dynamic linker, which is its libc. */
static void find_musl(const char *block, size_t size, struct object *object)
{
	static const char text[] = "musl libc (";

	if (!object->desc.libc_version[0] && memmem(block, size, text, sizeof(text) - 1))
		strcpy(object->desc.libc_version, "musl");
}

static void find_gperftools(const char *block, size_t size, struct object *object)
{
	static const char text[] = "gperftools ";
	const char *at = memmem(block, size, text, sizeof(text) - 1);

	if (at && !object->desc.malloc_version[0]) {
		at += sizeof(text) - 1;
		copy_number(at, block + size - at, "gperftools", object->desc.malloc_version,
			    sizeof(object->desc.malloc_version));
	}
}

/* jemalloc's version: "5.3.0-0-g" and the 40 hex digits of a commit. */
static void find_jemalloc(const char *block, size_t size, struct object *object)
{
	const char *end = block + size, *at = block, *start;
	int i;

	if (object->desc.malloc_version[0])
		return;
	while ((at = memmem(at, end - at, "-g", 2))) {
		for (i = 0; i < 40 && at + 2 + i < end && isxdigit((unsigned char)at[2 + i]); i++)
			;
		for (start = at; start > block && isdigit((unsigned char)start[-1]); start--)
			;
		if (i == 40 && start < at && start > block && start[-1] == '-') {
			for (start--; start > block &&
				      (isdigit((unsigned char)start[-1]) || start[-1] == '.');
			     start--)
				;
			if (copy_number(start, at - start, "jemalloc", object->desc.malloc_version,
					sizeof(object->desc.malloc_version)))
				return;
		}
		at += 2;
	}
}

static void scan_block(const char *block, size_t size, struct object *object)
{
	find_glibc(block, size, object);
	find_musl(block, size, object);
	find_gperftools(block, size, object);
	find_jemalloc(block, size, object);
}

void object_find_versions(int fd, struct object *object)
{
	_cleanup_free_ char *block = malloc(BLOCK_BYTES);
	uint64_t scanned = 0, at;
	ssize_t n;
	size_t i;

	if (!block)
		return;
	for (i = 0; i < object->desc.segment_count; i++) {
		const struct object_segment *s = &object->desc.segments[i];

		for (at = 0; at < s->file_size && scanned < OBJECT_VERSION_SCAN_BYTES; at += n) {
			n = s->file_size - at < BLOCK_BYTES ? s->file_size - at : BLOCK_BYTES;
			n = pread(fd, block, n, s->file_offset + at);
			if (n <= 0)
				break;
			scan_block(block, n, object);
			scanned += n;
			if (n == BLOCK_BYTES)
				n -= OVERLAP_BYTES;
		}
	}
}

/* The Go linker puts it at the start of the first writable segment, or of its own section there. */
void object_find_go(int fd, struct object *object)
{
	static const char magic[] = "\xff Go buildinf:";
	_cleanup_free_ char *block = malloc(BLOCK_BYTES);
	ssize_t n;
	size_t i;

	for (i = 0; block && i < object->desc.segment_count && !object->desc.is_go; i++) {
		if (object->desc.segments[i].is_executable)
			continue;
		n = object->desc.segments[i].file_size < BLOCK_BYTES
			    ? object->desc.segments[i].file_size
			    : BLOCK_BYTES;
		n = pread(fd, block, n, object->desc.segments[i].file_offset);
		if (n > 0 && memmem(block, n, magic, sizeof(magic) - 1))
			object->desc.is_go = true;
	}
}
