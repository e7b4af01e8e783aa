#include "estimate.h"

#include <math.h>
#include <stdio.h>

#include "proto/base/units.h"

/* 97.5 % of a normal distribution lie below it. */
#define NORMAL 1.959964
#define PEAK_ALLOWANCE 3.0 /* standard errors */

static bool is_sample(const Dhat__SnapshotHead *head)
{
	return head->sample_bytes != 0;
}

double dhat_variance_told(double told, uint64_t sample_bytes, uint64_t bytes)
{
	return isfinite(told) && told >= 0 ? told : (double)bytes * (double)sample_bytes;
}

static void add_message(struct dhat_evidence *sum, uint64_t sample_bytes,
			const Dhat__Sampled *sampled, uint64_t total, uint64_t peak, uint64_t live)
{
	sum->seen_bytes[DHAT_ESTIMATED_TOTAL] += sampled->total_bytes;
	sum->seen_bytes[DHAT_ESTIMATED_PEAK] += sampled->peak_bytes;
	sum->seen_bytes[DHAT_ESTIMATED_LIVE] += sampled->live_bytes;
	sum->single_bytes[DHAT_ESTIMATED_TOTAL] += sampled->total_single;
	sum->single_bytes[DHAT_ESTIMATED_PEAK] += sampled->peak_single;
	sum->single_bytes[DHAT_ESTIMATED_LIVE] += sampled->live_single;
	sum->variance[DHAT_ESTIMATED_TOTAL] +=
		dhat_variance_told(sampled->total_variance, sample_bytes, total);
	sum->variance[DHAT_ESTIMATED_PEAK] +=
		dhat_variance_told(sampled->peak_variance, sample_bytes, peak);
	sum->variance[DHAT_ESTIMATED_LIVE] +=
		dhat_variance_told(sampled->live_variance, sample_bytes, live);
}

/* Keeps E3. */
static void add_unknown(struct dhat_evidence *sum, uint64_t sample_bytes, uint64_t total,
			uint64_t peak, uint64_t live)
{
	sum->variance[DHAT_ESTIMATED_TOTAL] += (double)total * (double)sample_bytes;
	sum->variance[DHAT_ESTIMATED_PEAK] += (double)peak * (double)sample_bytes;
	sum->variance[DHAT_ESTIMATED_LIVE] += (double)live * (double)sample_bytes;
}

void dhat_evidence_add_point(struct dhat_evidence *sum, const Dhat__SnapshotHead *head,
			     const Dhat__ProgramPoint *point)
{
	if (!is_sample(head))
		return;
	if (point->sampled)
		add_message(sum, head->sample_bytes, point->sampled, point->total_bytes,
			    point->peak_bytes, point->live_bytes);
	else
		add_unknown(sum, head->sample_bytes, point->total_bytes, point->peak_bytes,
			    point->live_bytes);
}

void dhat_evidence_add(struct dhat_evidence *sum, const struct dhat_evidence *part)
{
	for (int i = 0; i < DHAT_ESTIMATED_COUNT; i++) {
		sum->seen_bytes[i] += part->seen_bytes[i];
		sum->single_bytes[i] += part->single_bytes[i];
		sum->variance[i] += part->variance[i];
	}
}

void dhat_evidence_add_missed(struct dhat_evidence *sum, uint64_t sample_bytes)
{
	if (sample_bytes)
		sum->variance[DHAT_ESTIMATED_TOTAL] += DHAT_VARIANCE_LEAST;
}

void dhat_evidence_of_totals(uint64_t sample_bytes, const Dhat__Totals *totals,
			     struct dhat_evidence *ret)
{
	*ret = (struct dhat_evidence){ 0 };
	if (!sample_bytes)
		return;
	if (totals->sampled)
		add_message(ret, sample_bytes, totals->sampled, totals->total_bytes,
			    totals->peak_bytes, totals->live_bytes);
	else
		add_unknown(ret, sample_bytes, totals->total_bytes, totals->peak_bytes,
			    totals->live_bytes);
}

