#include "points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

#define CHUNK_COUNT(points) (((uint64_t)(points) + POINTS_CHUNK_POINTS - 1) >> POINTS_CHUNK_SHIFT)

_Static_assert(sizeof(struct heap_point) == 128, "a point is two cache lines");
_Static_assert(sizeof(struct points_chunk) == (size_t)POINTS_CHUNK_POINTS * HEAP_POINT_BYTES,
	       "as heap_point.h says");

void points_deinit(struct points *points)
{
	for (uint32_t i = 0; i < points->chunk_count; i++) {
		free(points->chunks[i]);
		if (points->sampled)
			free(points->sampled[i]);
	}
	free(points->chunks);
	free(points->sampled);
	budget_give(&points->budget, points->budget.used_bytes);
}

int points_charge(struct points *points, struct budget *budget)
{
	int err;

	points->budget = (struct budget){ .parent = budget, .weight = HEAP_POINT_WEIGHT };
	err = points_make_room(points, 0);
	return err == -ENOSPC ? -ENOMEM : err;
}

uint64_t points_bytes(const struct points *points)
{
	return (uint64_t)points->count * HEAP_POINT_BYTES;
}

static int grow(struct points *points, uint32_t chunk)
{
	uint32_t count = chunk + 1 > 2 * points->chunk_count ? chunk + 1 : 2 * points->chunk_count;
	uint32_t more = count - points->chunk_count;
	struct points_chunk **chunks = realloc(points->chunks, count * sizeof(*chunks));
	struct heap_sampled **sampled;

	if (!chunks)
		return -ENOMEM;
	memset(chunks + points->chunk_count, 0, more * sizeof(*chunks));
	points->chunks = chunks;
	if (points->is_sampled) {
		sampled = realloc(points->sampled, count * sizeof(*sampled));
		if (!sampled)
			return -ENOMEM;
		memset(sampled + points->chunk_count, 0, more * sizeof(*sampled));
		points->sampled = sampled;
	}
	points->chunk_count = count;
	return 0;
}

static int make_chunk(struct points *points, uint32_t chunk)
{
	struct heap_sampled *sampled = NULL;

	if (points->is_sampled) {
		sampled = calloc(POINTS_CHUNK_POINTS, sizeof(*sampled));
		if (!sampled)
			return -ENOMEM;
	}
	points->chunks[chunk] = calloc(1, sizeof(struct points_chunk));
	if (!points->chunks[chunk]) {
		free(sampled);
		return -ENOMEM;
	}
	if (sampled)
		points->sampled[chunk] = sampled;
	return 0;
}

#define SAMPLED_BYTES (POINTS_CHUNK_POINTS * sizeof(struct heap_sampled))

int points_make_room(struct points *points, uint32_t id)
{
	uint32_t chunk = id >> POINTS_CHUNK_SHIFT;
	const size_t bytes = sizeof(struct points_chunk) + (points->is_sampled ? SAMPLED_BYTES : 0);
	int err;

	if (id == UINT32_MAX) /* their count must fit, too */
		return -ENOMEM;
	if (chunk >= points->chunk_count && grow(points, chunk) < 0)
		return -ENOMEM;
	if (points->chunks[chunk])
		return 0;
	if (!budget_take(&points->budget, bytes))
		return -ENOSPC;
	err = make_chunk(points, chunk);
	if (err)
		budget_give(&points->budget, bytes);
	return err;
}

/* ---- history ------------------------------------------------------------------------------ */

__attribute__((cold)) void points_catch_up(struct points *points, uint32_t id, uint16_t slot)
{
	struct points_chunk *chunk = points->chunks[id >> POINTS_CHUNK_SHIFT];
	uint32_t at = id & (POINTS_CHUNK_POINTS - 1);
	struct heap_point *point = &chunk->points[at];

	history_catch_up(chunk->lows[at], &point->history_slot, &point->low_bytes,
			 point->live_bytes, slot);
}

void points_history(const struct points *points, uint32_t id, const struct heap_point *point,
		    uint16_t slot, float ret[HISTORY_POINT_SLOTS])
{
	const struct points_chunk *chunk = points->chunks[id >> POINTS_CHUNK_SHIFT];
	uint16_t last = point->history_slot;
	float low_bytes = point->low_bytes;

	if (!chunk) {
		memset(ret, 0, HISTORY_POINT_SLOTS * sizeof(*ret));
		return;
	}
	memcpy(ret, chunk->lows[id & (POINTS_CHUNK_POINTS - 1)],
	       HISTORY_POINT_SLOTS * sizeof(*ret));
	if (last != slot)
		history_catch_up(ret, &last, &low_bytes, point->live_bytes, slot);
	ret[history_slot_place(slot)] = low_bytes;
}

