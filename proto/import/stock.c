#include "stock.h"

#include <errno.h>

#include "pieces.h"
#include "proto/base/array.h"

int stock_init(struct stock *stock)
{
	*stock = (struct stock){ .frames = pieces_new(&dhat__frame_batch__descriptor),
				 .points = pieces_new(&dhat__point_batch__descriptor) };
	return stock->frames && stock->points ? 0 : -ENOMEM;
}

void stock_deinit(struct stock *stock)
{
	interned_deinit(&stock->texts);
	if (stock->frames)
		dhat__frame_batch__free_unpacked(stock->frames, NULL);
	if (stock->points)
		dhat__point_batch__free_unpacked(stock->points, NULL);
}

int stock_frame(struct stock *stock, const char *text, uint32_t *ret, Dhat__Frame **ret_new)
{
	Dhat__FrameBatch *frames = stock->frames;
	int r = interned_add(&stock->texts, text, ret);

	*ret_new = NULL;
	if (r < 0 || (*ret)++ < frames->n_frames)
		return r;
	if (array_make_room(&frames->frames, &stock->frame_room, frames->n_frames))
		return -ENOMEM;
	*ret_new = pieces_new(&dhat__frame__descriptor);
	if (!*ret_new)
		return -ENOMEM;
	frames->frames[frames->n_frames++] = *ret_new;
	return 0;
}

Dhat__ProgramPoint *stock_add_point(struct stock *stock)
{
	Dhat__PointBatch *points = stock->points;
	Dhat__ProgramPoint *point =
		array_make_room(&points->points, &stock->point_room, points->n_points)
			? NULL
			: pieces_new(&dhat__program_point__descriptor);

	if (point)
		points->points[points->n_points++] = point;
	return point;
}
