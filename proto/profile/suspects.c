#include "suspects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collected.h"
#include "verdict.h"

#define LAST_THIRD_LEAST 0.15
#define SECOND_HALF_LEAST 0.4
#define STEP_MOST 0.5
#define NOISE_TIMES 4
#define NOISE_TIMES_WITH_AGES 2
#define FALL_MOST 0.5
#define NEARLY_EACH_STEP 0.8
#define LEAST_OF_LIVE 0.1
#define DRIFT_TIMES 5
#define FALL_COUNTS 0.1 /* less of a rise is nothing */
#define LEVEL_WITHIN 0.05
#define LEVEL_DRIFT_TIMES 3
#define LEVEL_SLOTS 3
#define CERTAIN_NS 5000000000ull
#define COLLECTED_WITHIN_NS 600000000000ull
#define FREED_LEAST 10 /* one in so many */
#define ONCE_PART 8    /* of the row's time: within it all was allocated */

const char *dhat_course_name(enum dhat_course course)
{
	static const char *const names[] = { "leaks", "grows",	"too early", "level",
					     "once",  "swings", "passes" };

	return names[course];
}

const char *dhat_confidence_name(enum dhat_confidence confidence)
{
	static const char *const names[] = { "low", "medium", "high" };

	return names[confidence];
}

/* ---- the floor ----------------------------------------------------------------------------- */

struct course {
	const struct dhat_suspect_facts *facts;
	uint32_t first, count;		    /* slots from the one behind the first allocation on */
	uint64_t floor[DHAT_HISTORY_SLOTS]; /* never below it again */
	uint64_t fall;			    /* the most that lows have fallen by … */
	bool has_emptied;		    /* … and was that most of what there was? */
};

static void find_floor(const struct dhat_suspect_facts *facts, struct course *ret)
{
	uint64_t since_start =
		facts->first_ns > facts->start_ns ? facts->first_ns - facts->start_ns : 0;
	uint64_t first = since_start / facts->slot_ns + 1, most = 0;

	*ret = (struct course){ .facts = facts, .count = facts->slot_count };
	ret->first = first < facts->slot_count ? first : facts->slot_count;
	for (uint32_t i = ret->count; i-- > 0;) {
		ret->floor[i] = facts->lows[i];
		if (i + 1 < ret->count && ret->floor[i + 1] < ret->floor[i])
			ret->floor[i] = ret->floor[i + 1];
	}
	for (uint32_t i = ret->first; i < ret->count; i++) {
		if (facts->lows[i] > most)
			most = facts->lows[i];
		if (most - facts->lows[i] <= ret->fall)
			continue;
		ret->fall = most - facts->lows[i];
		ret->has_emptied = ret->fall > FALL_MOST * most;
	}
}

static uint64_t rise(const struct course *course, uint32_t from, uint32_t to)
{
	return course->floor[to] - course->floor[from];
}

/* Rule 1. The time is [from, count); it has steps from each slot to the next. */
static bool rises_in_each_third(const struct course *course, uint32_t from)
{
	uint32_t last = course->count - 1, steps = last - from;
	uint32_t a = from + steps / 3, b = last - steps / 3;

	return rise(course, from, a) && rise(course, a, b) &&
	       rise(course, b, last) >= LAST_THIRD_LEAST * rise(course, from, last);
}

/* Rules 2 and 5. */
static bool rises_by_steps(const struct course *course, uint32_t from)
{
	uint32_t last = course->count - 1, rising = 0;
	uint64_t whole = rise(course, from, last), most = 0;

	for (uint32_t i = from; i < last; i++) {
		uint64_t step = rise(course, i, i + 1);

		rising += step > 0;
		most = step > most ? step : most;
	}
	if (rising >= NEARLY_EACH_STEP * (last - from - 2) && !rise(course, last - 2, last))
		return false;
	return most <= STEP_MOST * whole;
}

/* Rule 3. */
static bool is_beyond_chance(const struct course *course, uint32_t from, double times)
{
	double distance = 0;

	for (uint32_t i = from; i < course->count; i++)
		distance += course->facts->lows[i] - course->floor[i];
	distance /= course->count - from;
	return rise(course, from, course->count - 1) >= times * distance;
}

/* Rule 6, of what grows in [from, count). */
static bool leaves_the_old(const struct course *course, uint32_t from)
{
	const struct dhat_suspect_facts *facts = course->facts;
	double time_us = (double)(course->count - from) * facts->slot_ns / 1000;

	return !facts->longest_freed_us || (facts->longest_freed_us <= time_us / 4 &&
					    facts->mean_age_us > facts->longest_freed_us);
}

