/* Heaps of all kinds for an inventory from outside, and their owner's own account of them.
 *
 *   inventory KIND
 *
 * Allocates, prints mallinfo2() and every block that it holds, and waits for its input to end.
 * build: -pthread
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "ledger.h"

#define MAX_BLOCKS 20000
#define THREADS 24

static void *blocks[MAX_BLOCKS]; /* NULL: given back */
static atomic_int block_count;
static sem_t done;

/* Of a block: what is further from its ends than this is never written, which takes the longest. */
#define EDGE (16u << 10)

static void keep(void *block)
{
	size_t size = block ? malloc_usable_size(block) : 0, edge = size < EDGE ? size : EDGE;
	int i = atomic_fetch_add(&block_count, 1);

	CHECK(block && i < MAX_BLOCKS);
	memset(block, 0xa5, edge);
	memset((char *)block + size - edge, 0xa5, edge);
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
	keep(realloc(malloc(900000), 200000));
	keep(calloc(3, 333333));
	for (int align = 32; align <= 1 << 20; align *= 8) {
		keep(realloc(memalign(align, 300000), 1300000));
		keep(realloc(memalign(align, 1300000), 300000));
	}
}

/* All freed: caches and fastbins are full, everything else is one free chunk. */
static void all_freed(void)
{
	for (int size = 0; size < 1200; size += 8)
		for (int i = 0; i < 20; i++)
			keep(malloc(size));
	keep(malloc(100)); /* so that the rest is not merged into the top */
	for (int i = 0; i < block_count - 1; i++)
		drop(i);
}

/* Some of each size up to 4 MiB, half of them freed: in what order, too, shows in a cache's lists.
 */
static void cached(uint64_t seed)
{
	int first = block_count;

	for (int size = 20; size < 4 << 20; size += size / 3)
		for (int i = 0; i < 6; i++)
			keep(malloc(size + next_random(&seed) % (size / 4)));
	for (int i = 0; i < block_count - first; i++) {
		int other = first + next_random(&seed) % (block_count - first);

		if (blocks[other])
			drop(other);
	}
	for (int size = 30; size < 1 << 20; size += size / 2)
		keep(malloc(size));
}

