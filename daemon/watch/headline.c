#include "headline.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/base/cleanup.h"
#include "proto/base/program.h"
#include "proto/base/units.h"
#include "proto/profile/rendering.h"

DEFINE_CLEANUP_PTR(struct dhat_rendering *, dhat_rendering_free)

/* The line of one's own code that keeps most; NULL: none does. What has no stack is no place. */
static const struct dhat_rendered_point *find_most(const struct dhat_rendering *by_line)
{
	const struct dhat_rendered_point *most = NULL;

	for (size_t i = 0; i < by_line->point_count; i++) {
		const struct dhat_rendered_point *point = by_line->points[i];

		if (!*point->part->label && point->live_bytes &&
		    (!most || point->live_bytes > most->live_bytes))
			most = point;
	}
	return most;
}

static void add_place(const struct dhat_snapshot *snapshot, char *ret, size_t size)
{
	_cleanup_(dhat_rendering_free_ptr) struct dhat_rendering *by_line = NULL;
	const struct dhat_table_options options = { .style = { .by = DHAT_BY_LINE } };
	const struct dhat_rendered_point *most;
	_cleanup_free_ char *name = NULL;
	char bytes[DHAT_UNIT_CHARS];
	uint64_t live = snapshot->end->totals->live_bytes;
	const char *place;

	if (dhat_table_new(snapshot, &options, &by_line))
		return;
	most = find_most(by_line);
	if (!most)
		return;
	dhat_table_line_split(by_line->lines[most->lines[0]], &name, &place);
	if (!name)
		return;
	snprintf(ret, size, "; %s of it, %.0f%%, from %.200s%s%.100s",
		 dhat_format_size(most->live_bytes, bytes),
		 100.0 * most->live_bytes / (live ? live : 1), name, place ? " at " : "",
		 place ? place : "");
}

void headline_of(const struct dhat_snapshot *snapshot, uint64_t rss_bytes, char ret[HEADLINE_CHARS])
{
	const Dhat__Target *target = snapshot->head->target;
	char name[DHAT_PROGRAM_CHARS], live[DHAT_UNIT_CHARS], resident[DHAT_UNIT_CHARS];
	char rss[DHAT_UNIT_CHARS + 16] = "", place[400] = "";

	if (rss_bytes)
		snprintf(rss, sizeof(rss), ", %s resident", dhat_format_size(rss_bytes, resident));
	add_place(snapshot, place, sizeof(place));
	snprintf(ret, HEADLINE_CHARS, "%s (pid %" PRIu32 "): %s live%s%s",
		 dhat_program_name(target->command, target->executable, name), target->pid,
		 dhat_format_size(snapshot->end->totals->live_bytes, live), rss, place);
}
