#include "frame_places.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/index.h"

DEFINE_CLEANUP_PTR(struct index *, index_free)

struct sort_entry {
	struct stack_frame place;
	uint32_t number; /* in the order in which they were found */
};

static uint64_t key_of(const struct stack_frame *place)
{
	return place->object == MAPPINGS_NO_OBJECT ? place->addr : place->file_offset;
}

static int compare(const struct stack_frame *x, const struct stack_frame *y)
{
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	if (key_of(x) != key_of(y))
		return key_of(x) < key_of(y) ? -1 : 1;
	return x->is_exact_pc - y->is_exact_pc;
}

static int compare_entries(const void *x, const void *y)
{
	return compare(&((const struct sort_entry *)x)->place,
		       &((const struct sort_entry *)y)->place);
}

static struct stack_frame place_of(const struct target_copy *copy, const struct stack_frame *frame)
{
	struct stack_frame place = *frame;

	if (place.object >= copy->object_count)
		place.object = MAPPINGS_NO_OBJECT;
	return place;
}

struct finding {
	struct index *numbers; /* value: the number of a place in the list, as it was found */
	struct frame_places *places;
	size_t room;
};

/* The number that the place has so far. What tells it is longer than a key of the index: where two
 * meet at one key, the later one has the next that is free. */
static int find(struct finding *finding, const struct stack_frame *place, uint32_t *ret)
{
	struct frame_places *places = finding->places;
	uint64_t head = (uint64_t)place->object << 1 | place->is_exact_pc;
	uint64_t key = index_mix(finding->numbers, head, key_of(place));
	struct index_entry *entry;
	int r;

	while ((r = index_claim(finding->numbers, 0, key, &entry)) == 0 &&
	       compare(&places->list[entry->value], place))
		key++;
	if (r < 0)
		return -ENOMEM;
	if (r == 1) {
		if (array_make_room(&places->list, &finding->room, places->count))
			return -ENOMEM;
		places->list[places->count] = *place;
		entry->value = places->count++;
	}
	*ret = entry->value;
	return 0;
}

static int find_all(struct frame_places *places, const struct target_copy *copy)
{
	_cleanup_(index_free_ptr) struct index *numbers = NULL;
	struct finding finding = { .places = places };
	int r = index_new(&numbers);

	finding.numbers = numbers;
	for (uint32_t i = 0; r == 0 && i < copy->frame_count; i++) {
		struct stack_frame place = place_of(copy, &copy->frames[i]);

		r = find(&finding, &place, &places->number_of_frame[i]);
	}
	return r;
}

static int sort(struct frame_places *places, uint32_t frame_count)
{
	_cleanup_free_ struct sort_entry *entries = calloc(places->count + 1ul, sizeof(*entries));
	_cleanup_free_ uint32_t *rank = calloc(places->count + 1ul, sizeof(*rank));

	if (!entries || !rank)
		return -ENOMEM;
	for (uint32_t i = 0; i < places->count; i++)
		entries[i] = (struct sort_entry){ places->list[i], i };
	qsort(entries, places->count, sizeof(*entries), compare_entries);
	for (uint32_t i = 0; i < places->count; i++) {
		places->list[i] = entries[i].place;
		rank[entries[i].number] = i + 1;
	}
	for (uint32_t i = 0; i < frame_count; i++)
		places->number_of_frame[i] = rank[places->number_of_frame[i]];
	return 0;
}

int frame_places_init(struct frame_places *places, const struct target_copy *copy)
{
	int r;

	*places = (struct frame_places){
		.number_of_frame = calloc(copy->frame_count + 1ul, sizeof(uint32_t)),
	};
	if (!places->number_of_frame)
		return -ENOMEM;
	r = find_all(places, copy);
	return r < 0 ? r : sort(places, copy->frame_count);
}

static void add_time(struct place_time *time, const struct heap_point *point)
{
	if (!time->last_ns || point->first_ns < time->first_ns)
		time->first_ns = point->first_ns;
	if (point->last_ns > time->last_ns)
		time->last_ns = point->last_ns;
}

struct place_time *frame_places_times(const struct frame_places *places,
				      const struct target_copy *copy, uint32_t from, uint32_t count)
{
	struct place_time *times = calloc(count + 1ul, sizeof(*times));

	for (uint32_t i = 0; times && i < copy->point_count; i++) {
		const struct target_point *point = &copy->points[i];

		for (uint32_t j = 0; point->heap.last_ns && j < point->frame_count; j++) {
			uint32_t place = places->number_of_frame[point->first_frame + j] - 1;

			if (place - from < count)
				add_time(&times[place - from], &point->heap);
		}
	}
	return times;
}

void frame_places_deinit(struct frame_places *places)
{
	free(places->list);
	free(places->number_of_frame);
}
