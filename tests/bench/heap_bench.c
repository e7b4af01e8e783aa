/* heap_bench: what one event costs the collector by the number of live blocks, how many bytes a
 * live block needs with all slack, the longest pause, what a copy for a snapshot takes, and a
 * census of ages and its longest piece.
 *
 * Whole records are fed, as they come from the ring; half of them free a random live block, half
 * allocate one, with stacks at random, so that an event misses the caches as a large service's
 * would. Time is that of this thread's CPU alone, in rounds that alternate between records fed
 * one by one and in groups; the best round of each is shown, since others use the machine too.
 *
 * heap_bench [SIZES [MARKS [lifetimes]]]: of the first so many sizes, with so many marks, and with
 * --lifetimes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "daemon/account/census.h"
#include "daemon/account/collector.h"
#include "proto/base/budget.h"
#include "proto/base/cleanup.h"

#define BATCH 4096
#define ROUND_EVENTS (BATCH * 64)
#define ROUNDS 9
#define DEPTH 20
#define EVENT_NS 1000 /* a million a second: the history has its share */

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t random_state = 88172645463325252;
static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull;
}

struct world {
	struct budget budget;
	struct heap *heap;
	struct stacks *stacks;
	struct mappings *mappings;
	struct collector collector;
	uint64_t *addrs, blocks, next_addr, time_ns;
	uint32_t stack_count, marks, marked;
	struct dhat_record_alloc records[BATCH]; /* an ALLOC is the largest of those made */
	struct iovec vector[BATCH];
};

static uint64_t stack_id(uint64_t number)
{
	return (number + 1) * 0x9e3779b97f4a7c15ull;
}

static void make_alloc(struct world *world, size_t at, uint64_t block)
{
	world->addrs[block] = world->next_addr;
	world->next_addr += 48;
	world->records[at] = (struct dhat_record_alloc){
		.head = { DHAT_RECORD_ALLOC, 0, 0, sizeof(struct dhat_record_alloc),
			  1000 + random_next() % 16 },
		.time_ns = world->time_ns += EVENT_NS,
		.addr = world->addrs[block],
		.size_bytes = 40,
		.stack_id = stack_id(random_next() % world->stack_count),
	};
	world->vector[at] = (struct iovec){ &world->records[at], sizeof(struct dhat_record_alloc) };
}

static void make_free(struct world *world, size_t at, uint64_t block)
{
	struct dhat_record_free freed = {
		.head = { DHAT_RECORD_FREE, 0, 0, sizeof(freed), 1000 + random_next() % 16 },
		.time_ns = world->time_ns += EVENT_NS,
		.addr = world->addrs[block],
		.chunk = 0x31,
	};

	memcpy(&world->records[at], &freed, sizeof(freed));
	world->vector[at] = (struct iovec){ &world->records[at], sizeof(freed) };
}

static void feed(struct world *world, size_t count, bool in_groups)
{
	if (in_groups)
		collector_feed_all(&world->collector, world->vector, count);
	for (size_t i = 0; i < count && !in_groups; i++)
		collector_feed(&world->collector, world->vector[i].iov_base,
			       world->vector[i].iov_len);
}

struct result {
	double grow_ns, single_ns, group_ns, copy_ms, bytes_a_block;
	uint64_t longest_ns; /* of 16 events */
	uint64_t copy_bytes, live_bytes;
	double census_ms, longest_piece_ms;
};

/* Marks, evenly over the births. */
static void mark(struct world *world, uint64_t made)
{
	uint64_t between = world->blocks / (world->marks + 1) + 1;
	char name[16];

	while (world->marked < world->marks && made / between > world->marked) {
		snprintf(name, sizeof(name), "m%u", world->marked++);
		if (heap_mark(world->heap, name, world->time_ns))
			abort();
	}
}

static void grow(struct world *world, struct result *ret)
{
	uint64_t spent = 0;

	for (uint64_t made = 0; made < world->blocks;) {
		size_t count = world->blocks - made < BATCH ? world->blocks - made : BATCH;

		for (size_t i = 0; i < count; i++)
			make_alloc(world, i, made + i);
		for (size_t i = 0; i < count; i += 16) {
			size_t few = count - i < 16 ? count - i : 16;
			uint64_t begin = cpu_ns(), took;

			collector_feed_all(&world->collector, world->vector + i, few);
			took = cpu_ns() - begin;
			spent += took;
			if (took > ret->longest_ns)
				ret->longest_ns = took;
		}
		made += count;
		mark(world, made);
	}
	ret->grow_ns = (double)spent / world->blocks;
}

static double round_ns(struct world *world, bool in_groups)
{
	uint64_t spent = 0;

	for (int batch = 0; batch < ROUND_EVENTS / BATCH; batch++) {
		uint64_t begin;

		for (size_t i = 0; i < BATCH; i += 2) {
			uint64_t block = random_next() % world->blocks;

			make_free(world, i, block);
			make_alloc(world, i + 1, block);
		}
		begin = cpu_ns();
		feed(world, BATCH, in_groups);
		spent += cpu_ns() - begin;
	}
	return (double)spent / ROUND_EVENTS;
}

