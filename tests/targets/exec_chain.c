/* A process that replaces its program again and again: exec_chain [TIMES [each]]. Each link of the
 * chain makes a block of 1,000 bytes and one of its number; the last one prints. --gate holds the
 * first link only, or, with "each", every one. */
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
	bool is_each = own + 1 < argc;
	char *next[6] = { argv[0] };
	int count = 1;

	link_work(left + 1);
	if (left == 0)
		return target_end("");
	snprintf(number, sizeof(number), "%ld", left - 1);
	if (is_each)
		next[count++] = "--gate";
	if (ledger.is_held)
		next[count++] = "--hold";
	next[count++] = number;
	if (is_each)
		next[count++] = "each";
	execv("/proc/self/exe", next);
	fail("execv");
}
