#pragma once
/* history: how the live heap, and each point of it, came to be what it is, at fixed memory.
 *
 * Pure; times are those of events. Not thread-safe: its owner locks.
 * Y1: A history is cut into slots of equal width from its beginning on. When all are in use, each
 *     two become one, and slots are twice as wide from then on: of N slots N / 2 are used at least,
 *     once HISTORY_SLOT_NS * N have passed.
 * Y2: An event is one comparison, and nothing is done at rest: slots are filled by the first event
 *     behind them, or when somebody looks.
 * Y3: The heap's history (the timeline) has what was live at the end of each slot, and the most in
 *     it. A point's has the least that was live in each: a heap that goes up and down keeps its
 *     low, whatever moment a slot ends at, and what is never freed is in all lows from then on.
 * Y4: An event that comes late (other threads' records overtake) counts in the slot that is now.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* 67 ms: fine enough for a watch of a second to have as many slots as a point has. */
#define HISTORY_SLOT_SHIFT 26
#define HISTORY_SLOT_NS (1ull << HISTORY_SLOT_SHIFT)
#define HISTORY_SLOTS                                                                              \
	256u /* 12 KiB a target; half of them are more columns than most terminals                 \
	      */
#define HISTORY_POINT_SHIFT 4
#define HISTORY_POINT_SLOTS (1u << HISTORY_POINT_SHIFT) /* a line of the cache each point */

struct history_slot {
	uint64_t live_bytes, live_blocks; /* at its end */
	uint64_t most_bytes;		  /* live at once in it */
	uint64_t allocated, freed; /* blocks, in it; a realloc that moves or resizes is both */
	uint64_t rss_bytes;	   /* as it was read last in it; 0: it was not */
};

struct history_figures { /* of the heap, as they are now; the last two since the beginning */
	uint64_t live_bytes, live_blocks, allocated, freed;
};

struct history {
	uint64_t next_ns;    /* when the slot that is now ends; 0: nothing has happened yet */
	uint64_t most_bytes; /* in the slot that is now: the owner keeps it */
	uint16_t point_slot; /* see struct history_low */
	bool has_begun;
	uint32_t shift, count; /* of the width; slots that are over */
	uint64_t start_ns, rss_bytes;
	struct history_figures begin; /* of the slot that is now */
	struct history_slot slots[HISTORY_SLOTS];
};

/* Fill the slots up to a time with what is live now, which nothing has changed since the last call.
 * Slow: when history_is_due() only. */
void history_advance(struct history *history, const struct history_figures *now, uint64_t time_ns);

static inline bool history_is_due(const struct history *history, uint64_t time_ns)
{
	return time_ns >= history->next_ns;
}

static inline uint64_t history_slot_ns(const struct history *history)
{
	return HISTORY_SLOT_NS << history->shift;
}

/* What there is until now: the last slot is not over. Returns how many; 0: nothing has happened. */
uint32_t history_copy(const struct history *history, const struct history_figures *now,
		      struct history_slot ret[HISTORY_SLOTS]);

/* ---- of a point ---- */

/* A slot of a point is a number: its width's shift, and its place among HISTORY_POINT_SLOTS. Which
 * width there is at a moment follows from the moment alone (Y1), so that a point that was left
 * alone for long needs to remember nothing but the slot of its last event. 0 is the first. */
static inline uint32_t history_slot_place(uint16_t slot)
{
	return slot & (HISTORY_POINT_SLOTS - 1);
}

static inline uint32_t history_slot_shift(uint16_t slot)
{
	return slot >> HISTORY_POINT_SHIFT;
}

/* A point's slot that is over, and all behind it until `now` with what is live since: *slot becomes
 * now, *low_bytes the least of what is the slot now. lows: those that are over; what lies behind
 * the slot is not defined. */
void history_catch_up(float lows[HISTORY_POINT_SLOTS], uint16_t *slot, float *low_bytes,
		      uint64_t live_bytes, uint16_t now);

/* ---- numbers of few bits ---- */

/* A duration in 16 bits, to less than 1 % below it; their order is the durations'. (The upper half
 * of a float.) */
static inline uint16_t history_brief(uint64_t ns)
{
	float number = (float)(int64_t)ns;
	uint32_t bits;

	memcpy(&bits, &number, sizeof(bits));
	return bits >> 16;
}

static inline uint64_t history_brief_ns(uint16_t brief)
{
	uint32_t bits = (uint32_t)brief << 16;
	float number;

	memcpy(&number, &bits, sizeof(number));
	return (uint64_t)number;
}
