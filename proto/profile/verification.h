#pragma once
/* verification: what an earlier profile kept, judged on a later one: is it gone?
 *
 * Pure. Suspects are the rows of the earlier one that keep most, by the names of their own code, as
 * digest.h has them: neither lines nor addresses matter, so that the later profile may be of a
 * build in which it was mended. Blocks from before an attach are no suspects.
 *
 * V1: of one watch, of two whole runs (`dhatd run`, to the end), and of two watches that lasted
 * about as long (within a tenth), live bytes are compared. Of others live bytes and live bytes a
 * minute of the watch are, and SMALLER and WORSE are said only where both are: a leak keeps more
 * the longer it is watched, a cache that is full does not, and nobody can tell which of them a row
 * is. V2: SAME is what differs by the tolerance at most; and of
 * samples what may be no change (dhat_change_is_noise()), gone or not: a few recorded blocks of a
 * stack come and go by chance.
 */
#include "difference.h"
#include "filter.h"

enum dhat_fate { DHAT_GONE, DHAT_SMALLER, DHAT_SAME, DHAT_WORSE, DHAT_FATE_COUNT };

struct dhat_verified {
	struct dhat_change change; /* `before` is there */
	enum dhat_fate fate;
	bool is_exercised; /* the later watch has seen allocations there */
};

struct dhat_verification {
	const struct dhat_snapshot *before, *after; /* borrowed */
	struct dhat_rendering *before_table, *after_table;
	bool is_one_watch, is_by_rate;	/* V1 */
	struct dhat_verified *suspects; /* most live bytes before first */
	size_t count;
	size_t fates[DHAT_FATE_COUNT]; /* how many of each */
};

struct dhat_verify_options {
	size_t top; /* suspects at most */
	unsigned tolerance_percent;
};

/* "gone", "smaller", "same", "worse" */
const char *dhat_fate_word(enum dhat_fate fate);
/* The filter's figures are of the later one then. */
int dhat_verification_new(const struct dhat_snapshot *before, const struct dhat_snapshot *after,
			  struct dhat_filter *filter, const struct dhat_verify_options *options,
			  struct dhat_verification **ret);
void dhat_verification_free(struct dhat_verification *verification);
/* Bytes a minute of the watch that they are of; 0: it had no length. */
uint64_t dhat_live_rate(const struct dhat_snapshot *snapshot, uint64_t live_bytes);
