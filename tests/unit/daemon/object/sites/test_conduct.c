/* conduct: an allocator of size classes, made up, with functions of every kind; and what must not
 * be taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "daemon/object/sites/conduct.h"

#define CALLS 6000
#define HEAP 0x7f0000000000ull
#define CLASSES 8 /* 16, 32, … 2,048: a stretch of 1 MiB each */
#define PAGE (1 << 20)

enum { MALLOC, CALLOC, ALIGNED, FREE, REALLOC, USABLE, GETTER, RARE, ENTRIES };

struct world {
	struct conduct_call calls[CALLS];
	size_t count;
	uint64_t live[512], sizes[512];
	size_t live_count;
	uint8_t is_used[CLASSES][PAGE / 16];
	uint64_t seed;
	enum conduct_role roles[ENTRIES];
	struct conduct conduct;
};

static uint32_t next_random(struct world *w)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX */
	return w->seed >> 33;
}

static int class_of(uint64_t size)
{
	int class = 0;

	while ((16u << class) < size)
		class ++;
	return class;
}

static uint64_t take_slot(struct world *w, uint64_t size)
{
	int class = class_of(size);

	for (size_t i = 0; i < PAGE / (16u << class); i++) {
		if (w->is_used[class][i])
			continue;
		w->is_used[class][i] = 1;
		return HEAP + (uint64_t) class * PAGE + i * (16u << class);
	}
	fail_msg("the made-up heap is full");
	return 0;
}

static void give_slot(struct world *w, uint64_t addr)
{
	uint64_t class = (addr - HEAP) / PAGE;

	w->is_used[class][(addr - HEAP) % PAGE / (16u << class)] = 0;
}

static void record(struct world *w, uint32_t entry, uint64_t arg1, uint64_t arg2, uint64_t result)
{
	if (w->count < CALLS)
		w->calls[w->count++] = (struct conduct_call){ entry, arg1, arg2, result };
}

static void add(struct world *w, uint32_t entry)
{
	uint64_t size = 1 + next_random(w) % 400, addr;

	if (entry == CALLOC)
		size = (size + 3) / 4 * 4;
	addr = take_slot(w, size);
	if (entry == CALLOC)
		record(w, entry, size / 4, 4, addr);
	else if (entry == ALIGNED)
		record(w, entry, 16, size, addr);
	else
		record(w, entry, size, next_random(w), addr);
	w->live[w->live_count] = addr;
	w->sizes[w->live_count++] = size;
}

/* `skips`: bit for each entry that is called, and not recorded. */
static void run(struct world *w, uint32_t skips)
{
	size_t kept;

	*w = (struct world){ .seed = 99 };
	w->conduct.roles = w->roles;
	while (w->count < CALLS) {
		size_t i = w->live_count ? next_random(w) % w->live_count : 0;
		uint32_t kind = next_random(w) % 16;

		kept = w->count;
		if (w->live_count < 200 || (kind < 7 && w->live_count < 500)) {
			uint32_t entry = kind % 4 == 0 ? CALLOC : kind % 4 == 1 ? ALIGNED : MALLOC;

			add(w, entry);
			if (skips >> entry & 1)
				w->count = kept;
		} else if (kind < 13) {
			record(w, FREE, w->live[i], 0, next_random(w));
			if (skips >> FREE & 1)
				w->count = kept;
			give_slot(w, w->live[i]);
			w->live[i] = w->live[--w->live_count];
			w->sizes[i] = w->sizes[w->live_count];
		} else if (kind < 15) {
			uint64_t size = 1 + next_random(w) % 400, addr = w->live[i];

			if (class_of(size) != class_of(w->sizes[i])) {
				addr = take_slot(w, size);
				give_slot(w, w->live[i]);
			}
			record(w, REALLOC, w->live[i], size, addr);
			if (skips >> REALLOC & 1)
				w->count = kept;
			w->live[i] = addr;
			w->sizes[i] = size;
		} else {
			record(w, USABLE, w->live[i], 0, 16u << class_of(w->sizes[i]));
			record(w, GETTER, next_random(w) % 3, 0, 0x7e0000000040ull);
		}
		if (w->count == 1000)
			record(w, RARE, 5, 0, 0);
	}
	assert_int_equal(conduct_judge(w->calls, w->count, ENTRIES, &w->conduct), 0);
}

