#include "verification.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/cleanup.h"
#include "proto/wire/words.h"
#include "snapshot_merge.h"

#define MINUTE_NS 60000000000u

DEFINE_CLEANUP_PTR(struct dhat_verification *, dhat_verification_free)
DEFINE_CLEANUP_PTR(struct dhat_difference *, dhat_difference_free)

const char *dhat_fate_word(enum dhat_fate fate)
{
	static const char *const words[] = { "gone", "smaller", "same", "worse" };

	return words[fate];
}

void dhat_verification_free(struct dhat_verification *verification)
{
	if (!verification)
		return;
	dhat_rendering_free(verification->before_table);
	dhat_rendering_free(verification->after_table);
	free(verification->suspects);
	free(verification);
}

static uint64_t length_ns(const struct dhat_snapshot *snapshot)
{
	return snapshot->head->target->observed_ns;
}

uint64_t dhat_live_rate(const struct dhat_snapshot *snapshot, uint64_t live_bytes)
{
	uint64_t length = length_ns(snapshot);

	return length ? (unsigned __int128)live_bytes * MINUTE_NS / length : 0;
}

/* keeps V1 */
static bool differ_in_length(uint64_t a_ns, uint64_t b_ns)
{
	uint64_t shorter = a_ns < b_ns ? a_ns : b_ns, longer = a_ns < b_ns ? b_ns : a_ns;

	return shorter && longer - shorter > shorter / 10;
}

static bool is_whole_run(const struct dhat_snapshot *snapshot)
{
	const Dhat__Target *target = snapshot->head->target;

	return target->from_start && (!strcmp(target->state, DHAT_STATE_EXITED) ||
				      !strcmp(target->state, DHAT_STATE_KILLED));
}

/* keeps V2; parts are of any unit. A heap of 2^47 bytes, watched for a year (2^55 ns), in percent
 * of at most 2^10: below 2^127. */
static int compare(__int128 before, __int128 after, unsigned tolerance_percent)
{
	if (after * 100 > before * (100 + tolerance_percent))
		return 1;
	return after * 100 < before * (100 - (__int128)tolerance_percent) ? -1 : 0;
}

static enum dhat_fate fate_of(const struct dhat_verification *verification,
			      const struct dhat_difference *difference,
			      const struct dhat_change *change, unsigned tolerance_percent)
{
	__int128 before = change->before->live_bytes;
	__int128 after = change->after ? change->after->live_bytes : 0;
	int by_bytes = compare(before, after, tolerance_percent), by_rate = by_bytes;

	if (dhat_change_is_noise(difference, change))
		return DHAT_SAME;
	if (!change->after || !change->after->live_blocks)
		return DHAT_GONE;
	if (verification->is_by_rate)
		by_rate = compare(before * length_ns(verification->after),
				  after * length_ns(verification->before), tolerance_percent);
	if (by_bytes != by_rate || !by_bytes)
		return DHAT_SAME;
	return by_bytes > 0 ? DHAT_WORSE : DHAT_SMALLER;
}

static int make_table(const struct dhat_snapshot *snapshot, struct dhat_filter *filter,
		      struct dhat_rendering **ret)
{
	_cleanup_free_ bool *is_shown = calloc(snapshot->point_count + 1, sizeof(*is_shown));
	const struct dhat_table_options options = { .style.is_portable = true,
						    .is_own_only = true,
						    .is_shown = is_shown };
	int r = is_shown ? dhat_filter_apply(filter, snapshot, is_shown) : -ENOMEM;

	if (r < 0)
		return r;
	for (size_t i = 0; i < snapshot->point_count; i++)
		is_shown[i] = is_shown[i] && !dhat_point_is_before(snapshot->points[i]);
	return dhat_table_new(snapshot, &options, ret);
}

static int compare_before(const void *a_, const void *b_)
{
	const struct dhat_verified *a = a_, *b = b_;
	uint64_t x = a->change.before->live_bytes, y = b->change.before->live_bytes;

	if (x == y) {
		x = a->change.before->live_blocks;
		y = b->change.before->live_blocks;
	}
	return x > y ? -1 : x < y;
}

static int choose(struct dhat_verification *verification, const struct dhat_difference *difference,
		  const struct dhat_verify_options *options)
{
	verification->suspects = calloc(difference->count + 1, sizeof(*verification->suspects));
	if (!verification->suspects)
		return -ENOMEM;
	for (size_t i = 0; i < difference->count; i++) {
		const struct dhat_change *change = &difference->list[i];

		if (!change->before || !change->before->live_bytes)
			continue;
		verification->suspects[verification->count++] = (struct dhat_verified){
			.change = *change,
			.fate = fate_of(verification, difference, change,
					options->tolerance_percent),
			.is_exercised = change->after && change->after->total_blocks,
		};
	}
	if (verification->count)
		qsort(verification->suspects, verification->count, sizeof(*verification->suspects),
		      compare_before);
	if (verification->count > options->top)
		verification->count = options->top;
	for (size_t i = 0; i < verification->count; i++)
		verification->fates[verification->suspects[i].fate]++;
	return 0;
}

int dhat_verification_new(const struct dhat_snapshot *before, const struct dhat_snapshot *after,
			  struct dhat_filter *filter, const struct dhat_verify_options *options,
			  struct dhat_verification **ret)
{
	_cleanup_(dhat_verification_free_ptr) struct dhat_verification *verification =
		calloc(1, sizeof(*verification));
	_cleanup_(dhat_difference_free_ptr) struct dhat_difference *difference = NULL;
	int r;

	if (!verification)
		return -ENOMEM;
	verification->before = before;
	verification->after = after;
	verification->is_one_watch = dhat_snapshot_is_same_watch(before, after);
	verification->is_by_rate = !verification->is_one_watch &&
				   !(is_whole_run(before) && is_whole_run(after)) &&
				   differ_in_length(length_ns(before), length_ns(after));
	r = make_table(before, filter, &verification->before_table);
	if (r == 0)
		r = make_table(after, filter, &verification->after_table);
	if (r == 0)
		r = dhat_difference_new(verification->before_table, verification->after_table,
					&difference);
	if (r == 0)
		r = choose(verification, difference, options);
	if (r == 0)
		*ret = take_ptr(verification);
	return r;
}
