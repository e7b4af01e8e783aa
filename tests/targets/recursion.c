/* A block at every level of a recursion: recursion [DEPTH] [ROUNDS]. The way up frees every second
 * level; the rest is live at the end. */
#include "ledger.h"

static long round_number;

static __attribute__((noinline)) long descend(long level, long depth)
{
	size_t size_bytes = 16 + level;
	char *p = malloc(size_bytes);
	long below = 0;

	OPAQUE(p);
	CHECK(p);
	ledger_add(size_bytes);
	p[0] = 1;
	if (level + 1 < depth)
		below = descend(level + 1, depth);
	below += p[0]; /* after the call: no tail call, a frame each */
	if (level % 2) {
		free(p);
		ledger_drop(size_bytes);
	}
	return below;
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long depth = arg_number(argc, argv, own, 60);
	long rounds = arg_number(argc, argv, own + 1, 10);

	for (round_number = 0; round_number < rounds; round_number++)
		CHECK(descend(0, depth) == depth);
	return target_end("");
}
