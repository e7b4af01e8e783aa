/* Code without rules, which keeps frame pointers, and a caller whose code is not in the page table,
 * as those of a fork's outer functions are, which it may never come back to. For each line of input
 * 50 blocks, "made".
 * build: -g0 -O1 -fno-asynchronous-unwind-tables -fno-unwind-tables
 * build: -fno-omit-frame-pointer -fno-optimize-sibling-calls
 */
#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"

#define PAGE 4096ul
/* the kernel maps what is around a page, too, as far as it is in memory */
#define APART __attribute__((noinline, aligned(1 << 18)))

static void *kept[50];

APART void make(void)
{
	for (int i = 0; i < 50; i++) {
		kept[i] = malloc(100);
		OPAQUE(kept[i]);
	}
}

APART void untouched(void (*below)(void))
{
	below();
	__asm__ volatile(""); /* no tail call */
}

APART void work(void)
{
	CHECK(madvise((void *)((uintptr_t)untouched & -PAGE), PAGE, MADV_DONTNEED) == 0);
	for (int rounds = 0; rounds < 500; rounds++) {
		wait_for_line();
		make();
		say("made\n");
	}
}

APART int main(void)
{
	say("ready\n");
	untouched(work);
	return 0;
}
