/* churn_host: a program that loads an allocator with its plugin, later.
 *
 * Usage: churn-host PLUGIN [idle|late]
 * Says "host"; for a line loads the plugin and goes on as churn.c, which the plugin is.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int (*churn)(int argc, char **argv);
	char byte = 0;
	void *plugin;

	if (write(1, "host\n", 5) != 5)
		return 1;
	while (byte != '\n')
		if (read(0, &byte, 1) != 1)
			return 1;
	plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	churn = plugin ? (int (*)(int, char **))dlsym(plugin, "churn") : NULL;
	if (!churn) {
		fprintf(stderr, "churn-host: %s\n", dlerror());
		return 2;
	}
	return churn(argc - 1, argv + 1);
}
