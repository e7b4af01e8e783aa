/* shapes: ways in which programs use an allocator, and what one round of each costs.
 *
 * shapes SHAPE COUNT: each line "run MS" on stdin is answered by "ROUNDS NS_PER_ROUND", as pairs.c
 * does. A round is
 *   live     of COUNT live blocks a random one is freed and another one allocated
 *   stacks   malloc and free, from COUNT stacks in turn, each of its own
 *   grow     malloc, COUNT times realloc to twice the size, free
 *   handoff  malloc in one thread and free in another one, COUNT blocks between them
 */
/* build: -fno-omit-frame-pointer -fno-optimize-sibling-calls -pthread */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define BATCH 500 /* rounds between looks at the clock */
#define DEPTH 17  /* 2^17 stacks */
#define OPAQUE(p) __asm__ volatile("" : : "r"(p) : "memory")

static size_t count;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void *take(size_t size)
{
	void *block = malloc(size);

	if (!block)
		exit(3);
	OPAQUE(block);
	return block;
}

/* ---- live ----------------------------------------------------------------------------------- */

static void **blocks;

static void begin_live(void)
{
	blocks = calloc(count, sizeof(*blocks));
	for (size_t i = 0; i < count; i++)
		blocks[i] = take(64);
}

static void round_live(void)
{
	void **block = &blocks[next_random() % count];

	free(*block);
	*block = take(64);
}

/* ---- stacks --------------------------------------------------------------------------------- */

static NOINLINE void walk(size_t number, int depth);

/* Two calls, so two return addresses: the stack spells the number in bits. */
static NOINLINE void zero(size_t number, int depth)
{
	walk(number >> 1, depth - 1);
	__asm__ volatile("");
}

static NOINLINE void walk(size_t number, int depth)
{
	if (depth == 0)
		free(take(64));
	else if (number & 1)
		walk(number >> 1, depth - 1);
	else
		zero(number, depth);
	__asm__ volatile("");
}

static void round_stacks(void)
{
	static size_t number;

	walk(number++ % count, DEPTH);
}

/* ---- grow ----------------------------------------------------------------------------------- */

static void round_grow(void)
{
	size_t size = 16;
	void *block = take(size);

	for (size_t i = 0; i < count; i++) {
		block = realloc(block, size *= 2);
		OPAQUE(block);
	}
	free(block);
}

/* ---- handoff -------------------------------------------------------------------------------- */

static _Atomic(void *) *between; /* NULL: the other thread has freed it */

static void *free_all(void *unused)
{
	for (size_t i = 0;; i = (i + 1) % count) {
		void *block;

		while (!(block = atomic_exchange_explicit(&between[i], NULL, memory_order_acquire)))
			__builtin_ia32_pause();
		free(block);
	}
	return unused;
}

static void begin_handoff(void)
{
	pthread_t thread;

	between = calloc(count, sizeof(*between));
	if (pthread_create(&thread, NULL, free_all, NULL))
		exit(2);
}

static void round_handoff(void)
{
	static size_t at;

	while (atomic_load_explicit(&between[at], memory_order_relaxed))
		__builtin_ia32_pause();
	atomic_store_explicit(&between[at], take(64), memory_order_release);
	at = (at + 1) % count;
}

/* --------------------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static const struct shape {
	const char *name;
	void (*begin)(void);
	void (*round)(void);
} shapes[] = {
	{ "live", begin_live, round_live },
	{ "stacks", nothing, round_stacks },
	{ "grow", nothing, round_grow },
	{ "handoff", begin_handoff, round_handoff },
};

static const struct shape *shape_of(const char *name)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		if (!strcmp(name, shapes[i].name))
			return &shapes[i];
	return NULL;
}

static void run(const struct shape *shape, double seconds)
{
	double begin = now(), end;
	unsigned long rounds = 0;

	do {
		for (int i = 0; i < BATCH; i++)
			shape->round();
		rounds += BATCH;
		end = now();
	} while (end - begin < seconds);
	printf("%lu %.2f\n", rounds, (end - begin) * 1e9 / rounds);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct shape *shape = argc == 3 ? shape_of(argv[1]) : NULL;
	char line[64];
	long ms;

	count = shape ? strtoul(argv[2], NULL, 10) : 0;
	if (!count) {
		fprintf(stderr, "usage: shapes live|stacks|grow|handoff COUNT\n");
		return 2;
	}
	shape->begin();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		if (sscanf(line, "run %ld", &ms) == 1)
			run(shape, ms / 1e3);
	return 0;
}
