/* Ages, sizes and lifetimes of a target's blocks, for a copy. */
#include "private.h"

#include "daemon/account/census.h"
#include "proto/base/units.h"

#include <stdio.h>

#define PIECE_LEAVES 16 /* some 11,000 blocks: a millisecond, and 5 with very many stacks */

/* There may be no room: then the copy goes without. Beyond what is kept for a copy it takes what is
 * left of the budget at most, and gives it back soon. */
static bool claim(struct target *target, struct target_copy *copy, uint32_t points)
{
	uint64_t bytes = census_bytes(points) + lifetimes_bytes(heap_lifetimes(target->heap));

	if (bytes > target_room_left(target))
		return false;
	copy->bytes += bytes;
	atomic_fetch_add(&target->copied_bytes, bytes);
	return true;
}

static int say_uncounted(struct target_copy *copy)
{
	char count[DHAT_UNIT_CHARS], note[160];

	if (!copy->lifetimes.uncounted)
		return 0;
	snprintf(note, sizeof(note),
		 "how long %s freed blocks had lived was not counted, for want of room; a larger "
		 "--max-memory helps",
		 dhat_format_count(copy->lifetimes.uncounted, count));
	return texts_add(&copy->notes, note);
}

/* Blocks do not tell whose they are: known if all of the process's allocators are of one kind. */
static enum size_classes classes_of(const struct probed *probed)
{
	enum size_classes classes = SIZE_CLASSES_NOT_KNOWN;

	for (size_t i = 0; i < probed->allocator_count; i++) {
		enum size_classes other = size_classes_of(probed->allocators[i].name);

		if (i && other != classes)
			return SIZE_CLASSES_NOT_KNOWN;
		classes = other;
	}
	return classes;
}

int target_begin_ages(struct target *target, struct target_copy *copy, uint32_t points,
		      bool with_pages)
{
	int error;

	if (!claim(target, copy, points))
		return with_pages ? target_begin_pages(target, copy, points) : 0;
	error = lifetimes_copy(heap_lifetimes(target->heap), &copy->lifetimes);
	if (error == 0)
		error = say_uncounted(copy);
	if (error == 0)
		error = census_new(copy->older_ns, &copy->census);
	if (error == 0 && with_pages)
		error = target_begin_pages(target, copy, points);
	if (error == 0)
		copy->census->classes = classes_of(&copy->probed);
	if (error == 0)
		error = heap_begin_census(target->heap, copy->census, copy->end_ns);
	return error;
}

int target_count_ages(struct target *target, struct target_copy *copy)
{
	int more = copy->census ? 1 : 0;

	while (more == 1) {
		target_lock(target);
		more = heap_step_census(target->heap, PIECE_LEAVES);
		target_unlock(target);
	}
	return more;
}
