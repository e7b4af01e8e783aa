#include "judgement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct dhat_judgement *, dhat_judgement_free)

void dhat_judgement_free(struct dhat_judgement *judgement)
{
	if (!judgement)
		return;
	dhat_digest_free(judgement->digest);
	dhat_snapshot_free(judgement->snapshot);
	free(judgement->rulings);
	free(judgement);
}

/* The figure of all rows that match; *ret_count: how many they are. */
static uint64_t sum_of(const struct dhat_digest *digest, const struct dhat_assertion *assertion,
		       size_t *ret_count, struct dhat_interval *ret_interval)
{
	struct dhat_evidence evidence = { 0 };
	uint64_t sum = 0;

	*ret_count = 0;
	if (!assertion->pattern) {
		*ret_count = digest->row_count;
		sum = digest->figures[assertion->metric];
		*ret_interval = dhat_metric_interval(digest->sample_bytes, &digest->evidence,
						     assertion->metric, sum);
		return sum;
	}
	for (size_t i = 0; i < digest->row_count; i++) {
		if (!dhat_digest_row_matches(&digest->rows[i], assertion->pattern))
			continue;
		sum += digest->rows[i].figures[assertion->metric];
		dhat_evidence_add(&evidence, &digest->rows[i].evidence);
		++*ret_count;
	}
	dhat_evidence_add_missed(&evidence, digest->sample_bytes);
	*ret_interval =
		dhat_metric_interval(digest->sample_bytes, &evidence, assertion->metric, sum);
	return sum;
}

/* By what it is worse than another. Against a baseline what was there before is no fault. */
static uint64_t weight(const struct dhat_guilty *guilty)
{
	return guilty->now > guilty->baseline ? guilty->now - guilty->baseline : 0;
}

/* Into its place among the few with the most. */
static void consider(struct dhat_ruling *ruling, struct dhat_guilty candidate)
{
	size_t at = ruling->guilty_count;

	if (!weight(&candidate))
		return;
	while (at > 0 && weight(&ruling->guilty[at - 1]) < weight(&candidate)) {
		if (at < DHAT_JUDGEMENT_GUILTY)
			ruling->guilty[at] = ruling->guilty[at - 1];
		at--;
	}
	if (at == DHAT_JUDGEMENT_GUILTY)
		return;
	ruling->guilty[at] = candidate;
	ruling->guilty_count += ruling->guilty_count < DHAT_JUDGEMENT_GUILTY;
}

static void find_guilty(struct dhat_ruling *ruling, const struct dhat_digest *digest,
			const struct dhat_digest *baseline)
{
	const struct dhat_assertion *assertion = ruling->assertion;

	for (size_t i = 0; i < digest->row_count; i++) {
		const struct dhat_digest_row *row = &digest->rows[i], *before = NULL;

		if (!dhat_digest_row_matches(row, assertion->pattern))
			continue;
		if (dhat_assertion_needs_baseline(assertion))
			before = dhat_digest_find(baseline, row);
		consider(ruling,
			 (struct dhat_guilty){
				 .row = row,
				 .now = row->figures[assertion->metric],
				 .baseline = before ? before->figures[assertion->metric] : 0 });
	}
}

static bool has_names(const struct dhat_assertion *assertion, const struct dhat_filter *filter,
		      const struct dhat_digest *digest, const struct dhat_digest *baseline)
{
	if (!assertion->pattern && !filter->count)
		return true;
	return !dhat_digest_is_redacted(digest) &&
	       (!dhat_assertion_needs_baseline(assertion) || !dhat_digest_is_redacted(baseline));
}

/* Or says why not. */
static bool is_decidable(struct dhat_ruling *ruling, const struct dhat_filter *filter,
			 const struct dhat_snapshot *snapshot, const struct dhat_digest *digest,
			 const struct dhat_digest *baseline)
{
	const struct dhat_assertion *assertion = ruling->assertion;

	if (!has_names(assertion, filter, digest, baseline))
		snprintf(ruling->why, sizeof(ruling->why),
			 "names were left out (export --redact), and no stack can be matched");
	else if (dhat_assertion_needs_scan(assertion))
		return dhat_held_is_told(snapshot, ruling->why);
	else if (dhat_assertion_needs_pages(assertion) && !snapshot->head->has_pages)
		snprintf(ruling->why, sizeof(ruling->why),
			 "what is in memory was not counted: that is done of a process that is "
			 "watched, and a file has it by `dhatctl snapshot -o FILE.dhat'");
	return !*ruling->why;
}

