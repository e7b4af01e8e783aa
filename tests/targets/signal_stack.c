/* Signals that arrive inside an allocator call and are handled on a stack of their own:
 * signal_stack above|below [ROUNDS]. That stack lies above the thread's, or below. The allocator is
 * take() and give(); the handler allocates and frees, and every fourth time it is left by
 * siglongjmp out of an allocator call of its own, as is the call that it interrupted: "abandoned"
 * counts those. build: -pthread */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "ledger.h"

#define STACK_BYTES (256 << 10)

static char *stacks; /* two of STACK_BYTES */
static bool is_above;
static long rounds, round_number;
static sigjmp_buf out;

/* ---- an allocator that raises signals ----------------------------------------------------------
 */

static char pool[1 << 20];
static size_t used;
static bool is_raising;

__attribute__((noinline)) void *take(size_t size_bytes)
{
	void *block = pool + used;

	used += (size_bytes + 15) & ~15ul;
	CHECK(used <= sizeof(pool));
	if (is_raising)
		raise(SIGUSR1);
	return block;
}

__attribute__((noinline)) void give(void *block)
{
	OPAQUE(block);
}

/* ---- its user
 * ------------------------------------------------------------------------------------ */

static void on_signal(int number)
{
	void *p;

	if (round_number % 4 == 3) {
		/* leaves posix_memalign() by the fault of storing its result */
		void **nowhere = (void **)16;

		OPAQUE(nowhere);
		CHECK(posix_memalign(nowhere, 64, 1000) != 0);
	}
	is_raising = false;
	p = malloc(100);
	OPAQUE(p);
	free(p);
}

static void on_fault(int number)
{
	siglongjmp(out, 1);
}

static __attribute__((noinline)) void one_round(void)
{
	void *p, *kept;

	if (sigsetjmp(out, 1) == 0) {
		is_raising = true;
		kept = take(48);
		OPAQUE(kept);
		ledger_add(48);
	}
	/* all is as before, whatever was left behind */
	is_raising = false;
	p = take(80);
	ledger_add(80);
	give(p);
	ledger_drop(80);
}

static void *work(void *arg)
{
	stack_t own = { .ss_sp = stacks + (is_above ? STACK_BYTES : 0), .ss_size = STACK_BYTES };

	CHECK(!sigaltstack(&own, NULL));
	for (round_number = 0; round_number < rounds; round_number++)
		one_round();
	return NULL;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };
	pthread_attr_t attr;
	pthread_t thread;
	char extra[64];

	is_above = own < argc && strcmp(argv[own], "above") == 0;
	rounds = arg_number(argc, argv, own + 1, 400);
	stacks = mmap(NULL, 2 * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	CHECK(stacks != MAP_FAILED);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGSEGV, &fault, NULL));
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstack(&attr, stacks + (is_above ? 0 : STACK_BYTES), STACK_BYTES));
	CHECK(!pthread_create(&thread, &attr, work, NULL));
	CHECK(!pthread_join(thread, NULL));
	snprintf(extra, sizeof(extra), ",\"abandoned\":%ld", rounds / 4);
	return target_end(extra);
}
