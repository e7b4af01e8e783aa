/* Threads that give their caches back: last_threads [THREADS [MISSED]]. Each allocates and frees
 * blocks of all sizes that a thread's cache (glibc's tcache) keeps, and returns when all have. main
 * exits when it sees the first return, while the others are at it. With MISSED, each thread frees
 * besides, as the last it does, so many small and so many large blocks that no allocator function
 * handed out: chunks made by hand. main waits for all threads then. build: -pthread */
#include <pthread.h>
#include <sys/mman.h>

#include "ledger.h"

#define SIZES 64 /* 16, 32 … 1024 bytes */
#define OF_A_SIZE 5
#define MAX_MISSED 2 /* the cache keeps 7 of a size */
#define MAX_THREADS 64
#define LARGE_BYTES (2 * 4096)
#define IS_MMAPPED 2
#define PREV_INUSE 1

/* glibc's malloc/malloc.c, "malloc_chunk" */
struct chunk {
	size_t prev_size, size;
	char user[32];
} __attribute__((aligned(16)));

static struct chunk small_chunks[MAX_THREADS * MAX_MISSED + 2];
static atomic_long small_used, returning;
static pthread_barrier_t all;
static long missed;

static void *small_block(void)
{
	return small_chunks[small_used++].user;
}

static void *large_block(void)
{
	struct chunk *chunk =
		mmap(NULL, LARGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(chunk != MAP_FAILED);
	chunk->size = LARGE_BYTES | IS_MMAPPED;
	return chunk->user;
}

static void *work(void *arg)
{
	static __thread void *blocks[SIZES][OF_A_SIZE];

	for (int i = 0; i < SIZES; i++) {
		for (int j = 0; j < OF_A_SIZE; j++) {
			blocks[i][j] = malloc(16 * (i + 1));
			OPAQUE(blocks[i][j]);
			CHECK(blocks[i][j]);
			ledger_add(16 * (i + 1));
		}
	}
	for (int i = 0; i < SIZES; i++) {
		for (int j = 0; j < OF_A_SIZE; j++) {
			ledger_drop(16 * (i + 1));
			free(blocks[i][j]);
		}
	}
	for (long i = 0; i < missed; i++)
		free(small_block());
	for (long i = 0; i < missed; i++)
		free(large_block());
	pthread_barrier_wait(&all);
	returning++;
	return NULL;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long count = arg_number(argc, argv, own, 4);
	pthread_t threads[MAX_THREADS];

	missed = arg_number(argc, argv, own + 1, 0);
	CHECK(count <= MAX_THREADS && missed <= MAX_MISSED);
	for (size_t i = 0; i < sizeof(small_chunks) / sizeof(*small_chunks); i++)
		small_chunks[i].size = sizeof(struct chunk) | PREV_INUSE;
	ledger.has_peak = false;
	CHECK(!pthread_barrier_init(&all, NULL, count + 1));
	for (long i = 0; i < count; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, NULL));
	pthread_barrier_wait(&all);
	for (long i = 0; i < count && missed; i++)
		CHECK(!pthread_join(threads[i], NULL));
	while (returning == 0)
		;
	return target_end("");
}
