/* malloc in signal handlers, on the normal and on an alternate stack: signals [ROUNDS]. The signals
 * are raised by the program itself, outside of the allocator, so that this is allowed. */
#include <signal.h>

#include "ledger.h"

static char alternate_stack[64 << 10];
static void *handed_over[2];

static __attribute__((noinline)) void in_handler(int which, size_t size_bytes)
{
	void *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
	handed_over[which] = p;
}

static void on_usr1(int signal_number)
{
	in_handler(0, 24);
}

static void on_usr2(int signal_number)
{
	in_handler(1, 240);
}

static __attribute__((noinline)) void interrupted(int signal_number)
{
	void *p = malloc(7);

	OPAQUE(p);
	CHECK(p);
	ledger_add(7);
	raise(signal_number);
	free(p);
	ledger_drop(7);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long rounds = arg_number(argc, argv, own, 500);
	stack_t stack = { .ss_sp = alternate_stack, .ss_size = sizeof(alternate_stack) };
	struct sigaction normal = { .sa_handler = on_usr1 };
	struct sigaction alternate = { .sa_handler = on_usr2, .sa_flags = SA_ONSTACK };

	CHECK(!sigaltstack(&stack, NULL));
	CHECK(!sigaction(SIGUSR1, &normal, NULL) && !sigaction(SIGUSR2, &alternate, NULL));
	for (long i = 0; i < rounds; i++) {
		interrupted(SIGUSR1);
		interrupted(SIGUSR2);
		if (i % 10 == 9)
			continue; /* both stay */
		free(handed_over[0]);
		ledger_drop(24);
		free(handed_over[1]);
		ledger_drop(240);
	}
	return target_end("");
}
