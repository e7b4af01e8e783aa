#include "held.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/qualifiers.h"
#include "proto/base/units.h"

static void add(uint64_t *bytes, uint64_t *blocks, const Dhat__HoldsSum *part)
{
	if (!part)
		return;
	*bytes += part->bytes;
	*blocks += part->blocks;
}

void dhat_held_add(struct dhat_held *sum, const Dhat__ProgramPoint *part)
{
	const Dhat__PointHolds *holds = part->holds;

	if (!holds)
		return;
	add(&sum->held_bytes, &sum->held_blocks, holds->held);
	add(&sum->unknown_bytes, &sum->unknown_blocks, holds->unknown);
	add(&sum->lost_bytes, &sum->lost_blocks, holds->lost);
	add(&sum->unseen_bytes, &sum->unseen_blocks, holds->unseen);
}

uint64_t dhat_held_age_ns(const struct dhat_snapshot *snapshot)
{
	uint64_t end_ns = snapshot->end->totals->end_ns, taken_ns = snapshot->end->holds->taken_ns;

	return end_ns > taken_ns ? end_ns - taken_ns : 0;
}

/* ---- in words ------------------------------------------------------------------------------ */

void dhat_held_say(const struct dhat_snapshot *snapshot, char ret[DHAT_HELD_CHARS])
{
	const Dhat__Holds *holds = snapshot->end->holds;
	char age[DHAT_UNIT_CHARS], size[DHAT_UNIT_CHARS], count[DHAT_UNIT_CHARS];

	dhat_format_duration(dhat_held_age_ns(snapshot), age);
	if (holds->lost && holds->lost->blocks)
		snprintf(ret, DHAT_HELD_CHARS, "As of a scan %s ago %s in %s block%s %s lost", age,
			 dhat_format_size(holds->lost->bytes, size),
			 dhat_format_count(holds->lost->blocks, count),
			 holds->lost->blocks == 1 ? "" : "s",
			 holds->lost->blocks == 1 ? "is" : "are");
	else if (holds->n_refusals)
		snprintf(ret, DHAT_HELD_CHARS, "As of a scan %s ago nothing is called lost: %s",
			 age, holds->refusals[0]);
	else
		snprintf(ret, DHAT_HELD_CHARS, "As of a scan %s ago nothing is lost", age);
}

/* Blocks of which no holder was seen, of points of which nothing is called lost any more. */
static uint64_t doubted_blocks(const struct dhat_snapshot *snapshot)
{
	uint64_t blocks = 0;

	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__PointHolds *holds = snapshot->points[i]->holds;

		if (holds && holds->withdrawn_blocks && holds->unseen)
			blocks += holds->unseen->blocks;
	}
	return blocks;
}

bool dhat_held_is_told(const struct dhat_snapshot *snapshot, char ret[DHAT_HELD_CHARS])
{
	const Dhat__Holds *holds = snapshot->end->holds;

	*ret = 0;
	if (!holds)
		snprintf(ret, DHAT_HELD_CHARS,
			 "nobody has looked at what is lost: `dhatctl holds PID' does, and a file "
			 "has it by `dhatctl snapshot --holds'");
	else if (holds->n_refusals)
		snprintf(ret, DHAT_HELD_CHARS, "what is lost could not be told: %s",
			 holds->refusals[0]);
	else if (doubted_blocks(snapshot))
		snprintf(ret, DHAT_HELD_CHARS,
			 "what is lost could not be told: nobody was seen to hold %" PRIu64
			 " blocks of stacks of which that was said before, wrongly",
			 doubted_blocks(snapshot));
	return !*ret;
}

/* ---- what goes ----------------------------------------------------------------------------- */

static void free_chains(Dhat__PointHolds *holds)
{
	for (size_t i = 0; i < holds->n_chains; i++)
		dhat__holds_chain__free_unpacked(holds->chains[i], NULL);
	free(holds->chains);
	holds->chains = NULL;
	holds->n_chains = 0;
}

static void free_type(Dhat__PointHolds *holds)
{
	if (*holds->type) /* else it is nobody's */
		free(holds->type);
	holds->type = without_qualifiers(protobuf_c_empty_string);
}

static void free_names(Dhat__Holds *whole)
{
	for (size_t i = 0; i < whole->n_roots; i++)
		dhat__holds_root__free_unpacked(whole->roots[i], NULL);
	for (size_t i = 0; i < whole->n_cycles; i++)
		dhat__holds_cycle__free_unpacked(whole->cycles[i], NULL);
	free(whole->roots);
	free(whole->cycles);
	if (whole->why)
		dhat__holds_why__free_unpacked(whole->why, NULL);
	whole->roots = NULL;
	whole->cycles = NULL;
	whole->why = NULL;
	whole->n_roots = whole->n_cycles = 0;
}

void dhat_held_forget_chains(const struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->point_count; i++) {
		if (!snapshot->points[i]->holds)
			continue;
		free_chains(snapshot->points[i]->holds);
		free_type(snapshot->points[i]->holds);
	}
	if (snapshot->end->holds)
		free_names(snapshot->end->holds);
}

void dhat_held_forget(const struct dhat_snapshot *snapshot)
{
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end);

	for (size_t i = 0; i < snapshot->point_count; i++) {
		if (snapshot->points[i]->holds)
			dhat__point_holds__free_unpacked(snapshot->points[i]->holds, NULL);
		snapshot->points[i]->holds = NULL;
	}
	if (end->holds)
		dhat__holds__free_unpacked(end->holds, NULL);
	end->holds = NULL;
}

static void renumber(uint32_t *points, size_t count, const uint32_t *numbers)
{
	for (size_t i = 0; i < count; i++)
		if (points[i])
			points[i] = numbers[points[i] - 1];
}

void dhat_held_renumber(const struct dhat_snapshot *snapshot, const uint32_t *numbers)
{
	const Dhat__Holds *whole = snapshot->end->holds;

	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__PointHolds *holds = snapshot->points[i]->holds;

		for (size_t j = 0; holds && j < holds->n_chains; j++)
			renumber(holds->chains[j]->points, holds->chains[j]->n_points, numbers);
	}
	for (size_t i = 0; whole && i < whole->n_cycles; i++)
		renumber(whole->cycles[i]->points, whole->cycles[i]->n_points, numbers);
	if (!whole || !whole->why)
		return;
	renumber(&whole->why->point, 1, numbers);
	for (size_t i = 0; i < whole->why->n_steps; i++)
		renumber(&whole->why->steps[i]->point, 1, numbers);
}
