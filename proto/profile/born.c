#include "born.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/qualifiers.h"
#include "proto/base/units.h"
#include "remake.h"

struct keeper {
	const struct dhat_births *births;
	const char *when;
	uint64_t begin_ns;
	Dhat__Totals totals;
};

/* ---- points -------------------------------------------------------------------------------- */

static uint64_t since_begin(const struct keeper *keeper, uint64_t ns)
{
	return ns > keeper->begin_ns ? ns - keeper->begin_ns : 0;
}

/* keeps B1 */
static int remake_point(struct keeper *keeper, Dhat__ProgramPoint *point, struct dhat_born born)
{
	Dhat__ProgramPoint *made = dhat_new_like(&point->base);

	if (!made)
		return -ENOMEM;
	made->total_bytes = made->max_bytes = made->peak_bytes = made->live_bytes = born.bytes;
	made->total_blocks = made->max_blocks = made->peak_blocks = made->live_blocks = born.blocks;
	made->n_frames = point->n_frames;
	made->frames = point->frames;
	point->n_frames = 0;
	point->frames = NULL;
	made->stop = dhat_take_text(&point->stop);
	made->label = dhat_take_text(&point->label);
	made->kind = dhat_take_text(&point->kind);
	made->used_frame_pointers = point->used_frame_pointers;
	made->threads = point->threads;
	made->allocator = point->allocator;
	made->first_ns = since_begin(keeper, point->first_ns);
	made->last_ns = since_begin(keeper, point->last_ns);
	dhat_become(&point->base, &made->base);
	keeper->totals.live_bytes += born.bytes;
	keeper->totals.live_blocks += born.blocks;
	keeper->totals.stack_count++;
	return 0;
}

static int keep_points(struct keeper *keeper, struct dhat_snapshot *snapshot,
		       Dhat__PointBatch *batch)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < batch->n_points; i++) {
		Dhat__ProgramPoint *point = batch->points[i];
		struct dhat_born born = dhat_point_born(point, keeper->births);

		if (born.blocks && r == 0) {
			r = remake_point(keeper, point, born);
			snapshot->points[snapshot->point_count++] = point;
			batch->points[kept++] = point;
		} else {
			dhat__program_point__free_unpacked(point, NULL);
		}
	}
	batch->n_points = kept;
	return r;
}

/* Those that there were have room for those that are left. */
static int keep_all_points(struct keeper *keeper, struct dhat_snapshot *snapshot)
{
	int r = 0;

	snapshot->point_count = 0;
	for (size_t i = 0; i < snapshot->part_count && r == 0; i++)
		if (snapshot->parts[i]->part_case == DHAT__SNAPSHOT_PART__PART_POINTS)
			r = keep_points(keeper, snapshot, snapshot->parts[i]->points);
	return r;
}

/* ---- the head and the end ------------------------------------------------------------------ */

static int remake_target(const struct keeper *keeper, Dhat__Target *target)
{
	char *command;

	if (asprintf(&command, "%s [what was allocated %s and lives]", target->command,
		     keeper->when) < 0)
		return -ENOMEM;
	if (*target->command) /* else it is nobody's */
		free(target->command);
	target->command = command;
	target->from_start &= !keeper->begin_ns;
	target->observed_since_unix_ns += keeper->begin_ns;
	target->observed_ns = since_begin(keeper, target->observed_ns);
	return 0;
}

static int remake_head(const struct keeper *keeper, Dhat__SnapshotHead *head)
{
	Dhat__SnapshotHead *made = dhat_new_head(head);

	if (!made)
		return -ENOMEM;
	made->host = dhat_take_text(&head->host);
	made->target = head->target;
	made->threads = head->threads;
	made->n_threads = head->n_threads;
	made->allocators = head->allocators;
	made->n_allocators = head->n_allocators;
	head->target = NULL;
	head->threads = head->allocators = NULL;
	head->n_threads = head->n_allocators = 0;
	dhat_become(&head->base, &made->base);
	head->born = strdup(keeper->when);
	if (head->born)
		return remake_target(keeper, head->target);
	head->born = without_qualifiers(protobuf_c_empty_string);
	return -ENOMEM;
}

static void remake_totals(const struct keeper *keeper, Dhat__Totals *totals)
{
	uint64_t end_ns = since_begin(keeper, totals->end_ns);

	if (totals->sampled) /* of figures that are others now */
		dhat__sampled__free_unpacked(totals->sampled, NULL);
	*totals = keeper->totals;
	totals->total_bytes = totals->peak_bytes = totals->live_bytes;
	totals->total_blocks = totals->peak_blocks = totals->live_blocks;
	totals->end_ns = totals->peak_ns = end_ns;
}

static int remake_end(const struct keeper *keeper, Dhat__SnapshotEnd *end)
{
	Dhat__SnapshotEnd *made = dhat_new_like(&end->base);

	if (!made)
		return -ENOMEM;
	made->totals = end->totals;
	made->verdict = end->verdict;
	made->counters = end->counters;
	made->n_counters = end->n_counters;
	made->notes = end->notes;
	made->n_notes = end->n_notes;
	end->totals = NULL;
	end->verdict = NULL;
	end->counters = NULL;
	end->n_counters = 0;
	end->notes = NULL;
	end->n_notes = 0;
	dhat_become(&end->base, &made->base);
	remake_totals(keeper, end->totals);
	return 0;
}

static int add_note(const struct keeper *keeper, struct dhat_snapshot *snapshot)
{
	const Dhat__Totals *totals = snapshot->end->totals;
	char bytes[DHAT_UNIT_CHARS], blocks[DHAT_UNIT_CHARS], *note;
	int r = asprintf(&note, "only what was allocated %s and lives: %s bytes in %s blocks%s",
			 keeper->when, dhat_format_count(totals->live_bytes, bytes),
			 dhat_format_count(totals->live_blocks, blocks),
			 keeper->births->age_bucket
				 ? "; bytes of stacks of which only some blocks are so old go by "
				   "the mean size"
				 : "");

	if (r < 0)
		return -ENOMEM;
	r = dhat_snapshot_add_note(snapshot, note);
	free(note);
	return r;
}

int dhat_keep_born(struct dhat_snapshot *snapshot, const struct dhat_births *births,
		   const char *when)
{
	const Dhat__SnapshotHead *head = snapshot->head;
	struct keeper keeper = {
		.births = births,
		.when = when,
		.begin_ns = births->since ? head->marks[births->since - 1]->ns : 0,
		.totals = DHAT__TOTALS__INIT,
	};
	int r = keep_all_points(&keeper, snapshot);

	if (r == 0) /* ours */
		r = remake_head(&keeper, without_qualifiers(snapshot->head));
	if (r == 0)
		r = remake_end(&keeper, without_qualifiers(snapshot->end));
	return r < 0 ? r : add_note(&keeper, snapshot);
}
