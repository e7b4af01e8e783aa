/* Blocks at a stack each: many_stacks. Lines on stdin: "alloc COUNT", COUNT further blocks of 16
 * bytes, each of which is kept and has a stack of its own; "again COUNT", further ones at the first
 * stacks. The book is printed after each. */
/* build: -O2 -fno-optimize-sibling-calls -fno-omit-frame-pointer */
#include "ledger.h"

#define DEPTH 24

static void *walk(unsigned long number, int depth);

/* Two calls, so two return addresses: the stack spells the number in bits. */
static __attribute__((noinline)) void *zero(unsigned long number, int depth)
{
	void *p = walk(number >> 1, depth - 1);

	OPAQUE(p);
	return p;
}

static __attribute__((noinline)) void *walk(unsigned long number, int depth)
{
	void *p;

	if (depth == 0)
		return malloc(16);
	if (number & 1)
		p = walk(number >> 1, depth - 1);
	else
		p = zero(number, depth);
	OPAQUE(p);
	return p;
}

int main(int argc, char **argv)
{
	unsigned long next = 0, count;
	char line[64];

	target_begin(argc, argv);
	say("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		bool is_again = sscanf(line, "again %lu", &count) == 1;

		if (!is_again && sscanf(line, "alloc %lu", &count) != 1)
			return 1;
		for (unsigned long i = 0; i < count; i++) {
			CHECK(walk(is_again ? i : next++, DEPTH));
			ledger_add(16);
		}
		say("{\"total_blocks\":%llu,\"total_bytes\":%llu,\"live_blocks\":%llu}\n",
		    (unsigned long long)ledger.total_blocks, (unsigned long long)ledger.total_bytes,
		    (unsigned long long)ledger.live_blocks);
	}
	return 0;
}
