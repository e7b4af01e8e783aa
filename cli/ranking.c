#include "ranking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ranking_parse_key(const char *text, enum ranking_key *ret)
{
	static const char *const names[] = { "live",   "total", "peak",	   "max",
					     "growth", "age",	"survival" };

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
	case RANK_BY_GROWTH:
		return point->growth >= 1 ? (uint64_t)point->growth : 0;
	case RANK_BY_TEMPORARY:
		return 0;
	case RANK_BY_BORN:
		return point->born.bytes;
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
	case RANK_BY_TEMPORARY:
		return point->temporary_blocks;
	case RANK_BY_BORN:
		return point->born.blocks;
	default:
		return point->live_blocks;
	}
}

double ranking_survival(const struct dhat_rendered_point *point)
{
	return point->total_blocks ? (double)point->live_blocks / point->total_blocks : 0;
}

/* What comes before the bytes; 0: nothing does. */
static double precedence(const struct dhat_rendered_point *point, enum ranking_key key)
{
	switch (key) {
	case RANK_BY_AGE:
		return dhat_rendered_mean_age_us(point);
	case RANK_BY_SURVIVAL:
		return ranking_survival(point);
	default:
		return 0;
	}
}

static bool is_ranked(const struct dhat_rendered_point *point, enum ranking_key key)
{
	return (key == RANK_BY_TEMPORARY ? point->temporary_blocks : ranking_bytes(point, key)) &&
	       !dhat_point_is_before(point->part);
}

/* qsort_r() is stable in glibc only while memory lasts: ties go to the line that came first. */
static int compare(const void *a_, const void *b_, void *key_)
{
	const struct dhat_rendered_point *a = *(struct dhat_rendered_point *const *)a_;
	const struct dhat_rendered_point *b = *(struct dhat_rendered_point *const *)b_;
	enum ranking_key key = *(enum ranking_key *)key_;
	uint64_t x = !dhat_point_is_before(a->part), y = !dhat_point_is_before(b->part);
	double first = precedence(a, key), other = precedence(b, key);

	if (x == y && first != other)
		return first > other ? -1 : 1;
	if (x == y) {
		x = ranking_bytes(a, key);
		y = ranking_bytes(b, key);
	}
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
	while (count < rendering->point_count && is_ranked(rendering->points[count], key))
		count++;
	return count;
}
