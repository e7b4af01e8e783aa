/* counters: every count has a name and a meaning; the verdict says what is wrong, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/account/collector.h"
#include "daemon/account/partial.h"
#include "daemon/account/verdict.h"
#include "proto/base/cleanup.h"

DEFINE_CLEANUP_PTR(struct verdict *, verdict_free)

static const struct verdict_facts attached = { .unknown_bytes = 3 << 20 };
static const struct verdict_facts started = { .from_start = true };

static struct verdict *verdict_of(const uint64_t *values, const struct verdict_facts *facts)
{
	struct verdict *verdict = NULL;

	assert_int_equal(verdict_new(values, facts, &verdict), 0);
	return verdict;
}

static size_t length(char **list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void every_counter_has_its_own_name_and_a_meaning(void **state)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		struct counter counter = counters_at(i, &attached);

		assert_non_null(counter.name);
		assert_true(strlen(counter.meaning) > 10);
		for (const char *c = counter.name; *c; c++)
			assert_true(islower(*c) || *c == '_');
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(counter.name, counters_at(j, &attached).name);
	}
}

static void nothing_lost_is_exact(void **state)
{
	uint64_t values[COUNTER_COUNT] = {
		[DHAT_CTR_ALLOCS] = 1000,    [DHAT_CTR_FREES] = 900, [DHAT_CTR_REALLOCS] = 5,
		[DHAT_CTR_FREE_NULL] = 7,    [DHAT_CTR_FAILED] = 1,  [DHAT_CTR_NESTED] = 40,
		[DHAT_CTR_FOREIGN] = 3,	     [DHAT_CTR_STACKS] = 12, [DHAT_CTR_STOP_FIRST] = 12,
		[DHAT_CTR_STACKS_FULL] = 99,
	};
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &started);

	assert_int_equal(verdict->word, DHAT_EXACT);
	assert_int_equal(length(verdict->reasons), 0);
	assert_int_equal(length(verdict->notes), 0);
}

/* is_loss and the verdict never disagree; every reason has its figure and no double space. */
static void each_loss_alone_gives_one_reason(void **state)
{
	const struct verdict_facts *both[] = { &attached, &started };

	for (size_t f = 0; f < ARRAY_SIZE(both); f++) {
		for (unsigned i = 0; i < COUNTER_COUNT; i++) {
			_cleanup_(verdict_free_ptr) struct verdict *verdict = NULL;
			uint64_t values[COUNTER_COUNT] = { 0 };

			values[i] = 12345;
			verdict = verdict_of(values, both[f]);
			assert_int_equal(verdict->word, counters_at(i, both[f]).is_loss
								? DHAT_INEXACT
								: DHAT_EXACT);
			assert_int_equal(length(verdict->reasons), verdict->word != DHAT_EXACT);
			if (verdict->word == DHAT_EXACT)
				continue;
			assert_int_equal(strncmp(verdict->reasons[0], "12,345 ", 7), 0);
			assert_null(strstr(verdict->reasons[0], "  "));
			assert_null(strstr(verdict->reasons[0], "(null)"));
		}
	}
}

static void what_is_lost_is_a_loss(void **state)
{
	static const unsigned losses[] = {
		DHAT_CTR_ABANDONED,	  DHAT_CTR_NO_STATE,	       DHAT_CTR_SHED_ALLOC,
		DHAT_CTR_DROP_ALLOC,	  DHAT_CTR_DROP_FREE,	       DHAT_CTR_DROP_REALLOC,
		DHAT_CTR_DROP_STACK,	  DHAT_CTR_DROP_LIFE,	       COUNTER_MISSED_RUNS,
		COUNTER_LATE_ALLOCATORS,  COUNTER_UNSEEN_FUNCTIONS,    COUNTER_TAKEN_PROBES,
		COUNTER_COPIED_PROBES,	  COUNTER_MALFORMED,	       COUNTER_OUT_OF_MEMORY,
		COUNTER_SEEN_TWICE,	  COUNTER_UNFINISHED_REALLOCS, COUNTER_BLOCKS_REFUSED,
		COUNTER_STACKS_REFUSED,	  COUNTER_LOST_STACK_BLOCKS,   COUNTER_ANCHOR_GAPS,
		DHAT_CTR_UNKNOWN_CALLS,	  DHAT_CTR_ARENA_RESETS,       DHAT_CTR_UNSIZED,
		COUNTER_IMPOSSIBLE_SIZES, DHAT_CTR_SAMPLE_FULL,
	};
	unsigned count = 0;

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		count += counters_at(i, &attached).is_loss;
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		assert_true(counters_at(losses[i], &attached).is_loss);
	assert_int_equal(count, ARRAY_SIZE(losses));
}

