#include "anon.h"

#include "bpf/dhat_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void anon_deinit(struct anon *anon)
{
	free(anon->ranges);
	*anon = (struct anon){ 0 };
}

/* Number of the first range that ends above addr. */
static size_t first_above(const struct anon *anon, uint64_t addr)
{
	size_t low = 0, high = anon->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (anon->ranges[middle].end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int make_room(struct anon *anon, size_t more)
{
	size_t room = anon->room ? anon->room : 64;
	struct anon_range *grown;

	while (room < anon->count + more)
		room *= 2;
	if (room > ANON_MAX_RANGES)
		return -ENOSPC;
	if (room == anon->room)
		return 0;
	grown = reallocarray(anon->ranges, room, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	anon->ranges = grown;
	anon->room = room;
	return 0;
}

/* Put `count` ranges in the place of those from `first` to before `last`; there is room. */
static void replace(struct anon *anon, size_t first, size_t last, const struct anon_range *with,
		    size_t count)
{
	if (anon->count > last)
		memmove(anon->ranges + first + count, anon->ranges + last,
			(anon->count - last) * sizeof(*anon->ranges));
	if (count)
		memcpy(anon->ranges + first, with, count * sizeof(*with));
	anon->count += count - (last - first);
}

static int keep_rest(struct heap *heap, const struct anon_range *rest, uint64_t time_ns)
{
	return heap_add_existing_block(heap, DHAT_DOMAIN_ANON, rest->start, rest->end - rest->start,
				       rest->point, time_ns);
}

static bool is_range(uint64_t start, uint64_t size_bytes)
{
	return size_bytes && start + size_bytes > start;
}

int anon_unmap(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	       uint64_t time_ns)
{
	uint64_t end = start + size_bytes;
	size_t first = first_above(anon, start), last = first, rests = 0;
	struct anon_range rest[2] = { { 0 } };

	if (!is_range(start, size_bytes))
		return -EBADMSG;
	for (; last < anon->count && anon->ranges[last].start < end; last++) {
		struct anon_range range = anon->ranges[last];

		heap_remove_block(heap, DHAT_DOMAIN_ANON, range.start, 0, time_ns);
		if (range.start < start)
			rest[rests++] = (struct anon_range){ range.start, start, range.point };
		if (range.end > end)
			rest[rests++] = (struct anon_range){ end, range.end, range.point };
	}
	if (rests > last - first && make_room(anon, 1)) { /* a hole in one range */
		rests--;
		anon->refused++;
	}
	replace(anon, first, last, rest, rests);
	for (size_t i = 0; i < rests; i++)
		anon->refused += keep_rest(heap, &rest[i], time_ns) != 0;
	return 0;
}

int anon_map(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	     uint32_t point, uint64_t time_ns)
{
	struct anon_range range = { start, start + size_bytes, point };
	int error = anon_unmap(anon, heap, start, size_bytes, time_ns);

	if (error == 0)
		error = heap_add_block(heap, DHAT_DOMAIN_ANON, start, size_bytes, point, time_ns);
	if (error)
		return error;
	if (make_room(anon, 1)) { /* the totals have it; nobody would know it at its end */
		heap_remove_block(heap, DHAT_DOMAIN_ANON, start, 0, time_ns);
		anon->refused++;
	} else {
		size_t at = first_above(anon, start);

		replace(anon, at, at, &range, 1);
	}
	return 0;
}
