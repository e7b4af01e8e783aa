#include "procmaps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "file.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

/* The largest maps file we take: 65,530 mappings (vm.max_map_count) of 4 KiB paths would be 260
 * MiB; a real line is about 100 bytes, and beyond this bound the target wants to hurt us. */
#define PROCMAPS_MAX_BYTES (64u << 20)

struct cursor {
	const char *at, *end;
};

static bool take_number(struct cursor *c, int base, char terminator, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p;
	int digit;

	for (p = c->at; p < c->end && *p != terminator; p++) {
		if (*p >= '0' && *p <= '9')
			digit = *p - '0';
		else if (*p >= 'a' && *p <= 'f')
			digit = *p - 'a' + 10;
		else
			return false;
		if (digit >= base || value > (UINT64_MAX - digit) / base)
			return false;
		value = value * base + digit;
	}
	if (p == c->at || p == c->end)
		return false;
	c->at = p + 1;
	*ret = value;
	return true;
}

static bool take_flag(struct cursor *c, char set, char clear, bool *ret)
{
	if (c->at == c->end || (*c->at != set && *c->at != clear))
		return false;
	*ret = *c->at++ == set;
	return true;
}

static bool take_flags(struct cursor *c, struct procmaps_entry *entry)
{
	return take_flag(c, 'r', '-', &entry->is_readable) &&
	       take_flag(c, 'w', '-', &entry->is_writable) &&
	       take_flag(c, 'x', '-', &entry->is_executable) &&
	       take_flag(c, 's', 'p', &entry->is_shared) && c->at < c->end && *c->at++ == ' ';
}

/* seq_path() of the kernel escapes a new line only, so a backslash of a name stays as it is, and
 * a name that really holds "\012" cannot be told from one with a new line. */
static char *unescape(const char *text, size_t size)
{
	char *path, *out;
	size_t i;

	path = out = malloc(size + 1);
	if (!path)
		return NULL;
	for (i = 0; i < size; i++) {
		if (size - i >= 4 && !memcmp(text + i, "\\012", 4)) {
			*out++ = '\n';
			i += 3;
		} else {
			*out++ = text[i];
		}
	}
	*out = '\0';
	return path;
}

static bool take_path(struct cursor *c, struct procmaps_entry *entry)
{
	static const char deleted[] = " (deleted)";
	size_t size, tail = sizeof(deleted) - 1;

	while (c->at < c->end && *c->at == ' ')
		c->at++;
	size = c->end - c->at;
	if (memchr(c->at, '\0', size))
		return false;
	entry->is_deleted = size > tail && !memcmp(c->end - tail, deleted, tail);
	if (entry->is_deleted)
		size -= tail;
	entry->path = unescape(c->at, size);
	return entry->path;
}

static int parse_line(struct cursor c, struct procmaps_entry *ret)
{
	struct procmaps_entry entry = { 0 };
	uint64_t major, minor;
	const char *p;

	if (!take_number(&c, 16, '-', &entry.start) || !take_number(&c, 16, ' ', &entry.end) ||
	    entry.end < entry.start || !take_flags(&c, &entry) ||
	    !take_number(&c, 16, ' ', &entry.file_offset) || !take_number(&c, 16, ':', &major) ||
	    !take_number(&c, 16, ' ', &minor) || major > UINT32_MAX || minor > UINT32_MAX)
		return -EINVAL;

	/* Without a path the line ends after the inode, with or without a space. */
	p = memchr(c.at, ' ', c.end - c.at);
	if (p) {
		if (!take_number(&c, 10, ' ', &entry.inode))
			return -EINVAL;
	} else {
		for (p = c.at; p < c.end; p++) {
			if (*p < '0' || *p > '9' || entry.inode > (UINT64_MAX - 9) / 10)
				return -EINVAL;
			entry.inode = entry.inode * 10 + (*p - '0');
		}
		if (c.at == c.end)
			return -EINVAL;
		c.at = c.end;
	}
	entry.dev_major = major;
	entry.dev_minor = minor;
	if (!take_path(&c, &entry))
		return memchr(c.at, '\0', c.end - c.at) ? -EINVAL : -ENOMEM;
	*ret = entry;
	return 0;
}

int procmaps_parse(const char *text, size_t size, struct procmaps *ret, size_t *ret_bad)
{
	const char *end = text + size, *line, *next;
	struct procmaps maps = { 0 };
	size_t capacity = 0, bad = 0;
	int r;

	for (line = text; line < end; line = next) {
		const char *stop = memchr(line, '\n', end - line);

		next = stop ? stop + 1 : end;
		if (!stop)
			stop = end;
		if (array_make_room(&maps.entries, &capacity, maps.count)) {
			procmaps_deinit(&maps);
			return -ENOMEM;
		}
		r = parse_line((struct cursor){ line, stop }, &maps.entries[maps.count]);
		if (r == -ENOMEM) {
			procmaps_deinit(&maps);
			return r;
		}
		if (r < 0)
			bad++;
		else
			maps.count++;
	}
	*ret = maps;
	if (ret_bad)
		*ret_bad = bad;
	return 0;
}

bool procmaps_is_same_file(const struct procmaps_entry *a, const struct procmaps_entry *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

static bool is_place(const struct procmaps_entry *entry, uint64_t file_offset)
{
	return entry->inode && !entry->is_shared && !entry->is_writable &&
	       file_offset >= entry->file_offset &&
	       file_offset - entry->file_offset < entry->end - entry->start;
}

bool procmaps_is_twice(const struct procmaps *maps, uint64_t file_offset)
{
	for (size_t i = 0; i < maps->count; i++)
		for (size_t j = i + 1; j < maps->count && is_place(&maps->entries[i], file_offset);
		     j++)
			if (is_place(&maps->entries[j], file_offset) &&
			    procmaps_is_same_file(&maps->entries[i], &maps->entries[j]))
				return true;
	return false;
}

const struct procmaps_entry *procmaps_find(const struct procmaps *maps, uint64_t addr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps->entries[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < maps->count && maps->entries[low].start <= addr ? &maps->entries[low] : NULL;
}

void procmaps_deinit(struct procmaps *maps)
{
	size_t i;

	for (i = 0; i < maps->count; i++)
		free(maps->entries[i].path);
	free(maps->entries);
	*maps = (struct procmaps){ 0 };
}

int procmaps_read(int pid, struct procmaps *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int error = proc_read(pid, "maps", &text, &size);

	/* A kernel thread has no mappings; neither has a process that is past its exit. */
	return error ? error : procmaps_parse(text, size, ret, NULL);
}
