/* paths: new strings whose size nobody passes, and a path into a buffer, which is none. Says
 * "ready", waits for a line, makes them, says "done" and waits for another.
 */
#include <mimalloc.h>
#include <string.h>
#include <unistd.h>

static char *volatile kept[64];

static void say_and_wait(const char *what)
{
	char c;

	(void)!write(1, what, strlen(what));
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}

__attribute__((noinline)) static void use_paths(void)
{
	static char buffer[4096];

	for (int i = 0; i < 10; i++) {
		kept[i] = mi_realpath("/usr/../proc/", NULL); /* "/proc": 6 bytes */
		kept[10 + i] = mi_heap_realpath(mi_heap_get_default(), "/", NULL); /* 2 bytes */
		kept[20 + i] = mi_realpath("/usr", buffer);
	}
	if (mi_realpath("/nowhere/at/all", NULL))
		_exit(1);
	mi_free(kept[0]);
}

int main(void)
{
	mi_free(mi_malloc(10));
	say_and_wait("ready\n");
	use_paths();
	say_and_wait("done\n");
	return 0;
}
