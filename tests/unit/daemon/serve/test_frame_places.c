/* Each frame's place, against one found by comparing it with all: shared, in order, object by
 * object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/serve/frame_places.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

enum { OBJECTS = 3 };

static uint64_t key_of(const struct stack_frame *frame)
{
	return frame->object < OBJECTS ? frame->file_offset : frame->addr;
}

static uint32_t object_of(const struct stack_frame *frame)
{
	return frame->object < OBJECTS ? frame->object : MAPPINGS_NO_OBJECT;
}

static bool is_same(const struct stack_frame *a, const struct stack_frame *b)
{
	return object_of(a) == object_of(b) && key_of(a) == key_of(b) &&
	       a->is_exact_pc == b->is_exact_pc;
}

static bool is_before(const struct stack_frame *a, const struct stack_frame *b)
{
	if (a->object != b->object)
		return a->object < b->object;
	return key_of(a) != key_of(b) ? key_of(a) < key_of(b) : a->is_exact_pc < b->is_exact_pc;
}

static void check(struct stack_frame *frames, uint32_t count)
{
	const struct target_copy copy = { .frames = frames,
					  .frame_count = count,
					  .object_count = OBJECTS };
	_cleanup_(frame_places_deinit) struct frame_places places;
	uint32_t distinct = 0;

	assert_int_equal(frame_places_init(&places, &copy), 0);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = 0;

		assert_in_range(places.number_of_frame[i], 1, places.count);
		assert_true(is_same(&places.list[places.number_of_frame[i] - 1], &frames[i]));
		while (!is_same(&frames[j], &frames[i]))
			j++;
		distinct += j == i;
	}
	assert_int_equal(places.count, distinct);
	for (uint32_t i = 1; i < places.count; i++)
		assert_true(is_before(&places.list[i - 1], &places.list[i]));
}

static void test_places(void **state)
{
	struct stack_frame frames[] = {
		{ 0x7000, 0x70, 1, 0 },
		{ 0x9000, 0x70, 1, 0 }, /* mapped twice */
		{ 0x7000, 0x70, 1, 1 }, /* interrupted there */
		{ 0x7000, 0x70, 0, 0 },
		{ 0x7000, 0, MAPPINGS_NO_OBJECT, 0 },
		{ 0x7000, 0x70, OBJECTS, 0 }, /* of no object that the copy has: the one before */
		{ 0x7001, 0, MAPPINGS_NO_OBJECT, 0 },
		{ 0x6000, UINT64_MAX, 2, 0 },
		{ 0x5000, 0, 0, 0 },
	};

	check(frames, ARRAY_SIZE(frames));
	check(frames, 0);
}

static void test_many(void **state)
{
	enum { COUNT = 20000 };
	_cleanup_free_ struct stack_frame *frames = calloc(COUNT, sizeof(*frames));
	uint64_t random = 1;

	assert_non_null(frames);
	for (uint32_t i = 0; i < COUNT; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		frames[i] = (struct stack_frame){ .addr = random >> 60,
						  .file_offset = random >> 33 & 0xff,
						  .object = random >> 41 & 3,
						  .is_exact_pc = random >> 43 & 1 };
	}
	check(frames, COUNT);
}

/* From the first allocation of the first stack to the last of the last. */
static void test_times(void **state)
{
	struct stack_frame frames[] = {
		{ 0x1000, 0x10, 0, 0 },
		{ 0x7000, 0, MAPPINGS_NO_OBJECT, 0 },
		{ 0x8000, 0, MAPPINGS_NO_OBJECT, 0 },
		{ 0x7000, 0, MAPPINGS_NO_OBJECT, 0 },
		{ 0x9000, 0, MAPPINGS_NO_OBJECT, 0 },
	};
	struct target_point points[] = {
		{ .heap = { .first_ns = 30, .last_ns = 40 }, .first_frame = 0, .frame_count = 3 },
		{ .heap = { .first_ns = 10, .last_ns = 35 }, .first_frame = 3, .frame_count = 1 },
		{ .first_frame = 4, .frame_count = 1 }, /* nothing was allocated there */
	};
	const struct target_copy copy = { .frames = frames,
					  .frame_count = ARRAY_SIZE(frames),
					  .points = points,
					  .point_count = ARRAY_SIZE(points),
					  .object_count = OBJECTS };
	_cleanup_(frame_places_deinit) struct frame_places places;
	_cleanup_free_ struct place_time *times = NULL;

	assert_int_equal(frame_places_init(&places, &copy), 0);
	assert_int_equal(places.count, 4);
	times = frame_places_times(&places, &copy, 1, 3);
	assert_non_null(times);
	assert_int_equal(times[0].first_ns, 10);
	assert_int_equal(times[0].last_ns, 40);
	assert_int_equal(times[1].first_ns, 30);
	assert_int_equal(times[1].last_ns, 40);
	assert_int_equal(times[2].last_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
