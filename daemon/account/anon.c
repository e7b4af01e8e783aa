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
	return heap_add_rest(heap, DHAT_DOMAIN_ANON, rest->start, rest->end - rest->start,
			     rest->point, rest->since_ns, time_ns);
}

static bool is_range(uint64_t start, uint64_t size_bytes)
{
	return size_bytes && start + size_bytes > start;
}

/* What is left of a range when [start, end), which touches it, is taken out; there may be two. */
static size_t cut(const struct anon_range *range, uint64_t start, uint64_t end,
		  struct anon_range ret_rests[2])
{
	size_t count = 0;

	if (range->start < start) {
		ret_rests[count] = *range;
		ret_rests[count++].end = start;
	}
	if (range->end > end) {
		ret_rests[count] = *range;
		ret_rests[count++].start = end;
	}
	return count;
}

/* What is there of [start, end) since before before_ns. */
static void take_out(struct anon *anon, struct heap *heap, uint64_t start, uint64_t end,
		     uint64_t before_ns, uint64_t time_ns)
{
	size_t first = first_above(anon, start), kept = first, last = first;

	for (; last < anon->count && anon->ranges[last].start < end; last++) {
		struct anon_range range = anon->ranges[last], rests[2];
		size_t count;

		if (range.since_ns > before_ns) {
			anon->ranges[kept++] = range;
			continue;
		}
		count = cut(&range, start, end, rests);
		if (count)
			heap_cut_block(heap, DHAT_DOMAIN_ANON, range.start);
		else
			heap_remove_block(heap, DHAT_DOMAIN_ANON, range.start, 0, time_ns);
		if (count == 2 && make_room(anon, 1)) {
			count--;
			anon->refused++;
		}
		for (size_t i = 0; i < count; i++)
			anon->refused += keep_rest(heap, &rests[i], time_ns) != 0;
		if (count == 2) { /* a hole in one: there is no other */
			replace(anon, last, last + 1, rests, count);
			return;
		}
		if (count)
			anon->ranges[kept++] = rests[0];
	}
	replace(anon, kept, last, NULL, 0);
}

int anon_unmap(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	       uint64_t time_ns)
{
	if (!is_range(start, size_bytes))
		return -EBADMSG;
	take_out(anon, heap, start, start + size_bytes, time_ns, time_ns);
	return 0;
}

int anon_map(struct anon *anon, struct heap *heap, uint64_t start, uint64_t size_bytes,
	     uint32_t point, uint64_t time_ns)
{
	struct anon_range range = { start, start + size_bytes, time_ns, point };
	int error;

	if (!is_range(start, size_bytes))
		return -EBADMSG;
	take_out(anon, heap, start, range.end, UINT64_MAX, time_ns);
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
