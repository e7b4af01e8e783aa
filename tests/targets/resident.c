/* How much of its blocks is in memory, by its own reading of its page table.
 *
 * Makes blocks of three kinds: written to, half of it written to, never touched. For each line of
 * its input it makes some more, and gives back every third of the older ones. It prints of the
 * blocks that were there before the first line, and of those since, bytes and bytes in memory.
 */
#include <fcntl.h>
#include <sys/prctl.h>

#include "ledger.h"

#define PAGE 4096ul
#define MOST 20000

struct block {
	char *addr;
	size_t bytes;
	bool is_before;
};

static struct block blocks[MOST];
static int count, pagemap;

static void keep(size_t bytes, size_t touched, bool is_before)
{
	char *addr = malloc(bytes);

	CHECK(addr && count < MOST);
	OPAQUE(addr);
	memset(addr, 0x5a, touched);
	blocks[count++] = (struct block){ addr, bytes, is_before };
}

static void make(bool is_before)
{
	for (int i = 0; i < 1000; i++)
		keep(100 + i, 100 + i, is_before);
	for (int i = 0; i < 40; i++) {
		keep(60000, 60000, is_before);
		keep(60000, 30000, is_before);
		keep(60000, 0, is_before);
	}
	for (int i = 0; i < 4; i++) {
		keep(1000000, 1000000, is_before);
		keep(1000000, 500000, is_before);
		keep(1000000, 0, is_before);
	}
}

static void give_back_some(void)
{
	int kept = 0;

	for (int i = 0; i < count; i++) {
		if (i % 3 == 0)
			free(blocks[i].addr);
		else
			blocks[kept++] = blocks[i];
	}
	count = kept;
}

static bool is_present(uintptr_t page)
{
	uint64_t word;

	CHECK(pread(pagemap, &word, sizeof(word), page * sizeof(word)) == sizeof(word));
	return word >> 63;
}

static size_t in_memory(const struct block *block)
{
	uintptr_t at = (uintptr_t)block->addr, end = at + block->bytes;
	size_t bytes = 0;

	while (at < end) {
		uintptr_t next = (at / PAGE + 1) * PAGE;

		if (next > end)
			next = end;
		if (is_present(at / PAGE))
			bytes += next - at;
		at = next;
	}
	return bytes;
}

static void report(void)
{
	size_t bytes[2] = { 0 }, present[2] = { 0 };

	for (int i = 0; i < count; i++) {
		bytes[blocks[i].is_before] += blocks[i].bytes;
		present[blocks[i].is_before] += in_memory(&blocks[i]);
	}
	say("before %zu %zu since %zu %zu\n", bytes[1], present[1], bytes[0], present[0]);
}

int main(void)
{
	bool is_before = true;
	char byte;

	keep_resident();
	CHECK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0); /* pages come when they are touched */
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	CHECK(pagemap >= 0);
	make(is_before);
	report();
	while (read(0, &byte, 1) == 1) {
		if (byte != '\n')
			continue;
		give_back_some();
		make(false);
		report();
	}
	return 0;
}
