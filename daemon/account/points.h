#pragma once
/* points: the table of a heap's program points: their figures, the least that was live of each in
 * each slot of the history, in which generation each changed last, and which threads allocate
 * there.
 *
 * Pure. For the heap (heap.h), whose rules H3 and H8 are kept here: it calls points_begin_change()
 * before it changes live figures, and points_note_low() after they have fallen.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "heap_point.h"
#include "proto/base/budget.h"

/* Points live in chunks, so that the table grows without moving them: 1,024 of them are 204 KiB
 * with their histories, which are touched some sixteen times while a watch doubles; and a million
 * need a thousand chunk pointers. */
#define POINTS_CHUNK_SHIFT 10
#define POINTS_CHUNK_POINTS (1u << POINTS_CHUNK_SHIFT)

struct points_chunk {
	struct heap_point points[POINTS_CHUNK_POINTS];
	float lows[POINTS_CHUNK_POINTS][HISTORY_POINT_SLOTS]; /* history.h: slots that are over */
	uint64_t temporary[POINTS_CHUNK_POINTS];	      /* blocks that were: heap.h, H10 */
	uint64_t threads[POINTS_CHUNK_POINTS]; /* which have allocated there: heap.h, H11 */
	uint32_t changed[POINTS_CHUNK_POINTS]; /* in which generation each last was */
};

struct points { /* all 0: there are none yet */
	struct points_chunk **chunks;
	struct heap_sampled **sampled; /* of each chunk, POINTS_CHUNK_POINTS; NULL: no sample */
	uint32_t chunk_count; /* pointers; a chunk is NULL until one of its points is used */
	uint32_t count;
	bool is_sampled;      /* set before the first point, or by points_begin_sample() */
	uint32_t generation;  /* 0: nobody looks, and nobody has to be told */
	uint64_t peak_number; /* of the heap's peak: the heap counts it up (H3) */
	struct budget budget;
};

void points_deinit(struct points *points);
/* What it takes from now on is budget's, HEAP_POINT_WEIGHT times. Point 0 has room from then on;
 * -ENOMEM: it has none. */
int points_charge(struct points *points, struct budget *budget);
uint64_t points_bytes(const struct points *points);

/* 0, or there is no room for a point: -ENOSPC when the budget has none, -ENOMEM. */
int points_make_room(struct points *points, uint32_t id);

/* Of one that was used. */
static inline struct heap_point *points_at(const struct points *points, uint32_t id)
{
	return &points->chunks[id >> POINTS_CHUNK_SHIFT]->points[id & (POINTS_CHUNK_POINTS - 1)];
}

/* NULL: no point of its chunk was ever used. */
static inline struct points_chunk *points_chunk_of(const struct points *points, uint32_t id)
{
	uint32_t chunk = id >> POINTS_CHUNK_SHIFT;

	return chunk < points->chunk_count ? points->chunks[chunk] : NULL;
}

/* *id becomes 0 when the budget has no room for it; 0 always has (points_charge()). -ENOMEM. */
static inline int points_get(struct points *points, uint32_t *id, struct heap_point **ret)
{
	if (*id >= points->count || !points->chunks[*id >> POINTS_CHUNK_SHIFT]) {
		int err = points_make_room(points, *id);

		if (err == -ENOSPC)
			*id = 0;
		else if (err)
			return err;
		if (*id >= points->count)
			points->count = *id + 1;
	}
	*ret = points_at(points, *id);
	return 0;
}

/* A viewer has to be told of it: see points_next_generation(). */
static inline void points_note_change(struct points *points, uint32_t id)
{
	if (points->generation)
		points->chunks[id >> POINTS_CHUNK_SHIFT]->changed[id & (POINTS_CHUNK_POINTS - 1)] =
			points->generation;
}

/* If a point's live figures have not changed since the heap's peak, they are its figures at the
 * peak. Keeps H3. */
static inline void points_note_peak(const struct points *points, struct heap_point *point)
{
	if (point->peak_number == points->peak_number)
		return;
	point->peak_number = points->peak_number;
	point->peak_bytes = point->live_bytes;
	point->peak_blocks = point->live_blocks;
}

