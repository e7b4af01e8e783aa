/* hugify: a program that would copy its own code to huge pages at its start, if it had been built
 * by BOLT with -hugify: it has the function's name.
 * build: -static
 */
#include <stdio.h>
#include <stdlib.h>

void __bolt_hugify_self(void);
void __bolt_hugify_self(void)
{
}

int main(void)
{
	void *volatile block = malloc(10);

	__bolt_hugify_self();
	puts("ready");
	fflush(stdout);
	getchar();
	free(block);
	return 0;
}
