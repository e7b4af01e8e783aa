#include "suspicion.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include "view.h"

static uint64_t unix_ns(const struct dhat_snapshot *snapshot, uint64_t since_ns)
{
	return snapshot->head->target->observed_since_unix_ns + since_ns;
}

/* Of how many blocks one stays, about, in two digits; 0: not known. Those that live now and will be
 * freed are not among what has risen. */
static uint64_t one_in(const struct dhat_suspect *suspect)
{
	const struct dhat_rendered_point *point = suspect->point;
	uint64_t digits = 1, number;

	if (!suspect->suspicion.risen_bytes || !point->live_blocks)
		return 0;
	number = (uint64_t)((double)point->total_blocks * point->live_bytes /
			    ((double)suspect->suspicion.risen_bytes * point->live_blocks));
	while (number / digits >= 100)
		digits *= 10;
	return number / digits * digits;
}

/* What is freed of what grows, and what not. */
static void say_frees(const struct dhat_suspect *suspect, char *ret, size_t size)
{
	const struct dhat_rendered_point *point = suspect->point;
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	char age[DHAT_UNIT_CHARS];

	dhat_format_duration(point->longest_freed_us * 1000, age);
	if (suspicion->renews)
		snprintf(ret, size,
			 "as much from before the attach was freed: a cache that is renewed?");
	else if (suspicion->frees_none && suspicion->has_slowed)
		snprintf(ret, size, "slower and slower, none was freed: a cache that fills?");
	else if (suspicion->frees_none)
		snprintf(ret, size, "none of its %s was ever freed",
			 view_counted(point->live_blocks, "block"));
	else if (suspicion->has_slowed)
		snprintf(ret, size, "slower and slower, and blocks are freed: a cache that fills?");
	else if (!suspicion->frees_young)
		snprintf(ret, size, "blocks of up to %s are freed: load, or a cache that fills?",
			 age);
	else if (one_in(suspect) > 1)
		snprintf(ret, size, "nothing older than %s was freed: about 1 block in %s stays",
			 age, view_count(one_in(suspect)));
	else
		snprintf(ret, size, "nothing older than %s was freed", age);
}

static void say_early(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		      char *ret, size_t size)
{
	bool is_new = suspect->suspicion.since_ns == suspect->point->first_ns;

	if (!dhat_history_slots(snapshot)) {
		snprintf(ret, size, "not known: the profile has no history");
		return;
	}
	snprintf(ret, size, "%s since %s: too early to tell", is_new ? "there" : "has grown",
		 view_moment(unix_ns(snapshot, suspect->suspicion.since_ns)));
}

void suspicion_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		   char ret[SUSPICION_CHARS])
{
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	const struct dhat_rendered_point *point = suspect->point;
	const char *since = view_moment(unix_ns(snapshot, suspicion->since_ns));
	char text[DHAT_UNIT_CHARS], frees[SUSPICION_CHARS / 2];

	switch (suspicion->course) {
	case DHAT_LEAKS:
	case DHAT_GROWS:
		say_frees(suspect, frees, sizeof(frees));
		snprintf(ret, SUSPICION_CHARS, "grows %s a minute since %s; %s",
			 dhat_format_size((uint64_t)suspicion->growth, text), since, frees);
		break;
	case DHAT_EARLY:
		say_early(snapshot, suspect, ret, SUSPICION_CHARS);
		break;
	case DHAT_LEVEL:
		snprintf(ret, SUSPICION_CHARS, "level since %s", since);
		break;
	case DHAT_ONCE:
		snprintf(ret, SUSPICION_CHARS, "one-off: nothing allocated since %s", since);
		break;
	case DHAT_SWINGS:
		snprintf(ret, SUSPICION_CHARS, "goes up and down");
		break;
	case DHAT_PASSES:
		snprintf(ret, SUSPICION_CHARS, "nothing of it stays; live blocks are %s old",
			 dhat_format_duration(dhat_rendered_mean_age_us(point) * 1000, text));
		break;
	}
}

static size_t count_of(const struct dhat_suspects *suspects, enum dhat_course course)
{
	size_t count = 0;

	for (size_t i = 0; i < suspects->count; i++)
		count += suspects->list[i].suspicion.course == course;
	return count;
}

void suspicion_headline(const struct dhat_rendering *table, const struct dhat_suspects *suspects,
			char ret[SUSPICION_CHARS])
{
	const char *what = dhat_by_name(table->style.by);
	size_t leak = count_of(suspects, DHAT_LEAKS), grow = count_of(suspects, DHAT_GROWS);
	size_t early = count_of(suspects, DHAT_EARLY);

	if (!dhat_history_slots(table->snapshot))
		snprintf(ret, SUSPICION_CHARS,
			 "what grows cannot be told: the profile has no history");
	else if (leak && grow)
		snprintf(ret, SUSPICION_CHARS, "%s leak%s, %zu more may", view_counted(leak, what),
			 leak == 1 ? "s" : "", grow);
	else if (leak)
		snprintf(ret, SUSPICION_CHARS, "%s leak%s", view_counted(leak, what),
			 leak == 1 ? "s" : "");
	else if (grow)
		snprintf(ret, SUSPICION_CHARS, "%s grow%s, and may leak", view_counted(grow, what),
			 grow == 1 ? "s" : "");
	else if (early)
		snprintf(ret, SUSPICION_CHARS, "no %s leaks so far; of %zu it is too early to tell",
			 what, early);
	else
		snprintf(ret, SUSPICION_CHARS, "nothing leaks: no %s grows", what);
}

void suspicion_hint(struct screen *screen, const struct dhat_rendering *by_line)
{
	_cleanup_(dhat_suspects_deinit) struct dhat_suspects suspects = { 0 };
	char headline[SUSPICION_CHARS], text[SUSPICION_CHARS + 64];

	if (dhat_suspects_find(by_line, &suspects) < 0 || !suspects.suspect_count)
		return;
	suspicion_headline(by_line, &suspects, headline);
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