static inline struct heap_sampled *points_sampled_at(const struct points *points, uint32_t id)
{
	return &points->sampled[id >> POINTS_CHUNK_SHIFT][id & (POINTS_CHUNK_POINTS - 1)];
}

/* The same of what estimates stand on. Before points_note_peak(). */
static inline void points_note_sampled_peak(const struct points *points, uint32_t id,
					    const struct heap_point *point)
{
	struct heap_sampled *sampled;

	if (point->peak_number == points->peak_number)
		return;
	sampled = points_sampled_at(points, id);
	sampled->peak_seen = sampled->live_seen;
	sampled->peak_error = sampled->live_error;
	sampled->peak_single = sampled->live_single;
}

/* Of a point that was left alone since an earlier slot of the history. Cold: some sixteen times a
 * point while a watch doubles. */
void points_catch_up(struct points *points, uint32_t id, uint16_t slot);

/* Before a point's live figures change. slot: of points' histories, that is now. */
static inline void points_begin_change(struct points *points, uint32_t id, struct heap_point *point,
				       uint16_t slot)
{
	if (points->is_sampled)
		points_note_sampled_peak(points, id, point);
	points_note_peak(points, point);
	if (point->history_slot != slot)
		points_catch_up(points, id, slot);
	points_note_change(points, id);
}

/* H8 */
static inline void points_note_low(struct heap_point *point)
{
	float live = (float)(int64_t)point->live_bytes;

	if (live < point->low_bytes)
		point->low_bytes = live;
}

static inline void points_note_temporary(struct points *points, uint32_t id)
{
	points->chunks[id >> POINTS_CHUNK_SHIFT]->temporary[id & (POINTS_CHUNK_POINTS - 1)]++;
}

static inline uint64_t points_temporary(const struct points *points, uint32_t id)
{
	const struct points_chunk *chunk = points_chunk_of(points, id);

	return chunk ? chunk->temporary[id & (POINTS_CHUNK_POINTS - 1)] : 0;
}

/* One that has no room is told of at point 0, as its blocks are. */
static inline void points_note_thread(struct points *points, uint32_t id, uint8_t name)
{
	struct points_chunk *chunk = points_chunk_of(points, id);
	uint64_t *threads;

	if (!chunk) {
		chunk = points_chunk_of(points, 0);
		id = 0;
	}
	threads = chunk ? &chunk->threads[id & (POINTS_CHUNK_POINTS - 1)] : NULL;
	if (threads && !(*threads >> name & 1))
		*threads |= 1ull << name;
}

static inline uint64_t points_threads(const struct points *points, uint32_t id)
{
	const struct points_chunk *chunk = points_chunk_of(points, id);

	return chunk ? chunk->threads[id & (POINTS_CHUNK_POINTS - 1)] : 0;
}

/* Of an event that will come soon: bring near what it needs. */
static inline void points_prefetch(const struct points *points, uint32_t id)
{
	struct points_chunk *chunk = points_chunk_of(points, id);
	const char *at;

	if (!chunk)
		return;
	at = (const char *)points_at(points, id);
	__builtin_prefetch(at, 1);
	__builtin_prefetch(at + 64, 1);
	if (points->generation)
		__builtin_prefetch(&chunk->changed[id & (POINTS_CHUNK_POINTS - 1)], 1);
}

/* All that was counted until now was of blocks that stand for themselves alone, and is in parts
 * from now on (sample.h); O(points). -ENOSPC, -ENOMEM: there is no room, nothing has changed. */
int points_begin_sample(struct points *points);
/* Of a point of a sample, as it is now; all 0 of one that was never used. */
struct heap_sampled points_sampled(const struct points *points, uint32_t id);
/* As heap_copy() and heap_point_history(); `slot` as above. */
int points_copy(const struct points *points, struct heap_point **ret, uint32_t *ret_count);
void points_history(const struct points *points, uint32_t id, const struct heap_point *point,
		    uint16_t slot, float ret[HISTORY_POINT_SLOTS]);

/* As heap_next_generation() and heap_point_changed(). */
uint32_t points_next_generation(struct points *points);
uint32_t points_changed(const struct points *points, uint32_t id);
