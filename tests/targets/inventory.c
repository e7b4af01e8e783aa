/* Heaps of all kinds for an inventory from outside, and their owner's own account of them.
 *
 *   inventory KIND
 *
 * Allocates, prints mallinfo2() and every block that it holds, and waits for its input to end.
 * build: -pthread
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#include "ledger.h"

#define MAX_BLOCKS 20000
#define THREADS 24

static void *blocks[MAX_BLOCKS]; /* NULL: given back */
static atomic_int block_count;
static sem_t done;

static void keep(void *block)
{
	int i = atomic_fetch_add(&block_count, 1);

	CHECK(block && i < MAX_BLOCKS);
	memset(block, 0xa5, malloc_usable_size(block));
	blocks[i] = block;
}

static void drop(int i)
{
	free(blocks[i]);
	blocks[i] = NULL;
}

/* Sizes of every bin, and holes of every size between them. */
static void fragment(uint64_t seed, int count, unsigned largest)
{
	int first = block_count;

	for (int i = 0; i < count; i++)
		keep(malloc(next_random(&seed) % largest));
	for (int i = first; i < block_count; i++)
		if (next_random(&seed) % 2)
			drop(i);
	for (int i = 0; i < count / 4; i++)
		keep(malloc(next_random(&seed) % largest));
}

static void large(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 << 10); /* so that freeing does not raise it */
	for (int i = 0; i < 40; i++)
		keep(malloc((128 << 10) + i * 40000));
	for (int align = 16; align <= 1 << 20; align *= 2)
		keep(memalign(align, 300000 + align));
	for (int i = 0; i < block_count; i += 3)
		drop(i);
	keep(realloc(malloc(200000), 900000));
	keep(calloc(3, 333333));
}

/* All freed: caches and fastbins are full, everything else is one free chunk. */
static void all_freed(void)
{
	for (int size = 0; size < 1200; size += 8)
		for (int i = 0; i < 12; i++)
			keep(malloc(size));
	keep(malloc(100)); /* so that the rest is not merged into the top */
	for (int i = 0; i < block_count - 1; i++)
		drop(i);
}

static _Noreturn void stay(void)
{
	sem_post(&done);
	for (;;) /* the thread stays, and its cache with it */
		pause();
}

static void start(void *(*body)(void *), uintptr_t seed)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, body, (void *)seed) == 0);
}

static void *fragment_in_thread(void *seed)
{
	fragment((uintptr_t)seed, 300, 4000);
	stay();
}

/* One after the other, so that the pattern is the same every time. */
static void threads(void)
{
	for (uintptr_t i = 0; i < THREADS; i++) {
		start(fragment_in_thread, i + 1);
		sem_wait(&done);
	}
}

static void *ended(void *seed)
{
	fragment((uintptr_t)seed, 300, 4000);
	return NULL;
}

static void ended_threads(void)
{
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_t thread;

		CHECK(pthread_create(&thread, NULL, ended, (void *)(i + 1)) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	}
}

/* An arena that outgrows one heap of 64 MiB. */
static void *grow_in_thread(void *unused)
{
	for (int i = 0; i < 1500; i++)
		keep(malloc(100000));
	for (int i = 0; i < 1500; i += 5)
		drop(i);
	stay();
}

static void several_heaps(void)
{
	start(grow_in_thread, 0);
	sem_wait(&done);
}

/* What is held stays; beside it threads allocate and free without pause. */
static void *churn(void *seed)
{
	uint64_t state = (uintptr_t)seed;
	void *mine[64] = { 0 };

	for (;;) {
		int i = next_random(&state) % 64;

		free(mine[i]);
		mine[i] = malloc(next_random(&state) % 3000);
	}
	return NULL;
}

static void busy(void)
{
	start(churn, 1);
	start(churn, 2);
	fragment(7, 4000, 3000);
}

/* More than fit into the book; nothing else is held. */
static void many(void)
{
	for (int i = 0; i < 1500000; i++)
		CHECK(malloc(24));
}

static void report(void)
{
	struct mallinfo2 info = mallinfo2();

	say("mallinfo %zu %zu %zu %zu %zu %zu\n", info.arena, info.uordblks, info.fordblks,
	    info.fsmblks, info.hblkhd, info.hblks);
	for (int i = 0; i < block_count; i++)
		if (blocks[i])
			say("block %lx %zu\n", (unsigned long)blocks[i],
			    malloc_usable_size(blocks[i]));
	say("end\n");
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	char byte;

	alarm(120); /* whatever happens to who started it */
	if (!strcmp(kind, "one"))
		keep(malloc(1));
	else if (!strcmp(kind, "fragmented"))
		fragment(1, 6000, 5000);
	else if (!strcmp(kind, "large"))
		large();
	else if (!strcmp(kind, "all-freed"))
		all_freed();
	else if (!strcmp(kind, "threads"))
		threads();
	else if (!strcmp(kind, "ended-threads"))
		ended_threads();
	else if (!strcmp(kind, "several-heaps"))
		several_heaps();
	else if (!strcmp(kind, "busy"))
		busy();
	else if (!strcmp(kind, "many"))
		many();
	else if (strcmp(kind, "nothing"))
		return 2;
	report();
	while (read(STDIN_FILENO, &byte, 1) > 0)
		for (int i = 0; byte == 'f' && i < block_count; i++)
			drop(i);
	return 0;
}
