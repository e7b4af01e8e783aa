/* lopsided: an allocator that gives by two doors and takes by one, without a pause.
 *
 * Usage: lopsided [PERCENT]. So many of the blocks, 98 of 100, come through take_side(), the others
 * through take_front(); all go through give(). Whoever watches the front and the way out sees frees
 * of blocks that never came. build: -O1 -fno-inline -rdynamic
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char blocks[64][32];
static int next;

__attribute__((noipa)) void *take_front(unsigned long size)
{
	(void)size;
	return blocks[next++ % 64];
}

__attribute__((noipa)) void *take_side(unsigned long size)
{
	(void)size;
	return blocks[next++ % 64];
}

__attribute__((noipa)) void give(void *block)
{
	*(volatile char *)block = 0;
}

int main(int argc, char **argv)
{
	unsigned long by_the_side = argc > 1 ? strtoul(argv[1], NULL, 10) : 98;

	puts("ready");
	fflush(stdout);
	for (unsigned long i = 0;; i++) {
		give(i % 100 < by_the_side ? take_side(10) : take_front(10));
		if (i % 50 == 0)
			usleep(1000);
	}
}
