/* longjmp over frames that allocate, and out of allocator calls that never return: jumps [ROUNDS].
 *
 * An allocator call is left for good by a fault inside of it: posix_memalign() storing its result
 * to an unmapped place. The block is lost then, to the target as to us; "abandoned" counts these.
 */
#include <setjmp.h>
#include <signal.h>

#include "ledger.h"

static jmp_buf back;
static sigjmp_buf out_of_fault;
static volatile bool is_jumping = true;

static __attribute__((noinline)) void allocate_and_jump(int depth)
{
	void *p = malloc(48);

	OPAQUE(p);
	CHECK(p);
	ledger_add(48);
	if (depth == 0 && is_jumping)
		longjmp(back, 1);
	if (depth == 0)
		return;
	allocate_and_jump(depth - 1);
	OPAQUE(p); /* no tail call */
}

static void on_fault(int signal_number)
{
	siglongjmp(out_of_fault, 1);
}

static __attribute__((noinline)) void fault_inside_allocator(void)
{
	void **nowhere = (void **)16;

	OPAQUE(nowhere);
	if (sigsetjmp(out_of_fault, 1) == 0)
		CHECK(posix_memalign(nowhere, 64, 1000) != 0);
}

static __attribute__((noinline)) void plain_after(void)
{
	void *p = calloc(1, 80);

	OPAQUE(p);
	CHECK(p);
	ledger_add(80);
	free(p);
	ledger_drop(80);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long rounds = arg_number(argc, argv, own, 1000);
	struct sigaction action = { .sa_handler = on_fault };
	volatile long i;
	char extra[64];

	CHECK(!sigaction(SIGSEGV, &action, NULL));
	for (i = 0; i < rounds; i++) {
		if (setjmp(back) == 0)
			allocate_and_jump(4);
		fault_inside_allocator();
		plain_after();
	}
	snprintf(extra, sizeof(extra), ",\"abandoned\":%ld", rounds);
	return target_end(extra);
}