static void one_is_singular(void **state)
{
	uint64_t values[COUNTER_COUNT] = { [DHAT_CTR_DROP_FREE] = 1, [COUNTER_SEEN_TWICE] = 2 };
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &attached);

	assert_int_equal(strncmp(verdict->reasons[0], "1 free lost ", 12), 0);
	assert_int_equal(strncmp(verdict->reasons[1], "2 frees noticed ", 16), 0);
}

static void blocks_from_before_are_a_note_unless_there_can_be_none(void **state)
{
	uint64_t values[COUNTER_COUNT] = { [COUNTER_UNKNOWN_FREES] = 17, [DHAT_CTR_UNPAIRED] = 1 };
	_cleanup_(verdict_free_ptr) struct verdict *after = verdict_of(values, &attached);
	_cleanup_(verdict_free_ptr) struct verdict *whole = verdict_of(values, &started);

	assert_int_equal(after->word, DHAT_EXACT);
	assert_int_equal(length(after->notes), 1);
	assert_non_null(strstr(after->notes[0], "17 blocks from before the attach (3.0 MiB"));
	assert_int_equal(whole->word, DHAT_INEXACT);
	assert_int_equal(length(whole->reasons), 2);
	assert_int_equal(length(whole->notes), 0);
}

/* After an attach, too, when there are ever more of them: doubt.h. */
static void frees_that_keep_coming_are_a_loss(void **state)
{
	const struct verdict_facts facts = { .frees_keep_coming = true };
	uint64_t values[COUNTER_COUNT] = { [COUNTER_UNKNOWN_FREES] = 4372 };
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &facts);

	assert_int_equal(verdict->word, DHAT_INEXACT);
	assert_int_equal(length(verdict->reasons), 1);
	assert_int_equal(length(verdict->notes), 0);
	assert_non_null(strstr(verdict->reasons[0], "4,372 frees of blocks that were never seen "
						    "allocated, and they keep coming"));
	assert_true(counters_at(COUNTER_UNKNOWN_FREES, &facts).is_loss);
}

static void incomplete_stacks_are_named_but_exact(void **state)
{
	uint64_t values[COUNTER_COUNT] = {
		[DHAT_CTR_STACKS] = 1000,
		[DHAT_CTR_STOP_FIRST + DHAT_STOP_COMPLETE] = 990,
		[DHAT_CTR_STOP_FIRST + DHAT_STOP_JIT] = 7,
		[DHAT_CTR_STOP_FIRST + DHAT_STOP_TOO_DEEP] = 3,
	};
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &started);

	assert_int_equal(verdict->word, DHAT_EXACT);
	assert_string_equal(verdict->notes[0],
			    "10 of 1,000 stacks end early (3 after 2,048 frames, 7 in generated "
			    "code); bytes and blocks are right all the same");
	assert_null(verdict->notes[1]);
}

/* Those of the beginning are told apart: what comes later is better. */
static void stacks_of_the_first_second(void **state)
{
	const struct verdict_facts facts = { .first_ns = 1040000000 };
	uint64_t values[COUNTER_COUNT] = {
		[DHAT_CTR_STOP_FIRST + DHAT_STOP_COMPLETE] = 880,
		[DHAT_CTR_STOP_FIRST + DHAT_STOP_NO_TABLE] = 120,
		[COUNTER_FIRST_STACKS] = 200,
		[COUNTER_FIRST_WHOLE] = 84,
	};
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &facts);
	_cleanup_(verdict_free_ptr) struct verdict *whole = NULL;

	assert_string_equal(
		verdict->notes[0],
		"120 of 1,000 stacks end early (120 in files without an unwind table), "
		"116 of them in the first 1.0 s, in which unwind tables are built: "
		"42.0% were whole then, 99.5% since; bytes and blocks are right all the "
		"same");
	values[COUNTER_FIRST_WHOLE] = 200;
	whole = verdict_of(values, &facts);
	assert_null(strstr(whole->notes[0], "the first"));
}

