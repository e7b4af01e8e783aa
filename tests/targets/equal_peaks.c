/* The heap is at the same maximum again and again, each time owned by another function: t-gmax is
 * the last of them. */
#include "ledger.h"

static __attribute__((noinline)) void *first_owner(void)
{
	void *p = malloc(6000);

	OPAQUE(p);
	ledger_add(6000);
	return p;
}

static __attribute__((noinline)) void second_owner(void **p)
{
	for (int i = 0; i < 3; i++) {
		p[i] = malloc(2000);
		OPAQUE(p[i]);
		ledger_add(2000);
	}
}

static __attribute__((noinline)) void last_owner(void **p)
{
	for (int i = 0; i < 6; i++) {
		p[i] = calloc(10, 100);
		OPAQUE(p[i]);
		ledger_add(1000);
	}
}

static __attribute__((noinline)) void below_the_peak(void)
{
	void *p = malloc(5999);

	OPAQUE(p);
	ledger_add(5999);
	free(p);
	ledger_drop(5999);
}

static void drop_all(void **p, int count, size_t size_bytes)
{
	for (int i = 0; i < count; i++) {
		free(p[i]);
		ledger_drop(size_bytes);
	}
}

int main(int argc, char **argv)
{
	void *p[6];

	target_begin(argc, argv);
	for (int round = 0; round < 3; round++) {
		p[0] = first_owner();
		drop_all(p, 1, 6000);
		second_owner(p);
		drop_all(p, 3, 2000);
		last_owner(p);
		drop_all(p, 6, 1000);
		below_the_peak();
	}
	return target_end("");
}