static int learn_stacks(struct world *world)
{
	uint64_t frames[DEPTH];

	for (uint32_t i = 0; i < world->stack_count; i++) {
		for (int j = 0; j < DEPTH; j++)
			frames[j] = 0x400000 + (i >> j) * 16;
		if (stacks_learn(world->stacks, stack_id(i), 0, frames, DEPTH, 0, 0,
				 world->mappings))
			return -1;
	}
	return 0;
}

static int copy(struct world *world, struct result *ret)
{
	struct heap_totals totals;
	struct heap_point *points = NULL;
	uint64_t begin = cpu_ns();
	uint32_t count;

	if (heap_copy(world->heap, &totals, &points, &count))
		return -1;
	ret->copy_ms = (cpu_ns() - begin) / 1e6;
	ret->copy_bytes = count * sizeof(*points);
	ret->live_bytes = world->budget.used_bytes;
	free(points);
	return totals.live_blocks == world->blocks ? 0 : -1;
}

/* As target/ages.c does it, without anything in between. */
static int take_census(struct world *world, struct result *ret)
{
	struct census *census;
	int more = census_new(0, &census) || heap_begin_census(world->heap, census, UINT64_MAX / 4)
			   ? -1
			   : 1;

	while (more == 1) {
		uint64_t begin = cpu_ns();
		double ms;

		more = heap_step_census(world->heap, 16);
		ms = (cpu_ns() - begin) / 1e6;
		ret->census_ms += ms;
		if (ms > ret->longest_piece_ms)
			ret->longest_piece_ms = ms;
	}
	census_free(census);
	return more;
}

static int measure(uint64_t blocks, uint32_t stack_count, uint32_t marks, bool with_lifetimes,
		   struct result *ret)
{
	struct world *world = calloc(1, sizeof(*world));
	uint64_t before;

	*ret = (struct result){ .single_ns = 1e9, .group_ns = 1e9 };
	if (!world)
		return -1;
	world->blocks = blocks;
	world->stack_count = stack_count;
	world->marks = marks;
	world->next_addr = 0x7f0000000000;
	world->addrs = malloc(blocks * sizeof(*world->addrs));
	if (!world->addrs || heap_new(0, &world->heap) ||
	    heap_charge(world->heap, &world->budget) || stacks_new(1 << 20, &world->stacks) ||
	    mappings_new(&world->mappings) ||
	    collector_init(&world->collector, world->heap, world->stacks, world->mappings))
		return -1;
	stacks_charge(world->stacks, &world->budget);
	if (with_lifetimes)
		heap_keep_lifetimes(world->heap, 1);
	if (learn_stacks(world))
		return -1;
	/* what the points need is not the blocks' */
	for (uint32_t i = 0; i < stack_count; i++)
		heap_add_block(world->heap, 1, i, 1, STACK_POINT_FIRST + i, 1);
	for (uint32_t i = 0; i < stack_count; i++)
		heap_remove_block(world->heap, 1, i, 0, 1);
	before = world->budget.used_bytes;
	grow(world, ret);
	ret->bytes_a_block = (double)(world->budget.used_bytes - before) / blocks;
	for (int round = 0; round < 2 * ROUNDS; round++) {
		double *best = round % 2 ? &ret->group_ns : &ret->single_ns;
		double ns = round_ns(world, round % 2);

		if (ns < *best)
			*best = ns;
	}
	if (copy(world, ret) || take_census(world, ret))
		return -1;
	collector_deinit(&world->collector);
	heap_free(world->heap);
	stacks_free(world->stacks);
	mappings_free(world->mappings);
	free(world->addrs);
	free(world);
	return 0;
}

static void print_load(void)
{
	double load[3] = { 0 };

	getloadavg(load, ARRAY_SIZE(load));
	printf("load of the machine: %.1f\n", load[0]);
}

int main(int argc, char **argv)
{
	static const uint64_t sizes[] = { 1000, 10000, 100000, 1000000, 10000000 };
	static const uint32_t stacks[] = { 1000, 100000 };
	size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : ARRAY_SIZE(sizes);
	uint32_t marks = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

	print_load();
	printf("%11s %8s %9s %11s %11s %11s %10s %9s %9s %9s %9s\n", "live blocks", "stacks",
	       "ns/alloc", "ns/event 1", "ns/event n", "million/s", "pause us", "B/block",
	       "copy ms", "census ms", "piece ms");
	for (size_t i = 0; i < ARRAY_SIZE(sizes) && i < most; i++)
		for (size_t j = 0; j < ARRAY_SIZE(stacks); j++) {
			struct result result;

			if (measure(sizes[i], stacks[j], marks, argc > 3, &result)) {
				fprintf(stderr, "heap_bench: %lu blocks could not be measured\n",
					sizes[i]);
				return 1;
			}
			printf("%11lu %8u %9.0f %11.0f %11.0f %11.1f %10.0f %9.1f %9.1f %9.1f "
			       "%9.1f\n",
			       sizes[i], stacks[j], result.grow_ns, result.single_ns,
			       result.group_ns, 1e3 / result.group_ns, result.longest_ns / 1000.0,
			       result.bytes_a_block, result.copy_ms, result.census_ms,
			       result.longest_piece_ms);
			fflush(stdout);
		}
	print_load();
	return 0;
}
