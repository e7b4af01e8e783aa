#include "history.h"

#define MOST_SLOPE 1e18 /* beyond it nothing is meant, and an integer is still wide enough */

uint32_t dhat_history_slots(const struct dhat_snapshot *snapshot)
{
	const Dhat__PointSlots *slots = snapshot->end->history;

	return slots && slots->slot_ns && slots->count <= DHAT_HISTORY_SLOTS ? slots->count : 0;
}

uint32_t dhat_history_slot_at(const struct dhat_snapshot *snapshot, uint64_t since_ns)
{
	const Dhat__PointSlots *slots = snapshot->end->history;
	uint64_t slot;

	if (!dhat_history_slots(snapshot) || since_ns < slots->start_ns)
		return 0;
	slot = (since_ns - slots->start_ns) / slots->slot_ns;
	return slot < slots->count ? slot : slots->count - 1;
}

uint64_t dhat_history_slot_begin(const struct dhat_snapshot *snapshot, uint32_t slot)
{
	const Dhat__PointSlots *slots = snapshot->end->history;

	return slots ? slots->start_ns + slot * slots->slot_ns : 0;
}

uint64_t dhat_history_last_rss(const struct dhat_snapshot *snapshot)
{
	const Dhat__Timeline *timeline = snapshot->end->timeline;

	for (size_t i = timeline ? timeline->n_rss_bytes : 0; i > 0; i--)
		if (timeline->rss_bytes[i - 1])
			return timeline->rss_bytes[i - 1];
	return 0;
}

void dhat_history_add(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		      uint64_t sums[DHAT_HISTORY_SLOTS])
{
	uint32_t count = dhat_history_slots(snapshot);
	uint64_t low = 0;

	for (uint32_t i = 0; i < count && point->n_low_bytes; i++) {
		if (i < point->n_low_bytes)
			low += (uint64_t)point->low_bytes[i];
		if (low > INT64_MAX)
			low = 0;
		sums[i] = sums[i] + low < sums[i] ? UINT64_MAX : sums[i] + low;
	}
}

double dhat_history_slope(const uint64_t *lows, uint32_t from, uint32_t to, uint64_t slot_ns)
{
	double mean_x = (from + to - 1) / 2.0, mean_y = 0, xy = 0, xx = 0, slope;

	if (to < from + 3 || !slot_ns)
		return 0;
	for (uint32_t i = from; i < to; i++)
		mean_y += (double)lows[i] / (to - from);
	for (uint32_t i = from; i < to; i++) {
		xy += (i - mean_x) * ((double)lows[i] - mean_y);
		xx += (i - mean_x) * (i - mean_x);
	}
	slope = xy / xx * 60e9 / slot_ns;
	return slope > MOST_SLOPE ? MOST_SLOPE : slope < -MOST_SLOPE ? -MOST_SLOPE : slope;
}

double dhat_history_growth(const struct dhat_snapshot *snapshot, const uint64_t *lows,
			   uint64_t first_ns)
{
	uint32_t count = dhat_history_slots(snapshot);

	if (!count)
		return 0;
	return dhat_history_slope(lows, dhat_history_slot_at(snapshot, first_ns) + 1, count,
				  snapshot->end->history->slot_ns);
}

/* The least of the old slots that overlap with a new one. */
static uint64_t least_between(const struct dhat_history_grid *from, const uint64_t *lows,
			      uint64_t begin_ns, uint64_t end_ns)
{
	uint64_t first, last, least = UINT64_MAX;

	if (!from->count || begin_ns < from->start_ns)
		return 0;
	first = (begin_ns - from->start_ns) / from->slot_ns;
	last = (end_ns - 1 - from->start_ns) / from->slot_ns;
	if (first >= from->count)
		return lows[from->count - 1];
	for (uint64_t i = first; i <= last && i < from->count; i++)
		least = lows[i] < least ? lows[i] : least;
	return least;
}

void dhat_history_fit(const struct dhat_history_grid *from, const uint64_t *lows,
		      const struct dhat_history_grid *to, uint64_t ret[DHAT_HISTORY_SLOTS])
{
	for (uint32_t i = 0; i < to->count; i++)
		ret[i] = least_between(from, lows, to->start_ns + i * to->slot_ns,
				       to->start_ns + (i + 1) * to->slot_ns);
}
