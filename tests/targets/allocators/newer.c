/* newer: an allocator with a function that dhatd does not know. Says "ready"; on a line it calls
 * malloc ten times and says "known"; on the next one malloc_typed three times, and says "unknown".
 */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

void *malloc_typed(size_t size, uint64_t type);

static void *volatile kept[16];

static void say_and_wait(const char *what, size_t size)
{
	char c;

	(void)!write(1, what, size);
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

int main(void)
{
	say_and_wait("ready\n", 6);
	for (int i = 0; i < 10; i++)
		kept[i] = malloc(100);
	say_and_wait("known\n", 6);
	for (int i = 10; i < 13; i++)
		kept[i] = malloc_typed(1000, 1);
	free(kept[12]);
	say_and_wait("unknown\n", 8);
	return 0;
}
