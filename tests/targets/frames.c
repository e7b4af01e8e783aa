/* frames: blocks that are held by one frame of a thread's stack each. For dhatctl holds.
 *
 * frames                         all threads are made; then "ready"; a line on stdin makes all
 *                                blocks; then "made"
 * stale_below_signal is pointed to only by what a call has left behind on the stack of worker-4.
 * held_by_NAME is held by the frame of the function NAME only: of a thread that waits three calls
 * deep (worker-3), of one that was interrupted and waits in its handler, on a signal stack
 * (worker-4), of one that never waits (worker-5), and of the first one. held_by_member is held by
 * the member .tables[1].entries[2] of a variable. "end": it ends.
 */
/* build: -pthread -O1 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 3
#define SIGNAL_STACK_BYTES 65536

static sem_t go, made;
static volatile int is_over;

#define KIND(name)                                                                                 \
	static __attribute__((noinline, noclone)) void *name(void)                                 \
	{                                                                                          \
		void *block = malloc(64);                                                          \
                                                                                                   \
		__asm__ volatile("" : : "r"(block) : "memory");                                    \
		return block;                                                                      \
	}

KIND(held_by_run_worker)
KIND(held_by_serve_request)
KIND(held_by_read_body)
KIND(held_by_handle_signal)
KIND(held_by_run_interrupted)
KIND(stale_below_signal)
KIND(held_by_run_busy)
KIND(held_by_hold_in_main)
KIND(held_by_member)

struct table {
	long used;
	void *entries[4];
};
struct {
	char name[16];
	struct table tables[2];
} response_cache;

/* In the frame of whoever says so, and in no register. */
#define HOLD(block, make)                                                                          \
	void *volatile(block)[4] = { NULL };                                                       \
	(block)[1] = make()
/* What follows is a call, and not a jump. */
#define KEEP(block) __asm__ volatile("" : : "r"(&(block)) : "memory")

/* What calls have left behind on the stack is written over. */
static __attribute__((noinline, noclone)) void clean_stack(void)
{
	char below[8192];

	memset(below, 0, sizeof(below));
	KEEP(*below);
}

static __attribute__((noinline, noclone)) void wait_for_end(void)
{
	clean_stack();
	sem_post(&made);
	while (!is_over)
		pause();
}

static __attribute__((noinline, noclone)) void read_body(size_t length)
{
	char *body = __builtin_alloca(length);
	HOLD(block, held_by_read_body);

	memset(body, 1, length);
	KEEP(*body);
	wait_for_end();
	KEEP(block);
}

static __attribute__((noinline, noclone)) void serve_request(size_t length)
{
	HOLD(block, held_by_serve_request);

	read_body(length);
	KEEP(block);
}

static __attribute__((noinline, noclone)) void *run_worker(void *length)
{
	sem_wait(&go);
	{
		HOLD(block, held_by_run_worker);

		serve_request((size_t)length);
		KEEP(block);
	}
	return NULL;
}

static __attribute__((noinline, noclone)) void handle_signal(int number)
{
	HOLD(block, held_by_handle_signal);

	wait_for_end();
	KEEP(block);
}

/* Far below what raise() needs. */
static __attribute__((noinline, noclone)) void leave_behind(void)
{
	void *volatile words[2048];

	for (size_t i = 0; i < 2048; i++)
		words[i] = NULL;
	words[8] = stale_below_signal();
	KEEP(words);
}

static __attribute__((noinline, noclone)) void *run_interrupted(void *unused)
{
	stack_t stack = { .ss_size = SIGNAL_STACK_BYTES };
	struct sigaction action = { .sa_handler = handle_signal, .sa_flags = SA_ONSTACK };

	stack.ss_sp = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sem_wait(&go);
	{
		HOLD(block, held_by_run_interrupted);

		leave_behind();
		raise(SIGUSR1);
		KEEP(block);
	}
	return unused;
}

static __attribute__((noinline, noclone)) void *run_busy(void *unused)
{
	sem_wait(&go);
	{
		HOLD(block, held_by_run_busy);

		clean_stack();
		sem_post(&made);
		while (!is_over)
			;
		KEEP(block);
	}
	return unused;
}

static void begin(const char *name, void *(*run)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, argument))
		exit(1);
	pthread_setname_np(thread, name);
}

static __attribute__((noinline, noclone)) void hold_in_main(char *line, int size)
{
	HOLD(block, held_by_hold_in_main);

	clean_stack();
	while (!is_over && fgets(line, size, stdin)) {
		is_over = !strcmp(line, "end\n");
		puts("told");
		fflush(stdout);
	}
	KEEP(block);
}

int main(void)
{
	char line[64];

	begin("worker-3", run_worker, (void *)1000);
	begin("worker-4", run_interrupted, NULL);
	begin("worker-5", run_busy, NULL);
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	response_cache.tables[1].entries[2] = held_by_member();
	for (int i = 0; i < THREADS; i++)
		sem_post(&go);
	for (int i = 0; i < THREADS; i++)
		sem_wait(&made);
	puts("made");
	fflush(stdout);
	hold_in_main(line, sizeof(line));
	return 0;
}