uint64_t dhat_sample_bytes_of_both(const struct dhat_snapshot *a, const struct dhat_snapshot *b)
{
	return a->head->sample_bytes > b->head->sample_bytes ? a->head->sample_bytes
							     : b->head->sample_bytes;
}

void dhat_evidence_of_snapshot(const struct dhat_snapshot *snapshot, struct dhat_evidence *ret)
{
	*ret = (struct dhat_evidence){ 0 };
	for (size_t i = 0; i < snapshot->point_count; i++)
		dhat_evidence_add_point(ret, snapshot->head, snapshot->points[i]);
	dhat_evidence_add_missed(ret, snapshot->head->sample_bytes);
}

/* Of a gamma distribution of that mean and variance; chi2(q; n) is n (1 - 2/9n + z sqrt(2/9n))^3,
 * and n here 2 mean^2 / variance. */
static double quantile(double mean, double variance, double z)
{
	double ninth = variance / (mean * mean) / 9;
	double root = 1 - ninth + z * sqrt(ninth);

	if (ninth > 1.0 / 9) /* less than 2 degrees of freedom */
		return mean + z * sqrt(variance);

	return root > 0 ? mean * root * root * root : 0;
}

static uint64_t whole(double bytes)
{
	return bytes >= 0x1p63 ? 1ull << 63 : (uint64_t)bytes;
}

static struct dhat_interval interval_of(double bytes, double seen, double variance, double weight,
					double allowance)
{
	double low = bytes, high = bytes, mean = bytes + weight;

	if (variance > 0 && bytes > 0)
		low = quantile(bytes, variance, -NORMAL) - allowance * sqrt(variance);
	if (mean > 0)
		high = quantile(mean, variance + weight * weight, NORMAL);
	if (low < seen)
		low = seen;
	return (struct dhat_interval){ low < bytes ? whole(low) : whole(bytes),
				       high > bytes ? whole(ceil(high)) : whole(bytes) };
}

bool dhat_evidence_is_certain(const struct dhat_evidence *evidence)
{
	bool is_any = false;

	for (int i = 0; i < DHAT_ESTIMATED_COUNT; i++) {
		if (evidence->variance[i] > 0)
			return false;
		is_any |= evidence->seen_bytes[i] != 0;
	}
	return is_any;
}

struct dhat_interval dhat_interval_of(uint64_t sample_bytes, const struct dhat_evidence *evidence,
				      enum dhat_estimated which, uint64_t bytes)
{
	struct dhat_interval ret;
	uint64_t single, seen;

	if (!sample_bytes || dhat_evidence_is_certain(evidence))
		return (struct dhat_interval){ bytes, bytes };
	single = evidence->single_bytes[which] < bytes ? evidence->single_bytes[which] : bytes;
	seen = evidence->seen_bytes[which] > single ? evidence->seen_bytes[which] - single : 0;
	ret = interval_of((double)(bytes - single), (double)seen, evidence->variance[which],
			  (double)sample_bytes, which == DHAT_ESTIMATED_PEAK ? PEAK_ALLOWANCE : 0);
	ret.low += single; /* keeps E5 */
	ret.high += single;
	return ret;
}

struct dhat_interval dhat_interval_of_part(uint64_t sample_bytes, uint64_t bytes)
{
	if (!sample_bytes)
		return (struct dhat_interval){ bytes, bytes };
	return interval_of((double)bytes, 0, (double)bytes * (double)sample_bytes,
			   (double)sample_bytes, 0);
}

const char *dhat_interval_text(const struct dhat_interval *interval, char text[DHAT_INTERVAL_CHARS])
{
	char low[DHAT_UNIT_CHARS], high[DHAT_UNIT_CHARS];

	snprintf(text, DHAT_INTERVAL_CHARS, "%s to %s", dhat_format_size(interval->low, low),
		 dhat_format_size(interval->high, high));
	return text;
}

uint64_t dhat_estimate_unseen(uint64_t sample_bytes)
{
	return 3 * sample_bytes;
}
