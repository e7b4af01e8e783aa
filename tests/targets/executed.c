/* executed: an allocator whose functions have nothing that the kernel emulates when a probe is on
 * it, neither at their entries nor at their exits; and what a probe may meet there. After each line
 * on stdin a round of it: threads, a signal that interrupts them, a child, and a child that
 * executes another program. Says what it took and gave, or ends at once where an instruction did
 * what it should not. build: -pthread
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define CALLS 1500
#define THREADS 3

/* take(size): the next block of as many bytes, of 16 each time, from a room that begins again.
 * give(block): 1, and more if its address says so: what comes out is made of the flags of the first
 * instruction, and the low byte of another one. */
__asm__(".text\n"
	".globl take\n.type take,@function\n"
	"take:	mov %rdi, %rcx\n"
	"	add $15, %rcx\n"
	"	and $-16, %rcx\n"
	"	mov %rcx, %rax\n"
	"	lock xadd %rax, taken(%rip)\n"
	"	and $0xffffff, %eax\n"
	"	lea room(%rip), %rcx\n"
	"	add %rcx, %rax\n"
	"	ret\n"
	".size take,.-take\n"
	".globl give\n.type give,@function\n"
	"give:	cmp $-16, %rdi\n"
	"	setc %al\n"
	"	setns %cl\n"
	"	add %cl, %al\n"
	"	movzbl %al, %eax\n"
	"	ret\n"
	".size give,.-give\n"
	".bss\n.balign 16\n"
	"taken:	.quad 0\n"
	"room:	.skip 0x1000000 + 0x10000\n"
	".text\n");
char *take(uint64_t size);
unsigned give(char *block);
extern char room[];

static _Atomic uint64_t took_count, took_bytes;

static void check(int holds, const char *what)
{
	if (holds)
		return;
	dprintf(1, "WRONG: %s\n", what);
	_exit(3);
}

/* Of a stack that nobody else calls: what is under it is counted. */
NOINLINE static void take_and_give(uint64_t size)
{
	char *block = take(size);

	took_count++;
	took_bytes += size;
	check(block >= room && (block - room) % 16 == 0 && block < room + 0x1010000, "a block");
	/* a block is below -16, of which it is a borrow; their difference is no negative number */
	check(give(block) == 2, "flags");
}

/* A block that is taken by who has interrupted take() would be a part of that call. */
static void on_alarm(int signal)
{
	check(give(room) == 2, "flags in a handler");
}

static void *thread(void *unused)
{
	for (int i = 0; i < CALLS; i++)
		take_and_give(i % 200 + 1);
	return NULL;
}

static void wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child");
}

/* It has the breakpoints, and is not watched. */
static void fork_one(char *program)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct itimerval none = { 0 };

		setitimer(ITIMER_REAL, &none, NULL);
		for (int i = 0; i < 20; i++)
			take_and_give(8);
		if (program)
			execl("/proc/self/exe", program, "child", NULL);
		_exit(program ? 1 : 0);
	}
	wait_for(pid);
}

static void play(char *program)
{
	struct itimerval often = { { 0, 3000 }, { 0, 3000 } }, none = { 0 };
	pthread_t threads[THREADS];

	took_count = took_bytes = 0;
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, thread, NULL);
	thread(NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	setitimer(ITIMER_REAL, &none, NULL);
	fork_one(NULL);
	fork_one(program);
	printf("took %lu blocks of %lu bytes\n", (unsigned long)took_count,
	       (unsigned long)took_bytes);
}

int main(int argc, char **argv)
{
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1) {
		take_and_give(8);
		return 0;
	}
	signal(SIGALRM, on_alarm);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin))
		play(argv[0]);
	return 0;
}
