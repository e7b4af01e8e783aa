/* mixed_calls: every allocator function at random, by threads that hand blocks to each other and
 * are followed by others: mixed_calls CALLS [THREADS] [SEED].
 *
 * Says "ready", and begins at a line on stdin; then says how many calls were made, and ends at
 * another line. Sizes are mostly small; some are refused. Each thread makes up to 50,000 calls, and
 * another one takes its place. */
/* build: -fno-optimize-sibling-calls -pthread */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#define MAX_THREADS 16
#define TURN 50000 /* calls of one thread */
#define HELD 256
#define SHARED 128
#define DEEPEST 12

static void *_Atomic shared[SHARED];
static atomic_long left;
static atomic_ulong made, seed;

struct chance {
	uint64_t state;
};

static uint64_t draw(struct chance *chance)
{
	chance->state = chance->state * 6364136223846793005ull + 1442695040888963407ull;
	return chance->state >> 20;
}

static size_t draw_size(struct chance *chance)
{
	uint64_t kind = draw(chance) % 256;

	if (kind == 0)
		return draw(chance) % (1 << 19);
	if (kind == 1)
		return SIZE_MAX / 2 - draw(chance) % 4096;
	return draw(chance) % (kind < 32 ? 4096 : 160);
}

NOINLINE static void *change(struct chance *chance, void *block)
{
	size_t size = draw_size(chance), align = 8u << draw(chance) % 6;
	void *volatile result = NULL;

	switch (draw(chance) % 16) {
	case 0 ... 4:
		free(block);
		return malloc(size);
	case 5 ... 6:
		free(block);
		return calloc(1 + draw(chance) % 4, size);
	case 7 ... 9:
		result = realloc(block, size);
		return result || !size ? result : block;
	case 10:
		result = reallocarray(block, size, 1 + draw(chance) % 3);
		return result || !size ? result : block;
	case 11:
		free(block);
		return posix_memalign((void **)&result, align, size) ? NULL : result;
	case 12:
		free(block);
		return aligned_alloc(align, size);
	case 13:
		free(block);
		return size < 100 ? valloc(size) : memalign(align, size);
	default:
		free(block);
		return NULL;
	}
}

NOINLINE static void *descend(struct chance *chance, void *block, int depth)
{
	void *result = depth > 1 ? descend(chance, block, depth - 1) : change(chance, block);

	__asm__ volatile("" : "+r"(result) : : "memory");
	return result;
}

static void *call(void *unused)
{
	struct chance chance = { .state = atomic_fetch_add(&seed, 7919) };
	void *held[HELD] = { NULL };
	long turn = atomic_fetch_sub(&left, TURN);

	turn = turn < TURN ? turn : TURN;
	for (long i = 0; i < turn; i++) {
		size_t slot = draw(&chance) % HELD;

		if (draw(&chance) % 8 == 0)
			held[slot] = atomic_exchange(&shared[draw(&chance) % SHARED], held[slot]);
		held[slot] = descend(&chance, held[slot], 1 + draw(&chance) % DEEPEST);
	}
	for (size_t i = 0; i < HELD; i++)
		free(held[i]);
	if (turn > 0)
		atomic_fetch_add(&made, turn);
	return unused;
}

/* One thread after the other. */
static void *keep_calling(void *unused)
{
	while (atomic_load(&left) > 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, call, NULL))
			abort();
		pthread_join(thread, NULL);
	}
	return unused;
}

static void wait_for_line(void)
{
	for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
		;
}

int main(int argc, char **argv)
{
	long threads = argc > 2 ? atol(argv[2]) : 4;
	pthread_t callers[MAX_THREADS];

	if (argc < 2 || threads < 1 || threads > MAX_THREADS)
		return 2;
	left = atol(argv[1]);
	seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
	printf("ready\n");
	fflush(stdout);
	wait_for_line();
	for (long i = 0; i < threads; i++)
		if (pthread_create(&callers[i], NULL, keep_calling, NULL))
			return 1;
	for (long i = 0; i < threads; i++)
		pthread_join(callers[i], NULL);
	printf("made %lu calls\n", made);
	fflush(stdout);
	wait_for_line();
	return 0;
}
