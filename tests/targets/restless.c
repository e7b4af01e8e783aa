/* restless: blocks that are held all the while, in a process that does not keep still. For dhatctl
 * holds.
 *
 * On stdin, each answered by its word: "late": blocks that only one from before points to; "far":
 * one that only a word beyond the third GiB of a mapping points to; "mappings": 60,000 of them;
 * "threads": a thousand, with a block each; "ring": blocks that an io_uring alone knows of; "lose":
 * blocks to which nothing points, with free memory behind each; "melt": blocks to which nothing
 * points, and of which one is freed each millisecond from now on; "push": a list of blocks, in
 * front of which another one comes each millisecond from now on; "busy": threads come and go from
 * now on, and children; "exec": it becomes itself anew.
 */
/* build: -pthread -O1 */
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kind.h"

#define COUNT 1000
#define FAR_BYTES ((3ul << 30) + (1 << 20))
#define MAPPINGS 60000ul
#define MAKERS 3
#define MELTING 100000ul

KIND(held_late)
KIND(held_far)
KIND(held_by_thread)
KIND(held_by_one_of_many)
KIND(held_as_buffer)
KIND(held_by_queue)
KIND(melting)
KIND(lost_small)
KIND(lost_even)
KIND(lost_among_equals)
KIND(held_between)
KIND(held_in_list)
KIND(pushed)

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

static void *stay(void *all_are_there)
{
	void *volatile block = held_by_one_of_many(72);

	pthread_barrier_wait(all_are_there);
	for (;;)
		pause();
	return block;
}

static void make_many_threads(void)
{
	static pthread_barrier_t all_are_there;
	pthread_attr_t attr;
	pthread_t thread;

	pthread_barrier_init(&all_are_there, NULL, COUNT + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (size_t i = 0; i < COUNT; i++)
		if (pthread_create(&thread, &attr, stay, &all_are_there))
			abort();
	pthread_barrier_wait(&all_are_there);
}

/* One block is registered as a buffer, one is the user data of a request that was not sent off. */
static void make_ring(void)
{
	struct io_uring_params params = { 0 };
	int fd = syscall(SYS_io_uring_setup, 8, &params);
	struct iovec buffer = { held_as_buffer(8192), 8192 };
	struct io_uring_sqe *queue = mmap(NULL, 8 * sizeof(*queue), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);

	if (fd < 0 || queue == MAP_FAILED ||
	    syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &buffer, 1))
		abort();
	queue->user_data = (uintptr_t)held_by_queue(88);
	memset(&buffer, 0, sizeof(buffer));
	__asm__ volatile("" : : "r"(&buffer) : "memory");
}

/* The chunk behind each is free, and what is around both is not. */
static void make_lost(void)
{
	static void *between[COUNT];
	void **gone = calloc(3 * COUNT, sizeof(*gone));

	for (size_t i = 0; i < COUNT; i++) {
		lost_small(40);
		gone[3 * i] = malloc(1200);
		lost_even(80);
		gone[3 * i + 1] = malloc(1200);
		lost_among_equals(48);
		gone[3 * i + 2] = malloc(48);
		between[i] = held_between(72);
	}
	for (size_t i = 0; i < 3 * COUNT; i++) {
		free(gone[i]);
		gone[i] = NULL; /* it would point to the end of the one before */
	}
	__asm__ volatile("" : : "r"(between) : "memory");
}

static uintptr_t hidden[MELTING];

static void *melt(void *unused)
{
	for (size_t i = 0; i < MELTING; i++, usleep(1000))
		free((void *)~hidden[i]);
	return unused;
}

static void make_melting(void)
{
	pthread_t thread;

	for (size_t i = 0; i < MELTING; i++)
		hidden[i] = ~(uintptr_t)melting(16);
	if (pthread_create(&thread, NULL, melt, NULL))
		abort();
}

/* Their links are their last words, where in glibc's heap the next chunk begins; and what stands in
 * front of the list's, and of those that have come just now, reads like a free chunk's size. */
static struct {
	size_t size;
	void **first;
} list = { .size = 37 };

static void push(void **node)
{
	node[2] = list.first;
	__atomic_store_n(&list.first, &node[2], __ATOMIC_RELEASE);
}

static void *push_on(void *unused)
{
	for (size_t i = 0; i < MELTING; i++, usleep(1000))
		push(pushed(24));
	return unused;
}

static void make_list(void)
{
	pthread_t thread;

	for (size_t i = 0; i < COUNT; i++)
		push(held_in_list(24));
	if (pthread_create(&thread, NULL, push_on, NULL))
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
	else if (!strcmp(word, "threads"))
		make_many_threads();
	else if (!strcmp(word, "ring"))
		make_ring();
	else if (!strcmp(word, "lose"))
		make_lost();
	else if (!strcmp(word, "melt"))
		make_melting();
	else if (!strcmp(word, "push"))
		make_list();
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
