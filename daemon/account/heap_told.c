/* What a heap tells: copies of its figures, for whoever makes a profile of them. */
#include "heap_private.h"

void heap_copy_history(const struct heap *heap, struct heap_history *ret)
{
	struct history_figures now = heap_figures(heap);
	uint16_t slot = heap->history.point_slot;

	ret->start_ns = heap->history.start_ns;
	ret->slot_ns = history_slot_ns(&heap->history);
	ret->slot_count = history_copy(&heap->history, &now, ret->slots);
	ret->point_slot_ns = HISTORY_SLOT_NS << history_slot_shift(slot);
	ret->point_slot_count = ret->slot_count ? history_slot_place(slot) + 1 : 0;
}

void heap_point_history(const struct heap *heap, uint32_t id, const struct heap_point *point,
			float ret[HISTORY_POINT_SLOTS])
{
	points_history(&heap->points, id, point, heap->history.point_slot, ret);
}

uint64_t heap_single_blocks(const struct heap *heap)
{
	return heap->single_blocks;
}

void heap_visit_blocks(const struct heap *heap,
		       void (*visit)(void *context, const struct block *block), void *context)
{
	blocks_visit(&heap->blocks, visit, context);
}

uint64_t heap_visit_blocks_from(const struct heap *heap, uint64_t place, size_t leaves,
				void (*visit)(void *context, const struct block *block),
				void *context)
{
	return blocks_visit_from(&heap->blocks, place, leaves, visit, context);
}

void heap_totals(const struct heap *heap, struct heap_totals *ret)
{
	*ret = heap->totals;
	ret->total_blocks = whole(heap, ret->total_blocks);
	ret->live_blocks = whole(heap, ret->live_blocks);
	ret->peak_blocks = whole(heap, ret->peak_blocks);
	ret->closed_blocks = whole(heap, ret->closed_blocks);
}

uint64_t heap_kept_blocks(const struct heap *heap)
{
	return blocks_count(&heap->blocks);
}

uint64_t heap_point_total_blocks(const struct heap *heap, uint32_t point)
{
	if (!points_chunk_of(&heap->points, point))
		return 0;
	return whole(heap, points_at(&heap->points, point)->total_blocks);
}

struct heap_sampled heap_point_sampled(const struct heap *heap, uint32_t point)
{
	return points_sampled(&heap->points, point);
}

uint64_t heap_point_threads(const struct heap *heap, uint32_t point)
{
	return points_threads(&heap->points, point);
}

uint64_t heap_point_temporary_blocks(const struct heap *heap, uint32_t point)
{
	return points_temporary(&heap->points, point);
}

/* Births stay what they are in the mean: with parts of a block left out their sum would be another
 * age. */
static void make_whole(struct heap_point *point)
{
	uint64_t live = sample_whole(point->live_blocks);

	if (point->live_blocks)
		point->live_births_ns = point->live_births_ns / point->live_blocks * live;
	point->dead_lifetimes_ns /= SAMPLE_BLOCK;
	point->live_blocks = live;
	point->total_blocks = sample_whole(point->total_blocks);
	point->max_blocks = sample_whole(point->max_blocks);
	point->peak_blocks = sample_whole(point->peak_blocks);
}

int heap_copy(const struct heap *heap, struct heap_totals *ret_totals,
	      struct heap_point **ret_points, uint32_t *ret_count)
{
	int err = points_copy(&heap->points, ret_points, ret_count);

	if (err)
		return err;
	heap_totals(heap, ret_totals);
	for (uint32_t i = 0; is_sampled(heap) && i < *ret_count; i++)
		make_whole(&(*ret_points)[i]);
	return 0;
}

uint32_t heap_point_changed(const struct heap *heap, uint32_t point)
{
	return points_changed(&heap->points, point);
}

uint64_t heap_peak_number(const struct heap *heap)
{
	return heap->points.peak_number;
}
