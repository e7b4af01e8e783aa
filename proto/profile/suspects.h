#pragma once
/* suspects: which rows of a table leak, and which are caches, starts, or load. Pure.
 *
 * What is judged is a row's floor: of its lows (history.h) those that it never went below again.
 * What goes up and down has a floor that is level; of a leak it rises all the time. The rules are
 * free of scale: times are compared with the length of the watch, bytes with the row's own.
 *
 * A row grows if there is a time, until now, of DHAT_SUSPECT_SLOTS slots at least, in which
 *   1. the floor rises in each third, in the last one by 15 % of the whole at least (33 if evenly);
 *   2. no single step is more than half of it: a table that was made larger is no leak;
 *   3. it rises by more than chance: 4 times the lows' mean distance from it (2 times, if 5);
 *   4. it has not fallen before by half as much, nor to less than half of what it was: jobs in
 *      batches, loads by the hour;
 *   5. it has not just stopped: where nearly each step rises, the last two are not both level.
 * The longest such time counts. A row that grows leaks if
 *   6. none of its blocks was ever freed, or none that was older than a quarter of that time, while
 *      those that live are older on average than any that was freed: there are some that nobody
 *      comes back for;
 *   7. the second half has 40 % of the rise: a cache that fills meets what it has more and more.
 * Else it may be a cache that fills, or load; where blocks are freed at any age (not 6), it also
 * has to have grown by a tenth of what is live, and by 5 times the square root of how many blocks
 * are: where blocks come and go, that is how their number drifts by itself (Poisson).
 * After an attach a cache that is full is renewed: its new blocks stay, and those that it gives up
 * are from before, and of nobody's row. So of all rows together:
 *   8. a row that has grown by a quarter more than the whole heap, from before included, while of
 *      what was there before half to five times as much was freed, grows only instead of that;
 *      (what is small beside what was freed is lost in that difference);
 *   9. where the rest of what leaks comes to more than that in sum, which of it does is not sure.
 * Where a garbage collector frees (collected.h), what none was freed of may be garbage that it has
 * not come to:
 *  10. within ten minutes such a row grows only.
 * What cannot be told apart: a cache that fills evenly and has freed nothing yet is a leak until it
 * is full; then it is level, at a fifth of the watch later at the latest.
 *
 * Whatever it does, a row with blocks that nothing in the process points to (held.h) is suspected,
 * and comes first: that was looked at, and is no guess from a course. The numbers are those at
 * which the programs of tests/unit/daemon/account/test_courses.c, run through the real heap for 0.8
 * s to a week, are told apart. With ten times its seeds: of 18,000 runs without a leak none was
 * taken for one, and of 2,000 steady populations 11 for something that grows; of 5,200 with a
 * leak 98.6 % were named so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rendering.h"

#define DHAT_SUSPECT_SLOTS 6

/* In the order of a ranking. */
enum dhat_course {
	DHAT_LEAKS,  /* grows, and what is old is never freed */
	DHAT_GROWS,  /* grows, and may be a cache that fills, or load */
	DHAT_EARLY,  /* too new, or has begun to grow too lately, to tell */
	DHAT_LEVEL,  /* has grown, and does not any more */
	DHAT_ONCE,   /* allocated at once, and kept */
	DHAT_SWINGS, /* goes up and down */
	DHAT_PASSES, /* nothing of it stays */
};
const char *dhat_course_name(enum dhat_course course); /* "leaks", "grows", … */

enum dhat_confidence { DHAT_LOW, DHAT_MEDIUM, DHAT_HIGH };
const char *dhat_confidence_name(enum dhat_confidence confidence); /* "low", … */

struct dhat_suspect_facts { /* times are since the observation began */
	const uint64_t *lows;
	uint32_t slot_count; /* the last one is not over; 0: no history: nothing can be told */
	uint64_t start_ns, slot_ns, end_ns;
	uint64_t live_bytes, live_blocks;
	uint64_t first_ns, last_ns;
	uint64_t longest_freed_us; /* 0: none was */
	uint64_t mean_age_us;	   /* of the live ones */
};

struct dhat_suspicion {
	enum dhat_course course;
	enum dhat_confidence confidence;  /* of what grows; else DHAT_LOW */
	bool has_slowed;		  /* GROWS: not 7 */
	bool frees_none;		  /* no block was ever freed */
	bool frees_young;		  /* 6 holds */
	bool renews;			  /* GROWS: 8 */
	const char *collector;		  /* GROWS: 10, whose; NULL: not */
	uint32_t from;			  /* LEAKS, GROWS: the slot of since_ns */
	uint64_t since_ns;		  /* LEAKS, GROWS, EARLY: grows since; LEVEL: level since */
	double growth;			  /* bytes a minute since then; else 0, as is the next */
	uint64_t risen_bytes;		  /* what has come to stay since then */
	uint64_t lost_bytes, lost_blocks; /* as of the last scan; 0: none, or there was none */
};
void dhat_suspect_judge(const struct dhat_suspect_facts *facts, struct dhat_suspicion *ret);

struct dhat_suspect {
	const struct dhat_rendered_point *point; /* borrowed */
	struct dhat_suspicion suspicion;
};
struct dhat_suspects {
	/* what is lost first, by its bytes; then leaks, by growth; what does not grow by live bytes
	 */
	struct dhat_suspect *list;
	size_t count;
	size_t suspect_count; /* of these at the beginning have something lost, leak or grow */
};
/* All rows but what was there before the attach, and those of which nothing is live. Confidence is
 * high only of what has grown for 5 seconds, and in more than DHAT_SUSPECT_SLOTS. It is medium at
 * most where numbers are inexact, for frees may be missing; where a garbage collector frees; and,
 * of what was never freed, in a program that is watched from its start, which may still be loading,
 * or that has freed less than a tenth of its blocks so far: it may do so by and by, or all at once.
 * -ENOMEM. */
int dhat_suspects_find(const struct dhat_rendering *table, struct dhat_suspects *ret);
void dhat_suspects_deinit(struct dhat_suspects *suspects);
