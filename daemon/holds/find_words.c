#include "find_words.h"

#include <errno.h>

#define BYTES_A_WORD 26	      /* at most, what keeps an edge and a root: reach_max_found_bytes() */
#define MOST_WORDS (1u << 30) /* what the worker has addresses for */
#define LEAST_WORDS 4096
#define RANGE_COPIES 3 /* in the request, which grows, and in the worker */

static uint64_t count_words(const struct find_words_asking *asking)
{
	uint64_t words = 0;

	for (size_t i = 0; i < asking->range_count; i++) {
		uint64_t bytes = asking->ranges[i].end - asking->ranges[i].start;

		words += asking->ranges[i].is_code ? bytes : bytes / sizeof(uint64_t);
	}
	return words;
}

/* As many as there can be, and as have room in so many bytes. */
static struct reach_limits limits_within(const struct find_words_asking *asking,
					 uint64_t room_bytes)
{
	const struct reach_limits none = { 0 };
	uint64_t blocks = reach_max_found_bytes(asking->block_count, &none);
	uint64_t room = room_bytes > blocks ? (room_bytes - blocks) / BYTES_A_WORD : 0;
	uint64_t words = count_words(asking);

	words = words < room ? words : room;
	words = words > LEAST_WORDS ? words : LEAST_WORDS;
	words = words < MOST_WORDS ? words : MOST_WORDS;
	return (struct reach_limits){ words, words };
}

static int find_within(const struct find_words_asking *asking, uint64_t room_bytes,
		       struct reach_found *ret, struct dhat_error *err)
{
	const struct reach_limits limits = limits_within(asking, room_bytes);
	struct room_share share = { .room = asking->room };
	int r = room_claim(&share, reach_max_found_bytes(asking->block_count, &limits));

	if (r == 0)
		r = asking->scan(asking->context, &limits, ret, err);
	if (r) {
		room_return_all(&share);
		return r;
	}
	if (share.room)
		room_return(&share, share.bytes - reach_found_bytes(ret));
	ret->share = share;
	return 0;
}

/* The heap may grow just now. */
static uint64_t nearly_all(uint64_t bytes)
{
	return bytes - bytes / 16;
}

/* Copies want room, too, while it is scanned: so there is half of what is left, and nearly all of
 * it only if that is not enough. */
static int find(const struct find_words_asking *asking, struct reach_found *ret,
		struct dhat_error *err)
{
	struct dhat_error failure = { 0 };
	int r = find_within(asking, room_left(asking->room) / 2, ret, &failure);

	if (r == -E2BIG) {
		failure = (struct dhat_error){ 0 };
		r = find_within(asking, nearly_all(room_left(asking->room)), ret, &failure);
	}
	if (r == -E2BIG) /* one word more would do, for all that is known */
		return room_refuse(asking->room, BYTES_A_WORD);
	if (r && r != -ENOSPC && err && failure.message[0])
		*err = failure;
	return r;
}

int find_words(const struct find_words_asking *asking, struct reach_found *ret,
	       struct dhat_error *err)
{
	const struct reach_places places = reach_places_of(asking->blocks, asking->block_count);
	struct room_share share = { .room = asking->room };
	/* the worker's own, and what brings it the ranges */
	int r = room_claim(&share, reach_finder_bytes(&places) + RANGE_COPIES *
									 asking->range_count *
									 sizeof(*asking->ranges));

	if (r == 0)
		r = find(asking, ret, err);
	room_return_all(&share);
	return r;
}
