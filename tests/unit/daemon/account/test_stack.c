/* stack: what makes two stacks one point, and what happens at the bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/stack.h"
#include "proto/base/budget.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct mappings *, mappings_free)
DEFINE_CLEANUP_PTR(struct stacks *, stacks_free)

static struct stacks *fresh(uint32_t max_stacks)
{
	struct stacks *stacks = NULL;

	assert_int_equal(stacks_new(max_stacks, &stacks), 0);
	return stacks;
}

/* A program at 0x1000 (offset 0x1000) and, next to it, a library at 0x5000 (offset 0). */
static struct mappings *some_mappings(void)
{
	struct mappings *mappings = NULL;

	assert_int_equal(mappings_new(&mappings), 0);
	assert_int_equal(mappings_add(mappings, 0x1000, 0x5000, 0x1000, 11, 1, 1, "/prog", NULL),
			 0);
	assert_int_equal(mappings_add(mappings, 0x5000, 0x9000, 0, 12, 1, 1, "/lib", NULL), 0);
	return mappings;
}

static void an_id_has_the_frames_it_was_learnt_with(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	const uint64_t frames[] = { 0x1234, 0x5010 | DHAT_FRAME_EXACT_PC, 0x77777 };
	struct stack_view view;

	assert_int_equal(stacks_count(stacks), STACK_POINT_FIRST);
	assert_int_equal(stacks_point(stacks, 42), STACK_POINT_LOST);
	assert_int_equal(stacks_learn(stacks, 42, 0, frames, 3, DHAT_STOP_NO_RULE,
				      DHAT_STACK_USED_FP, mappings),
			 0);
	assert_int_equal(stacks_point(stacks, 42), STACK_POINT_FIRST);
	assert_int_equal(stacks_point(stacks, 0), STACK_POINT_LOST);
	stacks_view(stacks, STACK_POINT_FIRST, &view);
	assert_int_equal(view.frame_count, 3);
	assert_int_equal(view.stop, DHAT_STOP_NO_RULE);
	assert_int_equal(view.flags, DHAT_STACK_USED_FP);
	assert_int_equal(view.frames[0].addr, 0x1234);
	assert_int_equal(view.frames[0].file_offset, 0x1234);
	assert_int_equal(view.frames[0].object, 0);
	assert_false(view.frames[0].is_exact_pc);
	assert_int_equal(view.frames[1].addr, 0x5010);
	assert_int_equal(view.frames[1].file_offset, 0x10);
	assert_int_equal(view.frames[1].object, 1);
	assert_true(view.frames[1].is_exact_pc);
	assert_int_equal(view.frames[2].object, MAPPINGS_NO_OBJECT);
	assert_int_equal(view.frames[2].addr, 0x77777);
	assert_int_equal(view.site, STACK_NO_SITE);
	stacks_note_site(stacks, 42, 3);
	stacks_note_site(stacks, 42, 4); /* the first stays */
	stacks_note_site(stacks, 43, 5); /* is not known */
	stacks_view(stacks, STACK_POINT_FIRST, &view);
	assert_int_equal(view.site, 3);
	stacks_view(stacks, STACK_POINT_LOST, &view);
	assert_int_equal(view.site, STACK_NO_SITE);
	stacks_view(stacks, STACK_POINT_BEFORE, &view);
	assert_int_equal(view.frame_count, 0);
	stacks_view(stacks, 1000, &view);
	assert_int_equal(view.frame_count, 0);
}

static void a_return_address_belongs_to_the_call_before_it(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	const uint64_t frames[] = { 0x5000, 0x5000 | DHAT_FRAME_EXACT_PC, 0x1000, 0 };
	struct stack_view view;

	assert_int_equal(stacks_learn(stacks, 1, 0, frames, 4, 0, 0, mappings), 0);
	stacks_view(stacks, STACK_POINT_FIRST, &view);
	assert_int_equal(view.frames[0].object, 0);
	assert_int_equal(view.frames[0].file_offset, 0x5000); /* one past the program's last byte */
	assert_int_equal(view.frames[1].object, 1);
	assert_int_equal(view.frames[1].file_offset, 0);
	assert_int_equal(view.frames[2].object, MAPPINGS_NO_OBJECT);
	assert_int_equal(view.frames[3].object, MAPPINGS_NO_OBJECT);
}

