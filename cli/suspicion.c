#include "suspicion.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include "view.h"

static uint64_t unix_ns(const struct dhat_snapshot *snapshot, uint64_t since_ns)
{
	return snapshot->head->target->observed_since_unix_ns + since_ns;
}

void suspicion_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		   char ret[SUSPICION_CHARS])
{
	dhat_suspect_why(snapshot, suspect,
			 view_moment(unix_ns(snapshot, suspect->suspicion.since_ns)), ret);
}

void suspicion_hint(struct screen *screen, const struct dhat_rendering *by_line)
{
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	char headline[SUSPICION_CHARS], text[SUSPICION_CHARS + 64];

	if (dhat_suspects_find(by_line, &suspects) < 0 || !suspects.suspect_count)
		return;
	dhat_suspects_headline(by_line, &suspects, headline);
	snprintf(text, sizeof(text), "%s: `dhatctl suspects' says since when, and why", headline);
	fputs("\nHint: ", screen->file);
	screen_paragraph(screen, 6, text);
}

struct json_object *suspicion_as_json(const struct dhat_snapshot *snapshot,
				      const struct dhat_suspect *suspect)
{
	const struct dhat_rendered_point *point = suspect->point;
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	bool is_suspect = suspicion->course <= DHAT_GROWS;
	struct json_object *object = json_object_new_object();
	char why[SUSPICION_CHARS];
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "growth_bytes_per_minute", (uint64_t)suspicion->growth },
		{ "since_unix_ns", unix_ns(snapshot, suspicion->since_ns) },
		{ "risen_bytes", suspicion->risen_bytes },
		{ "live_bytes", point->live_bytes },
		{ "live_blocks", point->live_blocks },
		{ "total_blocks", point->total_blocks },
		{ "longest_freed_us", point->longest_freed_us },
		{ "stacks", point->part_count },
		{ "lost_bytes", suspicion->lost_bytes },
		{ "lost_blocks", suspicion->lost_blocks },
	};

	suspicion_why(snapshot, suspect, why);
	json_object_object_add(object, "course",
			       json_object_new_string(dhat_course_name(suspicion->course)));
	json_object_object_add(
		object, "confidence",
		json_object_new_string(is_suspect ? dhat_confidence_name(suspicion->confidence)
						  : ""));
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_object_add(object, figures[i].name,
				       json_object_new_uint64(figures[i].value));
	json_object_object_add(object, "why", json_object_new_string(why));
	return object;
}
