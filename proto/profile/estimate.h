#pragma once
/* estimate: how far a figure of a sample (SnapshotHead.sample_bytes) may be off.
 *
 * Pure. A block of s bytes was recorded with p = 1 - exp(-s / R), and counts as s / p (Horvitz and
 * Thompson, 1952): sums y of these are unbiased, and v, the sum of (s / p)^2 (1 - p) over the same
 * recorded blocks, is an unbiased estimate of their variance.
 *
 * The interval is of 95 %: that of Fay and Feuer (Statistics in Medicine 16, 1997) for weighted
 * sums of Poisson counts, which gamma distributions with the mean and the variance of the sum
 * bound:
 *
 *	low  = v / 2y * chi2(0.025; 2 y^2 / v)
 *	high = v' / 2y' * chi2(0.975; 2 y'^2 / v'),  y' = y + w, v' = v + w^2
 *
 * w is the largest weight that one more recorded block could have added: R. (The part of a weight
 * that is uncertain, s / p sqrt(1 - p), is never more.) Unlike a normal interval it is right for
 * few blocks, too: of one small block it is 0.01 R to 5.6 R, of none 0 to 3.7 R. Quantiles are by
 * Wilson and Hilferty (1931): of 2 degrees of freedom, the fewest there are, 0.6 % too narrow above
 * and too wide below; of more, nearer.
 *
 * E1: low is no less than what the recorded blocks have themselves: these are there.
 *
 * E2: where nothing is uncertain (mappings, which are no part of the sample, and what was put
 * together with a sample, and is none) the figure is exact, and so is its interval. Of other
 * stacks, and of sums over them, v is never 0, though all that was recorded there be so large that
 * it always is: small blocks may have been beside them. Of a difference, which varies by more than
 * a sum of its size, the ends are those of a normal distribution.
 *
 * E3: figures whose variance is not told (of what was allocated since a mark, say), or is no number
 * that one can be (a file may say anything), have at most y * R, since s / p (1 - p) is never more
 * than R.
 *
 * E4: the peak is the highest of many estimates, and so is too high by chance where a heap lies
 * flat for long: by 2.2, 3.1 and 4.2 standard errors when it has been turned over 10, 50 and 1,000
 * times (tests/unit/daemon/account/test_sample.c); of a heap that grows, or has one summit, by
 * nothing. How long it lay is not known here, so that is not taken off, but the low end of the
 * interval allows for 3 more.
 *
 * E5: a sample may begin when all blocks have been recorded until then (SnapshotHead.steps). What
 * these have is no estimate: y and y' are without it, and both ends with it.
 */
#include "snapshot.h"

/* Square bytes; of total_bytes, where blocks may have been missed: E2. */
#define DHAT_VARIANCE_LEAST 1.0

enum dhat_estimated { DHAT_ESTIMATED_TOTAL, DHAT_ESTIMATED_PEAK, DHAT_ESTIMATED_LIVE };
#define DHAT_ESTIMATED_COUNT 3

struct dhat_evidence { /* sums over points: what their figures stand on; all 0: of no sample */
	uint64_t seen_bytes[DHAT_ESTIMATED_COUNT];
	uint64_t single_bytes[DHAT_ESTIMATED_COUNT]; /* of them: E5 */
	double variance[DHAT_ESTIMATED_COUNT];
};

struct dhat_interval {
	uint64_t low, high;
};

/* Keeps E3, of a figure that is `bytes`. */
double dhat_variance_told(double told, uint64_t sample_bytes, uint64_t bytes);

/* Of a snapshot that is no sample nothing is added. */
void dhat_evidence_add_point(struct dhat_evidence *sum, const Dhat__SnapshotHead *head,
			     const Dhat__ProgramPoint *point);
void dhat_evidence_add(struct dhat_evidence *sum, const struct dhat_evidence *part);
/* The sum is over more than the points that are known: others may have been missed. */
void dhat_evidence_add_missed(struct dhat_evidence *sum, uint64_t sample_bytes);
void dhat_evidence_of_totals(uint64_t sample_bytes, const Dhat__Totals *totals,
			     struct dhat_evidence *ret);

/* Of what is made of two: the greater one; 0: both are exact. */
uint64_t dhat_sample_bytes_of_both(const struct dhat_snapshot *a, const struct dhat_snapshot *b);

/* Of all its points: totals that were reduced by a filter have no evidence of their own. */
void dhat_evidence_of_snapshot(const struct dhat_snapshot *snapshot, struct dhat_evidence *ret);

/* E2: is nothing uncertain? So of a sample only. */
bool dhat_evidence_is_certain(const struct dhat_evidence *evidence);

/* Of one of the three figures, which is `bytes`. sample_bytes 0: it is exact. */
struct dhat_interval dhat_interval_of(uint64_t sample_bytes, const struct dhat_evidence *evidence,
				      enum dhat_estimated which, uint64_t bytes);
/* Of another figure of the same blocks, such as a part of what is live: E3. */
struct dhat_interval dhat_interval_of_part(uint64_t sample_bytes, uint64_t bytes);

/* Is there anything to be said of it? */
static inline bool dhat_interval_is_wide(const struct dhat_interval *interval)
{
	return interval->low != interval->high;
}
/* "610 MiB to 662 MiB" */
#define DHAT_INTERVAL_CHARS 80
const char *dhat_interval_text(const struct dhat_interval *interval,
			       char text[DHAT_INTERVAL_CHARS]);

/* What a stack of which nothing was recorded may have at most, at 95 %: exp(-3) is 0.05. */
uint64_t dhat_estimate_unseen(uint64_t sample_bytes);
