/* All sizes that allocators treat differently: every small one, powers of two and their
 * neighbours up to 32 MiB (beyond glibc's mmap threshold), from a function each. */
#include "ledger.h"

#define MAX_KEPT 8192

static struct {
	void *block;
	size_t size_bytes;
} kept[MAX_KEPT];
static int kept_count;

static void keep(void *p, size_t size_bytes)
{
	OPAQUE(p);
	CHECK(p && kept_count < MAX_KEPT);
	ledger_add(size_bytes);
	kept[kept_count].block = p;
	kept[kept_count++].size_bytes = size_bytes;
}

static __attribute__((noinline)) void take_small(size_t size_bytes)
{
	keep(malloc(size_bytes), size_bytes);
}

static __attribute__((noinline)) void take_around(size_t power)
{
	keep(malloc(power - 1), power - 1);
	keep(calloc(1, power), power);
	keep(malloc(power + 1), power + 1);
}

static __attribute__((noinline)) void take_aligned(size_t align)
{
	void *p = NULL;

	CHECK(!posix_memalign(&p, align, align + 1));
	keep(p, align + 1);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long most = arg_number(argc, argv, own, 32l << 20);

	for (size_t size = 0; size <= 2100; size++)
		take_small(size);
	for (size_t power = 64; power <= (size_t)most; power *= 2)
		take_around(power);
	for (size_t align = 8; align <= 1 << 20; align *= 2)
		take_aligned(align);
	/* every third stays */
	for (int i = 0; i < kept_count; i++) {
		if (i % 3 == 0)
			continue;
		free(kept[i].block);
		ledger_drop(kept[i].size_bytes);
	}
	return target_end("");
}
