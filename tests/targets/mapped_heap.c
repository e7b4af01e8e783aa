/* mapped_heap: memory that is nobody's heap, as of an allocator that cannot be noticed.
 *
 * Usage: mapped_heap MIB [code|early|advised|blocks]
 * Says "ready"; for a line maps and touches MIB mebibytes, with "code" a mapping for generated code
 * besides; says "mapped"; for another line ends. It mallocs 1,000 bytes in 10 blocks meanwhile.
 * With "early" the memory is there when it is ready. With "advised" and "blocks" it is the heap's:
 * one block, of which all but the beginning is a mapping of its own, since it is asked to be of
 * huge pages, as numpy's arrays are; or blocks of 1,000 bytes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void map_memory(size_t size)
{
	for (size_t done = 0; done < size; done += 4 << 20)
		memset(mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0),
		       1, 4 << 20);
}

static void allocate_advised(size_t size)
{
	char *volatile block = malloc(size);
	uintptr_t first = ((uintptr_t)block + 8191) & ~4095ul,
		  behind = ((uintptr_t)block + size) & ~4095ul;

	madvise((void *)first, behind - first, MADV_HUGEPAGE);
	memset(block, 1, size);
}

static void allocate_blocks(size_t size)
{
	for (size_t done = 0; done < size; done += 1000) {
		char *volatile block = malloc(1000);

		memset(block, 1, 1000);
	}
}

/* As of a runtime that makes code. */
static void map_code(void)
{
	void *code =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(code, 0xc3, 1 << 20);
	mprotect(code, 1 << 20, PROT_READ | PROT_EXEC);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoull(argv[1], NULL, 10) << 20 : 0;
	const char *kind = argc > 2 ? argv[2] : "";
	bool is_early = !strcmp(kind, "early");
	char line[16], *volatile kept[10];

	setvbuf(stdout, NULL, _IONBF, 0);
	if (is_early)
		map_memory(size);
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < 10; i++)
		kept[i] = malloc(100);
	if (!strcmp(kind, "code")) /* first, as runtimes do: it may be looked at any moment */
		map_code();
	if (!strcmp(kind, "advised"))
		allocate_advised(size);
	else if (!strcmp(kind, "blocks"))
		allocate_blocks(size);
	else if (!is_early)
		map_memory(size);
	puts("mapped");
	return !fgets(line, sizeof(line), stdin) || !kept[9];
}
