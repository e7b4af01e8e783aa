/* A process whose main thread leaves while others go on. The one at work takes a line at a time:
 *
 *   make N    allocates N blocks of 1000 bytes and keeps them
 *   map N     maps N MiB of its own and touches them
 *   adjoin N  the same, just below where its blocks are: one mapping to the kernel
 *   leave     lets the main thread end, by pthread_exit
 *   relay     starts another thread that goes on, and ends itself
 *   load      loads plugin_first.so, which lies beside this program
 *   plug N    as make, by the plugin, of 100 bytes each
 *
 * Each is answered by its name. build: -pthread -ldl
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "ledger.h"

static sem_t may_leave;
static pthread_t main_thread;
static void *(*plugin_make)(size_t);
static char folder[PATH_MAX];
static char *last_made;

__attribute__((noinline)) void *made_in_worker(size_t size_bytes)
{
	char *p = malloc(size_bytes);

	OPAQUE(p);
	CHECK(p);
	memset(p, 1, size_bytes);
	last_made = p;
	return p;
}

#define ARENA_BYTES (64ul << 20) /* glibc's HEAP_MAX_SIZE, to which a thread's arena is aligned */

/* Does a mapping of ours begin there? */
static bool is_start(uintptr_t addr)
{
	static char maps[1 << 16];
	int fd = open("/proc/thread-self/maps", O_RDONLY);
	ssize_t size = 0, n;
	char line[32];

	CHECK(fd >= 0);
	while ((n = read(fd, maps + size, sizeof(maps) - 1 - size)) > 0)
		size += n;
	close(fd);
	maps[size] = '\0';
	snprintf(line, sizeof(line), "\n%lx-", addr);
	return strstr(maps, line);
}

/* As glibc of this version has mapped its arena, or they are two. */
static void adjoin(long mib)
{
	static const int flags[] = { 0, MAP_NORESERVE };
	uintptr_t arena = (uintptr_t)last_made & -ARENA_BYTES;
	size_t size = mib << 20;
	char *p = NULL;

	for (int i = 0; i < 2 && is_start(arena); i++) {
		CHECK(!p || munmap(p, size) == 0);
		p = mmap((char *)arena - size, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | flags[i], -1, 0);
		CHECK(p != MAP_FAILED);
	}
	CHECK(p && !is_start(arena));
	memset(p, 1, size);
}

static void load(void)
{
	static char path[PATH_MAX + 32];
	void *library;

	snprintf(path, sizeof(path), "%s/plugin_first.so", folder);
	library = dlopen(path, RTLD_NOW);
	CHECK(library);
	plugin_make = (void *(*)(size_t))dlsym(library, "plugin_make");
	CHECK(plugin_make);
}

/* Without a buffer of stdio's: every block that is counted shall be one of ours. */
static bool read_line(char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && read(STDIN_FILENO, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return n > 0;
}

static void *work(void *previous)
{
	static char line[64];

	if (previous)
		CHECK(pthread_join(*(pthread_t *)previous, NULL) == 0);
	while (read_line(line, sizeof(line))) {
		static pthread_t self, next;
		long n = 0;

		if (sscanf(line, "make %ld", &n) == 1) {
			while (n-- > 0)
				made_in_worker(1000);
		} else if (sscanf(line, "map %ld", &n) == 1) {
			/* between others that nobody may touch: the kernel makes one mapping of
			 * neighbours else, and the neighbour may be a thread's heap */
			char *p = mmap(NULL, (n + 2) << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
				       -1, 0);

			CHECK(p != MAP_FAILED);
			p += 1 << 20;
			CHECK(mprotect(p, n << 20, PROT_READ | PROT_WRITE) == 0);
			memset(p, 1, n << 20);
		} else if (sscanf(line, "adjoin %ld", &n) == 1) {
			adjoin(n);
		} else if (sscanf(line, "plug %ld", &n) == 1) {
			while (n-- > 0) {
				void *p = plugin_make(100);

				OPAQUE(p);
			}
		} else if (!strcmp(line, "leave")) {
			sem_post(&may_leave);
			CHECK(pthread_join(main_thread, NULL) == 0);
		} else if (!strcmp(line, "load")) {
			load();
		} else if (!strcmp(line, "relay")) {
			self = pthread_self();
			CHECK(pthread_create(&next, NULL, work, &self) == 0);
			say("relay\n");
			return NULL;
		}
		line[strcspn(line, " ")] = '\0';
		say("%s\n", line);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	static char self[PATH_MAX];
	pthread_t thread;

	alarm(240); /* whatever happens to who started it */
	CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(folder, sizeof(folder), "%s", dirname(self));
	main_thread = pthread_self();
	CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
	while (sem_wait(&may_leave))
		;
	pthread_exit(NULL);
}
