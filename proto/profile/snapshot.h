#pragma once
/* snapshot: one profile of one target, whole and in memory.
 *
 * Put together from the SnapshotParts that a socket or a file gives, one by one, and checked as
 * they come; what is here once it is finished may be used without another check:
 * S1: there is a head of a version we know, and an end; each has its submessages.
 * S2: each frame number of a point is 1 … frame_count.
 * S3: a point has at most DHAT_SNAPSHOT_MAX_DEPTH frames; there are at most
 *     DHAT_SNAPSHOT_MAX_POINTS points and DHAT_SNAPSHOT_MAX_FRAMES frames.
 * S4: a point has bytes and blocks since equally many marks, and not more than there are; those are
 *     at most DHAT_SNAPSHOT_MAX_MARKS, with names that marks can have (mark.h).
 * S5: no histogram of a point is longer than histogram.h says, nor has it more ages than pages.h.
 * S6: if its head has pages, so has its end.
 * S7: what holds a point's blocks are points and roots that are there. Of a view, each point that
 * has something lost is told with bytes and blocks.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/dhat.pb-c.h"

#include "proto/base/error.h"

#define DHAT_SNAPSHOT_VERSION 1
#define DHAT_SNAPSHOT_MAX_DEPTH 1024	    /* the kernel side sends 127 */
#define DHAT_SNAPSHOT_MAX_POINTS (4u << 20) /* TARGET_MAX_STACKS, and room */
#define DHAT_SNAPSHOT_MAX_FRAMES (16u << 20)
#define DHAT_SNAPSHOT_MAX_MARKS 256 /* MOMENTS_MAX, and room */

/* The label of the point of all blocks that were there before the attach. */
#define DHAT_LABEL_BEFORE "[allocated before attach]"
/* The label of the point of all stacks that a file leaves out (proto/import/stats_json.h): what is
 * said of stacks by their names may not be so where there is one. */
#define DHAT_LABEL_NOT_LISTED "[stacks that were not listed]"

struct dhat_snapshot { /* for reading; what it points to belongs to it */
	const Dhat__SnapshotHead *head;
	const Dhat__SnapshotEnd *end;
	Dhat__Frame **frames; /* frame number n is frames[n - 1] */
	size_t frame_count;
	Dhat__ProgramPoint **points;
	size_t point_count;
	uint32_t *pids;	  /* of whom it is if it was put together (snapshot_merge.h) */
	size_t pid_count; /* 0: of head->target alone */
	/* of a file of another kind (proto/import/): which, and what it does not hold, for a
	 * person; NULL: nothing */
	char *lacks;

	/* private: what owns all this */
	Dhat__SnapshotPart **parts;
	size_t part_count, part_room, frame_room, point_room;
};

int dhat_snapshot_new(struct dhat_snapshot **ret);
void dhat_snapshot_free(struct dhat_snapshot *snapshot);

/* Takes the part over, whether it fits or not. -EBADMSG: it does not. */
int dhat_snapshot_add(struct dhat_snapshot *snapshot, Dhat__SnapshotPart *part,
		      struct dhat_error *err);
/* After the last part: is it whole? */
int dhat_snapshot_finish(const struct dhat_snapshot *snapshot, struct dhat_error *err);

/* One more note at its end, which exports tell, too. -ENOMEM: nothing has changed. */
int dhat_snapshot_add_note(struct dhat_snapshot *snapshot, const char *text);

bool dhat_snapshot_lists_all(const struct dhat_snapshot *snapshot);
/* Blocks from before the attach have no stack: they are no part of rankings and percentages. */
bool dhat_point_is_before(const Dhat__ProgramPoint *point);
/* Their sums, in the fields that a point has figures in; all 0 if there are none. */
void dhat_snapshot_before(const struct dhat_snapshot *snapshot, Dhat__ProgramPoint *ret);
