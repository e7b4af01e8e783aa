/* Every allocator function of libc once or twice, the odd cases included.
 * "no-pvalloc" as argument leaves out pvalloc, which Valgrind 3.19 does not see. */
#include <malloc.h>

#include "ledger.h"

static volatile size_t impossible = SIZE_MAX / 2;

static __attribute__((noinline)) void plain(void)
{
	char *p = malloc(100);
	char *zero = malloc(0);

	OPAQUE(p);
	OPAQUE(zero);
	CHECK(p && zero);
	ledger_add(100);
	ledger_add(0);
	free(p);
	ledger_drop(100);
	free(zero);
	ledger_drop(0);
	p = NULL;
	OPAQUE(p);
	free(p);
}

static __attribute__((noinline)) void counted(void)
{
	char *p = calloc(7, 13);
	char *zero = calloc(0, 13);

	OPAQUE(p);
	OPAQUE(zero);
	CHECK(p && zero && !p[90]);
	ledger_add(91);
	ledger_add(0);
	free(zero);
	ledger_drop(0);
	/* p stays: live at the end */
}

static __attribute__((noinline)) void resized(void)
{
	char *p = NULL;

	OPAQUE(p);
	p = realloc(p, 50); /* = malloc */
	OPAQUE(p);
	CHECK(p);
	ledger_add(50);
	p = realloc(p, 5000);
	OPAQUE(p);
	CHECK(p);
	ledger_resize(50, 5000);
	p = realloc(p, 20);
	OPAQUE(p);
	CHECK(p);
	ledger_resize(5000, 20);
	p = realloc(p, 20); /* the same size again */
	OPAQUE(p);
	CHECK(p);
	ledger_resize(20, 20);
	p = realloc(p, 0); /* = free, in glibc */
	OPAQUE(p);
	CHECK(!p);
	ledger_drop(20);
}

static __attribute__((noinline)) void resized_arrays(void)
{
	char *p = NULL;

	OPAQUE(p);
	p = reallocarray(p, 10, 24);
	OPAQUE(p);
	CHECK(p);
	ledger_add(240);
	p = reallocarray(p, 100, 24);
	OPAQUE(p);
	CHECK(p);
	ledger_resize(240, 2400);
	CHECK(!reallocarray(p, impossible, 24)); /* overflow: p stays as it is */
	free(p);
	ledger_drop(2400);
}

static __attribute__((noinline)) void aligned(bool with_pvalloc)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p[5] = { 0 };

	CHECK(!posix_memalign(&p[0], 64, 333));
	ledger_add(333);
	p[1] = aligned_alloc(128, 256);
	OPAQUE(p[1]);
	CHECK(p[1]);
	ledger_add(256);
	p[2] = memalign(32, 77);
	OPAQUE(p[2]);
	CHECK(p[2]);
	ledger_add(77);
	p[3] = valloc(10);
	OPAQUE(p[3]);
	CHECK(p[3]);
	ledger_add(10);
	if (with_pvalloc) {
		p[4] = pvalloc(10);
		OPAQUE(p[4]);
		CHECK(p[4]);
		ledger_add(page); /* rounded up: what pvalloc is for */
	}
	for (int i = 0; i < 4; i++)
		free(p[i]);
	ledger_drop(333);
	ledger_drop(256);
	ledger_drop(77);
	ledger_drop(10);
	/* pvalloc's page stays */
}

static __attribute__((noinline)) void failing(void)
{
	void *p = NULL;
	char *kept = malloc(64);

	OPAQUE(kept);
	CHECK(kept);
	ledger_add(64);
	CHECK(!malloc(impossible));
	CHECK(!calloc(impossible, 8));
	CHECK(!realloc(kept, impossible));
	CHECK(!memalign(64, impossible));
	CHECK(!aligned_alloc(64, impossible));
	CHECK(posix_memalign(&p, 64, impossible) == ENOMEM);
	CHECK(posix_memalign(&p, 3, 100) == EINVAL);
	kept[63] = 1; /* alive and ours after the failed realloc */
	OPAQUE(kept);
	free(kept);
	ledger_drop(64);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	bool with_pvalloc = own >= argc || strcmp(argv[own], "no-pvalloc");

	plain();
	counted();
	resized();
	resized_arrays();
	aligned(with_pvalloc);
	failing();
	return target_end("");
}
