/* Loaded by dlopen_loop.c, in turn with plugin_second, at the same addresses. */
#include <stdlib.h>

/* Exactly as long as its twin in plugin_second.so.c: the same code at the same place in the file.
 */
__attribute__((noinline)) void *plugin_first_make(size_t size_bytes)
{
	char *p = malloc(size_bytes);

	if (p)
		p[0] = 1;
	return p;
}

void *plugin_make(size_t size_bytes)
{
	char *p = plugin_first_make(size_bytes);

	if (p)
		p[0] = 2;
	return p;
}
