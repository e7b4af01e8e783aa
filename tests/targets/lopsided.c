/* lopsided: an allocator that gives by two doors and takes by one, without a pause.
 *
 * Usage: lopsided. Of 50 blocks one comes through take_front(), the others through take_side(); all
 * go through give(). Whoever watches the front and the way out sees frees of blocks that never
 * came. build: -O1 -fno-inline -rdynamic
 */
#include <stdio.h>
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

int main(void)
{
	puts("ready");
	fflush(stdout);
	for (unsigned long i = 0;; i++) {
		give(i % 50 ? take_side(10) : take_front(10));
		if (i % 50 == 0)
			usleep(1000);
	}
}
