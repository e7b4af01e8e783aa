#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "mark.h"
#include "pages.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

int dhat_snapshot_new(struct dhat_snapshot **ret)
{
	struct dhat_snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return -ENOMEM;
	*ret = snapshot;
	return 0;
}

void dhat_snapshot_free(struct dhat_snapshot *snapshot)
{
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->part_count; i++)
		dhat__snapshot_part__free_unpacked(snapshot->parts[i], NULL);
	free(snapshot->parts);
	free(snapshot->frames);
	free(snapshot->points);
	free(snapshot->pids);
	free(snapshot->lacks);
	free(snapshot);
}

static int bad(struct dhat_error *err, const char *what)
{
	return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE, "not a valid snapshot: %s", what);
}

/* Room for `more` pointers in an array of pointers. */
static int make_room(void *array_, size_t *room, size_t count, size_t more, struct dhat_error *err)
{
	void **array = *(void ***)array_;
	size_t wanted = *room ? *room : 256;

	if (count + more <= *room)
		return 0;
	while (wanted < count + more)
		wanted *= 2;
	array = reallocarray(array, wanted, sizeof(*array));
	if (!array)
		return dhat_error_errno(err, ENOMEM, "cannot hold the snapshot");
	*(void ***)array_ = array;
	*room = wanted;
	return 0;
}

/* keeps S4 */
static int check_marks(const Dhat__SnapshotHead *head, struct dhat_error *err)
{
	if (head->n_marks > DHAT_SNAPSHOT_MAX_MARKS)
		return bad(err, "too many marks");
	for (size_t i = 0; i < head->n_marks; i++)
		if (!dhat_is_mark_name(head->marks[i]->name))
			return bad(err, "a mark has a name that no mark has");
	return 0;
}

static int add_head(struct dhat_snapshot *snapshot, const Dhat__SnapshotHead *head,
		    struct dhat_error *err)
{
	if (snapshot->head)
		return bad(err, "two beginnings");
	if (head->format_version != DHAT_SNAPSHOT_VERSION)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_BAD_FILE,
				      "the snapshot is of format %u, this program reads format %d: "
				      "use the dhatctl of the dhatd that wrote it",
				      head->format_version, DHAT_SNAPSHOT_VERSION);
	if (!head->target)
		return bad(err, "it does not say of which process it is");
	if (check_marks(head, err) < 0)
		return -EBADMSG;
	snapshot->head = head;
	return 0;
}

static int add_frames(struct dhat_snapshot *snapshot, const Dhat__FrameBatch *batch,
		      struct dhat_error *err)
{
	int r;

	if (batch->n_frames > DHAT_SNAPSHOT_MAX_FRAMES - snapshot->frame_count)
		return bad(err, "too many frames");
	r = make_room(&snapshot->frames, &snapshot->frame_room, snapshot->frame_count,
		      batch->n_frames, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < batch->n_frames; i++)
		snapshot->frames[snapshot->frame_count++] = batch->frames[i];
	return 0;
}

/* keeps S2 to S5 */
static int check_point(const struct dhat_snapshot *snapshot, const Dhat__ProgramPoint *point,
		       struct dhat_error *err)
{
	if (point->n_frames > DHAT_SNAPSHOT_MAX_DEPTH)
		return bad(err, "a stack is too deep");
	for (size_t i = 0; i < point->n_frames; i++) {
		if (point->frames[i] == 0 || point->frames[i] > snapshot->frame_count)
			return bad(err, "a stack has a frame that is not there");
	}
	if (point->n_since_bytes != point->n_since_blocks ||
	    point->n_since_bytes > snapshot->head->n_marks)
		return bad(err, "a stack has figures since a mark that is not there");
	if (point->n_live_ages > DHAT_AGES || point->n_dead_ages > DHAT_AGES ||
	    point->n_live_sizes > DHAT_SIZES || point->n_beside_bytes > DHAT_PAGE_AGES)
		return bad(err, "a stack has a histogram that is too long");
	return 0;
}

static int add_points(struct dhat_snapshot *snapshot, const Dhat__PointBatch *batch,
		      struct dhat_error *err)
{
	int r;

	if (batch->n_points > DHAT_SNAPSHOT_MAX_POINTS - snapshot->point_count)
		return bad(err, "too many program points");
	r = make_room(&snapshot->points, &snapshot->point_room, snapshot->point_count,
		      batch->n_points, err);
	for (size_t i = 0; r == 0 && i < batch->n_points; i++) {
		r = check_point(snapshot, batch->points[i], err);
		if (r == 0)
			snapshot->points[snapshot->point_count++] = batch->points[i];
	}
	return r;
}

static int add_end(struct dhat_snapshot *snapshot, const Dhat__SnapshotEnd *end,
		   struct dhat_error *err)
{
	if (!end->totals || !end->verdict)
		return bad(err, "its end lacks the totals or the verdict");
	if (snapshot->head->has_pages && !end->pages) /* S6 */
		return bad(err, "its end lacks the pages");
	snapshot->end = end;
	return 0;
}

int dhat_snapshot_add(struct dhat_snapshot *snapshot, Dhat__SnapshotPart *part,
		      struct dhat_error *err)
{
	int r;

