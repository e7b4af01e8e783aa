#include "point_message.h"

#include "message.h"
#include "proto/base/qualifiers.h"
#include "proto/profile/snapshot.h"

static void fill_figures(const struct target_copy *copy, const struct target_point *from,
			 struct point_message *ret)
{
	const struct heap_point *heap = &from->heap;
	Dhat__ProgramPoint *point = &ret->point;

	dhat__program_point__init(point);
	point->total_bytes = heap->total_bytes;
	point->total_blocks = heap->total_blocks;
	point->lifetimes_us = from->lifetimes_us;
	point->max_bytes = heap->max_bytes;
	point->max_blocks = heap->max_blocks;
	point->peak_bytes = heap->peak_bytes;
	point->peak_blocks = heap->peak_blocks;
	point->live_bytes = heap->live_bytes;
	point->live_blocks = heap->live_blocks;
	point->first_ns = message_since(copy, heap->first_ns);
	point->last_ns = message_since(copy, heap->last_ns);
	point->number = from->number;
	point->temporary_blocks = from->temporary_blocks;
	point->threads = from->threads;
	if (!copy->sample.bytes)
		return;
	message_fill_sampled(&copy->sample, &from->sampled, from->flags & DHAT_STACK_ANON,
			     &ret->sampled);
	point->sampled = &ret->sampled;
}

static void fill_history(const struct target_copy *copy, const struct target_point *from,
			 struct point_message *ret)
{
	int64_t before = 0;
	bool has_any = false;

	for (uint32_t i = 0; i < copy->history.point_slot_count; i++) {
		int64_t low = (int64_t)from->lows[i];

		ret->low_bytes[i] = low - before;
		before = low;
		has_any |= low > 0;
	}
	ret->point.low_bytes = ret->low_bytes;
	ret->point.n_low_bytes = has_any ? copy->history.point_slot_count : 0;
	ret->point.longest_freed_us = history_brief_ns(from->heap.longest_freed) / 1000;
	ret->point.mean_age_us = from->mean_age_us;
}

static void fill_marks(const struct target_copy *copy, const struct target_point *from,
		       struct point_message *ret)
{
	const struct moments *moments = copy->moments;
	struct moments_figures since[MOMENTS_MAX];
	size_t count = 0;

	moments_of_point(moments, from->id, since);
	for (uint32_t i = 0; i < moments->count; i++) {
		ret->since_bytes[i] = since[i].bytes;
		ret->since_blocks[i] = since[i].blocks;
		if (since[i].blocks)
			count = i + 1;
	}
	ret->point.since_bytes = ret->since_bytes;
	ret->point.since_blocks = ret->since_blocks;
	ret->point.n_since_bytes = ret->point.n_since_blocks = count;
}

static size_t count_without_zeros(const uint32_t *counts, size_t count)
{
	while (count && !counts[count - 1])
		count--;
	return count;
}

/* The counts are the copy's. */
static void fill_ages(const struct target_copy *copy, const struct target_point *from,
		      Dhat__ProgramPoint *point)
{
	const struct census_point *counts = census_at(copy->census, from->id);
	const uint32_t *dead = lifetimes_at(&copy->lifetimes, from->id);

	point->live_ages = without_qualifiers(counts->ages);
	point->n_live_ages = count_without_zeros(counts->ages, DHAT_AGES);
	point->live_sizes = without_qualifiers(counts->sizes);
	point->n_live_sizes = count_without_zeros(counts->sizes, DHAT_SIZES);
	point->dead_ages = without_qualifiers(dead);
	point->n_dead_ages = dead ? count_without_zeros(dead, DHAT_AGES) : 0;
	point->older_bytes = counts->older_bytes;
	point->older_blocks = counts->older_blocks;
	point->slack_bytes = counts->slack_bytes;
}

static void fill_pages(const struct target_copy *copy, const struct target_point *from,
		       Dhat__ProgramPoint *point)
{
	const struct pins_point *pins = &copy->pins->points[from->id];
	size_t ages = DHAT_PAGE_AGES;

	while (ages && !pins->beside_bytes[ages - 1])
		ages--;
	point->resident_bytes = pins->resident_bytes;
	point->swapped_bytes = pins->swapped_bytes;
	point->untouched_bytes = pins->untouched_bytes;
	point->beside_bytes = without_qualifiers(pins->beside_bytes);
	point->n_beside_bytes = ages;
	point->alone_bytes = pins->alone_bytes;
	point->highest_blocks = pins->highest_blocks;
	point->highest_bytes = pins->highest_bytes;
}

static void fill_allocator(const struct target_copy *copy, const struct target_point *from,
			   Dhat__ProgramPoint *point)
{
	if (from->site < copy->probed.probe_count)
		point->allocator = copy->probed.probes[from->site].allocator_at + 1;
}

static void fill_stack(const struct target_point *from, Dhat__ProgramPoint *point)
{
	if (from->flags & DHAT_STACK_ANON)
		point->kind = without_qualifiers("mmap");
	if (from->is_before)
		point->label = without_qualifiers(DHAT_LABEL_BEFORE);
	else if (from->is_lost)
		point->label = without_qualifiers("[stack lost]");
	else
		point->stop = without_qualifiers(message_stop_name(from->stop));
	point->used_frame_pointers = from->flags & DHAT_STACK_USED_FP;
}

/* A viewer has its stack already. */
static bool is_known(const struct target_copy *copy, const struct target_point *point)
{
	return point->number && point->number <= copy->seen_points;
}

bool point_message_fill(const struct target_copy *copy, const struct target_point *from,
			struct point_message *ret)
{
	fill_figures(copy, from, ret);
	if (copy->moments && copy->moments->count)
		fill_marks(copy, from, ret);
	if (copy->census)
		fill_ages(copy, from, &ret->point);
	if (copy->pins && from->id < copy->pins->point_count)
		fill_pages(copy, from, &ret->point);
	if (is_known(copy, from))
		return false;
	fill_stack(from, &ret->point);
	fill_allocator(copy, from, &ret->point);
	if (!from->number) /* of a view it would be out of date with the next event */
		fill_history(copy, from, ret);
	return true;
}
