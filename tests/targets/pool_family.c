/* A program with an allocator of its own, which forks and replaces itself on command. Lines on
 * stdin: "take COUNT SIZE" and "give COUNT" of the pool's blocks, "fork", "child LINE" (an order
 * for the last child), "exec" (this program again) and "exec PATH". "done PID" answers each; exec
 * answers "again". */
#include "ledger.h"

#define POOL_BYTES (1 << 20)

static char pool[POOL_BYTES];
static void *given[1000];
static size_t used, given_count;
static int child_in = -1;

__attribute__((noinline)) void *pool_take(size_t size_bytes)
{
	char *block = pool + used;

	OPAQUE(block);
	used += (size_bytes + 15) & ~15ul;
	CHECK(used <= POOL_BYTES);
	return block;
}

__attribute__((noinline)) void pool_give(void *block)
{
	OPAQUE(block);
}

static void become_child(int fd[2])
{
	close(fd[1]);
	dup2(fd[0], 0);
	close(fd[0]);
}

static void obey(char *line)
{
	unsigned long count = 0, size_bytes = 0;
	int fd[2];

	if (sscanf(line, "take %lu %lu", &count, &size_bytes) == 2) {
		for (unsigned long i = 0; i < count && given_count < 1000; i++)
			given[given_count++] = pool_take(size_bytes);
	} else if (sscanf(line, "give %lu", &count) == 1) {
		for (unsigned long i = 0; i < count && given_count > 0; i++)
			pool_give(given[--given_count]);
	} else if (strncmp(line, "fork", 4) == 0) {
		CHECK(!pipe(fd));
		if (fork() == 0) {
			become_child(fd);
		} else {
			close(fd[0]);
			child_in = fd[1];
			return; /* the child answers */
		}
	} else if (strncmp(line, "child ", 6) == 0) {
		CHECK(write(child_in, line + 6, strlen(line + 6)) > 0);
		return;
	} else if (strncmp(line, "exec", 4) == 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[4])
			execl(line + 5, line + 5, NULL);
		else
			execl("/proc/self/exe", "pool_family", "again", NULL);
		fail("exec");
	}
	say("done %d\n", (int)getpid());
}

/* Byte by byte: what follows a line is for the program after an exec, or for the parent. */
int main(int argc, char **argv)
{
	char line[256];
	size_t length = 0;
	void *own = malloc(100); /* there is libc's malloc, too */

	OPAQUE(own);
	say("%s\n", argc > 1 ? "again" : "ready");
	while (length < sizeof(line) - 1 && read(0, line + length, 1) == 1) {
		if (line[length++] != '\n')
			continue;
		line[length] = '\0';
		length = 0;
		obey(line);
	}
	return 0;
}