	r = make_room(&snapshot->parts, &snapshot->part_room, snapshot->part_count, 1, err);
	if (r < 0) {
		dhat__snapshot_part__free_unpacked(part, NULL);
		return r;
	}
	snapshot->parts[snapshot->part_count++] = part;
	if (snapshot->end)
		return bad(err, "it goes on behind its end");
	if (!snapshot->head && part->part_case != DHAT__SNAPSHOT_PART__PART_HEAD)
		return bad(err, "its beginning is missing");
	switch (part->part_case) {
	case DHAT__SNAPSHOT_PART__PART_HEAD:
		return add_head(snapshot, part->head, err);
	case DHAT__SNAPSHOT_PART__PART_FRAMES:
		return add_frames(snapshot, part->frames, err);
	case DHAT__SNAPSHOT_PART__PART_POINTS:
		return add_points(snapshot, part->points, err);
	case DHAT__SNAPSHOT_PART__PART_END:
		return add_end(snapshot, part->end, err);
	default:
		return bad(err, "a part of an unknown kind");
	}
}

/* keeps S7 */
static int check_links(const struct dhat_snapshot *snapshot, const uint32_t *points, size_t count,
		       size_t places, struct dhat_error *err)
{
	if (places && places != count)
		return bad(err, "pointers stand in more, or fewer, places than there are links");
	for (size_t i = 0; i < count; i++)
		if (points[i] > snapshot->point_count)
			return bad(err, "a stack's blocks are held by a stack that is not there");
	return 0;
}

static int check_cycles(const struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	const Dhat__Holds *holds = snapshot->end->holds;
	int r = 0;

	for (size_t i = 0; holds && i < holds->n_cycles && r == 0; i++)
		r = check_links(snapshot, holds->cycles[i]->points, holds->cycles[i]->n_points,
				holds->cycles[i]->n_places, err);
	return r;
}

static int check_why(const struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	const Dhat__HoldsWhy *why = snapshot->end->holds ? snapshot->end->holds->why : NULL;
	int r = why ? check_links(snapshot, &why->point, 1, 0, err) : 0;

	for (size_t i = 0; why && i < why->n_steps && r == 0; i++)
		r = check_links(snapshot, &why->steps[i]->point, 1, 0, err);
	return r;
}

static int check_holds(const struct dhat_snapshot *snapshot, const Dhat__PointHolds *holds,
		       struct dhat_error *err)
{
	size_t roots = snapshot->end->holds ? snapshot->end->holds->n_roots : 0;

	for (size_t i = 0; i < holds->n_chains; i++) {
		const Dhat__HoldsChain *chain = holds->chains[i];

		if (chain->root > roots)
			return bad(err, "a stack's blocks are held by a root that is not there");
		if (check_links(snapshot, chain->points, chain->n_points, chain->n_places, err) < 0)
			return -EBADMSG;
	}
	return 0;
}

int dhat_snapshot_finish(const struct dhat_snapshot *snapshot, struct dhat_error *err)
{
	const Dhat__LastHolds *last = snapshot->end ? snapshot->end->last_holds : NULL;

	if (!snapshot->end)
		return bad(err, "its end is missing");
	if (last && (last->n_points != last->n_lost_bytes || last->n_points != last->n_lost_blocks))
		return bad(err, "what is lost has no figures");
	for (size_t i = 0; i < snapshot->point_count; i++)
		if (snapshot->points[i]->holds &&
		    check_holds(snapshot, snapshot->points[i]->holds, err) < 0)
			return -EBADMSG;
	return check_cycles(snapshot, err) < 0 ? -EBADMSG : check_why(snapshot, err);
}

int dhat_snapshot_add_note(struct dhat_snapshot *snapshot, const char *text)
{
	Dhat__SnapshotEnd *end = without_qualifiers(snapshot->end); /* ours */
	char **notes = reallocarray(end->notes, end->n_notes + 1, sizeof(*notes));

	if (!notes)
		return -ENOMEM;
	end->notes = notes;
	notes[end->n_notes] = strdup(text);
	if (!notes[end->n_notes])
		return -ENOMEM;
	end->n_notes++;
	return 0;
}

bool dhat_snapshot_lists_all(const struct dhat_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->point_count; i++)
		if (!strcmp(snapshot->points[i]->label, DHAT_LABEL_NOT_LISTED))
			return false;
	return true;
}

bool dhat_point_is_before(const Dhat__ProgramPoint *point)
{
	return !strcmp(point->label, DHAT_LABEL_BEFORE);
}

void dhat_snapshot_before(const struct dhat_snapshot *snapshot, Dhat__ProgramPoint *ret)
{
	dhat__program_point__init(ret);
	for (size_t i = 0; i < snapshot->point_count; i++) {
		const Dhat__ProgramPoint *point = snapshot->points[i];

		if (!dhat_point_is_before(point))
			continue;
		ret->max_bytes += point->max_bytes;
		ret->max_blocks += point->max_blocks;
		ret->peak_bytes += point->peak_bytes;
		ret->peak_blocks += point->peak_blocks;
		ret->live_bytes += point->live_bytes;
		ret->live_blocks += point->live_blocks;
	}
}