/* A word of its own, as long as nothing was lost; then the loss comes first. */
static void a_sample_is_never_exact(void **state)
{
	const struct verdict_facts sampled = { .sample_bytes = 512 << 10 };
	uint64_t values[COUNTER_COUNT] = { [DHAT_CTR_UNSAMPLED_ALLOCS] = 1000 };
	struct verdict *verdict = verdict_of(values, &sampled);

	assert_int_equal(verdict->word, DHAT_SAMPLED);
	assert_int_equal(length(verdict->reasons), 1);
	assert_string_equal(verdict->reasons[0],
			    "figures are estimates: 1 block per 512 KiB was recorded, nothing was "
			    "lost; a stack that is not shown may hold up to 1.5 MiB");
	verdict_free(verdict);
	values[DHAT_CTR_SAMPLE_FULL] = 3;
	verdict = verdict_of(values, &sampled);
	assert_int_equal(verdict->word, DHAT_INEXACT);
	assert_int_equal(length(verdict->reasons), 2);
	assert_non_null(strstr(verdict->reasons[0], "3 sampled blocks given up"));
	assert_null(strstr(verdict->reasons[1], "nothing was lost"));
	verdict_free(verdict);
}

static void a_sample_of_some_allocators_is_partial(void **state)
{
	const struct verdict_facts sampled = { .sample_bytes = 512 << 10, .is_listing = true };
	uint64_t values[COUNTER_COUNT] = { 0 };
	_cleanup_(verdict_free_ptr) struct verdict *verdict = verdict_of(values, &sampled);

	assert_int_equal(verdict->word, DHAT_PARTIAL);
	assert_int_equal(length(verdict->reasons), 2);
	assert_non_null(strstr(verdict->reasons[1], "1 block per 512 KiB"));
}

/* An assertion on live bytes that passes for want of half of them would be worth nothing. */
static void what_is_still_being_listed_makes_it_partial(void **state)
{
	struct verdict_facts facts = { .is_listing = true, .probed = "glibc 2.36" };
	uint64_t values[COUNTER_COUNT] = { [DHAT_CTR_ALLOCS] = 7 };
	struct verdict *verdict = verdict_of(values, &facts);

	assert_int_equal(verdict->word, DHAT_PARTIAL);
	assert_int_equal(length(verdict->reasons), 1);
	assert_non_null(strstr(verdict->reasons[0], "still being listed"));
	verdict_free(verdict);
	values[DHAT_CTR_DROP_FREE] = 2;
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_INEXACT);
	assert_int_equal(length(verdict->reasons), 2);
	verdict_free(verdict);
}

/* What was probed is exact, and there is more: neither of the other two words is true then. */
static void what_is_not_probed_makes_it_partial(void **state)
{
	struct partials partials = { 0 };
	struct verdict_facts facts = { .partials = &partials, .probed = "glibc 2.36" };
	uint64_t values[COUNTER_COUNT] = { [DHAT_CTR_ALLOCS] = 7 };
	_cleanup_(verdict_free_ptr) struct verdict *none = verdict_of(values, &facts);
	struct verdict *verdict;

	assert_int_equal(none->word, DHAT_EXACT);
	assert_int_equal(partials_say(&partials, "a", 0, "what %s hands out is missing", "A"), 0);
	assert_int_equal(partials_say(&partials, "b", 1 << 20, "and what B does"), 0);
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_PARTIAL);
	assert_int_equal(length(verdict->reasons), 3);
	assert_string_equal(verdict->reasons[0],
			    "exact for glibc 2.36, which is not all of this process");
	assert_string_equal(verdict->reasons[1], "what A hands out is missing");
	assert_string_equal(verdict->reasons[2], "and what B does");
	verdict_free(verdict);

	/* a loss beside it is worse, comes first, and nothing is called exact */
	values[DHAT_CTR_DROP_FREE] = 2;
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_INEXACT);
	assert_int_equal(length(verdict->reasons), 3);
	assert_int_equal(strncmp(verdict->reasons[0], "2 frees lost ", 13), 0);
	assert_string_equal(verdict->reasons[2], "and what B does");
	verdict_free(verdict);

	/* found again, it replaces; without any, it is exact */
	values[DHAT_CTR_DROP_FREE] = 0;
	assert_int_equal(partials_say(&partials, "a", 0, "A again"), 0);
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_PARTIAL);
	assert_int_equal(length(verdict->reasons), 3);
	assert_string_equal(verdict->reasons[1], "A again");
	verdict_free(verdict);
	partials_withdraw(&partials, "a");
	partials_withdraw(&partials, "a"); /* is not there any more */
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_PARTIAL);
	assert_int_equal(length(verdict->reasons), 2);
	assert_string_equal(verdict->reasons[1], "and what B does");
	verdict_free(verdict);
	partials_deinit(&partials);
	partials = (struct partials){ 0 };
	verdict = verdict_of(values, &facts);
	assert_int_equal(verdict->word, DHAT_EXACT);
	verdict_free(verdict);
	for (int i = 0; i < 100; i++) {
		char key[8];

		snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(partials_say(&partials, key, 0, "line %d", i), 0);
	}
	verdict = verdict_of(values, &facts);
	assert_int_equal(length(verdict->reasons), 101);
	assert_string_equal(verdict->reasons[100], "line 99");
	verdict_free(verdict);
	partials_deinit(&partials);
}

