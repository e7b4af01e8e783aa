/* heap_bench: what one event costs the heap, and its longest pause, by the number of live blocks.
 *
 * Events alternate between freeing a random live block and allocating a new one; addresses and
 * points are random, so that every event misses the caches as a large service's would.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/account/heap.h"
#include "proto/base/budget.h"

enum { POINTS = 20000 };

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* For pauses: what the scheduler gives to others in between is not the heap's doing. */
static uint64_t cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

struct result {
	double grow_ns, steady_ns;
	uint64_t longest_grow_ns; /* of one event */
	uint64_t bytes_a_block;
};

static int measure(uint64_t blocks, struct result *ret)
{
	uint64_t *addrs = malloc(blocks * sizeof(*addrs)), random = 88172645463325252, begin, last;
	struct budget budget = { 0 };
	struct heap *heap;

	if (!addrs || heap_new(0, &heap) < 0 || heap_charge(heap, &budget) < 0)
		return -1;
	*ret = (struct result){ 0 };
	begin = now_ns();
	last = cpu_ns();
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t now;

		addrs[i] = 0x7f0000000000 + i * 48;
		heap_add_block(heap, 0, addrs[i], 40, random_next(&random) % POINTS, i);
		if (i % 16)
			continue;
		now = cpu_ns(); /* every 16th: the clock costs more than an event */
		if (now - last > ret->longest_grow_ns)
			ret->longest_grow_ns = now - last;
		last = now;
	}
	ret->grow_ns = (double)(now_ns() - begin) / blocks;
	ret->bytes_a_block = budget.used_bytes / blocks;
	begin = now_ns();
	for (uint64_t i = 0; i < 4000000; i++) {
		uint64_t pick = random_next(&random) % blocks;

		heap_remove_block(heap, 0, addrs[pick], 0, i);
		addrs[pick] = 0x7e0000000000 + i * 48;
		heap_add_block(heap, 0, addrs[pick], 40, random_next(&random) % POINTS, i);
	}
	ret->steady_ns = (double)(now_ns() - begin) / 8000000;
	heap_free(heap);
	free(addrs);
	return 0;
}

int main(void)
{
	static const uint64_t sizes[] = { 1000, 100000, 1000000, 10000000 };

	printf("%12s %14s %14s %18s %14s\n", "live blocks", "ns/alloc", "ns/event",
	       "longest pause us", "bytes/block");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct result result;

		if (measure(sizes[i], &result) < 0) {
			fprintf(stderr, "heap_bench: no memory for %lu blocks\n", sizes[i]);
			return 1;
		}
		printf("%12lu %14.0f %14.0f %18.0f %14lu\n", sizes[i], result.grow_ns,
		       result.steady_ns, result.longest_grow_ns / 1000.0, result.bytes_a_block);
	}
	return 0;
}
