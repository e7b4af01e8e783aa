/* An arena of jemalloc's with 1,000 blocks in it. Lines of its input: "stats" asks for figures,
 * "purge" gives unused pages back, "reset" and "destroy" take all blocks at once, "mib" resets by
 * number.
 */
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned arena;

static void fill(void)
{
	for (int i = 0; i < 1000; i++)
		if (!mallocx(500, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE))
			abort();
}

static int control(const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.%s", arena, what);
	return mallctl(name, NULL, NULL, NULL, 0);
}

static int show_stats(void)
{
	unsigned long epoch = 1;
	unsigned count;
	size_t size = sizeof(count);

	return mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) ||
	       mallctl("arenas.narenas", &count, &size, NULL, 0);
}

static int reset_by_number(void)
{
	size_t mib[3], length = 3;

	if (mallctlnametomib("arena.0.reset", mib, &length))
		return 1;
	mib[1] = arena;
	return mallctlbymib(mib, length, NULL, NULL, NULL, 0);
}

int main(void)
{
	size_t size = sizeof(arena);
	char line[32];

	if (mallctl("arenas.create", &arena, &size, NULL, 0))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int error;

		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "fill"))
			error = (fill(), 0);
		else if (!strcmp(line, "stats"))
			error = show_stats();
		else if (!strcmp(line, "mib"))
			error = reset_by_number();
		else
			error = control(line);
		printf("%s %d\n", line, error);
		fflush(stdout);
	}
	return 0;
}