static void everything_at_once_fits(void **state)
{
	uint64_t values[COUNTER_COUNT];
	_cleanup_(verdict_free_ptr) struct verdict *verdict = NULL;

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		values[i] = UINT64_MAX / 64;
	verdict = verdict_of(values, &started);
	assert_int_equal(length(verdict->reasons), 28);
	assert_int_equal(length(verdict->notes), 3);
}

static void fills_what_the_collector_knows(void **state)
{
	uint64_t values[COUNTER_COUNT] = { 0 };
	struct collector collector;
	struct heap *heap = NULL;
	struct stacks *stacks = NULL;

	assert_int_equal(heap_new(1, &heap), 0);
	assert_int_equal(stacks_new(2, &stacks), 0);
	assert_int_equal(collector_init(&collector, heap, stacks, NULL), 0);
	heap_add_block(heap, 0, 0x10, 1, STACK_POINT_LOST, 1);
	heap_add_block(heap, 0, 0x10, 1, 2, 1);		 /* seen twice */
	heap_add_block(heap, 0, 0x20, UINT64_MAX, 2, 1); /* refused, and no size */
	heap_remove_block(heap, 0, 0x30, 0, 1);		 /* unknown */
	heap_realloc_begin(heap, 1, 0, 0x10, 0, 1);	 /* unfinished */
	heap_thread_seen(heap, 1, 2);
	assert_int_equal(stacks_learn(stacks, 5, 0, NULL, 0, 0, 0, NULL) < 0, 1);
	collector.malformed = 7;
	collector.ignored = 8;
	collector.out_of_memory = 9;
	collector.mappings_refused = 10;
	counters_fill(values, &collector);
	assert_int_equal(values[COUNTER_LOST_STACK_BLOCKS], 1);
	assert_int_equal(values[COUNTER_SEEN_TWICE], 1);
	assert_int_equal(values[COUNTER_BLOCKS_REFUSED], 1);
	assert_int_equal(values[COUNTER_UNKNOWN_FREES], 1);
	assert_int_equal(values[COUNTER_UNFINISHED_REALLOCS], 1);
	assert_int_equal(values[COUNTER_IMPOSSIBLE_SIZES], 1);
	assert_int_equal(values[COUNTER_STACKS_REFUSED], 1);
	assert_int_equal(values[COUNTER_MALFORMED], 7);
	assert_int_equal(values[COUNTER_AFTER_EXEC], 8);
	assert_int_equal(values[COUNTER_OUT_OF_MEMORY], 9);
	assert_int_equal(values[COUNTER_MAPPINGS_REFUSED], 10);
	collector_deinit(&collector);
	heap_free(heap);
	stacks_free(stacks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_has_its_own_name_and_a_meaning),
		cmocka_unit_test(nothing_lost_is_exact),
		cmocka_unit_test(each_loss_alone_gives_one_reason),
		cmocka_unit_test(what_is_lost_is_a_loss),
		cmocka_unit_test(one_is_singular),
		cmocka_unit_test(blocks_from_before_are_a_note_unless_there_can_be_none),
		cmocka_unit_test(frees_that_keep_coming_are_a_loss),
		cmocka_unit_test(incomplete_stacks_are_named_but_exact),
		cmocka_unit_test(stacks_of_the_first_second),
		cmocka_unit_test(a_sample_is_never_exact),
		cmocka_unit_test(a_sample_of_some_allocators_is_partial),
		cmocka_unit_test(what_is_still_being_listed_makes_it_partial),
		cmocka_unit_test(what_is_not_probed_makes_it_partial),
		cmocka_unit_test(everything_at_once_fits),
		cmocka_unit_test(fills_what_the_collector_knows),
	};

	return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
