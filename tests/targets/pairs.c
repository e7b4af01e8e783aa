/* pairs: malloc+free pairs at a known call depth, and what one of them costs.
 *
 * pairs FRAMES [THREADS]: each line "run MS" on stdin is answered by "PAIRS NS_PER_PAIR": how many
 * pairs all threads did in about MS milliseconds, and the wall nanoseconds that one thread needed
 * for one. pairs FRAMES THREADS MS does that once. With LIBC_COPIES=N in its environment it loads
 * its C library N times more, each time into a namespace of its own.
 *
 * FRAMES (5 … 127) counts from malloc's caller to clone3, both included. With frame pointers, so
 * that walkers that need them can be compared; libc's own two frames have none.
 */
/* build: -fno-omit-frame-pointer -fno-optimize-sibling-calls -pthread */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
#define BATCH 500 /* pairs between looks at the clock: 20 ns in 5,000 and more */
#define MAX_THREADS 8

/* beside descend(): pair_loop and start, and libc's start_thread and clone3 */
#define OTHER_FRAMES 4

struct run {
	double seconds; /* how long; then how long it was */
	unsigned long pairs;
	int depth;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

NOINLINE static void pair_loop(struct run *run)
{
	double begin = now(), end;

	do {
		for (int i = 0; i < BATCH; i++) {
			void *block = malloc(64);

			__asm__ volatile("" : : "r"(block) : "memory");
			free(block);
		}
		run->pairs += BATCH;
		end = now();
	} while (end - begin < run->seconds);
	run->seconds = end - begin;
}

NOINLINE static void descend(struct run *run, int depth)
{
	if (depth > 1)
		descend(run, depth - 1);
	else
		pair_loop(run);
	__asm__ volatile("" : : : "memory");
}

static void *start(void *run)
{
	descend(run, ((struct run *)run)->depth);
	return NULL;
}

static void measure(int frames, int threads, double seconds)
{
	struct run runs[MAX_THREADS] = { 0 };
	pthread_t ids[MAX_THREADS];
	unsigned long pairs = 0;
	double thread_seconds = 0;

	for (int i = 0; i < threads; i++)
		runs[i] = (struct run){ .seconds = seconds, .depth = frames - OTHER_FRAMES };
	for (int i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, start, &runs[i]))
			exit(2);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (int i = 0; i < threads; i++) {
		pairs += runs[i].pairs;
		thread_seconds += runs[i].seconds;
	}
	printf("%lu %.2f\n", pairs, thread_seconds * 1e9 / pairs);
	fflush(stdout);
}

static void load_copies(int count)
{
	for (int i = 0; i < count; i++)
		if (!dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW)) {
			fprintf(stderr, "pairs: %s\n", dlerror());
			exit(2);
		}
}

int main(int argc, char **argv)
{
	int frames = argc > 1 ? atoi(argv[1]) : 0, threads = argc > 2 ? atoi(argv[2]) : 1;
	char line[64];
	long ms;

	if (frames <= OTHER_FRAMES || frames > 127 || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: pairs FRAMES [THREADS [MILLISECONDS]]\n");
		return 2;
	}
	if (argc > 3) {
		measure(frames, threads, atol(argv[3]) / 1e3);
		return 0;
	}
	load_copies(atoi(getenv("LIBC_COPIES") ?: "0"));
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %ld", &ms) != 1)
			return 2;
		measure(frames, threads, ms / 1e3);
	}
	return 0;
}
