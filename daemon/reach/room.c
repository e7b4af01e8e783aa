#include "room.h"

#include <stddef.h>

static int refuse(struct room *room, uint64_t bytes, uint64_t left)
{
	room->needed_bytes = room->claimed_bytes + bytes;
	room->most_bytes = room->claimed_bytes + left;
	return -ENOSPC;
}

static int claim(struct room *room, uint64_t bytes)
{
	uint64_t left = 0;

	return room->claim(room->context, bytes, &left) ? 0 : refuse(room, bytes, left);
}

int room_claim(struct room_share *share, uint64_t bytes)
{
	int r = share->room ? claim(share->room, bytes) : 0;

	if (r || !share->room)
		return r;
	share->room->claimed_bytes += bytes;
	share->bytes += bytes;
	return 0;
}

void room_return(struct room_share *share, uint64_t bytes)
{
	if (!share->room)
		return;
	share->room->give(share->room->context, bytes);
	share->room->claimed_bytes -= bytes;
	share->bytes -= bytes;
}

void room_return_all(struct room_share *share)
{
	room_return(share, share->bytes);
}

void room_move(struct room_share *to, struct room_share *from)
{
	to->bytes += from->bytes;
	from->bytes = 0;
}

int room_foresee(struct room *room, uint64_t bytes)
{
	int r = claim(room, bytes);

	if (r == 0)
		room->give(room->context, bytes);
	return r;
}

uint64_t room_left(struct room *room)
{
	uint64_t left = UINT64_MAX;

	if (room && room->claim(room->context, 0, &left))
		room->give(room->context, 0);
	return left;
}

int room_refuse(struct room *room, uint64_t bytes)
{
	uint64_t left = room_left(room);

	return room ? refuse(room, left + bytes, left) : -ENOSPC;
}