static void nothing_freed(int size)
{
	for (int i = 0; i < 500; i++)
		keep(malloc(size + i));
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

static void *cached_in_thread(void *seed)
{
	cached((uintptr_t)seed);
	stay();
}

static void *nothing_freed_in_thread(void *seed)
{
	nothing_freed((uintptr_t)seed);
	stay();
}

/* One after the other, so that the pattern is the same every time. */
static void threads(int count, void *(*body)(void *))
{
	for (int i = 0; i < count; i++) {
		start(body, i + 1);
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

/* Somebody else moves the break, by whole pages and by odd numbers of bytes, and uses what he gets.
 */
static void foreign_break(void)
{
	for (int i = 0; i < 12; i++) {
		static const int sizes[] = { 4096, 100, 8192, 3 * 4096 + 17 };
		char *theirs;

		fragment(i + 1, 300, 3000);
		theirs = sbrk(sizes[i % 4]);
		CHECK(theirs != (void *)-1);
		memset(theirs, 0x21, sizes[i % 4]);
	}
	fragment(99, 300, 3000);
}

/* A mapping in the way of the break, so far behind where it is now. */
static void blocked_break(size_t distance)
{
	uintptr_t end = ((uintptr_t)sbrk(0) + 4095) & ~4095ul;

	CHECK(mmap((void *)(end + distance), 4096, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED);
	fragment(3, 3000, 4000);
	large();
}

/* What cuts [heap] into several mappings. */
static void madvised(void)
{
	uintptr_t middle;

	fragment(5, 3000, 3000);
	middle = ((uintptr_t)sbrk(0) - 300000) & ~4095ul;
	CHECK(madvise((void *)middle, 65536, MADV_DONTDUMP) == 0);
}

/* A libc of its own in a namespace of its own: it has another heap, beside ours. */
static void two_libcs(void)
{
	void *libc = NULL;
	void *(*other_malloc)(size_t);
	void (*other_free)(void *);

#ifndef IS_STATIC
	libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
#endif
	CHECK(libc);
	other_malloc = (void *(*)(size_t))dlsym(libc, "malloc");
	other_free = (void (*)(void *))dlsym(libc, "free");
	CHECK(other_malloc && other_free);
	fragment(1, 1000, 3000);
	for (int i = 0; i < 3000; i++)
		keep(other_malloc(i % 2000));
	keep(other_malloc(300000));
	for (int i = block_count - 1000; i < block_count; i += 3) {
		other_free(blocks[i]);
		blocks[i] = NULL;
	}
}

/* Somebody has written before the start of his block: what lies behind it is lost to a walk. */
static void damaged(void)
{
	for (int i = 0; i < 4000; i++)
		keep(malloc(1000));
	((uintptr_t *)blocks[1000])[-1] = 0;
	blocks[1000] = NULL;
}

/* From the first block on, so that there is nothing by which it would be known for a heap. */
static void small_and_spoilt(void)
{
	uintptr_t *first;

	for (int i = 0; i < 400; i++)
		keep(malloc(1000));
	for (int i = 0; i < 400; i++)
		((uintptr_t *)blocks[i])[-1] ^= 8;
	first = (uintptr_t *)((uintptr_t)blocks[0] & ~4095ul);
	first[1] = 0x13;
}

/* A block that is freed twice: its list runs in a circle. The cache is full, so it is a fastbin. */
static void freed_twice(void)
{
	void *a[16];

	for (int i = 0; i < 16; i++)
		a[i] = malloc(40);
	for (int i = 0; i < 1000; i++)
		keep(malloc(100));
	for (int i = 0; i < 9; i++)
		free(a[i]);
	free(a[9]);
	free(a[10]);
	free(a[9]);
}

/* The same in a cache: the first word of the block says that it is its own successor. */
static void circular_cache(void)
{
	uintptr_t *block = malloc(40);

	for (int i = 0; i < 1000; i++)
		keep(malloc(100));
	free(block);
	block[0] = (uintptr_t)block >> 12 ^ (uintptr_t)block;
	OPAQUE(block);
}

static void report(bool is_sound)
{
	struct mallinfo2 info = { 0 };

	if (is_sound) /* else it would go round in a circle */
		info = mallinfo2();

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
		threads(THREADS, fragment_in_thread);
	else if (!strcmp(kind, "cached"))
		cached(1);
	else if (!strcmp(kind, "cached-in-threads"))
		threads(4, cached_in_thread);
	else if (!strcmp(kind, "nothing-freed"))
		nothing_freed(20);
	else if (!strcmp(kind, "nothing-freed-in-threads"))
		threads(4, nothing_freed_in_thread);
	else if (!strcmp(kind, "ended-threads"))
		ended_threads();
	else if (!strcmp(kind, "several-heaps"))
		several_heaps();
	else if (!strcmp(kind, "busy"))
		busy();
	else if (!strcmp(kind, "many"))
		many();
	else if (!strcmp(kind, "foreign-break"))
		foreign_break();
	else if (!strcmp(kind, "blocked-break"))
		blocked_break(0);
	else if (!strcmp(kind, "break-blocked-later"))
		blocked_break(2 << 20);
	else if (!strcmp(kind, "madvised"))
		madvised();
	else if (!strcmp(kind, "two-libcs"))
		two_libcs();
	else if (!strcmp(kind, "damaged"))
		damaged();
	else if (!strcmp(kind, "small-and-spoilt"))
		small_and_spoilt();
	else if (!strcmp(kind, "freed-twice"))
		freed_twice();
	else if (!strcmp(kind, "circular-cache"))
		circular_cache();
	else if (strcmp(kind, "nothing"))
		return 2;
	report(strcmp(kind, "freed-twice") != 0);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		for (int i = 0; byte == 'f' && i < block_count; i++)
			drop(i);
	return 0;
}
