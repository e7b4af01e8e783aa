/* restless: blocks that are held all the while, in a process that does not keep still. For dhatctl
 * holds.
 *
 * On stdin, each answered by its word: "late": blocks that only one from before points to; "far":
 * one that only a word beyond the third GiB of a mapping points to; "mappings": 60,000 of them;
 * "busy": threads come and go from now on, and children; "exec": it becomes itself anew.
 */
/* build: -pthread -O1 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 1000
#define FAR_BYTES ((3ul << 30) + (1 << 20))
#define MAPPINGS 60000ul
#define MAKERS 3

#define KIND(name)                                                                                 \
	static __attribute__((noinline, noclone)) void *name(size_t size)                          \
	{                                                                                          \
		void *block = calloc(1, size);                                                     \
                                                                                                   \
		__asm__ volatile("" : : "r"(block) : "memory");                                    \
		return block;                                                                      \
	}

KIND(held_late)
KIND(held_far)
KIND(held_by_thread)

static void **old;
static void *far;

static void make_late(void)
{
	for (size_t i = 0; i < COUNT; i++)
		old[i] = held_late(40);
}

static void make_far(void)
{
	far = mmap(NULL, FAR_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (far == MAP_FAILED)
		abort();
	*(void **)((char *)far + (3ul << 30)) = held_far(56);
}

/* Each second page may not be written to, so that each is a mapping. */
static void make_mappings(void)
{
	char *pages = mmap(NULL, MAPPINGS * 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pages == MAP_FAILED)
		abort();
	for (size_t i = 0; i < MAPPINGS; i += 2)
		if (mprotect(pages + 4096 * i, 4096, PROT_READ))
			abort();
}

static void *come_and_go(void *unused)
{
	void *volatile block = held_by_thread(72);

	(void)unused;
	usleep(2000);
	free(block);
	return NULL;
}

static void *make_threads(void *unused)
{
	pthread_t thread;

	(void)unused;
	for (;;)
		if (!pthread_create(&thread, NULL, come_and_go, NULL))
			pthread_join(thread, NULL);
	return NULL;
}

static void *make_children(void *unused)
{
	(void)unused;
	for (;;) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
		usleep(5000);
	}
	return NULL;
}

static void be_busy(void)
{
	pthread_t thread;

	for (size_t i = 0; i < MAKERS; i++)
		if (pthread_create(&thread, NULL, make_threads, NULL))
			abort();
	if (pthread_create(&thread, NULL, make_children, NULL))
		abort();
}

static void do_what(const char *word, char **argv)
{
	if (!strcmp(word, "late"))
		make_late();
	else if (!strcmp(word, "far"))
		make_far();
	else if (!strcmp(word, "mappings"))
		make_mappings();
	else if (!strcmp(word, "busy"))
		be_busy();
	else if (!strcmp(word, "exec"))
		execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	char line[32];

	old = calloc(COUNT, sizeof(*old));
	setvbuf(stdin, NULL, _IONBF, 0);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		do_what(line, argv);
		puts(line);
		fflush(stdout);
	}
	return argc == 0;
}
