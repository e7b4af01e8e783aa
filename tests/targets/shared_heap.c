/* A server before it forks its workers: a heap of 64 MiB that parent and child share page by page,
 * and memory that nobody has touched, of each kind there is. Prints both pids and waits.
 *
 *   shared_heap FILE      FILE: 16 MiB that may be mapped
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "ledger.h"

#define BLOCKS 65536
#define UNTOUCHED (16 << 20)

/* never touched: zeros of the program file, and data in it */
static char zeros[UNTOUCHED];
static char data[UNTOUCHED] = { 1 };

static void *keep[BLOCKS];

static void *map_untouched(int protection, int fd)
{
	void *p = mmap(NULL, UNTOUCHED, protection,
		       MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0), fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

int main(int argc, char **argv)
{
	int fd = open(argc > 1 ? argv[1] : "", O_RDONLY);
	char *secret;
	pid_t child;
	char byte;

	alarm(240); /* whatever happens to who started it */
	keep_resident();
	CHECK(fd >= 0);
	for (int i = 0; i < BLOCKS; i++) {
		keep[i] = malloc(1000);
		memset(keep[i], 1, 1000);
	}
	for (int i = 0; i < BLOCKS; i += 100)
		free(keep[i]);	     /* into the cache and into lists of the arena */
	keep[0] = malloc(UNTOUCHED); /* a mapping of its own: but for its head untouched */
	map_untouched(PROT_READ | PROT_WRITE, -1);
	map_untouched(PROT_NONE, -1);
	map_untouched(PROT_READ | PROT_WRITE, fd);
	map_untouched(PROT_READ, fd);
	secret = map_untouched(PROT_READ | PROT_WRITE, -1);
	memset(secret, 1, UNTOUCHED);
	CHECK(mprotect(secret, UNTOUCHED, PROT_NONE) == 0);
	OPAQUE(secret);
	CHECK(argc < 1000 || zeros[argc] + data[argc]); /* they are not left out */
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		alarm(240);
		keep_resident(); /* that is not inherited */
	} else {
		say("pids %d %d\n", (int)getpid(), (int)child);
	}
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
