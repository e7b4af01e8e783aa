/* courses: programs run through the real heap, and what suspects.h says of them. Leaks have to be
 * found and nothing else taken for one, at any speed, whatever the seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_abi.h"
#include "daemon/account/heap.h"
#include "proto/base/cleanup.h"
#include "proto/profile/suspects.h"

DEFINE_CLEANUP_PTR(struct heap *, heap_free)

#define BEGIN 1000000007ull
#define POINT 2
#define STEPS 4000 /* of time, in each of which a program does something */
#define MOST 40000 /* blocks at once */

/* ---- a program ----------------------------------------------------------------------------- */

struct program {
	struct heap *heap;
	uint64_t random, duration_ns, now_ns, next_addr;
	uint64_t addrs[MOST], ends[MOST]; /* kept by programs that free; ends: the step */
	uint32_t count;
	double number; /* what a program varies in */
};

static double chance(struct program *p) /* xorshift64*, 0 to 1 */
{
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return (double)(p->random * 0x2545f4914f6cdd1dull >> 11) / (1ull << 53);
}

static double fraction(double x)
{
	return x - (double)(uint64_t)x;
}

/* A time that chance has, of mean 1: -ln(u), by the series of atanh (no test links libm). */
static double some_time(struct program *p)
{
	double u = 1 - chance(p), sum = 0, y, power;

	for (; u < 0.5; u *= 2)
		sum += 0.69314718056;
	y = power = (1 - u) / (1 + u);
	for (int i = 1; i < 12; i += 2, power *= y * y)
		sum += 2 * power / i;
	return sum;
}

static uint64_t take(struct program *p, uint64_t size)
{
	p->next_addr += 16;
	assert_int_equal(heap_add_block(p->heap, 0, p->next_addr, size, POINT, p->now_ns), 0);
	return p->next_addr;
}

static void give(struct program *p, uint64_t addr)
{
	assert_true(heap_remove_block(p->heap, 0, addr, 0, p->now_ns));
}

static void keep(struct program *p, uint64_t size, uint64_t end)
{
	assert_true(p->count < MOST);
	p->addrs[p->count] = take(p, size);
	p->ends[p->count++] = end;
}

static void drop_at(struct program *p, uint32_t i)
{
	give(p, p->addrs[i]);
	p->count--;
	p->addrs[i] = p->addrs[p->count];
	p->ends[i] = p->ends[p->count];
}

static void drop_ended(struct program *p, uint32_t step)
{
	for (uint32_t i = p->count; i-- > 0;)
		if (p->ends[i] <= step)
			drop_at(p, i);
}

typedef void (*behaviour)(struct program *p, uint32_t step);

static struct dhat_suspicion run(behaviour behave, double number, double seconds, uint64_t seed)
{
	_cleanup_(heap_free_ptr) struct heap *heap = NULL;
	_cleanup_free_ struct program *p = calloc(1, sizeof(*p));
	_cleanup_free_ struct heap_point *points = NULL;
	struct dhat_suspicion suspicion;
	struct heap_history history;
	struct heap_totals totals;
	float lows[HISTORY_POINT_SLOTS];
	uint64_t whole[HISTORY_POINT_SLOTS];
	uint32_t count;

	assert_non_null(p);
	assert_int_equal(heap_new(0, &heap), 0);
	*p = (struct program){ .heap = heap,
			       .random = seed * 0x9e3779b97f4a7c15ull | 1,
			       .duration_ns = (uint64_t)(seconds * 1e9),
			       .number = number };
	heap_pass_time(heap, BEGIN, 0);
	for (uint32_t step = 0; step < STEPS; step++) {
		p->now_ns = BEGIN + p->duration_ns / STEPS * step + 1;
		behave(p, step);
	}
	heap_pass_time(heap, BEGIN + p->duration_ns, 0);
	heap_copy_history(heap, &history);
	assert_int_equal(heap_copy(heap, &totals, &points, &count), 0);
	heap_point_history(heap, POINT, &points[POINT], lows);
	for (uint32_t i = 0; i < history.point_slot_count; i++)
		whole[i] = (uint64_t)lows[i];
	dhat_suspect_judge(
		&(struct dhat_suspect_facts){
			.lows = whole,
			.slot_count = history.point_slot_count,
			.start_ns = 0,
			.slot_ns = history.point_slot_ns,
			.end_ns = p->duration_ns,
			.live_bytes = points[POINT].live_bytes,
			.live_blocks = points[POINT].live_blocks,
			.first_ns = points[POINT].first_ns - BEGIN,
			.last_ns = points[POINT].last_ns - BEGIN,
			.longest_freed_us = history_brief_ns(points[POINT].longest_freed) / 1000,
			.mean_age_us =
				heap_point_mean_age_us(&points[POINT], BEGIN + p->duration_ns),
		},
		&suspicion);
	if (getenv("COURSES")) {
		printf("%6.3g %6.3g s: %-9s %-6s", number, seconds,
		       dhat_course_name(suspicion.course),
		       dhat_confidence_name(suspicion.confidence));
		for (uint32_t i = 0; i < history.point_slot_count; i++)
			printf(" %lu", whole[i]);
		printf("; freed %lu mean %lu us\n",
		       history_brief_ns(points[POINT].longest_freed) / 1000,
		       heap_point_mean_age_us(&points[POINT], BEGIN + p->duration_ns));
	}
	return suspicion;
}

