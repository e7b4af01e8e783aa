#include "smaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"

static int add_entry(struct smaps *smaps, size_t *room, const struct smaps_entry *entry)
{
	if (array_make_room(&smaps->entries, room, smaps->count))
		return -ENOMEM;
	smaps->entries[smaps->count++] = *entry;
	return 0;
}

/* "7f0000000000-7f0000001000 r-xp 00000000 fe:00 123   /path": the first line of a mapping. */
static bool parse_mapping(const char *line, struct smaps_entry *ret)
{
	struct smaps_entry entry = { 0 };
	uint64_t inode;
	char mode[5];
	int rest = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64 " %n", &entry.start,
		   &entry.end, mode, &inode, &rest) != 4 ||
	    entry.end <= entry.start || strlen(mode) != 4)
		return false;
	entry.is_file = inode != 0;
	entry.is_executable = mode[2] == 'x';
	entry.is_shared = mode[3] == 's';
	if (!entry.is_file && line[rest] == '[')
		snprintf(entry.name, sizeof(entry.name), "%.*s", (int)strcspn(line + rest, "\n"),
			 line + rest);
	*ret = entry;
	return true;
}

/* "Rss:                4 kB" */
static bool parse_field(const char *line, const char *name, uint64_t *ret)
{
	size_t length = strlen(name);
	uint64_t kilobytes;

	if (strncmp(line, name, length) ||
	    sscanf(line + length, " %" SCNu64 " kB", &kilobytes) != 1)
		return false;
	*ret = kilobytes * 1024;
	return true;
}

/* "VmFlags: rd wr mr mw me ac sd" */
static void parse_flags(const char *line, unsigned *ret)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = {
		{ " io", SMAPS_DEVICE },    { " pf", SMAPS_DEVICE },	{ " um", SMAPS_USERFAULT },
		{ " uw", SMAPS_USERFAULT }, { " ui", SMAPS_USERFAULT }, { " mt", SMAPS_TAGGED },
	};

	if (strncmp(line, "VmFlags:", 8))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(line, words[i].word))
			*ret |= words[i].flag;
}

int smaps_parse(FILE *file, struct smaps *ret)
{
	_cleanup_free_ char *line = NULL;
	struct smaps smaps = { 0 };
	struct smaps_entry entry;
	size_t size = 0, room = 0;
	int r = 0;

	while (r == 0 && getline(&line, &size, file) > 0) {
		struct smaps_entry *last = smaps.count ? &smaps.entries[smaps.count - 1] : NULL;

		if (parse_mapping(line, &entry))
			r = add_entry(&smaps, &room, &entry);
		else if (!last)
			r = -EBADMSG;
		else if (!parse_field(line, "Rss:", &last->rss_bytes) &&
			 !parse_field(line, "Anonymous:", &last->anonymous_bytes) &&
			 !parse_field(line, "Swap:", &last->swap_bytes))
			parse_flags(line, &last->flags);
	}
	if (r < 0) {
		smaps_deinit(&smaps);
		return r;
	}
	*ret = smaps;
	return 0;
}

void smaps_deinit(struct smaps *smaps)
{
	free(smaps->entries);
	*smaps = (struct smaps){ 0 };
}

size_t smaps_find(const struct smaps *smaps, uint64_t addr)
{
	size_t low = 0, high = smaps->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (smaps->entries[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < smaps->count && smaps->entries[low].start <= addr ? low : smaps->count;
}
