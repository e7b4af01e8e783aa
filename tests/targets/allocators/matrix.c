/* matrix: a known pattern through every function of an allocator, and the sums it must give.
 *
 * Usage: matrix [go] [-NAME…]
 * Says "ready", waits for a line, allocates, says its arithmetic, waits for a line, frees
 * the rest and ends. With "go" it waits for nothing; -NAME leaves a function out (one that a
 * preloaded allocator does not have). Between the lines nothing but the pattern allocates: text
 * goes out by write(2).
 *
 * The arithmetic is Valgrind DHAT's: a resize adds one block and its whole new size to the totals,
 * changes what is live by the difference, and stays charged to where the block was first handed
 * out; a block of 0 bytes counts as 1. Of equal peaks the latest counts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "matrix.h"

#define SLOTS 193
#define STEPS 6000
#define MAX_APIS 48

struct sums {
	uint64_t total_bytes, total_blocks, live_bytes, live_blocks;
};

struct slot {
	unsigned char *block;
	size_t size;
	const struct api *api;
	struct sums *sums;
};

static const struct api *apis[MAX_APIS];
static struct sums sums_by_api[MAX_APIS], all;
static uint64_t peak_bytes, peak_blocks;
static size_t api_count;
static struct slot slots[SLOTS];
static uint64_t seed = 20;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX */
	return seed >> 33;
}

static void fail(const char *what)
{
	(void)!write(2, what, strlen(what));
	(void)!write(2, "\n", 1);
	_exit(1);
}

static size_t counted(size_t size, const struct api *api)
{
	size = size ? size : 1;
	if (api->granularity)
		size = (size + api->granularity - 1) / api->granularity * api->granularity;
	return size;
}

static void add_live(struct sums *sums, int64_t bytes, int64_t blocks)
{
	sums->live_bytes += bytes;
	sums->live_blocks += blocks;
}

static void note_peak(void)
{
	if (all.live_bytes < peak_bytes)
		return;
	peak_bytes = all.live_bytes;
	peak_blocks = all.live_blocks;
}

/* The first and last byte of a block say whose it is; a block handed out twice would show. */
static void mark(struct slot *slot)
{
	if (!slot->size)
		return;
	slot->block[0] = slot - slots;
	slot->block[slot->size - 1] = slot - slots;
}

static void check_mark(const struct slot *slot)
{
	if (slot->size && slot->block[0] != slot - slots)
		fail("a block was overwritten");
}

static size_t random_size(void)
{
	uint32_t pick = next_random() % 100;

	if (pick == 0)
		return 0;
	if (pick == 1)
		return 150000 + next_random() % 200000; /* beyond what comes from a heap */
	if (pick < 20)
		return 2000 + next_random() % 30000;
	return 1 + next_random() % 900;
}

static void get(struct slot *slot)
{
	size_t number = next_random() % api_count, size = random_size();
	const struct api *api = apis[number];

	*slot = (struct slot){ api->get(size), size, api, &sums_by_api[number] };
	if (!slot->block)
		fail("an allocation failed");
	mark(slot);
	size = counted(size, api);
	for (struct sums *s = slot->sums;; s = &all) {
		s->total_bytes += size;
		s->total_blocks++;
		add_live(s, size, 1);
		if (s == &all)
			break;
	}
	note_peak();
}

static void put(struct slot *slot)
{
	size_t size = counted(slot->size, slot->api);

	check_mark(slot);
	slot->api->put(slot->block, slot->size);
	add_live(slot->sums, -(int64_t)size, -1);
	add_live(&all, -(int64_t)size, -1);
	*slot = (struct slot){ 0 };
}

static void resize(struct slot *slot)
{
	size_t old_size = counted(slot->size, slot->api), size = 1 + random_size();

	check_mark(slot);
	slot->block = slot->api->resize(slot->block, &size);
	if (!slot->block)
		fail("a resize failed");
	if (!size)
		return;
	slot->size = size;
	mark(slot);
	for (struct sums *s = slot->sums;; s = &all) {
		s->total_bytes += size;
		s->total_blocks++;
		add_live(s, (int64_t)size - (int64_t)old_size, 0);
		if (s == &all)
			break;
	}
	note_peak();
}

static void step(void)
{
	struct slot *slot = &slots[next_random() % SLOTS];

	if (!slot->block)
		get(slot);
	else if (slot->api->resize && next_random() % 3 == 0)
		resize(slot);
	else
		put(slot);
}

static void say(const char *name, const struct sums *sums)
{
	char line[256];
	int length = snprintf(
		line, sizeof(line), "%s %llu %llu %llu %llu\n", name,
		(unsigned long long)sums->total_bytes, (unsigned long long)sums->total_blocks,
		(unsigned long long)sums->live_bytes, (unsigned long long)sums->live_blocks);

	if (write(1, line, length) != length)
		_exit(1);
}

static void say_all(void)
{
	struct sums peak = { peak_bytes, peak_blocks, 0, 0 };

	for (size_t i = 0; i < api_count; i++)
		say(apis[i]->name, &sums_by_api[i]);
	say("all", &all);
	say("peak", &peak);
	say("done", &all);
}

static void wait_for_line(const char *what)
{
	char c;

	(void)!write(1, what, strlen(what));
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

static int is_left_out(const char *name, char **options)
{
	for (; *options; options++)
		if ((*options)[0] == '-' && !strcmp(*options + 1, name))
			return 1;
	return 0;
}

static void add_apis(const struct api *list, char **options)
{
	for (; list->name; list++) {
		if (is_left_out(list->name, options))
			continue;
		if (api_count == MAX_APIS)
			fail("too many functions");
		apis[api_count++] = list;
	}
}

int main(int argc, char **argv)
{
	int is_free_running = argc > 1 && !strcmp(argv[1], "go");

#ifdef WITH_POOL
	add_apis(pool_apis, argv);
#else
	add_apis(c_apis, argv);
#endif
#ifdef WITH_JEMALLOC
	add_apis(jemalloc_apis, argv);
#endif
#ifdef WITH_TCMALLOC
	add_apis(tcmalloc_apis, argv);
#endif
#ifdef WITH_MIMALLOC
	add_apis(mimalloc_apis, argv);
#endif
#ifdef WITH_RPMALLOC
	add_apis(rpmalloc_apis, argv);
#endif
#ifdef WITH_CXX
	add_apis(cxx_apis, argv);
#endif
	/* The first call of each may set the allocator up: not part of the pattern. */
	for (size_t i = 0; i < api_count; i++)
		apis[i]->put(apis[i]->get(64), 64);
	if (!is_free_running)
		wait_for_line("ready\n");
	for (int i = 0; i < STEPS; i++)
		step();
	say_all();
	if (!is_free_running)
		wait_for_line("");
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].block)
			put(&slots[i]);
	return 0;
}
