/* Blocks at a stack each: many_stacks. Lines on stdin: "alloc COUNT", COUNT further blocks of 16
 * bytes, each of which is kept and has a stack of its own; "again COUNT", further ones at the first
 * stacks; "grow", a first realloc; "unrest", from then on other threads change the protection of
 * memory all the while, so that whoever does not wait rarely gets a look at the mappings. The book
 * is printed after each. */
/* build: -pthread -O2 -fno-optimize-sibling-calls -fno-omit-frame-pointer */
#include <pthread.h>
#include <sys/mman.h>

#include "ledger.h"

#define DEPTH 24
#define UNREST_BYTES (64u << 20)
#define UNREST_THREADS 3 /* one at work, one that waits, also while this one has its turn */

static void *change_protection(void *memory)
{
	for (;;) {
		mprotect(memory, UNREST_BYTES, PROT_READ);
		mprotect(memory, UNREST_BYTES, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

static void begin_unrest(void)
{
	void *memory = mmap(NULL, UNREST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	pthread_t thread;

	CHECK(memory != MAP_FAILED);
	CHECK(madvise(memory, UNREST_BYTES, MADV_NOHUGEPAGE) == 0);
	memset(memory, 1, UNREST_BYTES);
	for (int i = 0; i < UNREST_THREADS; i++)
		CHECK(pthread_create(&thread, NULL, change_protection, memory) == 0);
}

static void grow(void)
{
	void *p = malloc(16);

	OPAQUE(p);
	CHECK(p);
	ledger_add(16);
	p = realloc(p, 100);
	OPAQUE(p);
	CHECK(p);
	ledger_resize(16, 100);
}

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

static void take_many(unsigned long first, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		CHECK(walk(first + i, DEPTH));
		ledger_add(16);
	}
}

int main(int argc, char **argv)
{
	unsigned long next = 0, count;
	char line[64];

	target_begin(argc, argv);
	say("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		bool is_again = sscanf(line, "again %lu", &count) == 1;

		/* one call for both: another one would be another stack */
		if (is_again || sscanf(line, "alloc %lu", &count) == 1) {
			take_many(is_again ? 0 : next, count);
			next += is_again ? 0 : count;
		} else if (!strcmp(line, "grow\n")) {
			grow();
		} else if (!strcmp(line, "unrest\n")) {
			begin_unrest();
		} else {
			return 1;
		}
		say("{\"total_blocks\":%llu,\"total_bytes\":%llu,\"live_blocks\":%llu}\n",
		    (unsigned long long)ledger.total_blocks, (unsigned long long)ledger.total_bytes,
		    (unsigned long long)ledger.live_blocks);
	}
	return 0;
}
