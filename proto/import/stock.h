#pragma once
/* stock: the frames and points of a file that is being read, until they are parts of a snapshot. A
 * frame is known by its text in the file, and there once. */
#include "proto/base/interned.h"
#include "proto/profile/snapshot.h"

struct stock {
	struct interned texts; /* of frames; number n is frame n + 1 */
	/* owned, but taken out for the snapshot; NULL: out of memory, or taken */
	Dhat__FrameBatch *frames;
	Dhat__PointBatch *points;
	size_t frame_room, point_room;
};

/* -ENOMEM; to be deinited then, too. */
int stock_init(struct stock *stock);
void stock_deinit(struct stock *stock);

/* The number of the frame of this text, from 1 on. *ret_new: it is to be filled; NULL: it was
 * there. -ENOMEM. */
int stock_frame(struct stock *stock, const char *text, uint32_t *ret, Dhat__Frame **ret_new);
/* NULL: out of memory. */
Dhat__ProgramPoint *stock_add_point(struct stock *stock);
