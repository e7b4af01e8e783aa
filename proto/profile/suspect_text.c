#include "suspect_text.h"

#include <stdio.h>

#include "proto/base/units.h"

#define COUNTED_CHARS (DHAT_UNIT_CHARS + 16)
#define LOST_CHARS 128
#define COURSE_CHARS (DHAT_WHY_CHARS - LOST_CHARS)

/* "1 block", "4,866 blocks" */
static const char *counted(uint64_t number, const char *noun, char text[COUNTED_CHARS])
{
	char count[DHAT_UNIT_CHARS];

	snprintf(text, COUNTED_CHARS, "%s %s%s", dhat_format_count(number, count), noun,
		 number == 1 ? "" : "s");
	return text;
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
	char age[DHAT_UNIT_CHARS], blocks[COUNTED_CHARS];

	dhat_format_duration(point->longest_freed_us * 1000, age);
	if (suspicion->renews)
		snprintf(ret, size,
			 "as much from before the attach was freed: a cache that is renewed?");
	else if (suspicion->collector)
		snprintf(ret, size,
			 "none was freed: garbage that %s has not collected yet? Ask again later",
			 suspicion->collector);
	else if (suspicion->frees_none && suspicion->has_slowed)
		snprintf(ret, size, "slower and slower, none was freed: a cache that fills?");
	else if (suspicion->frees_none)
		snprintf(ret, size, "none of its %s was ever freed",
			 counted(point->live_blocks, "block", blocks));
	else if (suspicion->has_slowed)
		snprintf(ret, size, "slower and slower, and blocks are freed: a cache that fills?");
	else if (!suspicion->frees_young)
		snprintf(ret, size, "blocks of up to %s are freed: load, or a cache that fills?",
			 age);
	else if (one_in(suspect) > 1)
		snprintf(ret, size, "nothing older than %s was freed: about 1 block in %s stays",
			 age, dhat_format_count(one_in(suspect), blocks));
	else
		snprintf(ret, size, "nothing older than %s was freed", age);
}

static void say_early(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		      const char *since, char *ret, size_t size)
{
	bool is_new = suspect->suspicion.since_ns == suspect->point->first_ns;

	if (!dhat_history_slots(snapshot)) {
		snprintf(ret, size, "not known: the profile has no history");
		return;
	}
	snprintf(ret, size, "%s since %s: too early to tell", is_new ? "there" : "has grown",
		 since);
}

const char *dhat_suspect_word(const struct dhat_suspect *suspect, char ret[DHAT_WORD_CHARS])
{
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	const char *lost = suspicion->lost_blocks ? "lost" : "";

	if (suspicion->course <= DHAT_GROWS)
		snprintf(ret, DHAT_WORD_CHARS, "%s%s%s (%s confidence)", lost,
			 *lost ? ", and " : "", dhat_course_name(suspicion->course),
			 dhat_confidence_name(suspicion->confidence));
	else
		snprintf(ret, DHAT_WORD_CHARS, "%s", lost);
	return ret;
}

static void say_course(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		       const char *since, char ret[COURSE_CHARS])
{
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	const struct dhat_rendered_point *point = suspect->point;
	char text[DHAT_UNIT_CHARS], frees[COURSE_CHARS / 2];

	switch (suspicion->course) {
	case DHAT_LEAKS:
	case DHAT_GROWS:
		say_frees(suspect, frees, sizeof(frees));
		snprintf(ret, COURSE_CHARS, "grows %s a minute since %s; %s",
			 dhat_format_size((uint64_t)suspicion->growth, text), since, frees);
		break;
	case DHAT_EARLY:
		say_early(snapshot, suspect, since, ret, COURSE_CHARS);
		break;
	case DHAT_LEVEL:
		snprintf(ret, COURSE_CHARS, "level since %s", since);
		break;
	case DHAT_ONCE:
		snprintf(ret, COURSE_CHARS, "one-off: nothing allocated since %s", since);
		break;
	case DHAT_SWINGS:
		snprintf(ret, COURSE_CHARS, "goes up and down");
		break;
	case DHAT_PASSES:
		snprintf(ret, COURSE_CHARS, "nothing of it stays; live blocks are %s old",
			 dhat_format_duration(dhat_rendered_mean_age_us(point) * 1000, text));
		break;
	}
}

