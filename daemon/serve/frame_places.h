#pragma once
/* frame_places: the distinct places that the frames of a copy are at, numbered object by object.
 *
 * Pure. Frames at one offset of one object are at one place, wherever the object is mapped; one
 * that was interrupted there, and not returned to, is at another. Stacks share their places: a
 * hundred thousand have millions of frames and some thousand places, so what costs is to find each
 * frame's place, and not to sort these.
 */
#include <stdint.h>

#include "daemon/target/target.h"

struct frame_places {
	/* By object, those in no file (MAPPINGS_NO_OBJECT, or a number that no object of the copy
	 * has) last; then by offset, or address. */
	struct stack_frame *list;
	uint32_t count;
	uint32_t *number_of_frame; /* of each frame of the copy: its place's number, from 1 on */
};

/* When a place was on stacks of allocations: CLOCK_MONOTONIC. */
struct place_time {
	uint64_t first_ns, last_ns;
};

/* 0 or -ENOMEM. To be given to frame_places_deinit() when it failed, too. */
int frame_places_init(struct frame_places *places, const struct target_copy *copy);
/* Of the places [from, from + count) of the list; 0 to 0: of none that has allocated. The caller
 * frees; NULL: no memory. */
struct place_time *frame_places_times(const struct frame_places *places,
				      const struct target_copy *copy, uint32_t from,
				      uint32_t count);
void frame_places_deinit(struct frame_places *places);
