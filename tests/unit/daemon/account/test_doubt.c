/* doubt: what is suspicious, and what only looks so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/account/doubt.h"

#define SECOND 1000000000ull

struct process {
	struct doubt_frees frees;
	uint64_t now_ns, allocs, unknown;
};

/* So many seconds at these rates, looked at once a second. */
static void live(struct process *process, unsigned seconds, uint64_t allocs, uint64_t unknown)
{
	if (!process->now_ns) {
		process->now_ns = 1000 * SECOND;
		doubt_count_frees(&process->frees, process->now_ns, 0, 0);
	}
	for (unsigned i = 0; i < seconds; i++) {
		process->now_ns += SECOND;
		process->allocs += allocs;
		process->unknown += unknown;
		doubt_count_frees(&process->frees, process->now_ns, process->allocs,
				  process->unknown);
	}
}

/* A browser's renderer as measured: 97 allocations and 4,372 frees a second. */
static void frees_that_keep_coming(void **state)
{
	struct process process = { 0 };

	live(&process, 24, 97, 4372);
	assert_false(process.frees.keep_coming);
	live(&process, 1, 97, 4372);
	assert_true(process.frees.keep_coming);
	/* idle proves nothing; one busy window does not, either */
	live(&process, 3600, 0, 0);
	live(&process, 10, 1000, 0);
	assert_true(process.frees.keep_coming);
	/* it was a stock: all is as it should be now */
	live(&process, 10, 1000, 5);
	assert_false(process.frees.keep_coming);
}

static void frees_of_what_was_before(void **state)
{
	struct process burst = { 0 }, decay = { 0 }, cache = { 0 }, few = { 0 }, gone = { 0 };

	/* requests that were under way */
	live(&burst, 4, 10, 100000);
	live(&burst, 3600, 1000, 3);
	assert_false(burst.frees.keep_coming);
	/* ever fewer */
	for (uint64_t rate = 1 << 20; rate; rate /= 2)
		live(&decay, 1, 1000, rate);
	live(&decay, 3600, 1000, 10);
	assert_false(decay.frees.keep_coming);
	/* a full cache replaces its entries one by one, for hours */
	live(&cache, 36000, 5000, 5000);
	assert_false(cache.frees.keep_coming);
	/* a free now and then */
	live(&few, 36000, 0, 10);
	assert_false(few.frees.keep_coming);
	/* a stock of three windows is thrown away at once */
	live(&gone, 10, 100, 0);
	live(&gone, 15, 0, 1000000);
	live(&gone, 3600, 100, 0);
	assert_false(gone.frees.keep_coming);
}

/* Frees that were an ending thread's cache are taken back: the count falls. */
static void counts_that_fall(void **state)
{
	struct process process = { 0 };

	live(&process, 10, 10, 1000);
	process.unknown = 0;
	live(&process, 10, 10, 0);
	assert_false(process.frees.keep_coming);
}

static void memory_that_the_heap_explains(void **state)
{
	const uint64_t mib = 1 << 20;
	const struct doubt_memory begin = { 300 * mib, 200 * mib };

	/* the heap grew, with its overhead */
	assert_false(doubt_grows(&begin, &(struct doubt_memory){ 900 * mib, 700 * mib }));
	/* it shrank, or stacks of threads came */
	assert_false(doubt_grows(&begin, &(struct doubt_memory){ 100 * mib, 200 * mib }));
	assert_false(doubt_grows(&begin, &(struct doubt_memory){ 364 * mib, 200 * mib }));
	/* it did not grow, and 100 MiB came */
	assert_true(doubt_grows(&begin, &(struct doubt_memory){ 400 * mib, 200 * mib }));
	assert_true(doubt_grows(&begin, &(struct doubt_memory){ 1200 * mib, 700 * mib }));
}

static void more_than_there_can_have_been(void **state)
{
	assert_false(doubt_exceeds(0, 0));
	assert_false(doubt_exceeds(100, 800));
	assert_true(doubt_exceeds(101, 800));
}

#define MIB (1ull << 20)
#define expect_weights(want, want_bytes, ...)                                                      \
	do {                                                                                       \
		uint64_t bytes_ = 0;                                                               \
		assert_int_equal(doubt_weigh(&(struct doubt_weights){ __VA_ARGS__ }, &bytes_),     \
				 want);                                                            \
		assert_int_equal(bytes_, want_bytes);                                              \
	} while (0)

static void weighing(void **state)
{
	expect_weights(DOUBT_NONE, 60 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 60 * MIB);
	expect_weights(DOUBT_NONE, 80 * MIB, .known_bytes = 100 * MIB, .unknown_bytes = 80 * MIB);
	expect_weights(DOUBT_UNKNOWN, 80 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 80 * MIB);
	expect_weights(DOUBT_OWN_HEAP, 80 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 80 * MIB,
		       .has_generated_code = true);
}

/* Pages that an allocator keeps in arenas without a block, and the stacks of threads. */
static void what_is_told_otherwise(void **state)
{
	expect_weights(DOUBT_NONE, 40 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 80 * MIB,
		       .free_bytes = 40 * MIB);
	expect_weights(DOUBT_NONE, 0, .known_bytes = 10 * MIB, .unknown_bytes = 80 * MIB,
		       .free_bytes = 400 * MIB);
	expect_weights(DOUBT_NONE, 30 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 80 * MIB,
		       .thread_count = 200);
	expect_weights(DOUBT_UNKNOWN, 80 * MIB, .known_bytes = 10 * MIB, .unknown_bytes = 100 * MIB,
		       .free_bytes = 15 * MIB, .thread_count = 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frees_that_keep_coming),
		cmocka_unit_test(frees_of_what_was_before),
		cmocka_unit_test(counts_that_fall),
		cmocka_unit_test(memory_that_the_heap_explains),
		cmocka_unit_test(more_than_there_can_have_been),
		cmocka_unit_test(weighing),
		cmocka_unit_test(what_is_told_otherwise),
	};

	return cmocka_run_group_tests_name("doubt", tests, NULL, NULL);
}