/* A sample cannot tell. */
static void say_doubt(struct dhat_ruling *ruling)
{
	char now[DHAT_INTERVAL_CHARS], before[DHAT_INTERVAL_CHARS];

	if (!dhat_metric_is_bytes(ruling->assertion->metric))
		snprintf(ruling->why, sizeof(ruling->why),
			 "a sample does not tell how many blocks there are, only how many bytes");
	else if (dhat_assertion_needs_baseline(ruling->assertion))
		snprintf(ruling->why, sizeof(ruling->why),
			 "by samples it is %s, and %s in the baseline: they cannot tell",
			 dhat_interval_text(&ruling->now_interval, now),
			 dhat_interval_text(&ruling->baseline_interval, before));
	else
		snprintf(ruling->why, sizeof(ruling->why),
			 "by a sample it is %s, which cannot tell (a smaller --sample narrows it)",
			 dhat_interval_text(&ruling->now_interval, now));
}

static void rule(struct dhat_ruling *ruling, const struct dhat_filter *filter,
		 const struct dhat_snapshot *snapshot, const struct dhat_digest *digest,
		 const struct dhat_digest *baseline)
{
	const struct dhat_assertion *assertion = ruling->assertion;
	enum dhat_answer answer;
	size_t ignored;

	ruling->is_undecided = !is_decidable(ruling, filter, snapshot, digest, baseline);
	if (ruling->is_undecided)
		return;

	ruling->now = sum_of(digest, assertion, &ruling->match_count, &ruling->now_interval);
	if (dhat_assertion_needs_baseline(assertion))
		ruling->baseline =
			sum_of(baseline, assertion, &ignored, &ruling->baseline_interval);
	answer =
		dhat_assertion_answer(assertion, &ruling->now_interval, &ruling->baseline_interval);
	ruling->holds = answer == DHAT_HOLDS;
	ruling->is_undecided = answer == DHAT_CANNOT_TELL;
	if (ruling->is_undecided)
		say_doubt(ruling);
	else if (!ruling->holds)
		find_guilty(ruling, digest, baseline);
}

static void add_hidden(struct dhat_judgement *judgement, const struct dhat_filter_rule *rule)
{
	judgement->hidden_bytes += rule->live_bytes;
	judgement->hidden_stacks += rule->stack_count;
}

static void note_hidden(struct dhat_judgement *judgement, const struct dhat_filter *filter)
{
	add_hidden(judgement, &filter->others);
	for (size_t i = 0; i < filter->count; i++)
		if (filter->rules[i].kind != DHAT_FILTER_ONLY)
			add_hidden(judgement, &filter->rules[i]);
}

int dhat_judgement_new(struct dhat_snapshot *snapshot, struct dhat_filter *filter,
		       const struct dhat_assertion *assertions, size_t count,
		       const struct dhat_digest *baseline, enum dhat_verdict worst,
		       struct dhat_judgement **ret)
{
	_cleanup_(dhat_judgement_free_ptr) struct dhat_judgement *judgement =
		calloc(1, sizeof(*judgement));
	int r;

	if (!judgement) {
		dhat_snapshot_free(snapshot);
		return -ENOMEM;
	}
	judgement->snapshot = snapshot;
	judgement->rulings = calloc(count + 1, sizeof(*judgement->rulings));
	r = judgement->rulings ? dhat_digest_of(snapshot, filter, &judgement->digest) : -ENOMEM;
	if (r < 0)
		return r;
	note_hidden(judgement, filter);
	judgement->count = count;
	judgement->is_trusted = judgement->digest->verdict <= worst;
	for (size_t i = 0; i < count; i++) {
		judgement->rulings[i].assertion = &assertions[i];
		rule(&judgement->rulings[i], filter, snapshot, judgement->digest, baseline);
	}
	*ret = take_ptr(judgement);
	return 0;
}

size_t dhat_judgement_failures(const struct dhat_judgement *judgement)
{
	size_t count = 0;

	for (size_t i = 0; i < judgement->count; i++)
		count += !judgement->rulings[i].holds && !judgement->rulings[i].is_undecided;
	return count;
}

size_t dhat_judgement_undecided(const struct dhat_judgement *judgement)
{
	size_t count = 0;

	for (size_t i = 0; i < judgement->count; i++)
		count += judgement->rulings[i].is_undecided;
	return count;
}
