/* Mappings that are given back in part, a step for each line of stdin, with its book: what there is
 * of ours then, in bytes, by the function that mapped it.
 * build: -fno-ipa-icf */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ledger.h"

#define PAGE 4096
#define MODES PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS

static long first_pages, second_pages, third_pages, total_pages;

#define MAPS(name)                                                                                 \
	static __attribute__((noinline)) char *name(void *where, long pages)                       \
	{                                                                                          \
		char *memory = mmap(where, pages * PAGE, MODES | (where ? MAP_FIXED : 0), -1, 0);  \
                                                                                                   \
		CHECK(memory != MAP_FAILED);                                                       \
		OPAQUE(memory);                                                                    \
		total_pages += pages;                                                              \
		return memory;                                                                     \
	}
MAPS(map_first)
MAPS(map_second)
MAPS(map_third)

static void step(const char *what)
{
	say("{\"step\":\"%s\",\"map_first\":%ld,\"map_second\":%ld,\"map_third\":%ld,\"total\":%ld}"
	    "\n",
	    what, first_pages * PAGE, second_pages * PAGE, third_pages * PAGE, total_pages * PAGE);
	wait_for_line();
}

static long max_mappings(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	long count = 0;

	CHECK(file && fscanf(file, "%ld", &count) == 1);
	fclose(file);
	return count;
}

/* As many mappings as a process may have: then none can be cut in two. Past the C library's
 * functions, so that it is no memory of ours. */
static void use_up_mappings(char **ret, size_t *ret_bytes)
{
	size_t pages = max_mappings() + 2;
	char *filler = (char *)syscall(SYS_mmap, NULL, pages * PAGE, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t i = 1;

	CHECK(filler != MAP_FAILED);
	while (i < pages &&
	       mprotect(filler + i * PAGE, (pages - i) * PAGE, i % 2 ? PROT_READ : PROT_NONE) == 0)
		i++;
	CHECK(i < pages && errno == ENOMEM);
	*ret = filler;
	*ret_bytes = pages * PAGE;
}

int main(void)
{
	size_t filler_bytes;
	char *memory, *filler;

	step("ready");
	memory = map_first(NULL, 200);
	map_second(memory + 100 * PAGE, 100); /* over its second half */
	first_pages = second_pages = 100;
	step("mapped");
	CHECK(!munmap(memory, 10 * PAGE));
	first_pages -= 10;
	step("the head");
	CHECK(!munmap(memory + 190 * PAGE, 10 * PAGE));
	second_pages -= 10;
	step("the tail");
	CHECK(!munmap(memory + 40 * PAGE, 20 * PAGE));
	first_pages -= 20;
	step("the middle");
	CHECK(!munmap(memory + 95 * PAGE, 10 * PAGE));
	first_pages -= 5;
	second_pages -= 5;
	step("the border of two");
	map_third(memory + 65 * PAGE, 10);
	first_pages -= 10;
	third_pages += 10;
	step("a part, by another over it");
	CHECK(!munmap(memory + 15 * PAGE, 50 * PAGE)); /* with the hole in it */
	first_pages -= 30;
	step("two parts and a hole");
	CHECK(munmap(memory + 1, PAGE) == -1); /* not at a page: nothing happens */
	step("a failure");
	use_up_mappings(&filler, &filler_bytes);
	CHECK(munmap(memory + 80 * PAGE, PAGE) == -1 && errno == ENOMEM);
	CHECK(syscall(SYS_munmap, filler, filler_bytes) == 0);
	step("a failure for want of mappings");
	CHECK(!munmap(memory, 200 * PAGE));
	first_pages = second_pages = third_pages = 0;
	step("all");
	return 0;
}
