#pragma once
/* judgement: what becomes of assertions on a profile: which hold, and which stacks are why not.
 *
 * Pure. A profile that is not exact fails, whatever else holds, unless that is allowed: then its
 * figures are taken as they are. An assertion that needs names, for its pattern or for a filter, is
 * undecided where the profile or the baseline is redacted: that nothing matches there proves
 * nothing. So is one on what is lost, where nobody has looked, or where nothing may be called so;
 * and one on pages that were not counted; and one of a sample whose interval lies on both sides of
 * the limit (assertion.h, A2).
 */
#include "assertion.h"
#include "digest.h"

#define DHAT_JUDGEMENT_GUILTY 3

struct dhat_guilty {
	const struct dhat_digest_row *row; /* of the profile */
	uint64_t now, baseline;		   /* of the assertion's metric */
};

struct dhat_ruling {				/* on one assertion */
	const struct dhat_assertion *assertion; /* borrowed */
	bool holds;				/* false where it is undecided, too */
	bool is_undecided;
	char why[DHAT_HELD_CHARS]; /* where it is: a sentence */
	uint64_t now,
		baseline; /* the figure of all that matched; baseline: 0 where none is needed */
	/* where the two lie, if they are estimates */
	struct dhat_interval now_interval, baseline_interval;
	size_t match_count; /* rows of the profile; 0: the pattern may be a slip of the fingers */
	/* where it does not hold: most of it first, or what has grown most */
	struct dhat_guilty guilty[DHAT_JUDGEMENT_GUILTY];
	size_t guilty_count;
};

struct dhat_judgement {
	struct dhat_snapshot *snapshot; /* owned */
	struct dhat_digest *digest;
	struct dhat_ruling *rulings;
	size_t count;
	bool is_trusted;		      /* the verdict is one that was allowed */
	uint64_t hidden_bytes, hidden_stacks; /* live, of what the filter leaves out */
};

/* worst: the least trustworthy verdict that is allowed. baseline: NULL where no assertion needs
 * one. The snapshot is taken over, whether it succeeds or not; assertions have to outlive it. */
int dhat_judgement_new(struct dhat_snapshot *snapshot, struct dhat_filter *filter,
		       const struct dhat_assertion *assertions, size_t count,
		       const struct dhat_digest *baseline, enum dhat_verdict worst,
		       struct dhat_judgement **ret);
void dhat_judgement_free(struct dhat_judgement *judgement);
/* How many assertions do not hold, and of how many that is not known. */
size_t dhat_judgement_failures(const struct dhat_judgement *judgement);
size_t dhat_judgement_undecided(const struct dhat_judgement *judgement);