/* Rule 4. */
static bool has_fallen(const struct course *course, uint64_t whole)
{
	return course->fall > FALL_MOST * whole ||
	       (course->has_emptied && course->fall > FALL_COUNTS * whole);
}

/* Is a change more than what blocks that come and go drift by: times * sqrt(blocks)? */
static bool is_beyond_drift(const struct dhat_suspect_facts *facts, uint64_t change, double times)
{
	double share = facts->live_bytes ? (double)change / facts->live_bytes : 0;

	return share * share * facts->live_blocks >= times * times;
}

static bool grows_since(const struct course *course, uint32_t from)
{
	uint64_t whole = rise(course, from, course->count - 1);
	bool has_ages = leaves_the_old(course, from);

	return whole && rises_in_each_third(course, from) && rises_by_steps(course, from) &&
	       is_beyond_chance(course, from, has_ages ? NOISE_TIMES_WITH_AGES : NOISE_TIMES) &&
	       !has_fallen(course, whole) &&
	       (has_ages || (whole >= LEAST_OF_LIVE * course->facts->live_bytes &&
			     is_beyond_drift(course->facts, whole, DRIFT_TIMES)));
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static uint64_t begin_of(const struct course *course, uint32_t slot)
{
	return course->facts->start_ns + slot * course->facts->slot_ns;
}

static void judge_growth(const struct course *course, uint32_t from, struct dhat_suspicion *ret)
{
	const struct dhat_suspect_facts *facts = course->facts;
	uint32_t last = course->count - 1, slots = course->count - from;
	/* of an odd number of steps the middle one is nobody's */
	double second = (double)rise(course, last - (last - from) / 2, last);
	double first = (double)rise(course, from, from + (last - from) / 2);

	ret->has_slowed = second < SECOND_HALF_LEAST * (first + second);
	ret->frees_young = leaves_the_old(course, from);
	ret->course = ret->frees_young && !ret->has_slowed ? DHAT_LEAKS : DHAT_GROWS;
	if (ret->course == DHAT_LEAKS && slots > DHAT_SUSPECT_SLOTS &&
	    slots >= CERTAIN_NS / facts->slot_ns)
		ret->confidence = DHAT_HIGH;
	else
		ret->confidence = ret->has_slowed ? DHAT_LOW : DHAT_MEDIUM;
	/* of a row that has grown since its beginning that is what a person knows */
	ret->since_ns = from == course->first ? facts->first_ns : begin_of(course, from);
	ret->from = from;
	ret->risen_bytes = rise(course, from, last);
	ret->growth = dhat_history_slope(facts->lows, from, course->count, facts->slot_ns);
}

/* Is a low about what it is now? */
static bool is_level(const struct course *course, uint32_t slot)
{
	const uint64_t *lows = course->facts->lows;
	uint64_t now = lows[course->count - 1], then = lows[slot];
	uint64_t change = now > then ? now - then : then - now;

	return change <= LEVEL_WITHIN * now ||
	       !is_beyond_drift(course->facts, change, LEVEL_DRIFT_TIMES);
}

/* The first slot from which on lows stay where they are now. */
static uint32_t level_from(const struct course *course)
{
	uint32_t from = course->count - 1;

	while (from > course->first && is_level(course, from - 1))
		from--;
	return from;
}

static bool is_once(const struct dhat_suspect_facts *facts)
{
	return facts->end_ns > facts->last_ns &&
	       facts->last_ns - facts->first_ns <= (facts->end_ns - facts->first_ns) / ONCE_PART;
}

static void judge_rest(const struct course *course, struct dhat_suspicion *ret)
{
	const struct dhat_suspect_facts *facts = course->facts;
	uint32_t level = level_from(course);
	uint64_t low = facts->lows[course->count - 1];

	if (!low) {
		ret->course = DHAT_PASSES;
	} else if (course->count - course->first < DHAT_SUSPECT_SLOTS && !is_once(facts)) {
		ret->course = DHAT_EARLY;
		ret->since_ns = facts->first_ns;
	} else if (is_once(facts)) {
		ret->course = DHAT_ONCE;
		ret->since_ns = facts->last_ns;
	} else if (course->count - level >= LEVEL_SLOTS) {
		ret->course = DHAT_LEVEL;
		ret->since_ns = begin_of(course, level);
	} else if (course->fall > FALL_MOST * low) {
		ret->course = DHAT_SWINGS;
	} else {
		ret->course = DHAT_EARLY;
		ret->since_ns = begin_of(course, level > course->first ? level - 1 : level);
	}
}

void dhat_suspect_judge(const struct dhat_suspect_facts *facts, struct dhat_suspicion *ret)
{
	struct course course;

	*ret = (struct dhat_suspicion){ .course = DHAT_EARLY,
					.since_ns = facts->first_ns,
					.frees_none = !facts->longest_freed_us };
	if (!facts->slot_count || !facts->slot_ns)
		return;
	find_floor(facts, &course);
	for (uint32_t from = course.first; from + DHAT_SUSPECT_SLOTS <= course.count; from++) {
		if (grows_since(&course, from)) {
			judge_growth(&course, from, ret);
			return;
		}
	}
	judge_rest(&course, ret);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Does the program free at all? */
static bool has_freed(const struct dhat_snapshot *snapshot)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	Dhat__ProgramPoint before;
	uint64_t live;

	dhat_snapshot_before(snapshot, &before);
	live = totals->live_blocks - before.live_blocks;
	return totals->total_blocks > live &&
	       totals->total_blocks - live >= totals->total_blocks / FREED_LEAST;
}

/* Rule 10. */
static void doubt_garbage(const struct dhat_snapshot *snapshot,
			  const struct dhat_rendered_point *point, struct dhat_suspicion *suspicion)
{
	const char *collector =
		suspicion->course <= DHAT_GROWS ? dhat_collector_of(snapshot, point->part) : NULL;

	if (!collector)
		return;
	if (suspicion->confidence > DHAT_MEDIUM)
		suspicion->confidence = DHAT_MEDIUM;
	if (!suspicion->frees_none ||
	    snapshot->end->totals->end_ns - suspicion->since_ns >= COLLECTED_WITHIN_NS)
		return;
	suspicion->course = DHAT_GROWS;
	suspicion->confidence = DHAT_LOW;
	suspicion->collector = collector;
}

/* A few blocks of a sample come and go by chance: below some ten what is live may be half of it. */
static bool has_few_samples(const struct dhat_snapshot *snapshot,
			    const struct dhat_rendered_point *point)
{
	struct dhat_interval live = dhat_interval_of(snapshot->head->sample_bytes, &point->evidence,
						     DHAT_ESTIMATED_LIVE, point->live_bytes);

	return live.low < point->live_bytes / 2;
}

static void judge_point(const struct dhat_rendering *table, const struct dhat_rendered_point *point,
			struct dhat_suspicion *ret)
{
	const struct dhat_snapshot *snapshot = table->snapshot;
	const struct dhat_suspect_facts facts = {
		.lows = point->lows,
		.slot_count = dhat_history_slots(snapshot),
		.start_ns = dhat_history_slot_begin(snapshot, 0),
		.slot_ns = snapshot->end->history ? snapshot->end->history->slot_ns : 0,
		.end_ns = snapshot->end->totals->end_ns,
		.live_bytes = point->live_bytes,
		.live_blocks = point->live_blocks,
		.first_ns = point->first_ns,
		.last_ns = point->last_ns,
		.longest_freed_us = point->longest_freed_us,
		.mean_age_us = dhat_rendered_mean_age_us(point),
	};
	bool is_doubtful;

	dhat_suspect_judge(&facts, ret);
	is_doubtful =
		dhat_verdict_of(snapshot->end->verdict) >= DHAT_INEXACT ||
		has_few_samples(snapshot, point) ||
		(ret->frees_none && (snapshot->head->target->from_start || !has_freed(snapshot)));
	if (is_doubtful && ret->confidence > DHAT_MEDIUM)
		ret->confidence = DHAT_MEDIUM;
	doubt_garbage(snapshot, point, ret);
}

/* ---- what was there before ----------------------------------------------------------------- */

#define MORE_THAN_WHOLE 1.25
#define RENEWED_LEAST 0.5
#define RENEWED_MOST 5

struct whole { /* of the heap */
	uint64_t lows[DHAT_HISTORY_SLOTS], before[DHAT_HISTORY_SLOTS];
	double freed_unknown; /* bytes of blocks from before that were in no inventory */
	uint32_t last;
};

static void sum_up(const struct dhat_snapshot *snapshot, struct whole *ret)
{
	const Dhat__Totals *totals = snapshot->end->totals;

	*ret = (struct whole){ .freed_unknown = (double)totals->freed_before_bytes };
	if (!totals->freed_before_bytes && totals->live_blocks) /* not every allocator tells */
		ret->freed_unknown = (double)totals->freed_before_blocks * totals->live_bytes /
				     totals->live_blocks;
	for (size_t i = 0; i < snapshot->point_count; i++) {
		dhat_history_add(snapshot, snapshot->points[i], ret->lows);
		if (dhat_point_is_before(snapshot->points[i]))
			dhat_history_add(snapshot, snapshot->points[i], ret->before);
	}
	if (dhat_history_slots(snapshot))
		ret->last = dhat_history_slots(snapshot) - 1;
}

/* What of the blocks from before was freed since a slot. */
static double freed_of_before(const struct whole *whole, uint32_t from)
{
	return (double)whole->before[from] - (double)whole->before[whole->last] +
	       whole->freed_unknown;
}

/* By how much all of the heap has grown since; below 0: it has shrunk. */
static double growth_of_all(const struct whole *whole, uint32_t from)
{
	return (double)whole->lows[whole->last] - (double)whole->lows[from] - whole->freed_unknown;
}

/* Rule 8. */
static void find_renewed(const struct whole *whole, struct dhat_suspects *suspects)
{
	for (size_t i = 0; i < suspects->count; i++) {
		struct dhat_suspicion *suspicion = &suspects->list[i].suspicion;
		double risen = (double)suspicion->risen_bytes;
		double freed = freed_of_before(whole, suspicion->from);

		if (suspicion->course > DHAT_GROWS ||
		    risen <= MORE_THAN_WHOLE * growth_of_all(whole, suspicion->from) ||
		    freed < RENEWED_LEAST * risen || freed > RENEWED_MOST * risen)
			continue;
		suspicion->course = DHAT_GROWS;
		suspicion->confidence = DHAT_LOW;
		suspicion->renews = true;
	}
}

/* Rule 9. */
static void doubt_the_rest(const struct whole *whole, struct dhat_suspects *suspects)
{
	double sum = 0;

	for (size_t i = 0; i < suspects->count; i++)
		if (suspects->list[i].suspicion.course == DHAT_LEAKS)
			sum += suspects->list[i].suspicion.risen_bytes;
	for (size_t i = 0; i < suspects->count; i++) {
		struct dhat_suspicion *suspicion = &suspects->list[i].suspicion;

		if (suspicion->course == DHAT_LEAKS && suspicion->confidence > DHAT_MEDIUM &&
		    sum > MORE_THAN_WHOLE * growth_of_all(whole, suspicion->from) &&
		    freed_of_before(whole, suspicion->from) >=
			    RENEWED_LEAST * suspicion->risen_bytes)
			suspicion->confidence = DHAT_MEDIUM;
	}
}

/* ---- all ----------------------------------------------------------------------------------- */

/* Ties as they came: names do not move between two calls. */
static int compare(const void *a_, const void *b_)
{
	const struct dhat_suspect *a = a_, *b = b_;
	const struct dhat_suspicion *x = &a->suspicion, *y = &b->suspicion;

	if (x->lost_bytes != y->lost_bytes)
		return x->lost_bytes > y->lost_bytes ? -1 : 1;
	if (x->course != y->course)
		return x->course < y->course ? -1 : 1;
	if (x->confidence != y->confidence)
		return x->confidence > y->confidence ? -1 : 1;
	if (x->growth > y->growth || x->growth < y->growth)
		return x->growth > y->growth ? -1 : 1;
	if (a->point->live_bytes != b->point->live_bytes)
		return a->point->live_bytes > b->point->live_bytes ? -1 : 1;
	return a->point->lines[0] < b->point->lines[0] ? -1
						       : a->point->lines[0] > b->point->lines[0];
}

int dhat_suspects_find(const struct dhat_rendering *table, struct dhat_suspects *ret)
{
	struct whole whole;

	*ret = (struct dhat_suspects){ 0 };
	ret->list = calloc(table->point_count + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; i < table->point_count; i++) {
		struct dhat_suspect *suspect = &ret->list[ret->count];
		const struct dhat_rendered_point *point = table->points[i];

		if (dhat_point_is_before(point->part) || !point->live_blocks)
			continue;
		suspect->point = point;
		judge_point(table, point, &suspect->suspicion);
		suspect->suspicion.lost_bytes = point->held.lost_bytes;
		suspect->suspicion.lost_blocks = point->held.lost_blocks;
		ret->suspect_count +=
			suspect->suspicion.course <= DHAT_GROWS || suspect->suspicion.lost_blocks;
		ret->count++;
	}
	sum_up(table->snapshot, &whole);
	find_renewed(&whole, ret);
	doubt_the_rest(&whole, ret);

	qsort(ret->list, ret->count, sizeof(*ret->list), compare);
	return 0;
}

void dhat_suspects_deinit(struct dhat_suspects *suspects)
{
	free(suspects->list);
	*suspects = (struct dhat_suspects){ 0 };
}
