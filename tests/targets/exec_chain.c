/* A process that replaces its program again and again: exec_chain [TIMES]. Each link of the chain
 * makes a block of 1,000 bytes and one of its number; the last one prints. With --gate every link
 * but the first runs at once. */
#include "ledger.h"

static __attribute__((noinline)) void link_work(long number)
{
	void *p = malloc(1000), *q = malloc(number);

	OPAQUE(p);
	OPAQUE(q);
	CHECK(p && q);
	ledger_add(1000);
	ledger_add(number);
	free(q);
	ledger_drop(number);
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long left = arg_number(argc, argv, own, 3);
	char number[24];
	char *const hold = ledger.is_held ? "--hold" : NULL;
	char *plain_arguments[] = { argv[0], number, NULL };
	char *held_arguments[] = { argv[0], hold, number, NULL };

	link_work(left + 1);
	if (left == 0)
		return target_end("");
	snprintf(number, sizeof(number), "%ld", left - 1);
	execv("/proc/self/exe", hold ? held_arguments : plain_arguments);
	fail("execv");
}
