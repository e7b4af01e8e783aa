#include "ranking.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ranking_parse_key(const char *text, enum ranking_key *ret)
{
	static const char *const names[] = { "live", "total", "peak", "max" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

uint64_t ranking_bytes(const struct dhat_rendered_point *point, enum ranking_key key)
{
	switch (key) {
	case RANK_BY_TOTAL:
		return point->total_bytes;
	case RANK_BY_PEAK:
		return point->peak_bytes;
	case RANK_BY_MAX:
		return point->max_bytes;
	default:
		return point->live_bytes;
	}
}

uint64_t ranking_blocks(const struct dhat_rendered_point *point, enum ranking_key key)
{
	switch (key) {
	case RANK_BY_TOTAL:
		return point->total_blocks;
	case RANK_BY_PEAK:
		return point->peak_blocks;
	case RANK_BY_MAX:
		return point->max_blocks;
	default:
		return point->live_blocks;
	}
}

/* qsort_r() is stable in glibc only while memory lasts: ties go to the line that came first. */
static int compare(const void *a_, const void *b_, void *key_)
{
	const struct dhat_rendered_point *a = *(struct dhat_rendered_point *const *)a_;
	const struct dhat_rendered_point *b = *(struct dhat_rendered_point *const *)b_;
	enum ranking_key key = *(enum ranking_key *)key_;
	uint64_t x = ranking_bytes(a, key), y = ranking_bytes(b, key);

	if (x == y) {
		x = ranking_blocks(a, key);
		y = ranking_blocks(b, key);
	}
	if (x == y) {
		x = b->lines[0];
		y = a->lines[0];
	}
	return x > y ? -1 : x < y;
}

size_t ranking_sort(struct dhat_rendering *rendering, enum ranking_key key)
{
	size_t count = 0;

	qsort_r(rendering->points, rendering->point_count, sizeof(*rendering->points), compare,
		&key);
	while (count < rendering->point_count && ranking_bytes(rendering->points[count], key))
		count++;
	return count;
}

/* The last `count` components of a path. */
static const char *path_tail(const char *path, int count)
{
	const char *tail = path + strlen(path);

	while (tail > path) {
		if (tail[-1] == '/' && --count == 0)
			break;
		tail--;
	}
	return tail;
}

char *ranking_line(const Dhat__Frame *frame, const Dhat__Location *location)
{
	const char *function = location && *location->function ? location->function : "???";
	char *line;
	int n;

	if (location && *location->file && location->line)
		n = asprintf(&line, "%" PRIx64 "\t%s\t%s:%u", frame->address, function,
			     path_tail(location->file, 2), location->line);
	else if (*frame->object)
		n = asprintf(&line, "%" PRIx64 "\t%s\t%s+0x%" PRIx64, frame->address, function,
			     path_tail(frame->object, 1), frame->object_vaddr);
	else
		n = asprintf(&line, "%" PRIx64 "\t%s\t0x%" PRIx64 ", in no file", frame->address,
			     function, frame->address);
	return n < 0 ? NULL : line;
}

void ranking_split_line(const char *line, char **ret_function, const char **ret_place)
{
	const char *function = strchr(line, '\t'), *place = NULL;

	if (function)
		place = strchr(++function, '\t');
	*ret_function = place ? strndup(function, place - function) : strdup(line);
	*ret_place = place ? place + 1 : NULL;
}