/* From a history that has just enough slots to a week. */
static const double durations[] = { 0.8, 1.3, 7.7, 60, 604800 };
#define SEEDS 3 /* 40, and twice as many durations, for the figures in suspects.h */

/* Runs a program with each number, at each speed; counts what it is taken for. */
static void survey(const char *name, behaviour behave, const double *numbers, size_t count,
		   unsigned ret[DHAT_PASSES + 1])
{
	unsigned runs = 0;

	memset(ret, 0, (DHAT_PASSES + 1) * sizeof(*ret));
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < ARRAY_SIZE(durations); j++)
			for (uint64_t seed = 1; seed <= SEEDS; seed++, runs++)
				ret[run(behave, numbers[i], durations[j], seed).course]++;
	print_message("%-28s", name);
	for (unsigned course = 0; course <= DHAT_PASSES; course++)
		if (ret[course])
			print_message("  %s %u", dhat_course_name(course), ret[course]);
	print_message(" of %u\n", runs);
}

#define SURVEY(behave, ...)                                                                        \
	unsigned was[DHAT_PASSES + 1], all = 0;                                                    \
	static const double numbers[] = { __VA_ARGS__ };                                           \
                                                                                                   \
	survey(#behave, behave, numbers, ARRAY_SIZE(numbers), was);                                \
	for (unsigned course_ = 0; course_ <= DHAT_PASSES; course_++)                              \
		all += was[course_];                                                               \
	assert_int_equal(all, ARRAY_SIZE(numbers) * ARRAY_SIZE(durations) * SEEDS)

/* ---- leaks --------------------------------------------------------------------------------- */

/* number: blocks a step, on average */
static void leak(struct program *p, uint32_t step)
{
	for (double left = p->number; left > 0; left--)
		if (chance(p) < left)
			take(p, 16 + (uint64_t)(chance(p) * 100));
}

static void a_leak(void **state)
{
	SURVEY(leak, 0.01, 0.1, 1, 5);
	/* 0.01: 40 blocks in all, two or three a slot, and none in some */
	assert_true(was[DHAT_LEAKS] >= all * 9 / 10);
	assert_int_equal(was[DHAT_LEAKS] + was[DHAT_EARLY] + was[DHAT_LEVEL] + was[DHAT_GROWS],
			 all);
	assert_true(run(leak, 1, 60, 1).confidence == DHAT_HIGH);
}

static void a_leak_is_measured(void **state)
{
	struct dhat_suspicion leaking = run(leak, 1, 60, 1);

	/* 4,000 blocks of 66 bytes a minute */
	assert_in_range((uint64_t)leaking.growth, 250000, 280000);
	assert_true(leaking.since_ns < 1000000000);
	assert_true(leaking.frees_none && leaking.frees_young && !leaking.has_slowed);
}

/* Heavy churn, of which little is kept: number: one block in so many. Others live for one to five
 * steps. */
static void slow_leak(struct program *p, uint32_t step)
{
	drop_ended(p, step);
	for (int i = 0; i < 20; i++) {
		if (chance(p) * p->number < 1)
			take(p, 64);
		else
			keep(p, 64, step + 1 + (uint32_t)(chance(p) * 5));
	}
}

static void a_slow_leak(void **state)
{
	{
		SURVEY(slow_leak, 100, 300, 1000);
		assert_true(was[DHAT_LEAKS] >= all * 9 / 10);
		assert_int_equal(was[DHAT_LEAKS] + was[DHAT_GROWS], all);
	}
	{ /* 20 blocks are kept in all, none or two or three in a slot */
		SURVEY(slow_leak, 4000);
		assert_true(was[DHAT_LEAKS] >= all * 7 / 10);
	}
}

/* Leaks beside a cache at its plateau, on one line. number: blocks of the cache */
static void leak_beside_cache(struct program *p, uint32_t step)
{
	if (step == 0)
		for (int i = 0; i < p->number; i++)
			keep(p, 100, STEPS);
	take(p, 100);
}

static void a_leak_beside_a_cache(void **state)
{
	SURVEY(leak_beside_cache, 100, 10000);
	assert_int_equal(was[DHAT_LEAKS], all);
}

/* number: when it begins, as a part of the watch */
static void late_leak(struct program *p, uint32_t step)
{
	if (step == 0)
		keep(p, 100, STEPS);
	if (step > p->number * STEPS)
		take(p, 100);
}

static void a_leak_that_begins_later(void **state)
{
	{
		SURVEY(late_leak, 0.1, 0.2);
		assert_true(was[DHAT_LEAKS] + was[DHAT_EARLY] == all);
		assert_true(was[DHAT_LEAKS] > all * 8 / 10);
	}
	{ /* too late for the slots that there are: said so, and no more */
		SURVEY(late_leak, 0.8, 0.9);
		assert_int_equal(was[DHAT_EARLY], all);
	}
}

/* Up and down, and a tenth of each up stays. number: periods in the watch */
static void leak_on_waves(struct program *p, uint32_t step)
{
	double phase = fraction(step * p->number / STEPS);

	if (phase < 0.5) {
		keep(p, 100, 0);
		keep(p, 100, chance(p) < 0.2 ? STEPS : 0);
	} else {
		for (int i = 0; i < 8; i++)
			if (p->count && !p->ends[p->count - 1])
				drop_at(p, p->count - 1);
			else if (p->count)
				p->count--; /* it stays for good */
	}
}

static void a_leak_on_waves(void **state)
{
	SURVEY(leak_on_waves, 50, 200);
	assert_true(was[DHAT_LEAKS] + was[DHAT_GROWS] >= all * 9 / 10);
}

/* ---- what is none -------------------------------------------------------------------------- */

/* First in, first out. number: when it is full, as a part of the watch */
static void cache(struct program *p, uint32_t step)
{
	uint32_t capacity = (uint32_t)(p->number * STEPS);
	static uint32_t oldest;

	if (step == 0)
		oldest = 0;
	if (p->count < capacity) {
		keep(p, 100, 0);
		return;
	}
	give(p, p->addrs[oldest]);
	p->addrs[oldest] = take(p, 100);
	oldest = (oldest + 1) % capacity;
}

static void a_cache_at_its_plateau(void **state)
{
	SURVEY(cache, 0.01, 0.1, 0.3, 0.5, 0.7);
	assert_int_equal(was[DHAT_LEVEL], all);
}

/* Any of them is replaced, by one of another size. */
static void random_cache(struct program *p, uint32_t step)
{
	uint32_t capacity = (uint32_t)(p->number * STEPS);

	if (p->count >= capacity)
		drop_at(p, (uint32_t)(chance(p) * p->count));
	keep(p, 16 + (uint64_t)(chance(p) * 1000), 0);
}

static void a_cache_of_any_sizes(void **state)
{
	SURVEY(random_cache, 0.003, 0.01, 0.1, 0.3, 0.5);
	assert_int_equal(was[DHAT_LEAKS], 0);
	assert_true(was[DHAT_GROWS] <= all / 50);
	assert_true(was[DHAT_LEVEL] >= all * 9 / 10);
}

/* What is asked for is there already more and more often. number: how often everything was asked
 * for, on average, in the watch */
static void warming_cache(struct program *p, uint32_t step)
{
	double there = p->count * p->number / STEPS / 4;

	for (int i = 0; i < 4; i++)
		if (chance(p) > there)
			keep(p, 100, 0);
}

static void a_cache_that_warms_up(void **state)
{
	SURVEY(warming_cache, 1.5, 2, 3, 5, 10);
	assert_int_equal(was[DHAT_LEAKS], 0);
	assert_true(was[DHAT_LEVEL] >= all / 5); /* of 10 and 5 */
}

/* At once. number: when, as a part of the watch */
static void start(struct program *p, uint32_t step)
{
	if (step == (uint32_t)(p->number * STEPS))
		for (int i = 0; i < 1000; i++)
			take(p, 100);
}

static void what_is_allocated_once(void **state)
{
	SURVEY(start, 0, 0.01, 0.5);
	assert_int_equal(was[DHAT_ONCE], all);
}

/* Filled and emptied. number: periods in the watch */
static void waves(struct program *p, uint32_t step)
{
	double phase = fraction(0.3 + step * p->number / STEPS);

	if (phase < 0.8) {
		keep(p, 100, 0);
		return;
	}
	while (p->count)
		drop_at(p, p->count - 1);
}

static void what_goes_up_and_down(void **state)
{
	SURVEY(waves, 1, 1.2, 1.4, 2, 2.7, 3.3, 5, 7, 10, 16, 33, 150);
	assert_int_equal(was[DHAT_LEAKS], 0);
	assert_int_equal(was[DHAT_GROWS], 0);
}

/* Who comes stays for a while, for as long as chance has it. number: a part of the watch, on
 * average; ten come each step, or 1,000 are there if that is less. */
static void visitors(struct program *p, uint32_t step)
{
	double mean = p->number * STEPS, each_step = 1000 / mean < 10 ? 1000 / mean : 10;

	drop_ended(p, step);
	for (double left = each_step; left > 0; left--)
		if (chance(p) < left)
			keep(p, 100, step + 1 + (uint32_t)(some_time(p) * mean));
}

static void a_population(void **state)
{
	SURVEY(visitors, 0.0005, 0.002, 0.01, 0.03, 0.1);
	assert_int_equal(was[DHAT_LEAKS], 0);
	assert_true(was[DHAT_GROWS] <= all / 50);
	assert_true(was[DHAT_LEVEL] >= all * 9 / 10);
}

/* More of them come each step. */
static void more_visitors(struct program *p, uint32_t step)
{
	double mean = p->number * STEPS;

	drop_ended(p, step);
	for (double left = 1000 / mean * step / STEPS; left > 0; left--)
		if (chance(p) < left)
			keep(p, 100, step + 1 + (uint32_t)(some_time(p) * mean));
}

static void a_load_that_rises(void **state)
{
	SURVEY(more_visitors, 0.002, 0.01, 0.05);
	/* it does grow; it is not said to leak */
	assert_int_equal(was[DHAT_LEAKS], 0);
}

/* number: when it ends, as a part of the watch */
static void growth_that_ends(struct program *p, uint32_t step)
{
	if (step < p->number * STEPS)
		take(p, 100);
	else
		give(p, take(p, 100)); /* the program goes on */
}

static void growth_that_ended(void **state)
{
	SURVEY(growth_that_ends, 0.1, 0.3, 0.5, 0.7);
	assert_int_equal(was[DHAT_LEVEL], all);
}

/* One buffer, twice as large each time it is full. */
static void vector(struct program *p, uint32_t step)
{
	static uint64_t size, used;

	if (step == 0) {
		size = 64;
		used = 0;
		p->addrs[0] = take(p, size);
	}
	used += 100;
	if (used <= size)
		return;
	size *= 2;
	heap_realloc_begin(p->heap, 1, 0, p->addrs[0], 0, p->now_ns);
	p->next_addr += 16;
	heap_realloc_end(p->heap, 1, 0, p->addrs[0], p->next_addr, size, POINT, DHAT_REALLOC_MOVED,
			 p->now_ns);
	p->addrs[0] = p->next_addr;
}

static void a_buffer_that_doubles(void **state)
{
	SURVEY(vector, 0);
	assert_int_equal(was[DHAT_LEAKS] + was[DHAT_GROWS], 0);
}

static void churn(struct program *p, uint32_t step)
{
	for (int i = 0; i < p->number; i++)
		give(p, take(p, 100));
	if (step == STEPS - 1)
		take(p, 100);
}

static void what_passes(void **state)
{
	SURVEY(churn, 1, 50);
	assert_int_equal(was[DHAT_PASSES], all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leak),
		cmocka_unit_test(a_leak_is_measured),
		cmocka_unit_test(a_slow_leak),
		cmocka_unit_test(a_leak_beside_a_cache),
		cmocka_unit_test(a_leak_that_begins_later),
		cmocka_unit_test(a_leak_on_waves),
		cmocka_unit_test(a_cache_at_its_plateau),
		cmocka_unit_test(a_cache_of_any_sizes),
		cmocka_unit_test(a_cache_that_warms_up),
		cmocka_unit_test(what_is_allocated_once),
		cmocka_unit_test(what_goes_up_and_down),
		cmocka_unit_test(a_population),
		cmocka_unit_test(a_load_that_rises),
		cmocka_unit_test(growth_that_ended),
		cmocka_unit_test(a_buffer_that_doubles),
		cmocka_unit_test(what_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