void dhat_suspect_why(const struct dhat_snapshot *snapshot, const struct dhat_suspect *suspect,
		      const char *since, char ret[DHAT_WHY_CHARS])
{
	const struct dhat_suspicion *suspicion = &suspect->suspicion;
	char size[DHAT_UNIT_CHARS], age[DHAT_UNIT_CHARS], blocks[COUNTED_CHARS];
	int used = 0;

	if (suspicion->lost_blocks)
		used = snprintf(ret, LOST_CHARS,
				"nothing in the process pointed to %s in %s %s ago; ",
				dhat_format_size(suspicion->lost_bytes, size),
				counted(suspicion->lost_blocks, "block", blocks),
				dhat_format_duration(dhat_held_age_ns(snapshot), age));
	say_course(snapshot, suspect, since, ret + used);
}

static size_t count_of(const struct dhat_suspects *suspects, enum dhat_course course)
{
	size_t count = 0;

	for (size_t i = 0; i < suspects->count; i++)
		count += suspects->list[i].suspicion.course == course;
	return count;
}

/* "2 lines have lost 397 KiB in 6,800 blocks"; returns how long that is. */
static int say_lost(const struct dhat_suspects *suspects, const char *what,
		    char ret[DHAT_WHY_CHARS])
{
	char lines[COUNTED_CHARS], size[DHAT_UNIT_CHARS], blocks[COUNTED_CHARS];
	uint64_t count = 0, lost_bytes = 0, lost_blocks = 0;

	for (size_t i = 0; i < suspects->count; i++) {
		count += suspects->list[i].suspicion.lost_blocks > 0;
		lost_bytes += suspects->list[i].suspicion.lost_bytes;
		lost_blocks += suspects->list[i].suspicion.lost_blocks;
	}
	if (!count)
		return 0;
	return snprintf(ret, DHAT_WHY_CHARS, "%s %s lost %s in %s", counted(count, what, lines),
			count == 1 ? "has" : "have", dhat_format_size(lost_bytes, size),
			counted(lost_blocks, "block", blocks));
}

static void say_courses(const struct dhat_rendering *table, const struct dhat_suspects *suspects,
			char ret[DHAT_WHY_CHARS])
{
	const char *what = dhat_by_name(table->style.by);
	size_t leak = count_of(suspects, DHAT_LEAKS), grow = count_of(suspects, DHAT_GROWS);
	size_t early = count_of(suspects, DHAT_EARLY);
	char count[COUNTED_CHARS];

	if (!dhat_history_slots(table->snapshot))
		snprintf(ret, DHAT_WHY_CHARS,
			 "what grows cannot be told: the profile has no history");
	else if (leak && grow)
		snprintf(ret, DHAT_WHY_CHARS, "%s leak%s, %zu more may", counted(leak, what, count),
			 leak == 1 ? "s" : "", grow);
	else if (leak)
		snprintf(ret, DHAT_WHY_CHARS, "%s leak%s", counted(leak, what, count),
			 leak == 1 ? "s" : "");
	else if (grow)
		snprintf(ret, DHAT_WHY_CHARS, "%s grow%s, and may leak", counted(grow, what, count),
			 grow == 1 ? "s" : "");
	else if (early)
		snprintf(ret, DHAT_WHY_CHARS, "no %s leaks so far; of %zu it is too early to tell",
			 what, early);
	else
		snprintf(ret, DHAT_WHY_CHARS, "nothing leaks: no %s grows", what);
}

void dhat_suspects_headline(const struct dhat_rendering *table,
			    const struct dhat_suspects *suspects, char ret[DHAT_WHY_CHARS])
{
	int used = say_lost(suspects, dhat_by_name(table->style.by), ret);
	char courses[DHAT_WHY_CHARS];

	say_courses(table, suspects, courses);
	if (!used)
		snprintf(ret, DHAT_WHY_CHARS, "%s", courses);
	else if (count_of(suspects, DHAT_LEAKS) || count_of(suspects, DHAT_GROWS))
		snprintf(ret + used, DHAT_WHY_CHARS - used, "; %s", courses);
	else
		snprintf(ret + used, DHAT_WHY_CHARS - used, "; none grows");
}
