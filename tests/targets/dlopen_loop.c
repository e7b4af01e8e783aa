/* Two plugins loaded and unloaded in turn: dlopen_loop [ROUNDS] [PAUSE_US]. They lie beside this
 * program. plugin_first makes blocks of 100 bytes and keeps one in two, plugin_second 200 and keeps
 * one in four. The line printed tells what each made, and how often both were at the same address.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>

#include "ledger.h"

struct plugin {
	char path[PATH_MAX];
	size_t size_bytes;
	long keep_one_in, made, kept;
	void *address;
};

static struct plugin first = { .size_bytes = 100, .keep_one_in = 2 };
static long pause_us; /* while a plugin is loaded */
static struct plugin second = { .size_bytes = 200, .keep_one_in = 4 };

static void use(struct plugin *plugin)
{
	void *library = dlopen(plugin->path, RTLD_NOW);
	void *(*make)(size_t);
	char *p;

	CHECK(library);
	make = (void *(*)(size_t))dlsym(library, "plugin_make");
	CHECK(make);
	plugin->address = (void *)make;
	p = make(plugin->size_bytes);
	OPAQUE(p);
	CHECK(p);
	ledger_add(plugin->size_bytes);
	if (plugin->made++ % plugin->keep_one_in) {
		free(p);
		ledger_drop(plugin->size_bytes);
	} else {
		plugin->kept++;
	}
	usleep(pause_us);
	CHECK(!dlclose(library));
}

int main(int argc, char **argv)
{
	int own = target_begin(argc, argv);
	long rounds = arg_number(argc, argv, own, 200), same = 0;
	char self[PATH_MAX - 64], extra[256];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	CHECK(len > 0);
	pause_us = arg_number(argc, argv, own + 1, 0);
	self[len] = 0;
	dirname(self);
	snprintf(first.path, sizeof(first.path), "%s/plugin_first.so", self);
	snprintf(second.path, sizeof(second.path), "%s/plugin_second.so", self);
	ledger.has_peak = false; /* the loader's own blocks are part of it */
	for (long i = 0; i < rounds; i++) {
		use(&first);
		use(&second);
		same += first.address == second.address;
	}
	snprintf(extra, sizeof(extra),
		 ",\"first_made\":%ld,\"first_kept\":%ld,\"second_made\":%ld,\"second_kept\":%ld"
		 ",\"same_address\":%ld",
		 first.made, first.kept, second.made, second.kept, same);
	return target_end(extra);
}
