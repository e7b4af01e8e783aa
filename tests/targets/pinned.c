/* Heaps of which it is known what keeps them resident.
 *
 * argv[1] says how the heap is made; for each line of the input what keeps it is given back
 * ("free"), or whole pages that are free are ("trim"). Each step is followed by a line with what
 * malloc says of itself. Without tcache and fastbins, by which a block that is freed would still
 * count as used.
 */
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "ledger.h"

#define PAGE 4096ul
#define ADVICE_PAGEOUT 21 /* Linux 5.4 */
#define MOST 40000

static void *kept[MOST], *filling[MOST];
static size_t kept_count, filling_count;

/* ---- who allocates ----------------------------------------------------------------------- */

static void *written(void *block, size_t bytes)
{
	CHECK(block);
	OPAQUE(block);
	return memset(block, 0x5a, bytes);
}

static __attribute__((noinline)) void keep_header(size_t bytes)
{
	CHECK(kept_count < MOST);
	kept[kept_count++] = written(malloc(bytes), bytes);
}

static __attribute__((noinline)) void fill(size_t bytes)
{
	CHECK(filling_count < MOST);
	filling[filling_count++] = written(malloc(bytes), bytes);
}

static void free_all(void **blocks, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		free(blocks[i]);
	*count = 0;
}

/* ---- heaps ------------------------------------------------------------------------------- */

/* One small block a page, the rest of which was freed. */
static void make_survivors(void)
{
	for (int i = 0; i < 4000; i++) {
		keep_header(200);
		fill(PAGE - 208 - 8);
	}
	free_all(filling, &filling_count);
}

/* Every second block was freed. */
static void make_comb(void)
{
	for (int i = 0; i < 20000; i++) {
		keep_header(504);
		fill(504);
	}
	free_all(filling, &filling_count);
}

/* 412 blocks above 32 MB that are free. */
static void make_top(void)
{
	for (int i = 0; i < 8000; i++)
		fill(4000);
	for (int i = 0; i < 412; i++)
		keep_header(200);
	free_all(filling, &filling_count);
}

/* Large ones: written to and swapped out in part, half written to, given back in part, never
 * touched. */
static void make_untouched(void)
{
	for (int i = 0; i < 8; i++) {
		size_t bytes = (2ul << 20) + 5000;
		char *block = malloc(bytes), *page;

		CHECK(block);
		OPAQUE(block);
		kept[kept_count++] = block;
		memset(block, 0x5a, i % 4 == 0 ? bytes : i % 4 == 3 ? 0 : bytes / 2);
		page = (char *)(((uintptr_t)block + PAGE - 1) & -PAGE);
		if (i % 4 == 0) /* where there is swap space, else it stays */
			madvise(page + 10 * PAGE, 50 * PAGE, ADVICE_PAGEOUT);
		if (i % 4 == 2)
			CHECK(madvise(page + 10 * PAGE, 50 * PAGE, MADV_DONTNEED) == 0);
	}
}

/* As many come as go. */
static void turn_over(void)
{
	static size_t oldest;

	for (int i = 0; i < 200; i++) {
		if (filling[oldest])
			free(filling[oldest]);
		filling[oldest] = written(malloc(2000), 2000);
		oldest = (oldest + 1) % 2000;
	}
}

static void leak(void)
{
	for (int i = 0; i < 200 && kept_count < MOST; i++)
		keep_header(1000);
}

/* ---- steps ------------------------------------------------------------------------------- */

static void report(void)
{
	struct mallinfo2 info = mallinfo2();

	say("used %zu mapped %zu arena %zu free %zu\n", info.uordblks, info.hblkhd, info.arena,
	    info.fordblks);
}

/* Until nobody is there any more: it outlives dhatd. */
static void run_for_good(void (*step)(void))
{
	struct pollfd input = { .fd = 0 };

	do
		step();
	while (poll(&input, 1, 20) == 0);
}

int main(int argc, char **argv)
{
	char line[64];

	CHECK(argc == 2);
	CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0); /* pages come when they are touched */
	CHECK(mallopt(M_MMAP_THRESHOLD, 16 << 20) && mallopt(M_MXFAST, 0));
	CHECK(mallopt(M_TRIM_THRESHOLD, 64 << 10) && mallopt(M_TOP_PAD, 0));
	setvbuf(stdin, NULL, _IONBF, 0);
	if (!strcmp(argv[1], "survivors"))
		make_survivors();
	else if (!strcmp(argv[1], "comb"))
		make_comb();
	else if (!strcmp(argv[1], "top"))
		make_top();
	else if (!strcmp(argv[1], "untouched"))
		make_untouched();
	report();
	if (!strcmp(argv[1], "cache"))
		run_for_good(turn_over);
	else if (!strcmp(argv[1], "leak"))
		run_for_good(leak);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "free\n"))
			free_all(kept, &kept_count);
		else if (!strcmp(line, "trim\n"))
			malloc_trim(0);
		report();
	}
	return 0;
}
