/* kernel_sample: allocates known amounts through every kind of frame that unwinding has to cross,
 * and nothing else; the same on every kernel. Waits for a line on stdin first if it has an
 * argument.
 *
 * What it allocates, in calls and bytes: see expect_sample() in tests/kernels/guest_test.c.
 * build: -pthread -fno-optimize-sibling-calls
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static void *kept[64];
static int kept_count;

/* 50 frames without frame pointers; each has a different stack size, so that a wrong rule shows */
NOINLINE static void recurse(int depth)
{
	volatile char room[24];

	room[depth % 24] = (char)depth;
	if (depth > 0)
		recurse(depth - 1);
	else
		kept[kept_count++] = malloc(100);
	room[0]++;
}

/* through libc's frames */
static int compare(const void *a, const void *b)
{
	void *block = malloc(48);

	free(block);
	return *(const int *)a - *(const int *)b;
}

NOINLINE static void sort_two(void)
{
	int values[2] = { 2, 1 };

	qsort(values, 2, sizeof(values[0]), compare);
}

/* through a signal frame; raise() returns after the handler has run, so malloc is safe in it */
static void on_signal(int number)
{
	(void)number;
	kept[kept_count++] = malloc(300);
}

NOINLINE static void through_a_signal(void)
{
	raise(SIGUSR1);
}

NOINLINE static void grow(void)
{
	void *block = NULL;

	for (size_t size = 64; size <= 1024; size *= 2)
		block = realloc(block, size);
	kept[kept_count++] = block;
	/* one that fails leaves the old block alive */
	if (realloc(block, (size_t)1 << 62))
		_exit(2);
}

NOINLINE static void all_functions(void)
{
	void *block = NULL;

	kept[kept_count++] = calloc(10, 20);
	kept[kept_count++] = aligned_alloc(64, 640);
	if (posix_memalign(&block, 128, 1280))
		_exit(2);
	kept[kept_count++] = block;
	kept[kept_count++] = reallocarray(NULL, 7, 11);
	free(NULL);
}

static void *thread(void *blocks)
{
	for (int i = 0; i < 100; i++)
		((void **)blocks)[i] = malloc(500);
	return NULL;
}

/* blocks of one thread are freed by another */
NOINLINE static void across_threads(void)
{
	static void *blocks[100];
	pthread_t id;

	if (pthread_create(&id, NULL, thread, blocks))
		_exit(2);
	pthread_join(id, NULL);
	for (int i = 0; i < 99; i++)
		free(blocks[i]);
}

/* the bulk: enough events to go around the ring's corners, few enough for an emulated CPU */
NOINLINE static void churn(int calls)
{
	for (int i = 0; i < calls; i++)
		free(malloc(1 + (size_t)i % 1000));
}

int main(int argc, char **argv)
{
	char line[16];

	(void)argv;
	signal(SIGUSR1, on_signal);
	if (argc > 1 && (write(1, "ready\n", 6) != 6 || read(0, line, sizeof(line)) < 1))
		return 2;
	recurse(50);
	sort_two();
	through_a_signal();
	grow();
	all_functions();
	across_threads();
	churn(2000);
	if (argc > 1 && (write(1, "done\n", 5) != 5 || read(0, line, sizeof(line)) < 0))
		return 2;
	return 0;
}
