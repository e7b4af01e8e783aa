#include "history.h"

/* ---- the heap's ---- */

static uint64_t most_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Keeps Y1. */
static void halve(struct history *history)
{
	for (uint32_t i = 0; i < HISTORY_SLOTS / 2; i++) {
		const struct history_slot *first = &history->slots[2 * i], *second = first + 1;

		history->slots[i] = (struct history_slot){
			.live_bytes = second->live_bytes,
			.live_blocks = second->live_blocks,
			.most_bytes = most_of(first->most_bytes, second->most_bytes),
			.allocated = first->allocated + second->allocated,
			.freed = first->freed + second->freed,
			.rss_bytes = second->rss_bytes ? second->rss_bytes : first->rss_bytes,
		};
	}
	history->count = HISTORY_SLOTS / 2;
	history->shift++;
}

static struct history_slot slot_now(const struct history *history,
				    const struct history_figures *now)
{
	return (struct history_slot){
		.live_bytes = now->live_bytes,
		.live_blocks = now->live_blocks,
		.most_bytes = most_of(history->most_bytes, now->live_bytes),
		.allocated = now->allocated - history->begin.allocated,
		.freed = now->freed - history->begin.freed,
		.rss_bytes = history->rss_bytes,
	};
}

static void end_slot(struct history *history, const struct history_figures *now)
{
	history->slots[history->count++] = slot_now(history, now);
	if (history->count == HISTORY_SLOTS)
		halve(history);
	history->begin = *now;
	history->most_bytes = now->live_bytes;
	history->rss_bytes = 0;
}

/* The slot of all points at a time. */
static uint16_t point_slot_at(const struct history *history, uint64_t time_ns)
{
	uint64_t ticks = (time_ns - history->start_ns) >> HISTORY_SLOT_SHIFT;
	uint32_t shift = 0;

	while (ticks >> shift >= HISTORY_POINT_SLOTS)
		shift++;
	return shift << HISTORY_POINT_SHIFT | ticks >> shift;
}

void history_advance(struct history *history, const struct history_figures *now, uint64_t time_ns)
{
	if (!history->has_begun) {
		history->has_begun = true;
		history->start_ns = time_ns;
		history->next_ns = time_ns + HISTORY_SLOT_NS;
		history->most_bytes = now->live_bytes;
		history->begin = *now;
		return;
	}
	/* a long rest fills and halves some eight times a doubling: it ends soon; and what is no
	 * time ends it, too */
	while (history->next_ns <= time_ns && history->next_ns != UINT64_MAX) {
		uint64_t next_ns;

		end_slot(history, now);
		next_ns = history->start_ns + (history->count + 1ull) * history_slot_ns(history);
		history->next_ns = next_ns > history->next_ns ? next_ns : UINT64_MAX;
	}
	history->point_slot = point_slot_at(history, time_ns);
}

uint32_t history_copy(const struct history *history, const struct history_figures *now,
		      struct history_slot ret[HISTORY_SLOTS])
{
	if (!history->has_begun)
		return 0;
	memcpy(ret, history->slots, history->count * sizeof(*ret));
	ret[history->count] = slot_now(history, now);
	return history->count + 1;
}

/* ---- of a point ---- */

static void halve_lows(float lows[HISTORY_POINT_SLOTS])
{
	for (uint32_t i = 0; i < HISTORY_POINT_SLOTS / 2; i++)
		lows[i] = lows[2 * i] < lows[2 * i + 1] ? lows[2 * i] : lows[2 * i + 1];
}

void history_catch_up(float lows[HISTORY_POINT_SLOTS], uint16_t *slot, float *low_bytes,
		      uint64_t live_bytes, uint16_t now)
{
	uint32_t place = history_slot_place(*slot), shift = history_slot_shift(*slot);
	float live = (float)(int64_t)live_bytes;

	lows[place++] = *low_bytes;
	for (; shift < history_slot_shift(now); shift++) {
		while (place < HISTORY_POINT_SLOTS)
			lows[place++] = live;
		halve_lows(lows);
		place = HISTORY_POINT_SLOTS / 2;
	}
	while (place < history_slot_place(now))
		lows[place++] = live;
	*slot = now;
	*low_bytes = live;
}
