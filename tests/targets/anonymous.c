/* anonymous: memory that a program maps itself, of known sizes, beside malloc.
 * Prints "ready", waits for a line, works, prints its arithmetic, waits for a line. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define MODES PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0

static long total, live;

__attribute__((noinline)) static char *map_cache(long pages)
{
	char *memory = mmap(NULL, pages * PAGE, MODES);

	if (memory == MAP_FAILED)
		abort();
	total += pages * PAGE;
	live += pages * PAGE;
	return memory;
}

__attribute__((noinline)) static void unmap(char *memory, long pages)
{
	if (munmap(memory, pages * PAGE))
		abort();
	live -= pages * PAGE;
}

static void work(void)
{
	char *kept = map_cache(100), *cut = map_cache(50), *grown = map_cache(10), *end;

	kept[0] = 1;
	/* refused: all stays */
	if (!munmap(kept + 1, PAGE) || !munmap(kept, 0) || !munmap(kept, -1L))
		abort();
	unmap(map_cache(30), 30);
	unmap(cut + 20 * PAGE, 5);
	grown = mremap(grown, 10 * PAGE, 40 * PAGE, MREMAP_MAYMOVE);
	if (grown == MAP_FAILED)
		abort();
	total += 40 * PAGE;
	live += 30 * PAGE;
	end = sbrk(3 * PAGE);
	if (end == (char *)-1)
		abort();
	total += 3 * PAGE;
	live += 3 * PAGE;
	sbrk(-PAGE);
	live -= PAGE;
	/* the allocator's own mappings are malloc's, not ours */
	free(malloc(10 << 20));
}

int main(void)
{
	char line[16];

	setvbuf(stdout, NULL, _IONBF, 0);
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	work();
	printf("{\"total_bytes\": %ld, \"live_bytes\": %ld}\n", total, live);
	return fgets(line, sizeof(line), stdin) ? 0 : 1;
}
