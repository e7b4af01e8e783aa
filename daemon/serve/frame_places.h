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

/* 0 or -ENOMEM. To be given to frame_places_deinit() when it failed, too. */
int frame_places_init(struct frame_places *places, const struct target_copy *copy);
void frame_places_deinit(struct frame_places *places);