static void equal_places_are_one_point_wherever_they_are_mapped(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	const uint64_t there[] = { 0x1234, 0x5010 }, elsewhere[] = { 0x1234, 0xa010 };

	assert_int_equal(stacks_learn(stacks, 1, 0, there, 2, 0, 0, mappings), 0);
	mappings_remove(mappings, 0x5000, 0x9000);
	mappings_add(mappings, 0xa000, 0xe000, 0, 12, 1, 1, NULL, NULL);
	assert_int_equal(stacks_learn(stacks, 2, 1, elsewhere, 2, 0, 0, mappings), 0);
	assert_int_equal(stacks_point(stacks, 1), stacks_point(stacks, 2));
	/* Another plugin at the same addresses is another point. */
	mappings_add(mappings, 0xa000, 0xe000, 0, 13, 1, 1, "/plugin", NULL);
	assert_int_equal(stacks_learn(stacks, 3, 2, elsewhere, 2, 0, 0, mappings), 0);
	assert_int_not_equal(stacks_point(stacks, 3), stacks_point(stacks, 2));
	/* So is a stack that ends otherwise, or is no block's, or is shorter. */
	assert_int_equal(stacks_learn(stacks, 4, 2, elsewhere, 2, DHAT_STOP_JIT, 0, mappings), 0);
	assert_int_equal(stacks_learn(stacks, 5, 2, elsewhere, 2, 0, DHAT_STACK_ANON, mappings), 0);
	assert_int_equal(stacks_learn(stacks, 6, 2, elsewhere, 1, 0, 0, mappings), 0);
	assert_int_equal(stacks_count(stacks), STACK_POINT_FIRST + 5);
}

/* Code whose instructions are read only after a while has no rules at first. */
static void what_frame_pointers_told_and_tables_prove_is_one_point(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	const uint64_t frames[] = { 0x1234, 0x5010 };
	struct stack_view view;
	uint32_t point;

	assert_int_equal(stacks_learn(stacks, 1, 0, frames, 2, 0, DHAT_STACK_USED_FP, mappings), 0);
	point = stacks_point(stacks, 1);
	stacks_view(stacks, point, &view);
	assert_int_equal(view.flags, DHAT_STACK_USED_FP);
	assert_int_equal(stacks_learn(stacks, 2, 1, frames, 2, 0, 0, mappings), 0);
	assert_int_equal(stacks_point(stacks, 2), point);
	stacks_view(stacks, point, &view);
	assert_int_equal(view.flags, 0);
	assert_int_equal(stacks_learn(stacks, 3, 2, frames, 2, 0, DHAT_STACK_USED_FP, mappings), 0);
	assert_int_equal(stacks_point(stacks, 3), point);
	stacks_view(stacks, point, &view);
	assert_int_equal(view.flags, 0);
}

static void an_id_learnt_again_keeps_its_point(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	const uint64_t frames[] = { 0x1234, 0x1300 };

	assert_int_equal(stacks_learn(stacks, 1, 0, frames, 1, 0, 0, mappings), 0);
	assert_int_equal(stacks_learn(stacks, 1, 0, frames, 2, 0, 0, mappings), 0);
	assert_int_equal(stacks_count(stacks), STACK_POINT_FIRST + 1);
}

static void refuses_what_is_too_much(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(STACK_POINT_FIRST + 3);
	uint64_t frames[DHAT_MAX_FRAMES] = { 0x1000 };

	assert_int_equal(stacks_learn(stacks, 0, 0, frames, 1, 0, 0, mappings), -EINVAL);
	assert_int_equal(stacks_learn(stacks, 9, 0, frames, DHAT_MAX_DEPTH + 1, 0, 0, mappings),
			 -EINVAL);
	for (uint64_t i = 1; i <= 3; i++) {
		frames[0] = 0x1000 + i;
		assert_int_equal(
			stacks_learn(stacks, i, 0, frames, DHAT_MAX_FRAMES, 0, 0, mappings), 0);
	}
	frames[0] = 0x2000;
	assert_int_equal(stacks_learn(stacks, 4, 0, frames, 1, 0, 0, mappings), -ENOSPC);
	assert_int_equal(stacks_point(stacks, 4), STACK_POINT_LOST);
	assert_int_equal(stacks_refused(stacks), 1);
	frames[0] = 0x1001; /* a known stack under a new id is no new point */
	assert_int_equal(stacks_learn(stacks, 5, 0, frames, DHAT_MAX_FRAMES, 0, 0, mappings), 0);
	assert_int_equal(stacks_point(stacks, 5), stacks_point(stacks, 1));
}