/* ---- copies ------------------------------------------------------------------------------- */

int points_copy(const struct points *points, struct heap_point **ret, uint32_t *ret_count)
{
	struct heap_point *copy = calloc((size_t)points->count + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	for (uint32_t i = 0; i < CHUNK_COUNT(points->count); i++) {
		uint32_t first = i << POINTS_CHUNK_SHIFT;
		uint32_t count = points->count - first;

		if (count > POINTS_CHUNK_POINTS)
			count = POINTS_CHUNK_POINTS;
		if (points->chunks[i])
			memcpy(copy + first, points->chunks[i]->points, count * sizeof(*copy));
	}
	for (uint32_t i = 0; i < points->count; i++)
		points_note_peak(points, &copy[i]);
	*ret = copy;
	*ret_count = points->count;
	return 0;
}

struct heap_sampled points_sampled(const struct points *points, uint32_t id)
{
	struct heap_sampled sampled;

	if (!points->is_sampled || !points_chunk_of(points, id))
		return (struct heap_sampled){ 0 };
	sampled = *points_sampled_at(points, id);
	if (points_at(points, id)->peak_number != points->peak_number) {
		sampled.peak_seen = sampled.live_seen;
		sampled.peak_error = sampled.live_error;
		sampled.peak_single = sampled.live_single;
	}
	return sampled;
}

static void give_sampled(struct points *points, struct heap_sampled **sampled)
{
	for (uint32_t i = 0; i < points->chunk_count; i++) {
		if (sampled[i])
			budget_give(&points->budget, SAMPLED_BYTES);
		free(sampled[i]);
	}
	free(sampled);
}

static int make_sampled(struct points *points, struct heap_sampled ***ret)
{
	struct heap_sampled **sampled = calloc(points->chunk_count + 1ul, sizeof(*sampled));
	int err = sampled ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < points->chunk_count && !err; i++) {
		if (!points->chunks[i])
			continue;
		if (!budget_take(&points->budget, SAMPLED_BYTES)) {
			err = -ENOSPC;
			break;
		}
		sampled[i] = calloc(POINTS_CHUNK_POINTS, sizeof(**sampled));
		if (!sampled[i]) {
			budget_give(&points->budget, SAMPLED_BYTES);
			err = -ENOMEM;
		}
	}
	if (err && sampled)
		give_sampled(points, sampled);
	else
		*ret = sampled;
	return err;
}

static void begin_parts(struct heap_point *point, struct heap_sampled *sampled)
{
	point->total_blocks *= SAMPLE_BLOCK;
	point->max_blocks *= SAMPLE_BLOCK;
	point->peak_blocks *= SAMPLE_BLOCK;
	point->live_blocks *= SAMPLE_BLOCK;
	point->dead_lifetimes_ns *= SAMPLE_BLOCK;
	point->live_births_ns *= SAMPLE_BLOCK;
	*sampled = (struct heap_sampled){
		.total_seen = point->total_bytes,
		.peak_seen = point->peak_bytes,
		.live_seen = point->live_bytes,
		.total_single = point->total_bytes,
		.peak_single = point->peak_bytes,
		.live_single = point->live_bytes,
	};
}

int points_begin_sample(struct points *points)
{
	int err = make_sampled(points, &points->sampled);

	if (err)
		return err;
	points->is_sampled = true;
	for (uint32_t i = 0; i < points->count; i++)
		if (points_chunk_of(points, i)) {
			begin_parts(points_at(points, i), points_sampled_at(points, i));
			points_note_change(points, i); /* it has evidence now */
		}
	return 0;
}

uint32_t points_next_generation(struct points *points)
{
	if (!points->generation)
		points->generation = 1;
	return points->generation == UINT32_MAX ? UINT32_MAX : points->generation++;
}

uint32_t points_changed(const struct points *points, uint32_t id)
{
	const struct points_chunk *chunk = points_chunk_of(points, id);

	return chunk ? chunk->changed[id & (POINTS_CHUNK_POINTS - 1)] : 0;
}