static void tells_what_each_does(void **state)
{
	struct world *w = *state;
	static const enum conduct_role expected[ENTRIES] = {
		CONDUCT_MALLOC,	 CONDUCT_CALLOC, CONDUCT_ALIGNED, CONDUCT_FREE,
		CONDUCT_REALLOC, CONDUCT_NONE,	 CONDUCT_NONE,	  CONDUCT_UNSEEN,
	};

	run(w, 0);
	for (int i = 0; i < ENTRIES; i++)
		assert_int_equal(w->roles[i], expected[i]);
	assert_true(w->conduct.is_proven);
	assert_true(w->conduct.matches > 1000);
	assert_int_equal(w->conduct.contradictions, 0);
}

/* One of its functions is not among those recorded: nothing is proven, whichever it is. */
static void a_missing_function_proves_nothing(void **state)
{
	struct world *w = *state;

	for (int missing = MALLOC; missing <= REALLOC; missing++) {
		/* calloc is a quarter of what hands out: the fewest */
		run(w, 1u << missing);
		assert_false(w->conduct.is_proven);
	}
}

/* Sizes that are none: as if the argument meant something else. */
static void wrong_sizes_prove_nothing(void **state)
{
	struct world *w = *state;

	run(w, 0);
	for (size_t i = 0; i < w->count; i++)
		if (w->calls[i].entry == MALLOC) {
			w->calls[i].arg1 = w->calls[i].arg1 * 64 + 5000;
			w->calls[i].arg2 = 70000;
		}
	assert_int_equal(conduct_judge(w->calls, w->count, ENTRIES, &w->conduct), 0);
	assert_false(w->conduct.is_proven);
	run(w, 0);
	for (size_t i = 0; i < w->count; i++)
		if (w->calls[i].entry == MALLOC) { /* far too small, and never near to anything */
			w->calls[i].arg1 = 1;
			w->calls[i].arg2 = 0;
			w->calls[i].result = HEAP + (i * 4096 << 8);
		}
	assert_int_equal(conduct_judge(w->calls, w->count, ENTRIES, &w->conduct), 0);
	assert_false(w->conduct.is_proven);
}

/* An arena hands out, and is thrown away as a whole. */
static void what_is_never_taken_proves_nothing(void **state)
{
	struct world *w = *state;

	*w = (struct world){ .seed = 1 };
	w->conduct.roles = w->roles;
	for (uint64_t at = HEAP; w->count < CALLS; at += 48)
		record(w, MALLOC, 48, 0, at);
	assert_int_equal(conduct_judge(w->calls, w->count, ENTRIES, &w->conduct), 0);
	assert_false(w->conduct.is_proven);
	assert_int_equal(conduct_judge(w->calls, 0, ENTRIES, &w->conduct), 0);
	assert_false(w->conduct.is_proven);
}

/* Threads: a block is given to another before the call that freed it is recorded. */
static void a_little_disorder_is_no_contradiction(void **state)
{
	struct world *w = *state;

	run(w, 0);
	for (size_t i = 50; i + 1 < w->count; i += 100) {
		struct conduct_call call = w->calls[i];

		w->calls[i] = w->calls[i + 1];
		w->calls[i + 1] = call;
	}
	assert_int_equal(conduct_judge(w->calls, w->count, ENTRIES, &w->conduct), 0);
	assert_true(w->conduct.is_proven);
	assert_int_equal(w->roles[REALLOC], CONDUCT_REALLOC);
}

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct world));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_each_does),
		cmocka_unit_test(a_missing_function_proves_nothing),
		cmocka_unit_test(wrong_sizes_prove_nothing),
		cmocka_unit_test(what_is_never_taken_proves_nothing),
		cmocka_unit_test(a_little_disorder_is_no_contradiction),
	};

	return cmocka_run_group_tests_name("conduct", tests, set_up, tear_down);
}