/* The ring of the outer ones is put in order; the depth is a part of what a stack is. */
static void of_a_deep_stack_both_ends_are_known(void **state)
{
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(100);
	uint64_t frames[DHAT_MAX_FRAMES];
	struct stack_view view;

	for (uint32_t depth = 120; depth < 400; depth += 7) {
		uint32_t kept = depth < 127 ? depth : 127, point;

		for (uint32_t at = 0; at < depth; at++)
			frames[dhat_frame_slot(at)] = 0x1001 + at;
		assert_int_equal(stacks_learn(stacks, depth, 0, frames, depth, 0, 0, mappings), 0);
		point = stacks_point(stacks, depth);
		assert_int_equal(point, stacks_count(stacks) - 1); /* a new one */
		stacks_view(stacks, point, &view);
		assert_int_equal(view.frame_count, kept);
		assert_int_equal(view.left_out, depth - kept);
		for (uint32_t i = 0; i < kept; i++)
			assert_int_equal(view.frames[i].addr,
					 0x1001 + (i < 63 ? i : depth - kept + i));
	}
	/* with equal ends: one point for one depth, another for another */
	for (uint32_t i = 0; i < DHAT_MAX_FRAMES; i++)
		frames[i] = 0x1001;
	assert_int_equal(stacks_learn(stacks, 1000, 0, frames, 300, 0, 0, mappings), 0);
	assert_int_equal(stacks_learn(stacks, 1001, 0, frames, 300, 0, 0, mappings), 0);
	assert_int_equal(stacks_learn(stacks, 1002, 0, frames, 301, 0, 0, mappings), 0);
	assert_int_equal(stacks_point(stacks, 1000), stacks_point(stacks, 1001));
	assert_int_not_equal(stacks_point(stacks, 1000), stacks_point(stacks, 1002));
	/* deeper than was walked: no outer end */
	assert_int_equal(stacks_learn(stacks, 1003, 0, frames, DHAT_MAX_DEPTH, DHAT_STOP_TOO_DEEP,
				      0, mappings),
			 0);
	stacks_view(stacks, stacks_point(stacks, 1003), &view);
	assert_int_equal(view.frame_count, 63);
	assert_int_equal(view.left_out, 1985);
}

/* A target that loads and unloads plugins for ever: new ids without end, the same few stacks. */
static void ids_of_past_epochs_make_room(void **state)
{
	enum { MAX = 1000, PER_EPOCH = 300, EPOCHS = 200 };
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(MAX);

	for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
		for (uint64_t i = 0; i < PER_EPOCH; i++) {
			const uint64_t frames[] = { 0x1000 + i, 0x5020 };
			const uint64_t id = 1 + epoch * PER_EPOCH + i;

			assert_int_equal(stacks_learn(stacks, id, epoch, frames, 2, 0, 0, mappings),
					 0);
			assert_int_equal(stacks_point(stacks, id), STACK_POINT_FIRST + i);
		}
		if (epoch) /* one epoch back is still known */
			assert_int_not_equal(stacks_point(stacks, epoch * PER_EPOCH),
					     STACK_POINT_LOST);
	}
	assert_int_equal(stacks_refused(stacks), 0);
	assert_int_equal(stacks_count(stacks), STACK_POINT_FIRST + PER_EPOCH);
	assert_int_equal(stacks_point(stacks, 1), STACK_POINT_LOST);
}

static void many_stacks_are_all_told_apart(void **state)
{
	enum { COUNT = 100000 };
	struct budget budget = { 0 };
	_cleanup_(mappings_free_ptr) struct mappings *mappings = some_mappings();
	_cleanup_(stacks_free_ptr) struct stacks *stacks = fresh(COUNT + STACK_POINT_FIRST);

	stacks_charge(stacks, &budget);
	for (uint64_t i = 0; i < COUNT; i++) {
		const uint64_t frames[] = { 0x1001 + i % 16, 0x1001 + i / 16 % 256,
					    0x100000 + i / 4096 };

		assert_int_equal(stacks_learn(stacks, i + 1, 0, frames, 3, 0, 0, mappings), 0);
	}
	assert_int_equal(stacks_count(stacks), COUNT + STACK_POINT_FIRST);
	for (uint64_t i = 0; i < COUNT; i++) {
		struct stack_view view;

		stacks_view(stacks, stacks_point(stacks, i + 1), &view);
		assert_int_equal(view.frame_count, 3);
		assert_int_equal(view.frames[0].file_offset, 0x1001 + i % 16);
		assert_int_equal(view.frames[1].file_offset, 0x1001 + i / 16 % 256);
		assert_int_equal(view.frames[2].addr, 0x100000 + i / 4096);
	}
	assert_in_range(budget.used_bytes, COUNT * 3 * sizeof(struct stack_frame), 40 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_has_the_frames_it_was_learnt_with),
		cmocka_unit_test(a_return_address_belongs_to_the_call_before_it),
		cmocka_unit_test(equal_places_are_one_point_wherever_they_are_mapped),
		cmocka_unit_test(what_frame_pointers_told_and_tables_prove_is_one_point),
		cmocka_unit_test(an_id_learnt_again_keeps_its_point),
		cmocka_unit_test(refuses_what_is_too_much),
		cmocka_unit_test(of_a_deep_stack_both_ends_are_known),
		cmocka_unit_test(ids_of_past_epochs_make_room),
		cmocka_unit_test(many_stacks_are_all_told_apart),
	};

	return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
